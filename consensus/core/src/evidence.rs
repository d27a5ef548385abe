//! What a misbehaving peer is accused of.

use conclave_light::CertificateError;
use conclave_types::{
    Ballot, Misbehaviour, Offence, OffenceKind, Refusal, Timeout, ValidatorIndex, View,
};

use crate::engine::Engine;

/// Why a peer is accused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// Two verified messages that contradict each other: proof for everyone.
    Proof(Misbehaviour),
    /// Only this node can vouch for it.
    Fault(Fault),
}

/// Something that an honest peer never sends. It is no proof for others, because the transport's
/// authentication cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A message that names another signer than its sender.
    #[error("sent a message signed in another validator's name")]
    Impersonation,
    /// A vote or timeout whose signature does not verify.
    #[error("sent a wrong signature for view {view}")]
    Signature { view: View },
    /// A certificate that does not verify.
    #[error("sent a wrong certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// A proposal or timeout that contradicts itself.
    #[error("sent a malformed message for view {view}: {reason}")]
    Malformed { view: View, reason: &'static str },
    /// A proposal in a view that another validator leads.
    #[error("sent a proposal for view {view}, which it does not lead")]
    NotLeader { view: View },
    /// Blocks that do not chain to their certificate.
    #[error("sent blocks that do not match their certificate")]
    Sync,
}

impl Engine {
    /// Remembers a peer's newest timeout, and compares it with the commit votes that came before
    /// it: rule 4 lets no honest validator sign both. Signatures are checked when there is
    /// something to show.
    pub(crate) fn note_timeout(&mut self, timeout: &Timeout) {
        let signer = timeout.signer;
        let refusal = Refusal {
            high_qc_view: timeout.high_qc.view,
            signature: timeout.signature,
        };
        let known = self.timeouts_seen.get(&signer);
        if known.is_none_or(|(view, _)| *view < timeout.view) {
            self.timeouts_seen.insert(signer, (timeout.view, refusal));
        }
        let forbidden = (refusal.high_qc_view, timeout.view);
        if let Some((view, commit)) = self.tally.commit_vote_within(signer, forbidden) {
            self.accuse_late_commit(signer, (timeout.view, refusal), (view, commit));
        }
    }

    /// Compares a peer's commit vote with its newest timeout.
    pub(crate) fn note_commit_vote(&mut self, signer: ValidatorIndex, view: View, ballot: Ballot) {
        if let Some((timeout_view, refusal)) = self.timeouts_seen.get(&signer).copied()
            && refusal.high_qc_view < view
            && view <= timeout_view
        {
            self.accuse_late_commit(signer, (timeout_view, refusal), (view, ballot));
        }
    }

    fn accuse_late_commit(
        &mut self,
        validator: ValidatorIndex,
        (timeout_view, timeout): (View, Refusal),
        (commit_view, commit): (View, Ballot),
    ) {
        if self.is_reported(validator, OffenceKind::CommitAfterTimeout) {
            return;
        }
        let evidence = Misbehaviour {
            epoch: self.config.committee.epoch,
            validator,
            offence: Offence::CommitAfterTimeout {
                timeout_view,
                timeout,
                commit_view,
                commit,
            },
        };
        match conclave_light::verify_contradiction(&self.verifier(), &evidence) {
            Ok(_) => self.accuse(validator, Evidence::Proof(evidence)),
            Err(_) => {
                // The next comparison costs it another message.
                self.timeouts_seen.remove(&validator);
                self.fault(validator, Fault::Signature { view: commit_view });
            }
        }
    }
}
