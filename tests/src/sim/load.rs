//! Clients, operators and provers at work.

use conclave_node::Event;
use conclave_types::{Amount, Envelope, SystemOp};
use rand::Rng;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::clients::{PROVEN, UNPROVEN, config};
use super::node::Up;
use super::plan::{MS, SECOND};
use super::world::{SimEvent, World};
use crate::checkers::Violation;

/// Between looks of provers and operators at the chain.
const ACT_EVERY_US: u64 = 150 * MS;
/// Before an operator asks again for what had no visible effect.
const AGAIN_US: u64 = 3 * SECOND;

impl World {
    fn post(&mut self, node: usize, envelope: Envelope) -> Result<(), Violation> {
        self.tickets += 1;
        let ticket = self.tickets;
        self.submitted.insert(ticket, envelope.clone());
        let envelope = Box::new(envelope);
        self.give(node, 0, Event::Submit { ticket, envelope })
    }

    /// The honest node that is furthest, as clients see it.
    fn newest(&self) -> Option<&Up> {
        let places = 0..self.nodes.len();
        let honest = places.filter(|place| self.is_honest(*place));
        honest
            .filter_map(|place| self.nodes[place].up.as_ref())
            .max_by_key(|up| up.ledger.height())
    }

    pub(super) fn submit(&mut self, draw: u64) -> Result<(), Violation> {
        let mut random = ChaCha20Rng::seed_from_u64(draw);
        let payer = random.gen_range(0..self.payers.len());
        let height = self.checkers.height();
        let seen = self
            .newest()
            .map(|up| (up.ledger.clone(), up.contents.clone()));
        if let Some((ledger, contents)) = seen {
            self.proofs.observe(&ledger, contents.as_ref());
            self.payers[payer].epoch = ledger.epoch();
        }
        let envelope = self.payers[payer].transactions(
            self.chain,
            height,
            self.proofs.as_mut(),
            &self.sealer,
            &mut random,
        );
        let places = 0..self.nodes.len();
        if random.gen_bool(0.15) {
            self.post(random.gen_range(places.clone()), envelope.clone())?;
        }
        self.post(random.gen_range(places), envelope)
    }

    /// Operators register their rollups; provers bid and prove.
    pub(super) fn act(&mut self) -> Result<(), Violation> {
        self.schedule(self.now_us + ACT_EVERY_US, SimEvent::Act);
        let Some(newest) = self.newest() else {
            return Ok(());
        };
        let (ledger, contents) = (newest.ledger.clone(), newest.contents.clone());
        let mut wanted = Vec::new();
        self.operator.epoch = ledger.epoch();
        for prover in &mut self.provers {
            prover.payer.epoch = ledger.epoch();
        }
        for rollup in [PROVEN[0], PROVEN[1], UNPROVEN] {
            let height = ledger.height();
            let registered = ledger.rollup(rollup);
            if registered.is_none() && due(&mut self.asked, rollup, self.now_us) {
                let config = config(rollup, self.operator.account(), self.proofs.as_ref());
                let register = SystemOp::RegisterRollup { rollup, config };
                wanted.push(self.operator.operation(self.chain, height, &register));
            }
            let poor = registered.is_some_and(|rollup| rollup.fund.0 < 1_000_000);
            if poor && due(&mut self.funded, rollup, self.now_us) {
                let fund = SystemOp::FundRollup {
                    rollup,
                    amount: Amount(50_000_000),
                };
                wanted.push(self.operator.operation(self.chain, height, &fund));
            }
        }
        for prover in &mut self.provers {
            wanted.extend(prover.act(
                self.now_us,
                self.chain,
                &ledger,
                contents.as_ref(),
                self.proofs.as_mut(),
                &self.sealer,
                &mut self.random.clients,
            ));
        }
        for envelope in wanted {
            let node = self.random.clients.gen_range(0..self.nodes.len());
            self.post(node, envelope)?;
        }
        Ok(())
    }
}

/// Whether it is time to ask for something, again perhaps; notes that it is asked for.
fn due<K: Ord>(asked: &mut std::collections::BTreeMap<K, u64>, key: K, now_us: u64) -> bool {
    let due = asked.get(&key).is_none_or(|at| now_us >= at + AGAIN_US);
    if due {
        asked.insert(key, now_us);
    }
    due
}
