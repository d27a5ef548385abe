//! A member that lies, with everything that it needs outside of the simulator: its keys, the
//! committee, randomness of its own.

use conclave_crypto::{BlsCommittee, Committee, EdSecret};
use conclave_node::{Effect, Event};
use conclave_types::{ChainId, ValidatorIndex};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

use super::{Byzantine, Lie, Member};

/// One validator that lies, by the keys that it signs with.
pub struct Liar {
    chain: ChainId,
    committee: Committee,
    index: ValidatorIndex,
    signatures: BlsCommittee,
    transport: EdSecret,
    random: ChaCha20Rng,
    byzantine: Byzantine,
}

impl Liar {
    /// A member of this committee that lies in these ways. The seed decides everything that it
    /// draws. `None` if the transport key is nobody's in the committee.
    pub fn new(
        chain: ChainId,
        committee: Committee,
        (signatures, transport): (BlsCommittee, EdSecret),
        (lies, seed): (&[Lie], u64),
    ) -> Option<Self> {
        let mut random = ChaCha20Rng::seed_from_u64(seed);
        Some(Self {
            chain,
            index: committee.by_transport_key(&transport.transport_key())?,
            committee,
            signatures,
            transport,
            byzantine: Byzantine::new(lies, &mut random),
            random,
        })
    }

    /// What it does about an event, `replica` being what an honest one would do.
    pub fn handle(
        &mut self,
        now_ms: u64,
        event: Event,
        replica: impl FnOnce(Event) -> Vec<Effect>,
    ) -> Vec<Effect> {
        let mut member = Member {
            chain: self.chain,
            committee: &self.committee,
            index: self.index,
            signatures: &self.signatures,
            transport: &self.transport,
            now_ms,
            random: &mut self.random,
        };
        self.byzantine.handle(&mut member, event, replica)
    }

    /// Whether it answers when asked for blocks, batches and shares.
    pub fn serves(&self) -> bool {
        self.byzantine.serves()
    }
}
