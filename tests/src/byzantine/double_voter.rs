//! Votes for every block it hears of, and some that it makes up, in both phases, and gives up every view as well.

use std::collections::BTreeSet;

use conclave_consensus::Message;
use conclave_node::{Effect, Event, PeerMessage};
use conclave_types::{BlockId, Digest, Height, View};
use rand::Rng;

use super::{Actor, Member, forge};

/// Views back that are remembered.
const VIEWS: u64 = 32;

#[derive(Default)]
pub(super) struct DoubleVoter {
    voted: BTreeSet<(View, BlockId)>,
    given_up: BTreeSet<View>,
}

impl DoubleVoter {
    fn vote(
        &mut self,
        member: &mut Member<'_>,
        (view, height, block): (View, Height, BlockId),
        out: &mut Vec<Effect>,
    ) {
        if self.voted.insert((view, block)) {
            out.push(Effect::Broadcast(member.prepare_vote(view, height, block)));
            out.push(Effect::Broadcast(member.commit_vote(view, height, block)));
            if member.random.gen_bool(0.2) {
                let made_up = BlockId(Digest(member.random.r#gen()));
                out.push(Effect::Broadcast(member.commit_vote(view, height, made_up)));
            }
            let from = View(view.0.saturating_sub(VIEWS));
            self.voted.retain(|(view, _)| *view >= from);
        }
    }
}

impl Actor for DoubleVoter {
    fn sees(&mut self, member: &mut Member<'_>, event: &Event, out: &mut Vec<Effect>) -> bool {
        let Event::Peer {
            from,
            message: PeerMessage::Agreement(message),
        } = event
        else {
            return true;
        };
        if *from == member.index {
            return true;
        }
        match message {
            Message::Proposal(proposal) => {
                let header = &proposal.block.header;
                self.vote(member, (header.view, header.height, header.id()), out);
            }
            Message::PrepareVote(vote) => {
                self.vote(member, (vote.view, vote.height, vote.block), out);
            }
            Message::Timeout(timeout) if self.given_up.insert(timeout.view) => {
                let own = member.time_out(timeout, timeout.high_qc.clone());
                out.push(Effect::Broadcast(forge::timeout(own)));
                let from = View(timeout.view.0.saturating_sub(VIEWS));
                self.given_up.retain(|view| *view >= from);
            }
            _ => {}
        }
        true
    }
}
