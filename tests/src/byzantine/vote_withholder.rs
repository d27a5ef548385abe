//! Keeps some of its votes and timeouts to itself.

use conclave_consensus::Message;
use conclave_node::{Effect, PeerMessage};
use conclave_types::ValidatorIndex;
use rand::Rng;
use rand_chacha::ChaCha20Rng;

use super::{Actor, Member};

/// How often each kind is kept back.
pub(super) struct VoteWithholder {
    prepare: f64,
    commit: f64,
    timeout: f64,
}

impl VoteWithholder {
    pub(super) fn new(random: &mut ChaCha20Rng) -> Self {
        let often = |random: &mut ChaCha20Rng| [0.0, 0.5, 1.0][random.gen_range(0..3)];
        Self {
            prepare: often(random),
            commit: often(random),
            timeout: often(random),
        }
    }
}

impl Actor for VoteWithholder {
    fn sends(
        &mut self,
        member: &mut Member<'_>,
        to: ValidatorIndex,
        message: PeerMessage,
        out: &mut Vec<Effect>,
    ) {
        let often = match &message {
            PeerMessage::Agreement(Message::PrepareVote(_)) => self.prepare,
            PeerMessage::Agreement(Message::CommitVote(_)) => self.commit,
            PeerMessage::Agreement(Message::Timeout(_)) => self.timeout,
            _ => 0.0,
        };
        if !member.random.gen_bool(often) {
            out.push(Effect::Send { to, message });
        }
    }
}
