//! Says everything late, some of it after more than a view.

use std::collections::BTreeMap;

use conclave_node::{Effect, Event, PeerMessage};
use conclave_types::ValidatorIndex;
use rand::Rng;

use super::{Actor, Member};

#[derive(Default)]
pub(super) struct SlowDrip {
    /// By the time it leaves, in the order it was said.
    waiting: BTreeMap<(u64, u64), (ValidatorIndex, PeerMessage)>,
    said: u64,
}

impl Actor for SlowDrip {
    fn sees(&mut self, member: &mut Member<'_>, _: &Event, out: &mut Vec<Effect>) -> bool {
        let later = self.waiting.split_off(&(member.now_ms, u64::MAX));
        let due = std::mem::replace(&mut self.waiting, later);
        for (to, message) in due.into_values() {
            out.push(Effect::Send { to, message });
        }
        true
    }

    fn sends(
        &mut self,
        member: &mut Member<'_>,
        to: ValidatorIndex,
        message: PeerMessage,
        _: &mut Vec<Effect>,
    ) {
        self.said += 1;
        let at = member.now_ms + member.random.gen_range(50..1_200);
        self.waiting.insert((at, self.said), (to, message));
    }
}
