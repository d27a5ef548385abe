//! Whether evidence against a validator proves anything.

use conclave_types::{
    Ballot, Digest, Epoch, Misbehaviour, Offence, Refusal, Timeout, ValidatorIndex, View, VoteKind,
};

use crate::Verifier;

/// Evidence that proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MisbehaviourError {
    /// Of another committee.
    #[error(
        "[CV-LIGHT-040] the evidence is of epoch {found}, the committee of epoch {expected}; report it to the chain and epoch it happened in"
    )]
    Epoch { found: Epoch, expected: Epoch },
    /// Against someone who has no vote.
    #[error("[CV-LIGHT-041] validator {validator} is not in the committee; check the evidence")]
    Stranger { validator: ValidatorIndex },
    /// One message twice, messages that an honest validator may sign both, or in the wrong order.
    #[error(
        "[CV-LIGHT-042] the two messages do not contradict each other in their order; report only what an honest validator cannot sign"
    )]
    NoContradiction,
    /// A signature is not the accused validator's over that message on this chain.
    #[error(
        "[CV-LIGHT-043] a signature of the evidence does not verify; report only what was signed on this chain"
    )]
    Signature,
}

/// The validator that the evidence proves guilty.
///
/// A pure function of the chain, the committee's keys and the evidence, so every node comes to the
/// same verdict; two signature checks at most.
pub fn verify_misbehaviour(
    verifier: &Verifier<'_>,
    evidence: &Misbehaviour,
) -> Result<ValidatorIndex, MisbehaviourError> {
    let Misbehaviour {
        epoch,
        validator,
        offence,
    } = *evidence;
    let expected = verifier.committee.epoch;
    if epoch != expected {
        let found = epoch;
        return Err(MisbehaviourError::Epoch { found, expected });
    }
    if verifier.committee.weight(validator) == 0 {
        return Err(MisbehaviourError::Stranger { validator });
    }
    if !offence.is_contradiction() {
        return Err(MisbehaviourError::NoContradiction);
    }
    let chain = verifier.chain;
    let vote = |kind: VoteKind, view: View, ballot: Ballot| {
        let message = kind.message(chain, epoch, view, ballot.height, ballot.block);
        (message, ballot.signature)
    };
    let timeout = |view: View, refusal: Refusal| {
        let message = Timeout::message(chain, epoch, view, refusal.high_qc_view);
        (message, refusal.signature)
    };
    let messages: [(Digest, _); 2] = match offence {
        Offence::DoubleVote {
            kind,
            view,
            first,
            second,
        } => [vote(kind, view, first), vote(kind, view, second)],
        Offence::DoubleTimeout {
            view,
            first,
            second,
        } => [timeout(view, first), timeout(view, second)],
        Offence::CommitAfterTimeout {
            timeout_view,
            timeout: refusal,
            commit_view,
            commit,
        } => [
            timeout(timeout_view, refusal),
            vote(VoteKind::Commit, commit_view, commit),
        ],
    };
    let signed = messages
        .iter()
        .all(|(message, signature)| verifier.signatures.verify(validator, message, signature));
    match signed {
        true => Ok(validator),
        false => Err(MisbehaviourError::Signature),
    }
}
