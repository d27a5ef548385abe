//! Proposes two blocks in one view, to different members, and now and then in views of others.

use conclave_consensus::Message;
use conclave_node::{Effect, Event, PeerMessage};
use conclave_types::{BlockTime, Proposal, Signers, ValidatorIndex};
use rand::Rng;

use super::{Actor, Member, forge};

#[derive(Default)]
pub(super) struct Equivocator {
    /// The second proposal of the last view, and who gets it.
    second: Option<(Proposal, Signers)>,
}

impl Actor for Equivocator {
    fn sees(&mut self, member: &mut Member<'_>, event: &Event, out: &mut Vec<Effect>) -> bool {
        if let Event::Peer {
            from,
            message: PeerMessage::Agreement(Message::Proposal(right)),
        } = event
            && *from != member.index
            && member.random.gen_bool(0.1)
        {
            let mut header = right.block.header.clone();
            header.proposer = member.index;
            let usurped = member.propose(right, header);
            out.push(Effect::Broadcast(forge::proposal(usurped)));
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
