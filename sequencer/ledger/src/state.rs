//! Everything the ledger remembers, as tables; nothing outside them influences a transition.

use bincode::{Decode, Encode};
use conclave_light::EntryTable;
use conclave_market::{Auction, Prover};
use conclave_types::{
    AccountId, Amount, AuctionId, BlockTime, ChainId, ConsensusParameters, EnvelopeHeader, Epoch,
    EpochRecord, EpochSetup, Genesis, Height, MarketParameters, ProgramVersion, RollupId, Settled,
    Stream, TxIndex, ValidatorIndex, codec,
};

use crate::fees::FeeLedger;
use crate::key_generation::{Attempt, Candidate};
use crate::money::{minus, plus};
use crate::rollup::{Chunk, Rollup};
use crate::table::{Table, Value};
use crate::tree::StateTree;
use crate::validators::{Standing, ValidatorBond, ValidatorRecord};

/// The chain's constants.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Parameters {
    pub(crate) chain: ChainId,
    pub(crate) market: MarketParameters,
    pub(crate) consensus: ConsensusParameters,
}

/// What changes with every block.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Meta {
    pub(crate) height: Height,
    pub(crate) time: BlockTime,
    /// Of the last executed block.
    pub(crate) epoch: Epoch,
    pub(crate) next_auction: AuctionId,
    /// Numbers the validators' wishes in the order of their acceptance.
    pub(crate) next_request: u64,
    /// Forfeited deposits, surcharges, and what slashed bonds leave.
    pub(crate) insurance: Amount,
    /// All money there is; constant.
    pub(crate) supply: Amount,
}

/// The complete state.
#[derive(Debug, Clone, Encode, Decode)]
pub(crate) struct State {
    pub(crate) parameters: Parameters,
    pub(crate) meta: Meta,
    pub(crate) accounts: Table<AccountId, Amount>,
    pub(crate) fees: FeeLedger,
    pub(crate) rollups: Table<RollupId, Rollup>,
    pub(crate) streams: Table<RollupId, Stream>,
    pub(crate) settled: Table<RollupId, Settled>,
    pub(crate) backlog: Table<(RollupId, TxIndex), Chunk>,
    pub(crate) auctions: Table<AuctionId, Auction>,
    pub(crate) bids: Table<(AuctionId, u32), EnvelopeHeader>,
    pub(crate) provers: Table<AccountId, Prover>,
    pub(crate) proposers: Table<ValidatorIndex, Height>,
    pub(crate) frozen: Table<ProgramVersion, Height>,
    pub(crate) validators: Table<ValidatorIndex, ValidatorRecord>,
    pub(crate) epochs: Table<Epoch, EpochRecord>,
    pub(crate) setups: Table<Epoch, EpochSetup>,
    pub(crate) key_generation: Option<Attempt>,
    pub(crate) candidates: Table<ValidatorIndex, Candidate>,
}

impl Value for Amount {
    fn money(&self) -> u128 {
        self.0.into()
    }
}

impl Value for Auction {
    fn money(&self) -> u128 {
        self.award().map_or(0, |award| award.escrow.0.into())
    }
}

impl Value for Prover {
    fn money(&self) -> u128 {
        u128::from(self.free.0) + u128::from(self.locked.0)
    }
}

impl Value for EnvelopeHeader {}
impl Value for Height {}

impl State {
    /// The state before the first block. Bonds and allocations beyond 2^64-1 in sum are cut; a checked
    /// genesis has none.
    pub(crate) fn genesis(genesis: &Genesis) -> Self {
        let mut state = Self {
            parameters: Parameters {
                chain: genesis.chain_id(),
                market: genesis.market.clone(),
                consensus: genesis.consensus.clone(),
            },
            meta: Meta {
                height: Height(0),
                time: genesis.time,
                epoch: Epoch(0),
                next_auction: AuctionId(1),
                next_request: 0,
                insurance: Amount::ZERO,
                supply: Amount::ZERO,
            },
            accounts: Table::default(),
            fees: FeeLedger::new(
                genesis.fees.clone(),
                genesis.consensus.grace_blocks,
                genesis.time,
            ),
            rollups: Table::default(),
            streams: Table::default(),
            settled: Table::default(),
            backlog: Table::default(),
            auctions: Table::default(),
            bids: Table::default(),
            provers: Table::default(),
            proposers: Table::default(),
            frozen: Table::default(),
            validators: Table::default(),
            epochs: Table::default(),
            setups: Table::default(),
            key_generation: None,
            candidates: Table::default(),
        };
        let setup = genesis.first_epoch();
        let record = EpochRecord {
            setup: setup.digest(),
            ready: Height(0),
            first: Some(Height(1)),
            last: None,
            ended: None,
        };
        state.epochs.insert(setup.epoch, record);
        state.setups.insert(setup.epoch, setup);
        state.streams.insert(RollupId::SYSTEM, Stream::default());
        for (index, validator) in (0..).zip(&genesis.validators) {
            let room = minus(Amount(u64::MAX), state.meta.supply);
            let bond = genesis.consensus.bond(validator.weight);
            let amount = bond.map_or(room, |bond| bond.min(room));
            state.meta.supply = plus(state.meta.supply, amount);
            let record = ValidatorRecord {
                info: validator.clone(),
                standing: Standing::Serving,
                bond: ValidatorBond {
                    amount,
                    forfeited: None,
                },
                request: 0,
                not_before: Epoch(0),
            };
            state.validators.insert(ValidatorIndex(index), record);
        }
        for allocation in &genesis.allocations {
            state.mint(allocation.account, allocation.balance, allocation.fees);
        }
        state
    }

    fn mint(&mut self, account: AccountId, balance: Amount, fees: Amount) {
        let room = minus(Amount(u64::MAX), self.meta.supply);
        let balance = balance.min(room);
        let fees = fees.min(minus(room, balance));
        self.meta.supply = plus(self.meta.supply, plus(balance, fees));
        self.credit(account, balance);
        let fee_account = self.fees.accounts.get_or_insert(account, Default::default);
        fee_account.balance = plus(fee_account.balance, fees);
    }

    /// The committee and key of the last executed block.
    pub(crate) fn setup(&self) -> &EpochSetup {
        match self.setups.get(&self.meta.epoch) {
            Some(setup) => setup,
            None => unreachable!("the present epoch is never closed"),
        }
    }

    /// What an account holds freely.
    pub(crate) fn balance(&self, account: &AccountId) -> Amount {
        self.accounts.get(account).copied().unwrap_or_default()
    }

    /// Adds to a balance.
    pub(crate) fn credit(&mut self, account: AccountId, amount: Amount) {
        if amount > Amount::ZERO {
            let balance = self.accounts.get_or_insert(account, || Amount::ZERO);
            *balance = plus(*balance, amount);
        }
    }

    /// Takes from a balance, if it covers the amount. An emptied account leaves the table.
    #[must_use]
    pub(crate) fn debit(&mut self, account: AccountId, amount: Amount) -> bool {
        let Some(rest) = self.balance(&account).checked_sub(amount) else {
            return false;
        };
        if rest == Amount::ZERO {
            self.accounts.remove(&account);
        } else if amount > Amount::ZERO {
            self.accounts.insert(account, rest);
        }
        true
    }

    /// Adds to the insurance pool.
    pub(crate) fn insure(&mut self, amount: Amount) {
        self.meta.insurance = plus(self.meta.insurance, amount);
    }

    /// Brings the tree and the sums up to date with every change since the last call.
    pub(crate) fn flush(&mut self, tree: &mut StateTree) {
        fn hash<K: Encode + Ord + Copy, V: Value>(
            tree: &mut StateTree,
            id: EntryTable,
            table: &mut Table<K, V>,
        ) {
            table.drain(|key, value| {
                let value = value.map(codec::encode);
                tree.set(id, codec::encode(key), value.as_deref());
            });
        }
        let fees = (
            &self.fees.parameters,
            self.fees.executed,
            self.fees.keys,
            self.fees.tariffs.window,
        );
        let parameters = codec::encode(&self.parameters);
        tree.set(EntryTable::Parameters, Vec::new(), Some(&parameters));
        tree.set(
            EntryTable::Meta,
            Vec::new(),
            Some(&codec::encode(&self.meta)),
        );
        tree.set(EntryTable::Fees, Vec::new(), Some(&codec::encode(&fees)));
        hash(tree, EntryTable::Accounts, &mut self.accounts);
        hash(tree, EntryTable::FeeAccounts, &mut self.fees.accounts);
        hash(tree, EntryTable::FeeQueue, &mut self.fees.queue);
        hash(tree, EntryTable::Tariffs, &mut self.fees.tariffs.table);
        hash(tree, EntryTable::Rollups, &mut self.rollups);
        hash(tree, EntryTable::Streams, &mut self.streams);
        hash(tree, EntryTable::Settled, &mut self.settled);
        hash(tree, EntryTable::Backlog, &mut self.backlog);
        hash(tree, EntryTable::Auctions, &mut self.auctions);
        hash(tree, EntryTable::Bids, &mut self.bids);
        hash(tree, EntryTable::Provers, &mut self.provers);
        hash(tree, EntryTable::Proposers, &mut self.proposers);
        hash(tree, EntryTable::Frozen, &mut self.frozen);
        hash(tree, EntryTable::Validators, &mut self.validators);
        hash(tree, EntryTable::Epochs, &mut self.epochs);
        hash(tree, EntryTable::Setups, &mut self.setups);
        let attempt = self.key_generation.map(|attempt| codec::encode(&attempt));
        let table = EntryTable::KeyGeneration;
        tree.set(table, Vec::new(), attempt.as_deref());
        hash(tree, EntryTable::Candidates, &mut self.candidates);
    }

    /// All money in the tables and the pool, as of the last flush.
    pub(crate) fn money(&self) -> u128 {
        self.accounts.sum()
            + self.fees.accounts.sum()
            + self.fees.queue.sum()
            + self.rollups.sum()
            + self.auctions.sum()
            + self.provers.sum()
            + self.validators.sum()
            + u128::from(self.meta.insurance.0)
    }
}
