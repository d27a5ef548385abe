//! Never sends to some of the members.

use conclave_node::{Effect, PeerMessage};
use conclave_types::ValidatorIndex;
use rand::Rng;
use rand_chacha::ChaCha20Rng;

use super::{Actor, Member};

/// One bit for each member by its index modulo the bits; who has none is left out.
pub(super) struct SelectiveSender {
    favoured: u16,
}

impl SelectiveSender {
    pub(super) fn new(random: &mut ChaCha20Rng) -> Self {
        Self {
            favoured: random.r#gen(),
        }
    }
}

impl Actor for SelectiveSender {
    fn sends(
        &mut self,
        _: &mut Member<'_>,
        to: ValidatorIndex,
        message: PeerMessage,
        out: &mut Vec<Effect>,
    ) {
        if self.favoured >> (to.0 % 16) & 1 == 1 {
            out.push(Effect::Send { to, message });
        }
    }
}
