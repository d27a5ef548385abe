//! Sends bytes that were damaged: those that no longer decode end at the receiver's codec, the
//! others are well-formed nonsense.

use conclave_node::{Effect, PeerMessage};
use conclave_types::{ValidatorIndex, codec};
use rand::Rng;

use super::{Actor, Member};

/// The largest message that it takes the trouble to damage.
const BYTES_MAX: usize = 1 << 20;

pub(super) struct Garbage;

impl Actor for Garbage {
    fn sends(
        &mut self,
        member: &mut Member<'_>,
        to: ValidatorIndex,
        message: PeerMessage,
        out: &mut Vec<Effect>,
    ) {
        if member.random.gen_bool(0.3) {
            let mut bytes = codec::encode(&message);
            for _ in 0..member.random.gen_range(1..4) {
                let at = member.random.gen_range(0..bytes.len());
                bytes[at] ^= 1 << member.random.gen_range(0..8);
            }
            if let Ok(message) = codec::decode::<PeerMessage>(&bytes, BYTES_MAX) {
                out.push(Effect::Send { to, message });
            }
            if member.random.gen_bool(0.5) {
                return;
            }
        }
        out.push(Effect::Send { to, message });
    }
}
