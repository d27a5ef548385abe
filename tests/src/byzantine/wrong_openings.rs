//! Publishes its shares for another block, height, lane or member than they are for.

use conclave_node::{Effect, PeerMessage};
use conclave_sequencer::Message;
use conclave_types::{BlockId, Digest, Height, ShareLane, ValidatorIndex};
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
        if let PeerMessage::Sequencing(Message::Shares(bundle)) = &message {
            let mut wrong = bundle.clone();
            match member.random.gen_range(0..5) {
                0 => wrong.context.block = BlockId(Digest(member.random.r#gen())),
                1 => {
                    wrong.context.height =
                        Height(wrong.context.height.0 + member.random.gen_range(1..40))
                }
                2 => wrong.context.height = Height(wrong.context.height.0.saturating_sub(1)),
                3 => wrong.signer = to,
                _ => {
                    wrong.context.lane = match wrong.context.lane {
                        ShareLane::OnCommit => ShareLane::AtClose,
                        ShareLane::AtClose => ShareLane::Malformed,
                        ShareLane::Malformed => ShareLane::OnCommit,
                    };
                }
            }
            let wrong = PeerMessage::Sequencing(Message::Shares(wrong));
            out.push(Effect::Send { to, message: wrong });
            if member.random.gen_bool(0.5) {
                return;
            }
        }
        out.push(Effect::Send { to, message });
    }
}
