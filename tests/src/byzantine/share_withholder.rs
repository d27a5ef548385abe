//! Sends no shares, asked or unasked, and publishes no openings.

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
        let opens = Message::is_about_opening;
        if !matches!(&message, PeerMessage::Sequencing(message) if opens(message)) {
            out.push(Effect::Send { to, message });
        }
    }

    fn serves(&self) -> bool {
        false
    }
}
