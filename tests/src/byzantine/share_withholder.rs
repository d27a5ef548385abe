//! Sends no shares, asked or unasked.

use conclave_node::{Effect, PeerMessage};
use conclave_sequencer::Message;
use conclave_types::ValidatorIndex;

use super::{Actor, Member};

pub(super) struct ShareWithholder;

impl Actor for ShareWithholder {
    fn sends(
        &mut self,
        _: &mut Member<'_>,
        to: ValidatorIndex,
        message: PeerMessage,
        out: &mut Vec<Effect>,
    ) {
        if !matches!(message, PeerMessage::Sequencing(Message::Shares(_))) {
            out.push(Effect::Send { to, message });
        }
    }

    fn serves(&self) -> bool {
        false
    }
}
