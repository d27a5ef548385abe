//! Payers of envelopes: honest ones, and some that send what must not count.

use conclave_crypto::EdSecret;
use conclave_types::{
    AccountId, Amount, AuctionId, Bucket, ChainId, Digest, Envelope, EnvelopeCore, Epoch, Height,
    ProofPolicy, ProofSystem, ReleaseRule, RollupConfig, RollupId, Sequence, SystemOp, codec,
};
use rand::Rng;
use rand_chacha::ChaCha20Rng;

use crate::model::{Proofs, Sealer, any_transactions};

/// The rollups whose ranges are proven, and the one that only wants order.
pub(crate) const PROVEN: [RollupId; 2] = [RollupId(1), RollupId(2)];
pub(crate) const UNPROVEN: RollupId = RollupId(3);

/// Somebody with a key, money and a counter.
pub(crate) struct Payer {
    pub(crate) key: EdSecret,
    /// Whose key it seals to.
    pub(crate) epoch: Epoch,
    sequence: u64,
}

impl Payer {
    pub(crate) fn new(seed: u64, number: u8) -> Self {
        let mut bytes = [number; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self {
            key: EdSecret::from_seed(&bytes),
            epoch: Epoch(0),
            sequence: 0,
        }
    }

    /// A validator's operator at its desk; the node counts from 1 for what it does itself.
    pub(crate) fn operator(seed: &[u8; 32]) -> Self {
        Self {
            key: EdSecret::from_seed(seed),
            epoch: Epoch(0),
            sequence: 1 << 32,
        }
    }

    pub(crate) fn account(&self) -> AccountId {
        self.key.account()
    }

    fn core(&mut self, chain: ChainId, rollup: RollupId, expiry: Height) -> EnvelopeCore {
        self.sequence += 1;
        EnvelopeCore {
            chain,
            epoch: self.epoch,
            rollup,
            payer: self.account(),
            sequence: Sequence(self.sequence),
            expiry,
            release: ReleaseRule::OnCommit,
            bucket: Bucket(0),
            fee_max: Amount(u64::MAX),
        }
    }

    /// A plain operation on the system rollup.
    pub(crate) fn operation(&mut self, chain: ChainId, height: Height, op: &SystemOp) -> Envelope {
        let core = self.core(chain, RollupId::SYSTEM, Height(height.0 + 10_000));
        conclave_seal::plain(core, codec::encode(op), |digest| self.key.sign(digest)).expect("fits")
    }

    /// A bid, sealed until its auction's close.
    pub(crate) fn bid(
        &mut self,
        chain: ChainId,
        height: Height,
        auction: AuctionId,
        op: &SystemOp,
        sealer: &Sealer,
        random: &mut ChaCha20Rng,
    ) -> Envelope {
        let mut core = self.core(chain, RollupId::SYSTEM, Height(height.0 + 10_000));
        core.release = ReleaseRule::AtClose(auction);
        sealer.seal(core, &codec::encode(op), random, &self.key, false)
    }

    /// Some sealed transactions for some rollup; now and then with a seal that opens to nothing.
    pub(crate) fn transactions(
        &mut self,
        chain: ChainId,
        height: Height,
        proofs: &mut dyn Proofs,
        sealer: &Sealer,
        random: &mut ChaCha20Rng,
    ) -> Envelope {
        let rollup = [PROVEN[0], PROVEN[1], UNPROVEN][random.gen_range(0..3)];
        let transactions = match rollup == UNPROVEN {
            true => any_transactions(random),
            false => proofs.transactions(rollup, height, random),
        };
        let plaintext = conclave_types::encode_transactions(&transactions).expect("fits");
        let ahead = if random.gen_bool(0.1) {
            random.gen_range(1..6)
        } else {
            10_000
        };
        let core = self.core(chain, rollup, Height(height.0 + ahead));
        let broken = random.gen_bool(0.05);
        sealer.seal(core, &plaintext, random, &self.key, broken)
    }
}

/// What a rollup registers.
pub(crate) fn config(rollup: RollupId, owner: AccountId, proofs: &dyn Proofs) -> RollupConfig {
    let policy = match rollup == UNPROVEN {
        true => ProofPolicy::None,
        false => ProofPolicy::Any {
            systems: vec![ProofSystem::Winterfell],
            required: 1,
        },
    };
    let (range_transactions, range_age_ms) = proofs.range_limits();
    RollupConfig {
        name: format!("rollup-{rollup}"),
        owner,
        program: match policy {
            ProofPolicy::None => conclave_types::ProgramVersion(Digest([1; 32])),
            ProofPolicy::Any { .. } => proofs.program(),
        },
        genesis_root: proofs.genesis_root(),
        policy,
        reserve_price: Amount(1_000),
        reserve_price_max: Amount(4_000),
        range_transactions,
        range_age_ms,
        deadline_ms: 3_000,
        bond_percent: 150,
        fee_share_percent: 40,
    }
}
