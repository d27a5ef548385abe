//! Proposes two blocks in one view, to different members.

use conclave_consensus::Message;
use conclave_node::{Effect, PeerMessage};
use conclave_types::{BlockTime, Proposal, Signers, ValidatorIndex};

use super::{Actor, Member, forge};

#[derive(Default)]
pub(super) struct Equivocator {
    /// The second proposal of the last view, and who gets it.
    second: Option<(Proposal, Signers)>,
}

impl Actor for Equivocator {
    fn sends(
        &mut self,
        member: &mut Member<'_>,
        to: ValidatorIndex,
        message: PeerMessage,
        out: &mut Vec<Effect>,
    ) {
        let PeerMessage::Agreement(Message::Proposal(first)) = &message else {
            return out.push(Effect::Send { to, message });
        };
        let view = first.block.header.view;
        let known = |(second, _): &(Proposal, Signers)| second.block.header.view == view;
        if !self.second.as_ref().is_some_and(known) {
            let mut header = first.block.header.clone();
            header.time = BlockTime(header.time.0 + 1);
            let second = member.propose(first, header);
            self.second = Some((second, member.some_others()));
        }
        let message = match &self.second {
            Some((second, takers)) if takers.contains(to) => forge::proposal(second.clone()),
            _ => message,
        };
        out.push(Effect::Send { to, message });
    }
}
