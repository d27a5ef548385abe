//! Sealing and submitting on behalf of one payer.
//!
//! ```text
//! transactions ─▶ seal (sequence number durable first) ─▶ Envelope ─▶ submit ─▶ receipt, verified
//!                                                            │                      │
//!                                                            └── again, elsewhere ◀─┘ deadline passed
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use conclave_crypto::{EdSecret, ed};
use conclave_light::EpochError;
use conclave_seal::{SealError, bucket_for, plain, seal, sealed_bytes};
use conclave_types::{
    AccountId, Amount, AuctionId, Bid, Bucket, ChainId, Envelope, EnvelopeCore, EnvelopeId, Epoch,
    EpochSetup, Genesis, Height, Point, Receipt, ReleaseRule, RollupId, Sequence, SystemOp,
    TransactionsError, ValidatorIndex, codec, encode_transactions, limits,
};
use rand_core::OsRng;

use crate::FollowEpochsError;
use crate::api::{EnvelopeStage, EnvelopeView, ReceiptView};
use crate::epochs::Epochs;
use crate::{Client, ClientError, SequenceError, SequenceFile};

/// How envelopes are made and waited for.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// Heights after the present one at which an envelope may still be ordered.
    pub expiry_blocks: u64,
    /// How long a height is taken to be the present one.
    pub height_age: Duration,
    /// How long a fee is taken to be the present one.
    pub fee_age: Duration,
    /// How many times the present fee an envelope may cost when it is ordered. Fees of a rollup that
    /// floods rise by an eighth a second at most, so twice is reached in six seconds at the soonest.
    pub fee_headroom: u32,
    /// Between two looks at an envelope.
    pub poll: Duration,
    /// How long an envelope may be unknown to every node before it is submitted again.
    pub unknown: Duration,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            expiry_blocks: 2_000,
            height_age: Duration::from_secs(5),
            fee_age: Duration::from_secs(2),
            fee_headroom: 4,
            poll: Duration::from_millis(50),
            unknown: Duration::from_secs(2),
        }
    }
}

/// An envelope that could not be made, submitted or followed.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The nodes did not serve.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No sequence number could be taken.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// The transactions are no valid plaintext.
    #[error(transparent)]
    Transactions(#[from] TransactionsError),
    /// The plaintext could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The transactions do not fit the largest bucket.
    #[error(
        "[CV-SDK-020] {bytes} bytes of transactions do not fit one envelope; split them over several"
    )]
    TooLarge { bytes: usize },
    /// The nodes run another chain.
    #[error(
        "[CV-SDK-021] the nodes run chain {found}, the genesis is of {expected}; use matching ones"
    )]
    Chain { found: String, expected: ChainId },
    /// The committee and sealing key of the present epoch could not be learnt.
    #[error(transparent)]
    Epochs(#[from] FollowEpochsError),
    /// The genesis has no valid committee.
    #[error(transparent)]
    Genesis(#[from] EpochError),
    /// A receipt that its validator did not sign, or for something else.
    #[error(
        "[CV-SDK-023] the receipt is not valid: {reason}; submit at another node and report this one"
    )]
    Receipt { reason: &'static str },
    /// The envelope did not get where it was waited for.
    #[error(
        "[CV-SDK-024] envelope {id} was not {wanted:?} within {waited:?}, last seen {last:?}; wait longer, it expires by itself"
    )]
    Waited {
        id: EnvelopeId,
        wanted: EnvelopeStage,
        waited: Duration,
        last: Option<EnvelopeStage>,
    },
    /// A system operation was ordered and changed nothing.
    #[error("[{code}] {reason}")]
    NoEffect { code: String, reason: String },
}

/// A payer's way into the chain. One process per payer; share it behind an `Arc`.
pub struct Gateway {
    client: Client,
    genesis: Arc<Genesis>,
    chain: ChainId,
    secret: EdSecret,
    sequence: Mutex<SequenceFile>,
    epochs: Arc<Epochs>,
    height: Mutex<Option<(Height, Instant)>>,
    /// Each rollup's tariff, and when it was quoted.
    tariffs: Mutex<BTreeMap<RollupId, (u32, Instant)>>,
    options: GatewayOptions,
}

impl Gateway {
    /// Opens a payer's gateway: the nodes must run the genesis' chain. The sequence numbers go on
    /// after those in the file and those the chain has seen.
    pub async fn open(
        client: Client,
        genesis: Arc<Genesis>,
        secret: EdSecret,
        sequence_file: &Path,
        options: GatewayOptions,
    ) -> Result<Self, GatewayError> {
        let mut sequence = SequenceFile::open(sequence_file)?;
        match client.account(secret.account()).await {
            Ok(account) => {
                if let Some(used) = account.sequence {
                    sequence.skip_to_after(Sequence(used));
                }
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        let gateway = Self {
            chain: genesis.chain_id(),
            client,
            epochs: Arc::new(Epochs::new(&genesis)?),
            genesis,
            secret,
            sequence: Mutex::new(sequence),
            height: Mutex::new(None),
            tariffs: Mutex::default(),
            options,
        };
        gateway.height().await?;
        Ok(gateway)
    }

    /// The payer.
    pub fn account(&self) -> AccountId {
        self.secret.account()
    }

    /// The nodes.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The chain.
    pub fn chain(&self) -> ChainId {
        self.chain
    }

    /// The genesis that everything is checked against.
    pub fn genesis(&self) -> &Arc<Genesis> {
        &self.genesis
    }

    /// Seals transactions of a rollup into one envelope.
    pub async fn seal(
        &self,
        rollup: RollupId,
        transactions: &[Vec<u8>],
    ) -> Result<Envelope, GatewayError> {
        let plaintext = encode_transactions(transactions)?;
        self.sealed(rollup, ReleaseRule::OnCommit, &plaintext).await
    }

    /// Puts a public system operation, such as a proof, into a plain envelope.
    pub async fn plain_op(&self, op: &SystemOp) -> Result<Envelope, GatewayError> {
        let body = codec::encode(op);
        let (mut core, _) = self
            .core(RollupId::SYSTEM, ReleaseRule::OnCommit, Bucket(0))
            .await?;
        core.fee_max = self.fee_max(RollupId::SYSTEM, body.len()).await?;
        let sign = |digest: &_| self.secret.sign(digest);
        Ok(plain(core, body, sign)?)
    }

    /// Seals a system operation that nobody may read before it is ordered.
    pub async fn sealed_op(&self, op: &SystemOp) -> Result<Envelope, GatewayError> {
        self.sealed(RollupId::SYSTEM, ReleaseRule::OnCommit, &codec::encode(op))
            .await
    }

    /// Seals a bid until its auction closes.
    pub async fn bid(&self, auction: AuctionId, price: Amount) -> Result<Envelope, GatewayError> {
        let op = SystemOp::Bid(Bid { auction, price });
        self.sealed(
            RollupId::SYSTEM,
            ReleaseRule::AtClose(auction),
            &codec::encode(&op),
        )
        .await
    }

    /// Submits an envelope, and verifies the receipt against the committee.
    pub async fn submit(&self, envelope: &Envelope) -> Result<Receipt, GatewayError> {
        let submitted = self.client.submit(envelope).await;
        if submitted.is_err() {
            // The key may have changed; the next envelope is not sealed to it without a look.
            *self.height.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        let (view, id) = (submitted?, envelope.header.id());
        let mut verdict = Err(GatewayError::Receipt {
            reason: "no committee is known",
        });
        for setup in self.epochs.setups() {
            verdict = verify_receipt(&setup, self.chain, id, &view);
            if verdict.is_ok() {
                break;
            }
        }
        verdict
    }

    /// Waits until a submitted envelope is at a stage or past it. Malformed, expired and rejected
    /// end the wait too: look at the status.
    pub async fn follow_to(
        &self,
        id: EnvelopeId,
        stage: EnvelopeStage,
        patience: Duration,
    ) -> Result<EnvelopeView, GatewayError> {
        self.watch(id, stage, patience, None).await
    }

    /// Submits and waits. When the node that took the envelope loses it or does not get it ordered
    /// by its deadline, it is submitted again, elsewhere if need be; the first ordered counts.
    pub async fn deliver(
        &self,
        envelope: &Envelope,
        stage: EnvelopeStage,
        patience: Duration,
    ) -> Result<EnvelopeView, GatewayError> {
        self.submit(envelope).await?;
        self.watch(envelope.header.id(), stage, patience, Some(envelope))
            .await
    }

    /// Carries a plain system operation out; [`GatewayError::NoEffect`] when the ledger refused it.
    pub async fn perform(
        &self,
        op: &SystemOp,
        patience: Duration,
    ) -> Result<EnvelopeView, GatewayError> {
        let envelope = self.plain_op(op).await?;
        let view = self
            .deliver(&envelope, EnvelopeStage::Opened, patience)
            .await?;
        effect(view)
    }

    async fn watch(
        &self,
        id: EnvelopeId,
        stage: EnvelopeStage,
        patience: Duration,
        again: Option<&Envelope>,
    ) -> Result<EnvelopeView, GatewayError> {
        let start = Instant::now();
        let mut last = None;
        let mut known = Instant::now();
        loop {
            match self.client.envelope(id).await {
                Ok(view) if has_reached(view.status, stage) => return Ok(view),
                Ok(view) => {
                    last = Some(view.status);
                    known = Instant::now();
                }
                Err(error) if error.is_not_found() => {}
                Err(ClientError::Unavailable { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            if start.elapsed() >= patience {
                return Err(GatewayError::Waited {
                    id,
                    wanted: stage,
                    waited: patience,
                    last,
                });
            }
            if let Some(envelope) = again
                && known.elapsed() >= self.options.unknown
            {
                known = Instant::now();
                match self.submit(envelope).await {
                    Ok(_) | Err(GatewayError::Client(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            tokio::time::sleep(self.options.poll).await;
        }
    }

    async fn sealed(
        &self,
        rollup: RollupId,
        release: ReleaseRule,
        plaintext: &[u8],
    ) -> Result<Envelope, GatewayError> {
        let bytes = plaintext.len();
        let bucket = bucket_for(bytes).ok_or(GatewayError::TooLarge { bytes })?;
        let (mut core, key) = self.core(rollup, release, bucket).await?;
        core.fee_max = self.fee_max(rollup, sealed_bytes(bucket)).await?;
        let sign = |digest: &_| self.secret.sign(digest);
        Ok(seal(&key, core, plaintext, &mut OsRng, sign)?)
    }

    /// The authenticated part of an envelope, and the key to seal it to.
    async fn core(
        &self,
        rollup: RollupId,
        release: ReleaseRule,
        bucket: Bucket,
    ) -> Result<(EnvelopeCore, Point), GatewayError> {
        let height = self.height().await?;
        let setup = self.epochs.newest();
        let mut counter = self.sequence.lock().unwrap_or_else(PoisonError::into_inner);
        let core = EnvelopeCore {
            chain: self.chain,
            epoch: setup.epoch,
            rollup,
            payer: self.secret.account(),
            sequence: counter.take()?,
            expiry: Height(height.0.saturating_add(self.options.expiry_blocks)),
            release,
            bucket,
            fee_max: Amount::ZERO,
        };
        Ok((core, setup.sealing.key))
    }

    /// What an envelope with a body of this many bytes may cost: the present fee, at most
    /// [`GatewayOptions::fee_age`] old, [`GatewayOptions::fee_headroom`] times. The fee follows from
    /// the genesis and the tariff that a node tells; more than the highest tariff it cannot get.
    async fn fee_max(&self, rollup: RollupId, body_bytes: usize) -> Result<Amount, GatewayError> {
        let body_bytes = u32::try_from(body_bytes).unwrap_or(u32::MAX);
        let tariffs = || self.tariffs.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = tariffs().get(&rollup).copied();
        let tariff = match cached.filter(|(_, at)| at.elapsed() < self.options.fee_age) {
            Some((tariff, _)) => tariff,
            None => {
                let quote = self.client.fees(rollup, self.account(), body_bytes.into());
                let tariff = quote
                    .await?
                    .tariff
                    .clamp(limits::TARIFF_BASE, limits::TARIFF_MAX);
                tariffs().insert(rollup, (tariff, Instant::now()));
                tariff
            }
        };
        let tariff = tariff.saturating_mul(self.options.fee_headroom);
        Ok(self.genesis.fees.fee(body_bytes, tariff))
    }

    /// The present height, at most [`GatewayOptions::height_age`] old. The epochs up to the one that
    /// the node names are learnt first, each from the committee before it.
    async fn height(&self) -> Result<Height, GatewayError> {
        let cached = *self.height.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((height, at)) = cached
            && at.elapsed() < self.options.height_age
        {
            return Ok(height);
        }
        let committee = self.client.committee().await?;
        if committee.chain != self.chain.to_string() {
            return Err(GatewayError::Chain {
                found: committee.chain,
                expected: self.chain,
            });
        }
        let epoch = Epoch(committee.epoch);
        self.epochs.follow(&self.client, epoch).await?;
        let height = Height(committee.height);
        *self.height.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((height, Instant::now()));
        Ok(height)
    }
}

/// Checks a receipt's signature and that it is for this envelope on this chain.
pub fn verify_receipt(
    setup: &EpochSetup,
    chain: ChainId,
    envelope: EnvelopeId,
    view: &ReceiptView,
) -> Result<Receipt, GatewayError> {
    let refuse = |reason| GatewayError::Receipt { reason };
    if view.chain != chain.to_string() || view.envelope != envelope.to_string() {
        return Err(refuse("it is for another envelope or chain"));
    }
    let receipt = Receipt {
        chain,
        envelope,
        validator: ValidatorIndex(view.validator),
        height: Height(view.height),
        deadline: Height(view.deadline),
        signature: view
            .signature
            .parse()
            .map_err(|_| refuse("the signature is not 64 bytes"))?,
    };
    let validator = setup
        .validators
        .get(usize::from(view.validator))
        .ok_or_else(|| refuse("its validator is not in the committee"))?;
    let signed = ed::verify(
        &validator.transport_key.0,
        &receipt.message(),
        &receipt.signature,
    );
    match signed {
        true => Ok(receipt),
        false => Err(refuse("its validator did not sign it")),
    }
}

/// Turns a system operation's view into its effect.
pub(crate) fn effect(view: EnvelopeView) -> Result<EnvelopeView, GatewayError> {
    match (view.status, &view.code) {
        (EnvelopeStage::Opened, None) => Ok(view),
        _ => Err(GatewayError::NoEffect {
            code: view.code.unwrap_or_else(|| "CV-SDK-025".into()),
            reason: view
                .reason
                .unwrap_or_else(|| format!("the operation ended as {:?}", view.status)),
        }),
    }
}

/// Whether a stage is the wanted one, past it, or final.
fn has_reached(stage: EnvelopeStage, wanted: EnvelopeStage) -> bool {
    let rank = |stage| match stage {
        EnvelopeStage::Pending => 0,
        EnvelopeStage::Batched => 1,
        EnvelopeStage::Ordered => 2,
        EnvelopeStage::Opened => 3,
        EnvelopeStage::Malformed | EnvelopeStage::Expired | EnvelopeStage::Rejected => 4,
    };
    rank(stage) >= rank(wanted)
}
