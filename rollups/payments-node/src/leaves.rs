//! Leaf stores for wallets that sign often.

use conclave_payments::{KEY_LEAVES, LeafStore, LeafStoreError, ROTATION_LEAVES, WalletState};

/// Leaves made durable at once. A crash wastes at most so many of a tree's 1,008.
const CHUNK: u16 = 32;

/// Records leaves as used in chunks, ahead of their use: one sync for many signatures, and still
/// no signature before its leaf is durably used.
pub(crate) struct ReservedLeaves<S> {
    store: S,
    durable: Option<WalletState>,
}

impl<S> ReservedLeaves<S> {
    pub(crate) fn new(store: S) -> Self {
        Self {
            store,
            durable: None,
        }
    }
}

impl<S: LeafStore> LeafStore for ReservedLeaves<S> {
    fn load(&self) -> Result<Option<WalletState>, LeafStoreError> {
        self.store.load()
    }

    fn store(&mut self, state: &WalletState) -> Result<(), LeafStoreError> {
        if self.durable.is_some_and(|durable| covers(&durable, state)) {
            return Ok(());
        }
        let ahead = WalletState {
            next_leaf: reserve(state.next_leaf),
            ..*state
        };
        self.durable = None;
        self.store.store(&ahead)?;
        self.durable = Some(ahead);
        Ok(())
    }
}

/// Whether a wallet that starts from `durable` uses no leaf that one at `state` has used.
fn covers(durable: &WalletState, state: &WalletState) -> bool {
    durable.tree == state.tree
        && durable.restored == state.restored
        && durable.next_rotation_leaf == state.next_rotation_leaf
        && durable.next_leaf >= state.next_leaf
}

fn reserve(next_leaf: u16) -> u16 {
    let end = KEY_LEAVES - ROTATION_LEAVES;
    match next_leaf {
        // A fresh tree that never signs wastes nothing.
        0 => 0,
        _ => next_leaf.saturating_add(CHUNK).min(end).max(next_leaf),
    }
}

/// Keeps nothing: for a wallet that only shows its owner root and never signs.
pub(crate) struct NoLeaves;

impl LeafStore for NoLeaves {
    fn load(&self) -> Result<Option<WalletState>, LeafStoreError> {
        Ok(None)
    }

    fn store(&mut self, _: &WalletState) -> Result<(), LeafStoreError> {
        Ok(())
    }
}
