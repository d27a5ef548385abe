//! A small rollup to test with.

use std::sync::OnceLock;

use crate::keys::KeyTree;
use crate::leaf_store::{LeafStore, LeafStoreError};
use crate::{
    Address, Allocation, Draft, Payment, PaymentContext, ProveJob, RangeContext, Seed, State,
    Wallet, WalletState,
};

pub(super) const CHAIN: [u8; 32] = [7; 32];
pub(super) const ROLLUP: u32 = 3;
pub(super) const EXPIRY: u64 = 1_000;

/// A store in memory.
#[derive(Default)]
pub(super) struct MemoryStore(pub(super) Option<WalletState>);

impl LeafStore for MemoryStore {
    fn load(&self) -> Result<Option<WalletState>, LeafStoreError> {
        Ok(self.0)
    }
    fn store(&mut self, state: &WalletState) -> Result<(), LeafStoreError> {
        self.0 = Some(*state);
        Ok(())
    }
}

/// Accounts 0 to 3 and the fee account in slot 9, each with its wallet.
pub(super) struct Fixture {
    pub(super) state: State,
    pub(super) wallets: Vec<Wallet<MemoryStore>>,
    pub(super) addresses: Vec<Address>,
}

/// The wallets' first key trees, derived once for all tests.
fn trees() -> &'static [KeyTree] {
    static TREES: OnceLock<Vec<KeyTree>> = OnceLock::new();
    TREES.get_or_init(|| {
        (0u8..5)
            .map(|i| KeyTree::derive(&Seed::new([i + 1; 32]), 0))
            .collect()
    })
}

pub(super) const FEE_SLOT: u32 = 9;

pub(super) fn ctx() -> PaymentContext {
    PaymentContext {
        chain: CHAIN,
        rollup: ROLLUP,
    }
}

impl Fixture {
    pub(super) fn new() -> Self {
        let slots = [0, 1, 0x00ab_cdef, (1 << 24) - 1, FEE_SLOT];
        let wallets: Vec<_> = (0u8..5)
            .zip(trees())
            .map(|(i, tree)| {
                let (seed, store) = (Seed::new([i + 1; 32]), MemoryStore::default());
                Wallet::with_tree(seed, tree.clone(), store, WalletState::fresh(0))
            })
            .collect();
        let addresses: Vec<_> = slots
            .iter()
            .zip(&wallets)
            .map(|(slot, wallet)| Address {
                slot: *slot,
                key: wallet.owner(),
            })
            .collect();
        let allocations: Vec<_> = addresses[..3]
            .iter()
            .map(|address| Allocation {
                address: *address,
                balance: 1_000_000,
            })
            .collect();
        Self {
            state: State::genesis(addresses[4], &allocations).unwrap(),
            wallets,
            addresses,
        }
    }

    pub(super) fn draft(&self, from: usize, to: usize, amount: u64, nonce: u64) -> Draft {
        Draft {
            sender: self.addresses[from].slot,
            nonce,
            receiver: self.addresses[to],
            amount,
            fee: 5,
            expiry: EXPIRY,
        }
    }

    pub(super) fn pay(&mut self, from: usize, to: usize, amount: u64, nonce: u64) -> Payment {
        let draft = self.draft(from, to, amount, nonce);
        self.wallets[from].pay(&ctx(), &draft).unwrap()
    }
}

pub(super) fn range(state: &State, contents: &[(u64, Vec<u8>)]) -> RangeContext {
    RangeContext {
        chain: CHAIN,
        rollup: ROLLUP,
        prover: [42; 32],
        from_height: contents.first().map_or(0, |c| c.0),
        to_height: contents.last().map_or(0, |c| c.0),
        from_index: 100,
        to_index: 100 + contents.len() as u64,
        old_root: state.root(),
    }
}

pub(super) fn job<'a>(state: &'a State, contents: &'a [(u64, Vec<u8>)]) -> ProveJob<'a> {
    ProveJob {
        range: range(state, contents),
        state,
        contents,
    }
}

pub(super) fn at(height: u64, payments: &[&Payment]) -> Vec<(u64, Vec<u8>)> {
    payments.iter().map(|p| (height, p.encode())).collect()
}
