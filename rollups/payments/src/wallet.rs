//! A wallet that never signs twice under one leaf.
//!
//! The next leaf is durable *before* a signature exists: a crash between the two wastes a leaf.
//! The last 16 leaves of a tree sign rotations only, so that an exhausted tree cannot lock funds,
//! and the last eight of those serve a wallet that was restored without its state.

use bincode::{Decode, Encode};

use crate::hash::FieldDigest;
use crate::keys::{KeyTree, Seed};
use crate::leaf_store::{LeafStore, LeafStoreError};
use crate::payment::{Address, Payment, PaymentBody, PaymentContext};
use crate::signature::KEY_LEAVES;

/// Leaves at a tree's end that sign rotations only.
pub const ROTATION_LEAVES: u16 = 16;
/// Rotation leaves that only a restored wallet uses.
const RESTORE_LEAVES: u16 = 8;

/// What a wallet must not forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct WalletState {
    /// The tree that owns the account now.
    pub tree: u32,
    /// The next leaf for ordinary payments.
    pub next_leaf: u16,
    /// The next leaf for rotations.
    pub next_rotation_leaf: u16,
    /// Set after a restore: this tree signs rotations only.
    pub restored: bool,
}

/// Why a wallet refuses.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    /// The state could not be read or made durable; the wallet signs nothing more.
    #[error("[CV-PAY-040] the wallet's state is not durable; open the wallet again: {0}")]
    Store(#[from] LeafStoreError),
    /// There is a state already; creating would forget used leaves.
    #[error("[CV-PAY-041] a wallet exists here already; open it instead")]
    Exists,
    /// There is no state; signing could use a leaf twice.
    #[error("[CV-PAY-042] the wallet's state is missing; restore the wallet, it then rotates")]
    Missing,
    /// An earlier write failed.
    #[error("[CV-PAY-043] an earlier write of the wallet's state failed; open the wallet again")]
    Poisoned,
    /// Ordinary leaves are used up, or the wallet was restored.
    #[error("[CV-PAY-044] this key tree may only sign its rotation; rotate to the next tree")]
    MustRotate,
    /// Every leaf is used up.
    #[error("[CV-PAY-045] this key tree has no leaf left; wait for the last rotation to settle")]
    Exhausted,
    /// The account is owned by none of this wallet's two trees.
    #[error("[CV-PAY-046] the account's owner is neither this tree nor the next; check the seed")]
    UnknownOwner,
    /// A field of the payment is out of bounds.
    #[error("[CV-PAY-047] the payment is malformed; check slots, amounts and expiry")]
    Malformed,
}

/// What to pay; the wallet adds owner, rotation and signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draft {
    /// The paying account's slot.
    pub sender: u32,
    /// The account's nonce.
    pub nonce: u64,
    /// Who is credited.
    pub receiver: Address,
    /// What the receiver gets.
    pub amount: u64,
    /// What the rollup gets.
    pub fee: u64,
    /// The last height that may order the payment.
    pub expiry: u64,
}

/// One seed's signing side.
pub struct Wallet<S> {
    seed: Seed,
    tree: KeyTree,
    state: WalletState,
    store: S,
    poisoned: bool,
}

impl<S: LeafStore> Wallet<S> {
    /// Creates a wallet for a new seed; refuses where a state exists.
    pub fn create(seed: Seed, store: S) -> Result<Self, WalletError> {
        Self::start(seed, store, WalletState::fresh(0))
    }

    /// Opens a wallet whose state is present.
    pub fn open(seed: Seed, store: S) -> Result<Self, WalletError> {
        let state = store.load()?.ok_or(WalletError::Missing)?;
        Ok(Self::with_state(seed, store, state))
    }

    /// Takes a seed whose state is lost: tree `tree` owns the account, and may only rotate.
    pub fn restore(seed: Seed, tree: u32, store: S) -> Result<Self, WalletError> {
        let state = WalletState {
            next_leaf: KEY_LEAVES - ROTATION_LEAVES,
            next_rotation_leaf: KEY_LEAVES - RESTORE_LEAVES,
            restored: true,
            ..WalletState::fresh(tree)
        };
        Self::start(seed, store, state)
    }

    fn start(seed: Seed, store: S, state: WalletState) -> Result<Self, WalletError> {
        if store.load()?.is_some() {
            return Err(WalletError::Exists);
        }
        let mut wallet = Self::with_state(seed, store, state);
        wallet.persist(state)?;
        Ok(wallet)
    }

    fn with_state(seed: Seed, store: S, state: WalletState) -> Self {
        let tree = KeyTree::derive(&seed, state.tree);
        Self::with_tree(seed, tree, store, state)
    }

    pub(crate) fn with_tree(seed: Seed, tree: KeyTree, store: S, state: WalletState) -> Self {
        Self {
            tree,
            seed,
            state,
            store,
            poisoned: false,
        }
    }

    /// What names the accounts of this seed: the root of its first tree.
    pub fn account_key(&self) -> FieldDigest {
        match self.state.tree {
            0 => self.owner(),
            _ => KeyTree::derive(&self.seed, 0).root(),
        }
    }

    /// The owner root that may spend now.
    pub fn owner(&self) -> FieldDigest {
        self.tree.root()
    }

    /// Ordinary payments this tree can still sign.
    pub fn remaining(&self) -> u16 {
        if self.state.restored {
            return 0;
        }
        (KEY_LEAVES - ROTATION_LEAVES).saturating_sub(self.state.next_leaf)
    }

    /// Signs a payment with a fresh leaf.
    pub fn pay(&mut self, ctx: &PaymentContext, draft: &Draft) -> Result<Payment, WalletError> {
        if self.remaining() == 0 {
            return Err(WalletError::MustRotate);
        }
        let leaf = self.state.next_leaf;
        let after = WalletState {
            next_leaf: leaf + 1,
            ..self.state
        };
        self.sign(ctx, draft, None, leaf, after)
    }

    /// Signs a payment that also hands the account to the wallet's next tree.
    ///
    /// Call [`adopt`](Self::adopt) with the owner root the rollup shows once it is executed.
    pub fn rotate(&mut self, ctx: &PaymentContext, draft: &Draft) -> Result<Payment, WalletError> {
        let next = KeyTree::derive(&self.seed, self.state.tree + 1).root();
        let reserved_end = if self.state.restored {
            KEY_LEAVES
        } else {
            KEY_LEAVES - RESTORE_LEAVES
        };
        let (leaf, after) = if self.remaining() > 0 {
            let leaf = self.state.next_leaf;
            let next_leaf = leaf + 1;
            (
                leaf,
                WalletState {
                    next_leaf,
                    ..self.state
                },
            )
        } else {
            let leaf = self.state.next_rotation_leaf;
            let next_rotation_leaf = leaf + 1;
            (
                leaf,
                WalletState {
                    next_rotation_leaf,
                    ..self.state
                },
            )
        };
        if leaf >= reserved_end {
            return Err(WalletError::Exhausted);
        }
        self.sign(ctx, draft, Some(next), leaf, after)
    }

    /// Follows the account: moves to the next tree when the rollup shows it as the owner.
    pub fn adopt(&mut self, owner: FieldDigest) -> Result<(), WalletError> {
        if owner == self.owner() {
            return Ok(());
        }
        let tree = KeyTree::derive(&self.seed, self.state.tree + 1);
        if owner != tree.root() {
            return Err(WalletError::UnknownOwner);
        }
        self.persist(WalletState::fresh(self.state.tree + 1))?;
        self.tree = tree;
        Ok(())
    }

    fn sign(
        &mut self,
        ctx: &PaymentContext,
        draft: &Draft,
        new_owner: Option<FieldDigest>,
        leaf: u16,
        after: WalletState,
    ) -> Result<Payment, WalletError> {
        let body = PaymentBody {
            sender: draft.sender,
            owner: self.owner(),
            nonce: draft.nonce,
            receiver: draft.receiver,
            amount: draft.amount,
            fee: draft.fee,
            expiry: draft.expiry,
            new_owner,
        };
        if !body.is_well_formed() {
            return Err(WalletError::Malformed);
        }
        self.persist(after)?;
        let signature = self.tree.sign(body.digest(ctx), leaf);
        Ok(Payment { body, signature })
    }

    /// The gate: nothing is signed after a failed write, because what the disk holds is unknown.
    fn persist(&mut self, state: WalletState) -> Result<(), WalletError> {
        if self.poisoned {
            return Err(WalletError::Poisoned);
        }
        self.poisoned = true;
        self.store.store(&state)?;
        self.poisoned = false;
        self.state = state;
        Ok(())
    }
}

impl WalletState {
    pub(crate) fn fresh(tree: u32) -> Self {
        Self {
            tree,
            next_leaf: 0,
            next_rotation_leaf: KEY_LEAVES - ROTATION_LEAVES,
            restored: false,
        }
    }
}
