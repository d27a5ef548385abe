//! Signs "stored" for whatever it is sent, keeps nothing and serves nothing; its own batches go to
//! as few as can certify them.

use conclave_node::{Effect, Event, PeerMessage};
use conclave_sequencer::Message;
use conclave_types::{Signers, Stored, ValidatorIndex};

use super::{Actor, Member};

pub(super) struct AvailabilityLiar;

impl Actor for AvailabilityLiar {
    fn sees(&mut self, member: &mut Member<'_>, event: &Event, out: &mut Vec<Effect>) -> bool {
        let Event::Peer {
            from,
            message: PeerMessage::Sequencing(Message::Dispersal(dispersal)),
        } = event
        else {
            return true;
        };
        if *from == member.index {
            return true;
        }
        let id = dispersal.manifest.header.id();
        let stored = Stored {
            batch: id,
            signer: member.index,
            signature: member.transport.sign(&Stored::message(member.chain, id)),
        };
        let message = PeerMessage::Sequencing(Message::Stored(stored));
        out.push(Effect::Send { to: *from, message });
        false
    }

    fn sends(
        &mut self,
        member: &mut Member<'_>,
        to: ValidatorIndex,
        message: PeerMessage,
        out: &mut Vec<Effect>,
    ) {
        if matches!(message, PeerMessage::Sequencing(Message::Dispersal(_))) {
            let mut holders = Signers::default();
            holders.insert(member.index);
            for other in member.others() {
                if member.committee.has_quorum(&holders) {
                    break;
                }
                holders.insert(other);
            }
            if !holders.contains(to) {
                return;
            }
        }
        out.push(Effect::Send { to, message });
    }

    fn serves(&self) -> bool {
        false
    }
}
