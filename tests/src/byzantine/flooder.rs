//! Says everything many times, what is long past too.

use std::collections::VecDeque;

use conclave_node::{Effect, Event, PeerMessage};
use conclave_types::ValidatorIndex;
use rand::Rng;

use super::{Actor, Member};

/// Messages that it remembers, and how many of them it sends at once.
const REMEMBERED: usize = 64;
const AT_ONCE: usize = 12;

#[derive(Default)]
pub(super) struct Flooder {
    said: VecDeque<PeerMessage>,
}

impl Actor for Flooder {
    fn sees(&mut self, member: &mut Member<'_>, event: &Event, out: &mut Vec<Effect>) -> bool {
        if matches!(event, Event::Tick) && !self.said.is_empty() {
            let others: Vec<ValidatorIndex> = member.others().collect();
            for _ in 0..AT_ONCE {
                let to = others[member.random.gen_range(0..others.len())];
                let message = self.said[member.random.gen_range(0..self.said.len())].clone();
                out.push(Effect::Send { to, message });
            }
        }
        true
    }

    fn sends(
        &mut self,
        _: &mut Member<'_>,
        to: ValidatorIndex,
        message: PeerMessage,
        out: &mut Vec<Effect>,
    ) {
        if self.said.back() != Some(&message) {
            self.said.push_back(message.clone());
        }
        if self.said.len() > REMEMBERED {
            self.said.pop_front();
        }
        let again = message.clone();
        out.push(Effect::Send { to, message });
        out.push(Effect::Send { to, message: again });
    }
}
