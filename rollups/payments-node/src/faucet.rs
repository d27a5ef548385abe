//! Money for newcomers, by a real signed payment from the faucet's account.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::{Duration, Instant};

use conclave_payments::{Address, Draft, FieldDigest, Payment, PaymentContext, SLOTS};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::devnet::FAUCET_WALLET;
use crate::metrics::Metrics;
use crate::owner::{AccountQuery, At, Handle, RESERVED_SLOTS};
use crate::purse::{Purse, Readiness};
use crate::{DevnetConfig, PaymentId, Refusal, RollupError, RollupNodeConfig, devnet, domain};

/// Between two grants to one key.
const KEY_PAUSE: Duration = Duration::from_secs(60);
/// Keys remembered at most; beyond that nobody is given anything for a minute.
const KEYS_MAX: usize = 10_000;
/// The faucet's payments must be ordered within so many blocks.
const EXPIRY_BLOCKS: u64 = 1_000;

/// A grant that was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) payment: PaymentId,
    pub(crate) slot: u32,
    pub(crate) amount: u64,
}

/// Gives newcomers tokens. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Faucet {
    context: PaymentContext,
    amount: u64,
    handle: Handle,
    limiter: Arc<SyncMutex<Limiter>>,
    /// Absent until the node has caught up.
    purse: Arc<Mutex<Option<Purse>>>,
    metrics: Arc<Metrics>,
}

impl Faucet {
    /// A faucet that waits for its wallet; `None` when none is configured.
    pub(crate) fn new(
        devnet: &DevnetConfig,
        context: PaymentContext,
        handle: Handle,
        metrics: Arc<Metrics>,
    ) -> Option<Self> {
        (devnet.faucet_amount > 0).then(|| Self {
            context,
            amount: devnet.faucet_amount,
            handle,
            limiter: Arc::new(SyncMutex::new(Limiter::new(devnet.faucet_per_minute))),
            purse: Arc::default(),
            metrics,
        })
    }

    /// Opens the faucet's wallet, once the state is known.
    pub(crate) async fn open(&self, config: &RollupNodeConfig) -> Result<(), RollupError> {
        let purse = open_purse(config, &self.handle, FAUCET_WALLET).await?;
        *self.purse.lock().await = purse;
        Ok(())
    }

    /// Pays a newcomer. Without a slot the key's own is used, or a free one.
    pub(crate) async fn give(&self, key: FieldDigest, slot: Option<u32>) -> Result<Grant, Refusal> {
        if !self.allows(key) {
            return Err(Refusal::FaucetLimit);
        }
        let receiver = Address {
            slot: match slot {
                Some(slot) => slot,
                None => self.choose_slot(key).await?,
            },
            key,
        };
        // The purse is held until the payment is queued, so that no two take one nonce.
        let (payment, _purse) = self.sign(receiver).await?;
        let bytes = payment.encode();
        let id = self.handle.accept(payment, bytes).await?;
        Metrics::add(&self.metrics.faucet_payments_total, 1);
        Ok(Grant {
            payment: id,
            slot: receiver.slot,
            amount: self.amount,
        })
    }

    fn allows(&self, key: FieldDigest) -> bool {
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        limiter.allow(key, Instant::now())
    }

    async fn choose_slot(&self, key: FieldDigest) -> Result<u32, Refusal> {
        let query = AccountQuery {
            key,
            slot: None,
            at: At::Head,
        };
        if let Some(account) = self.handle.account(query).await? {
            return Ok(account.slot);
        }
        let free = self.handle.free_slot(slot_hint(&key)).await?;
        free.ok_or(Refusal::FaucetFailed {
            reason: "no slot is free".into(),
        })
    }

    /// One signature at a time, on a worker thread.
    async fn sign(
        &self,
        receiver: Address,
    ) -> Result<(Payment, OwnedMutexGuard<Option<Purse>>), Refusal> {
        let failed = |reason: String| Refusal::FaucetFailed { reason };
        let mut guard = self.purse.clone().lock_owned().await;
        let Some(purse) = guard.as_ref() else {
            return Err(Refusal::NotReady {
                reason: "the faucet's wallet is being opened".into(),
            });
        };
        let outlook = self.handle.outlook(vec![purse.address.slot]).await?;
        let projection = outlook.senders.into_iter().next().flatten();
        let projection = projection.ok_or(failed("it has no account".into()))?;
        let (context, amount) = (self.context, self.amount);
        let expiry = outlook.height + EXPIRY_BLOCKS;
        let work = move || {
            let purse = guard.as_mut().ok_or("it has no wallet")?;
            let signed = match purse.prepare(&projection).map_err(|e| e.to_string())? {
                Readiness::Ready => purse.pay(
                    &context,
                    &Draft {
                        sender: purse.address.slot,
                        nonce: projection.nonce,
                        receiver,
                        amount,
                        fee: 0,
                        expiry,
                    },
                ),
                Readiness::MustRotate => {
                    purse.rotate_paying(&context, projection.nonce, receiver, amount, expiry)
                }
                Readiness::Waiting => return Err("its key tree is being rotated".to_owned()),
            };
            let payment = signed.map_err(|error| error.to_string())?;
            Ok((payment, guard))
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| failed(error.to_string()))?
            .map_err(failed)
    }
}

/// Opens the wallet of an account at the head.
pub(crate) async fn open_purse(
    config: &RollupNodeConfig,
    handle: &Handle,
    number: u32,
) -> Result<Option<Purse>, RollupError> {
    let Some(devnet) = config.devnet.clone() else {
        return Ok(None);
    };
    let Ok(outlook) = handle.outlook(vec![number]).await else {
        return Ok(None);
    };
    let Some(projection) = outlook.senders.into_iter().next().flatten() else {
        return Ok(None);
    };
    let data = config.data.clone();
    let account = projection.account;
    let work = move || devnet::recover_wallet(&data, &devnet, number, account.owner);
    let wallet = tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| RollupError::Part {
            part: "wallet",
            reason: error.to_string(),
        })??;
    match wallet {
        Some(wallet) => Ok(Some(Purse {
            address: Address {
                slot: number,
                key: account.key,
            },
            wallet,
        })),
        None => Err(RollupError::Config {
            reason: format!("devnet.seed does not own the account in slot {number}"),
        }),
    }
}

/// Spreads newcomers over the tree, so that two rollup nodes rarely offer one slot to two of them.
pub(crate) fn slot_hint(key: &FieldDigest) -> u32 {
    let hash = blake3::derive_key(domain::SLOT_HINT, &key.to_bytes());
    u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]) % (SLOTS - RESERVED_SLOTS)
}

/// So many grants a minute, and one a minute for each key.
struct Limiter {
    per_minute: u32,
    grants: BTreeMap<FieldDigest, Instant>,
}

impl Limiter {
    fn new(per_minute: u32) -> Self {
        Self {
            per_minute,
            grants: BTreeMap::new(),
        }
    }

    fn allow(&mut self, key: FieldDigest, now: Instant) -> bool {
        self.grants
            .retain(|_, at| now.duration_since(*at) < KEY_PAUSE);
        let room = self.grants.len() < KEYS_MAX.min(self.per_minute as usize);
        if !room || self.grants.contains_key(&key) {
            return false;
        }
        self.grants.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> FieldDigest {
        FieldDigest::from_bytes(&[byte; 32]).expect("canonical")
    }

    #[test]
    fn the_faucet_gives_each_key_once_a_minute_and_a_number_to_all() {
        let start = Instant::now();
        let mut limiter = Limiter::new(2);
        assert!(limiter.allow(key(1), start));
        assert!(!limiter.allow(key(1), start), "the same key again");
        assert!(limiter.allow(key(2), start));
        assert!(!limiter.allow(key(3), start), "a third in one minute");
        assert!(limiter.allow(key(3), start + KEY_PAUSE));
    }
}
