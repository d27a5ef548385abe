//! Reading the ledger: for the HTTP API, the market's participants, and light clients.

use bincode::Encode;
use conclave_light::{EntryProof, EntryTable};
use conclave_market::{Auction, Phase, Prover};
use conclave_types::{
    AccountId, Amount, AuctionId, BlockTime, Digest, Height, ProgramVersion, Range, RollupId,
    Sequence, Settled, Stream, codec,
};
use serde::Serialize;

use crate::fees::FeeLedger;
use crate::ledger::Ledger;
use crate::rollup::Rollup;

/// One account as users see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AccountView {
    pub balance: Amount,
    /// In the prepaid fee account.
    pub fees: Amount,
    /// The newest sequence number used.
    pub sequence: Option<Sequence>,
}

/// Where all the money is. The parts add up to the supply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub balances: u128,
    pub fee_accounts: u128,
    /// Deposits that no header covers yet.
    pub fee_deposits: u128,
    pub rollup_funds: u128,
    /// Held for ranges being proven.
    pub escrow: u128,
    /// Of provers, free and locked, and of validators.
    pub bonds: u128,
    pub insurance: u128,
    pub supply: u128,
}

impl Ledger {
    /// The last executed height.
    pub const fn height(&self) -> Height {
        self.state.meta.height
    }

    /// Its block time.
    pub const fn time(&self) -> BlockTime {
        self.state.meta.time
    }

    /// The embedded fee ledger. A clone of it, ordering the committed blocks that are not executed
    /// yet, runs ahead.
    pub const fn fees(&self) -> &FeeLedger {
        &self.state.fees
    }

    /// An account; all zero if there is none.
    pub fn account(&self, account: &AccountId) -> AccountView {
        AccountView {
            balance: self.state.balance(account),
            fees: self.state.fees.balance(account),
            sequence: self.state.fees.newest_sequence(account),
        }
    }

    /// A rollup, also one that has left.
    pub fn rollup(&self, id: RollupId) -> Option<&Rollup> {
        self.state.rollups.get(&id)
    }

    /// All rollups, ascending.
    pub fn rollups(&self) -> impl Iterator<Item = (RollupId, &Rollup)> {
        self.state.rollups.iter().map(|(id, rollup)| (*id, rollup))
    }

    /// How far a rollup's stream goes.
    pub fn stream(&self, id: RollupId) -> Option<&Stream> {
        self.state.streams.get(&id)
    }

    /// A rollup's settled root.
    pub fn settled(&self, id: RollupId) -> Option<&Settled> {
        self.state.settled.get(&id)
    }

    /// An auction with its intent, its award or settlement, and after the close every bid.
    pub fn auction(&self, id: AuctionId) -> Option<&Auction> {
        self.state.auctions.get(&id)
    }

    /// All auctions in the state, ascending: the unfinished, and of each rollup the newest
    /// finished ones.
    pub fn auctions(&self) -> impl Iterator<Item = &Auction> {
        self.state.auctions.iter().map(|(_, auction)| auction)
    }

    /// Every range against which a proof may yet be verified, with the commitment to its contents
    /// ([`conclave_market::ContentsDigest`]): what a validator must be able to read. Settled
    /// ranges belong to them as long as their auction is kept: a second proof of another output
    /// is evidence against the program.
    pub fn provable(&self) -> Vec<(Range, Digest)> {
        let open = self.auctions().filter(|auction| match auction.phase {
            Phase::Bidding | Phase::Awarded(_) | Phase::Settled(_) => true,
            Phase::Unsold { .. } | Phase::Cancelled => false,
        });
        let auctions = open.map(|auction| (auction.intent.range, auction.intent.contents));
        let backlog = self.state.backlog.iter().map(|((rollup, from), chunk)| {
            let range = Range {
                rollup: *rollup,
                from: *from,
                to: chunk.to,
                from_height: chunk.from_height,
                to_height: chunk.to_height,
            };
            (range, chunk.contents.0)
        });
        auctions.chain(backlog).collect()
    }

    /// A prover.
    pub fn prover(&self, account: &AccountId) -> Option<&Prover> {
        self.state.provers.get(account)
    }

    /// All provers, ascending.
    pub fn provers(&self) -> impl Iterator<Item = (AccountId, &Prover)> {
        self.state.provers.iter().map(|(id, prover)| (*id, prover))
    }

    /// The height at which a program version was frozen.
    pub fn frozen(&self, program: &ProgramVersion) -> Option<Height> {
        self.state.frozen.get(program).copied()
    }

    /// Where all the money is, counted entry by entry.
    pub fn totals(&self) -> Totals {
        let state = &self.state;
        Totals {
            balances: state.accounts.sum(),
            fee_accounts: state.fees.accounts.sum(),
            fee_deposits: state.fees.queue.sum(),
            rollup_funds: state.rollups.sum(),
            escrow: state.auctions.sum(),
            bonds: state.provers.sum() + state.validators.sum(),
            insurance: state.meta.insurance.0.into(),
            supply: state.meta.supply.0.into(),
        }
    }

    /// A rollup's settled root with its proof against [`Ledger::root`].
    pub fn prove_settled(&self, id: RollupId) -> Option<(Settled, EntryProof)> {
        let settled = *self.state.settled.get(&id)?;
        Some((settled, self.prove(EntryTable::Settled, &id)?))
    }

    /// A rollup's stream position and digest with its proof against [`Ledger::root`].
    pub fn prove_stream(&self, id: RollupId) -> Option<(Stream, EntryProof)> {
        let stream = *self.state.streams.get(&id)?;
        Some((stream, self.prove(EntryTable::Streams, &id)?))
    }

    /// An account's balance with its proof against [`Ledger::root`].
    pub fn prove_balance(&self, account: &AccountId) -> Option<(Amount, EntryProof)> {
        let balance = *self.state.accounts.get(account)?;
        Some((balance, self.prove(EntryTable::Accounts, account)?))
    }

    /// An auction or award with its proof against [`Ledger::root`].
    pub fn prove_auction(&self, id: AuctionId) -> Option<(&Auction, EntryProof)> {
        let auction = self.state.auctions.get(&id)?;
        Some((auction, self.prove(EntryTable::Auctions, &id)?))
    }

    /// The proof of any entry against [`Ledger::root`], by its table and key.
    pub fn prove<K: Encode>(&self, table: EntryTable, key: &K) -> Option<EntryProof> {
        self.tree.prove(table, codec::encode(key))
    }
}
