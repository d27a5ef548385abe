//! Proposes blocks of the future, which would close auctions before their bids are in.

use conclave_consensus::Message;
use conclave_node::{Effect, PeerMessage};
use conclave_types::{BlockTime, Proposal, ValidatorIndex};
use rand::Rng;

use super::{Actor, Member, forge};

#[derive(Default)]
pub(super) struct TimeJumper {
    last: Option<Proposal>,
}

impl Actor for TimeJumper {
    fn sends(
        &mut self,
        member: &mut Member<'_>,
        to: ValidatorIndex,
        message: PeerMessage,
        out: &mut Vec<Effect>,
    ) {
        let PeerMessage::Agreement(Message::Proposal(right)) = &message else {
            return out.push(Effect::Send { to, message });
        };
        let view = right.block.header.view;
        let known = |last: &Proposal| last.block.header.view == view;
        if !self.last.as_ref().is_some_and(known) {
            let mut header = right.block.header.clone();
            let jump_ms = [200, 1_000, 20_000][member.random.gen_range(0..3)];
            header.time = BlockTime(header.time.0 + jump_ms);
            self.last = Some(member.propose(right, header));
        }
        let message = self.last.clone().map_or(message, forge::proposal);
        out.push(Effect::Send { to, message });
    }
}
