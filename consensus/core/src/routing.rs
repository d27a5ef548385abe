//! Whom votes are sent to.
//!
//! A small committee's votes go to everyone: whoever sees 2f+1 of them has the certificate, blocks
//! are final three message delays after they were proposed, and nobody can withhold a certificate.
//! That is n² messages a phase. A large committee's votes go to two collectors, who send the
//! certificate to all: two delays more, and 4n messages a phase.
//!
//! The collectors of a view are the leader of the next one, which needs the quorum certificate
//! anyway, and the one after it in the schedule, both as the voted block's ancestry elects them.
//! Safety knows nothing of them. A vote that no certificate has answered after a while goes to
//! all, so collectors that are down or lie cost a delay.

use conclave_crypto::Committee;
use conclave_types::{CommitCertificate, QuorumCertificate, limits};

use crate::Message;
use crate::elector::{Elected, Voted};
use crate::engine::Engine;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VoteRouting {
    /// To all.
    Everyone,
    /// To those who make the certificates.
    Collectors,
}

impl VoteRouting {
    /// By the number of validators, since it is they who send messages, not their weight.
    pub(crate) fn of(committee: &Committee) -> Self {
        let voters = committee.members().iter().filter(|m| m.weight > 0).count();
        match voters <= limits::VOTES_TO_ALL_VALIDATORS_MAX {
            true => Self::Everyone,
            false => Self::Collectors,
        }
    }
}

impl Engine {
    /// Sends a vote for a block for the first time; where its collectors are not known, because an
    /// ancestor is missing, to everyone.
    pub(crate) fn route_vote(&mut self, voted: Voted, vote: Message) {
        let Some(Elected { leader, backup }) = self.collectors(voted) else {
            return self.broadcast(vote);
        };
        if backup != leader && backup != self.config.index {
            self.send(backup, vote.clone());
        }
        if leader != self.config.index {
            self.send(leader, vote);
        }
    }

    /// Hands on a certificate that was made from votes here.
    pub(crate) fn share_quorum(&mut self, qc: &QuorumCertificate) {
        if self.is_collector((qc.view, qc.height, qc.block)) {
            self.broadcast(Message::QuorumCertificate(qc.clone()));
        }
    }

    /// Hands on a certificate that was made from votes here.
    pub(crate) fn share_commit(&mut self, cc: &CommitCertificate) {
        if self.is_collector((cc.view, cc.height, cc.block)) {
            self.broadcast(Message::CommitCertificate(cc.clone()));
        }
    }

    fn is_collector(&mut self, voted: Voted) -> bool {
        let own = self.config.index;
        self.collectors(voted)
            .is_some_and(|elected| [elected.leader, elected.backup].contains(&own))
    }

    fn collectors(&mut self, voted: Voted) -> Option<Elected> {
        match self.routing {
            VoteRouting::Everyone => None,
            VoteRouting::Collectors => self.elect(voted),
        }
    }
}
