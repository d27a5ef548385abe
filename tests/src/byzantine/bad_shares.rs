//! Sends shares that are not what it should have computed, mostly signed as if they were.

use conclave_crypto::bundle_message;
use conclave_node::{Effect, PeerMessage};
use conclave_sequencer::Message;
use conclave_types::ValidatorIndex;
use rand::Rng;

use super::{Actor, Member};

pub(super) struct BadShares;

impl Actor for BadShares {
    fn sends(
        &mut self,
        member: &mut Member<'_>,
        to: ValidatorIndex,
        mut message: PeerMessage,
        out: &mut Vec<Effect>,
    ) {
        if let PeerMessage::Sequencing(Message::Shares(bundle)) = &mut message
            && member.random.gen_bool(0.7)
        {
            let (transport, random) = (member.transport, &mut *member.random);
            match bundle.shares.first_mut() {
                Some(row) if !row.is_empty() && random.gen_bool(0.8) => {
                    let at = random.gen_range(0..row.len());
                    row[at].0[random.gen_range(0..32)] ^= 1 << random.gen_range(0..8);
                }
                // One too few.
                Some(row) => drop(row.pop()),
                None => {}
            }
            if random.gen_bool(0.8) {
                bundle.signature = transport.sign(&bundle_message(member.chain, bundle));
            }
        }
        out.push(Effect::Send { to, message });
    }
}
