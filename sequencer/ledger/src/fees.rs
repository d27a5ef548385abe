//! The order phase: whether each envelope of a block is paid for and fresh, from headers alone.

use bincode::{Decode, Encode};
use conclave_types::{
    AccountId, Amount, BlockTime, EnvelopeHeader, Epoch, FeeParameters, Height, ReleaseRule,
    RollupId, Sequence, ValidatorIndex, limits,
};
use serde::Serialize;

use crate::money::{minus, plus};
use crate::replay::{ReplayRefusal, ReplayWindow};
use crate::table::{Table, Value};
use crate::tariffs::{TariffKey, Tariffs};

/// What the order phase needs to know of a committed block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderedBlock {
    pub height: Height,
    pub epoch: Epoch,
    pub time: BlockTime,
    pub proposer: ValidatorIndex,
    /// The height whose ledger root the block's header names.
    pub ledger_height: Height,
}

/// An envelope in its place in a block.
#[derive(Debug, Clone, Copy)]
pub struct OrderedEnvelope<'a> {
    pub header: &'a EnvelopeHeader,
    /// The author of the batch that carries it.
    pub author: ValidatorIndex,
}

/// What ordering makes of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize)]
pub enum Disposition {
    /// Charged; opens by its release rule.
    Accepted { fee: Amount },
    /// Charged and never opened: a plain envelope, or one released at an auction's close, for
    /// another rollup than the system; or a plain one with a close to wait for.
    Void { fee: Amount },
    /// Not charged, not opened: the payer's sequence number is used.
    Duplicate,
    /// Not charged, not opened: the sequence number is more than a window behind the newest.
    SequenceTooOld,
    /// Not charged, not opened: the fee account holds less than the fee.
    Unpaid,
    /// Not charged, not opened: the height is past the expiry.
    Expired,
    /// Not charged, not opened: the expiry is further ahead than copies are remembered.
    ExpiryTooFar,
    /// Not charged, not opened: sealed to the key of another epoch, and not in its grace window.
    WrongEpoch,
    /// Not charged, not opened: the fee is higher than the payer would pay.
    FeeTooLow,
}

/// A change to a fee account that an executed block made; it counts from the first block whose
/// header names that block's ledger root, or a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum FeeChange {
    /// Money on its way into a fee account.
    Deposit { account: AccountId, amount: Amount },
    /// Back to the balance: as much of this as is there.
    Withdraw { account: AccountId, amount: Amount },
    /// For a malformed seal: as much of this as is there, to the insurance pool.
    Surcharge { account: AccountId, amount: Amount },
}

/// The result of ordering a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ordered {
    pub(crate) dispositions: Vec<Disposition>,
    /// Withdrawals that took effect.
    pub(crate) withdrawn: Vec<(AccountId, Amount)>,
    /// Surcharges that took effect.
    pub(crate) surcharges: Amount,
}

/// A prepaid fee account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct FeeAccount {
    pub(crate) balance: Amount,
    replay: ReplayWindow,
}

/// The fee changes of one executed height.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct FeeChanges(Vec<FeeChange>);

/// Envelopes sealed to which keys are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct KeyEpochs {
    /// Of the newest block.
    epoch: Epoch,
    /// Its first block.
    first: Height,
    /// For how many heights of an epoch the key of the one before is taken.
    grace_blocks: u64,
}

/// Fee accounts and the changes to them that no header covers yet.
///
/// One runs ahead of execution, one is embedded in the executed ledger. Both see the same blocks
/// and the same queued changes, and a block applies exactly the changes of the heights that its
/// header covers, so both come to the same dispositions.
#[derive(Debug, Clone, Encode, Decode)]
pub struct FeeLedger {
    pub(crate) parameters: FeeParameters,
    /// The last height whose changes are queued.
    pub(crate) executed: Height,
    pub(crate) keys: KeyEpochs,
    pub(crate) accounts: Table<AccountId, FeeAccount>,
    pub(crate) queue: Table<Height, FeeChanges>,
    pub(crate) tariffs: Tariffs,
}

/// A block that cannot be ordered yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "[CV-LEDGER-001] the block names the ledger root of height {ledger_height}, but only {executed} is executed; execute up to there first"
)]
pub struct OrderBehind {
    pub ledger_height: Height,
    pub executed: Height,
}

impl Disposition {
    /// What the payer is charged; `None` when nothing is.
    pub const fn fee(self) -> Option<Amount> {
        match self {
            Self::Accepted { fee } | Self::Void { fee } => Some(fee),
            _ => None,
        }
    }

    /// Whether the envelope's contents will be opened by its release rule.
    pub const fn is_accepted(self) -> bool {
        matches!(self, Self::Accepted { .. })
    }
}

impl Value for FeeAccount {
    fn money(&self) -> u128 {
        self.balance.0.into()
    }
}

impl Value for FeeChanges {
    fn money(&self) -> u128 {
        let deposits = self.0.iter().map(|change| match change {
            FeeChange::Deposit { amount, .. } => u128::from(amount.0),
            FeeChange::Withdraw { .. } | FeeChange::Surcharge { .. } => 0,
        });
        deposits.sum()
    }
}

impl FeeLedger {
    pub(crate) fn new(parameters: FeeParameters, grace_blocks: u64, start: BlockTime) -> Self {
        Self {
            parameters,
            executed: Height(0),
            keys: KeyEpochs {
                epoch: Epoch(0),
                first: Height(1),
                grace_blocks,
            },
            accounts: Table::default(),
            queue: Table::default(),
            tariffs: Tariffs::new(start),
        }
    }

    /// What the next block charges a payer for an envelope to a rollup whose body has `body_bytes`.
    pub fn quote(&self, rollup: RollupId, payer: AccountId, body_bytes: u32) -> Amount {
        let tariff = self.tariff(rollup, payer);
        self.parameters.fee(body_bytes, tariff)
    }

    /// Whether the payer would pay what the next block charges.
    pub fn is_affordable(&self, header: &EnvelopeHeader) -> bool {
        let core = &header.core;
        self.quote(core.rollup, core.payer, header.body_bytes) <= core.fee_max
    }

    /// What a payer pays for envelopes to a rollup in the next block, in thousandths of the genesis'
    /// fees. In rollup 0 every payer has its own tariff.
    pub fn tariff(&self, rollup: RollupId, payer: AccountId) -> u32 {
        self.tariffs.of(TariffKey::of(rollup, payer))
    }

    /// The highest tariff that anybody pays in the next block.
    pub fn highest_tariff(&self) -> u32 {
        self.tariffs.highest()
    }

    /// Since when the tariffs are what they are.
    pub const fn tariffs_since(&self) -> BlockTime {
        self.tariffs.window
    }

    /// What a fee account holds.
    pub fn balance(&self, account: &AccountId) -> Amount {
        self.accounts
            .get(account)
            .map_or(Amount::ZERO, |account| account.balance)
    }

    /// The newest sequence number that an account used.
    pub fn newest_sequence(&self, account: &AccountId) -> Option<Sequence> {
        self.accounts.get(account)?.replay.newest()
    }

    /// The last height whose fee changes are queued: blocks that name later roots must wait.
    pub const fn executed(&self) -> Height {
        self.executed
    }

    /// Whether changes wait for a header that covers them.
    pub fn has_queued(&self) -> bool {
        self.queue.iter().next().is_some()
    }

    /// Whether a block of this height and epoch orders what is sealed to the key of epoch `key`: its
    /// own, and at the beginning the one before.
    pub const fn takes_key(&self, key: Epoch, height: Height, epoch: Epoch) -> bool {
        let first = match epoch.0 == self.keys.epoch.0 {
            true => self.keys.first,
            false => height,
        };
        let in_grace = height.0.saturating_sub(first.0) < self.keys.grace_blocks;
        key.0 == epoch.0 || in_grace && key.0.saturating_add(1) == epoch.0
    }

    /// Orders a committed block. Blocks come in the order of their heights, each once.
    pub fn order(
        &mut self,
        block: &OrderedBlock,
        envelopes: &[OrderedEnvelope<'_>],
    ) -> Result<Vec<Disposition>, OrderBehind> {
        if block.ledger_height > self.executed {
            return Err(OrderBehind {
                ledger_height: block.ledger_height,
                executed: self.executed,
            });
        }
        let ordered = self.apply(block, envelopes);
        self.accounts.drain(|_, _| ());
        self.queue.drain(|_, _| ());
        self.tariffs.table.drain(|_, _| ());
        Ok(ordered.dispositions)
    }

    /// What would become of an envelope in a block of this height and epoch, as things stand.
    pub fn preview(&self, header: &EnvelopeHeader, height: Height, epoch: Epoch) -> Disposition {
        self.dispose(header, height, epoch)
    }

    /// Takes the fee changes that executing `height` made. Every height comes once, in order.
    pub fn queue(&mut self, height: Height, changes: Vec<FeeChange>) {
        assert_eq!(height, self.executed.next(), "fee changes out of order");
        self.executed = height;
        if !changes.is_empty() {
            self.queue.insert(height, FeeChanges(changes));
        }
    }

    pub(crate) fn apply(
        &mut self,
        block: &OrderedBlock,
        envelopes: &[OrderedEnvelope<'_>],
    ) -> Ordered {
        let mut ordered = Ordered {
            dispositions: Vec::with_capacity(envelopes.len()),
            withdrawn: Vec::new(),
            surcharges: Amount::ZERO,
        };
        self.apply_queue(block.ledger_height, &mut ordered);
        if block.epoch != self.keys.epoch {
            self.keys.epoch = block.epoch;
            self.keys.first = block.height;
        }
        for envelope in envelopes {
            let header = envelope.header;
            let disposition = self.dispose(header, block.height, block.epoch);
            if let Some(fee) = disposition.fee()
                && let Some(account) = self.accounts.get_mut(&header.core.payer)
            {
                account.balance = minus(account.balance, fee);
                account.replay.mark(header.core.sequence);
                self.tariffs.count(header);
            }
            ordered.dispositions.push(disposition);
        }
        let target = self.parameters.target_bytes_per_second;
        self.tariffs.close_window(block.time, target);
        ordered
    }

    fn dispose(&self, header: &EnvelopeHeader, height: Height, epoch: Epoch) -> Disposition {
        let core = &header.core;
        if !self.takes_key(core.epoch, height, epoch) {
            return Disposition::WrongEpoch;
        }
        if core.expiry < height {
            return Disposition::Expired;
        }
        if core.expiry.0 - height.0 > limits::EXPIRY_AHEAD_BLOCKS_MAX {
            return Disposition::ExpiryTooFar;
        }
        let Some(account) = self.accounts.get(&core.payer) else {
            return Disposition::Unpaid;
        };
        match account.replay.check(core.sequence) {
            Err(ReplayRefusal::Used) => return Disposition::Duplicate,
            Err(ReplayRefusal::TooOld) => return Disposition::SequenceTooOld,
            Ok(()) => {}
        }
        let fee = self.quote(core.rollup, core.payer, header.body_bytes);
        if fee > core.fee_max {
            return Disposition::FeeTooLow;
        }
        if account.balance < fee {
            return Disposition::Unpaid;
        }
        let system = core.rollup == RollupId::SYSTEM;
        match (core.release, header.is_sealed()) {
            (ReleaseRule::OnCommit, true) => Disposition::Accepted { fee },
            (ReleaseRule::OnCommit, false) | (ReleaseRule::AtClose(_), true) if system => {
                Disposition::Accepted { fee }
            }
            _ => Disposition::Void { fee },
        }
    }

    fn apply_queue(&mut self, covered: Height, ordered: &mut Ordered) {
        let heights: Vec<Height> = self.queue.range(..=covered).map(|(at, _)| *at).collect();
        for height in heights {
            let changes = self.queue.remove(&height).unwrap_or_default();
            for change in changes.0 {
                self.apply_change(change, ordered);
            }
        }
    }

    fn apply_change(&mut self, change: FeeChange, ordered: &mut Ordered) {
        match change {
            FeeChange::Deposit { account, amount } => {
                let account = self.accounts.get_or_insert(account, FeeAccount::default);
                account.balance = plus(account.balance, amount);
            }
            FeeChange::Withdraw { account, amount } => {
                let taken = self.take(&account, amount);
                ordered.withdrawn.push((account, taken));
            }
            FeeChange::Surcharge { account, amount } => {
                let taken = self.take(&account, amount);
                ordered.surcharges = plus(ordered.surcharges, taken);
            }
        }
    }

    /// Takes what is there, up to `amount`.
    fn take(&mut self, account: &AccountId, amount: Amount) -> Amount {
        let Some(account) = self.accounts.get_mut(account) else {
            return Amount::ZERO;
        };
        let taken = amount.min(account.balance);
        account.balance = minus(account.balance, taken);
        taken
    }
}
