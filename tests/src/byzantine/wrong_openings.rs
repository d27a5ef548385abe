//! Publishes openings that are not those of their envelopes, calls good ones malformed, and gives
//! its shares for another block, height, lane, group or member than they are for.

use conclave_node::{Effect, PeerMessage};
use conclave_seal::Verdict;
use conclave_sequencer::{GroupOpenings, Message};
use conclave_types::{
    BlockId, Digest, Height, LaneKind, Point, ShareContext, ShareGroup, ValidatorIndex,
};
use rand::Rng;

use super::{Actor, Member};

pub(super) struct WrongOpenings;

impl Actor for WrongOpenings {
    fn sends(
        &mut self,
        member: &mut Member<'_>,
        to: ValidatorIndex,
        message: PeerMessage,
        out: &mut Vec<Effect>,
    ) {
        let wrong = match &message {
            PeerMessage::Sequencing(Message::Shares(bundle)) => {
                let mut wrong = bundle.clone();
                match member.random.gen_ratio(1, 5) {
                    true => wrong.signer = to,
                    false => mistake(member, &mut wrong.context),
                }
                Message::Shares(wrong)
            }
            PeerMessage::Sequencing(Message::Openings(openings)) => {
                Message::Openings(misread(member, openings.clone()))
            }
            _ => {
                out.push(Effect::Send { to, message });
                return;
            }
        };
        let wrong = PeerMessage::Sequencing(wrong);
        out.push(Effect::Send { to, message: wrong });
        if member.random.gen_bool(0.5) {
            out.push(Effect::Send { to, message });
        }
    }
}

fn mistake(member: &mut Member<'_>, context: &mut ShareContext) {
    match member.random.gen_range(0..5) {
        0 => context.block = BlockId(Digest(member.random.r#gen())),
        1 => context.height = Height(context.height.0 + member.random.gen_range(1..40)),
        2 => context.height = Height(context.height.0.saturating_sub(1)),
        3 => context.group = ShareGroup::Of(member.index),
        _ => {
            context.lane.kind = match context.lane.kind {
                LaneKind::OnCommit => LaneKind::AtClose,
                LaneKind::AtClose => LaneKind::Malformed,
                LaneKind::Malformed => LaneKind::OnCommit,
            };
        }
    }
}

fn misread(member: &mut Member<'_>, mut openings: GroupOpenings) -> GroupOpenings {
    let count = openings.verdicts.len().max(1);
    let at = member.random.gen_range(0..count);
    match member.random.gen_range(0..5) {
        0 => mistake(member, &mut openings.context),
        1 => drop(openings.verdicts.pop()),
        2 => openings.verdicts.fill(Verdict::Malformed),
        _ => {
            if let Some(verdict) = openings.verdicts.get_mut(at) {
                *verdict = Verdict::Opened(Point(member.random.r#gen()));
            }
        }
    }
    openings
}
