//! Names an old certificate in its timeouts, and builds on the lowest that it can justify: of the
//! timeouts that it collected it takes the quorum that knew least.

use std::collections::BTreeMap;

use conclave_consensus::Message;
use conclave_node::{Effect, Event, PeerMessage};
use conclave_types::{
    Proposal, QuorumCertificate, Signers, Timeout, TimeoutCertificate, ValidatorIndex, View,
};
use rand::Rng;

use super::{Actor, Member, forge};

/// Certificates that it still has.
const KEPT: usize = 8;

#[derive(Default)]
pub(super) struct StaleProposer {
    certificates: BTreeMap<View, QuorumCertificate>,
    /// Others' timeouts and its own, of the newest views.
    timeouts: BTreeMap<View, BTreeMap<ValidatorIndex, Timeout>>,
}

impl StaleProposer {
    fn keep(&mut self, qc: &QuorumCertificate) {
        self.certificates.insert(qc.view, qc.clone());
        while self.certificates.len() > KEPT {
            self.certificates.pop_first();
        }
    }

    fn oldest(&self) -> Option<&QuorumCertificate> {
        self.certificates.values().next()
    }

    fn note(&mut self, timeout: Timeout) {
        let of_view = self.timeouts.entry(timeout.view).or_default();
        of_view.insert(timeout.signer, timeout);
        while self.timeouts.len() > KEPT {
            self.timeouts.pop_first();
        }
    }

    /// The certificate of the quorum that knew least.
    fn certificate(&self, member: &Member<'_>, view: View) -> Option<TimeoutCertificate> {
        let mut timeouts: Vec<&Timeout> = self.timeouts.get(&view)?.values().collect();
        timeouts.sort_by_key(|timeout| timeout.high_qc.view);
        let mut signers = Signers::default();
        let mut groups: BTreeMap<View, Signers> = BTreeMap::new();
        let mut signatures = Vec::new();
        let mut highest = None;
        for timeout in timeouts {
            if member.committee.has_quorum(&signers) {
                break;
            }
            signers.insert(timeout.signer);
            let group = groups.entry(timeout.high_qc.view).or_default();
            group.insert(timeout.signer);
            signatures.push(timeout.signature);
            highest = Some(&timeout.high_qc);
        }
        if !member.committee.has_quorum(&signers) {
            return None;
        }
        Some(TimeoutCertificate {
            epoch: member.epoch(),
            view,
            high_qc: highest?.clone(),
            groups: groups.into_iter().collect(),
            signature: member.signatures.aggregate(&signatures)?,
        })
    }

    /// The proposal on the lowest certificate that some timeouts justify, or on one that nothing
    /// does: the last before the right one, whose block the others may still build on.
    fn lower(&self, member: &mut Member<'_>, like: &Proposal) -> Option<Proposal> {
        let tc = match &like.timeout {
            Some(tc) => self.certificate(member, tc.view).or(Some(tc.clone())),
            None => None,
        };
        let justify = match &tc {
            Some(tc) if member.random.gen_bool(0.5) => tc.high_qc.clone(),
            _ => {
                let mut before = self.certificates.range(..like.justify.view);
                before.next_back()?.1.clone()
            }
        };
        let mut header = like.block.header.clone();
        header.height = justify.height.next();
        header.parent = justify.block;
        header.parent_view = justify.view;
        let mut proposal = member.propose(like, header);
        proposal.justify = justify;
        proposal.timeout = tc;
        Some(proposal)
    }
}

impl Actor for StaleProposer {
    fn sees(&mut self, _: &mut Member<'_>, event: &Event, _: &mut Vec<Effect>) -> bool {
        if let Event::Peer {
            message: PeerMessage::Agreement(message),
            ..
        } = event
        {
            match message {
                Message::Proposal(proposal) => self.keep(&proposal.justify),
                Message::Timeout(timeout) => self.note(timeout.as_ref().clone()),
                _ => {}
            }
        }
        true
    }

    fn sends(
        &mut self,
        member: &mut Member<'_>,
        to: ValidatorIndex,
        message: PeerMessage,
        out: &mut Vec<Effect>,
    ) {
        let message = match message {
            PeerMessage::Agreement(Message::Timeout(timeout)) => {
                let oldest = self.oldest().filter(|qc| qc.view < timeout.view);
                let high_qc = oldest.unwrap_or(&timeout.high_qc).clone();
                let own = member.time_out(&timeout, high_qc);
                self.note(own.clone());
                forge::timeout(own)
            }
            PeerMessage::Agreement(Message::Proposal(proposal)) => {
                let lower = self.lower(member, &proposal);
                forge::proposal(lower.unwrap_or(*proposal))
            }
            other => other,
        };
        out.push(Effect::Send { to, message });
    }
}
