//! Envelopes sealed ahead of a run, so that the load costs the machine little more than sending.

use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use conclave_crypto::EdSecret;
use conclave_seal::{bucket_for, seal};
use conclave_types::{
    Amount, ChainId, EnvelopeCore, EnvelopeId, Epoch, Genesis, Height, ReleaseRule, RollupId,
    Sequence, codec, encode_transactions,
};
use rand_core::{OsRng, RngCore};

use super::committee::PAYERS;

/// Bytes of one opaque transaction.
pub(super) const TRANSACTION_BYTES: usize = 512;
/// Far beyond any run, and within what validators accept.
const EXPIRY: Height = Height(90_000);

/// An envelope ready to be sent.
#[derive(Debug, Clone)]
pub(super) struct SealedEnvelope {
    pub(super) id: EnvelopeId,
    pub(super) bytes: Bytes,
}

/// Seals envelopes of one size, each once: every run starts a new chain of the same genesis.
pub(super) struct Sealer {
    genesis: Arc<Genesis>,
    chain: ChainId,
    payers: Arc<Vec<EdSecret>>,
    rollups: u16,
    transactions: usize,
    made: Vec<SealedEnvelope>,
}

impl Sealer {
    pub(super) fn new(
        genesis: Arc<Genesis>,
        payers: Arc<Vec<EdSecret>>,
        rollups: u16,
        transactions: usize,
    ) -> Self {
        let chain = genesis.chain_id();
        Self {
            genesis,
            chain,
            payers,
            rollups,
            transactions,
            made: Vec::new(),
        }
    }

    /// The first `count` envelopes. CPU-heavy.
    pub(super) fn envelopes(&mut self, count: usize) -> anyhow::Result<&[SealedEnvelope]> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let missing: Vec<usize> = (self.made.len()..count).collect();
        let part = missing.len().div_ceil(threads).max(1);
        let this = &*self;
        let made: Vec<anyhow::Result<Vec<SealedEnvelope>>> = std::thread::scope(|scope| {
            let seal_part = |part: &[usize]| part.iter().map(|index| this.seal(*index)).collect();
            let threads: Vec<_> = missing
                .chunks(part)
                .map(|part| scope.spawn(move || seal_part(part)))
                .collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| match thread.join() {
                Ok(made) => made,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            threads.into_iter().map(join).collect()
        });
        for part in made {
            self.made.extend(part?);
        }
        Ok(&self.made[..count])
    }

    fn seal(&self, index: usize) -> anyhow::Result<SealedEnvelope> {
        let random = |_| {
            let mut bytes = vec![0; TRANSACTION_BYTES];
            OsRng.fill_bytes(&mut bytes);
            bytes
        };
        let transactions: Vec<Vec<u8>> = (0..self.transactions).map(random).collect();
        let plaintext = encode_transactions(&transactions)?;
        let bucket = bucket_for(plaintext.len())
            .context("[CV-CLI-093] so many transactions do not fit one envelope; use fewer")?;
        let payer = &self.payers[index % PAYERS];
        let core = EnvelopeCore {
            chain: self.chain,
            epoch: Epoch(0),
            rollup: RollupId(1 + (index % usize::from(self.rollups)) as u32),
            payer: payer.account(),
            sequence: Sequence((index / PAYERS) as u64 + 1),
            expiry: EXPIRY,
            release: ReleaseRule::OnCommit,
            bucket,
            fee_max: Amount(u64::MAX),
        };
        let key = &self.genesis.sealing.key;
        let envelope = seal(key, core, &plaintext, &mut OsRng, |digest| {
            payer.sign(digest)
        })?;
        Ok(SealedEnvelope {
            id: envelope.header.id(),
            bytes: codec::encode(&envelope).into(),
        })
    }
}
