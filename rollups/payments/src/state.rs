//! The rollup's state: a sparse Merkle tree of accounts, and the pool of fees not yet collected.
//!
//! ```text
//! root = C(accounts root, [pool, fee slot, 0, tag])
//! leaf = C(C(key, owner root), [balance, nonce, 0, tag]);   an empty slot is the account of zeros
//! ```
//!
//! Only nodes that differ from an empty subtree are stored.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use bincode::{Decode, Encode};
use conclave_types::codec;

use crate::domain::{SNAPSHOT, TAG_LEAF, TAG_ROOT};
use crate::hash::{FieldDigest, Node, block, compress};
use crate::payment::{Address, DEPTH, SLOTS, VALUE_LIMIT};

/// One account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct Account {
    /// The owner root it was created with; it names the account for good.
    pub key: FieldDigest,
    /// The owner root that may spend now.
    pub owner: FieldDigest,
    /// Below 2^62.
    pub balance: u64,
    /// How many of its payments advanced it.
    pub nonce: u64,
}

/// Money an account holds at genesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Allocation {
    /// Whose.
    pub address: Address,
    /// How much.
    pub balance: u64,
}

/// Why a genesis or a snapshot is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// A slot at or above [`SLOTS`].
    #[error("[CV-PAY-020] slot {slot} is outside the account tree; choose one below {SLOTS}")]
    SlotOutOfRange { slot: u32 },
    /// Two allocations name one slot.
    #[error("[CV-PAY-021] slot {slot} is allocated twice; give each account its own")]
    SlotTaken { slot: u32 },
    /// An account key that is zero or not canonical.
    #[error("[CV-PAY-022] the key of slot {slot} is not an account key")]
    BadKey { slot: u32 },
    /// All balances together reach 2^62.
    #[error("[CV-PAY-023] the total supply must be below 2^62")]
    SupplyTooLarge,
    /// The snapshot's bytes are damaged or of another version.
    #[error("[CV-PAY-024] the state snapshot is damaged; rebuild it from the rollup's stream")]
    BadSnapshot,
}

/// The whole state.
#[derive(Clone)]
pub struct State {
    accounts: BTreeMap<u32, Account>,
    /// `nodes[level]` holds the nodes of that height that are not empty.
    nodes: Vec<HashMap<u32, Node>>,
    pool: u64,
    fee_slot: u32,
}

/// Siblings from an account's leaf to the accounts root, with what the root adds.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct AccountPath {
    siblings: [FieldDigest; DEPTH],
    pool: u64,
    fee_slot: u32,
}

/// What a state root opens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct RootOpening {
    pub(crate) accounts: FieldDigest,
    pub(crate) pool: u64,
    pub(crate) fee_slot: u32,
}

impl RootOpening {
    pub(crate) fn root(&self) -> [u8; 32] {
        let rest = block([self.pool, u64::from(self.fee_slot), 0, TAG_ROOT]);
        FieldDigest::from_node(compress(self.accounts.node(), rest)).to_bytes()
    }
}

impl Account {
    pub(crate) fn leaf(&self) -> Node {
        compress(
            compress(self.key.node(), self.owner.node()),
            block([self.balance, self.nonce, 0, TAG_LEAF]),
        )
    }

    /// Whether the slot has no account.
    pub fn is_empty(&self) -> bool {
        self.key.is_zero()
    }
}

impl State {
    /// The state at the start of a rollup: the fee account and these allocations.
    ///
    /// The total supply is below 2^62, so no balance or pool ever reaches that bound.
    pub fn genesis(fee_account: Address, allocations: &[Allocation]) -> Result<Self, StateError> {
        let mut state = Self::empty(fee_account.slot);
        let mut supply = 0u64;
        for Allocation { address, balance } in allocations {
            supply = supply
                .checked_add(*balance)
                .filter(|supply| *supply < VALUE_LIMIT)
                .ok_or(StateError::SupplyTooLarge)?;
            state.open(*address, *balance)?;
        }
        match state.account(fee_account.slot) {
            Some(account) if account.key == fee_account.key => {}
            _ => state.open(fee_account, 0)?,
        }
        Ok(state)
    }

    fn empty(fee_slot: u32) -> Self {
        Self {
            accounts: BTreeMap::new(),
            nodes: vec![HashMap::new(); DEPTH + 1],
            pool: 0,
            fee_slot,
        }
    }

    /// Opens an account at genesis.
    pub(crate) fn open(&mut self, address: Address, balance: u64) -> Result<(), StateError> {
        let Address { slot, key } = address;
        if slot >= SLOTS {
            return Err(StateError::SlotOutOfRange { slot });
        }
        if key.is_zero() || !key.is_canonical() {
            return Err(StateError::BadKey { slot });
        }
        if self.accounts.contains_key(&slot) {
            return Err(StateError::SlotTaken { slot });
        }
        self.set(
            slot,
            Account {
                key,
                owner: key,
                balance,
                nonce: 0,
            },
        );
        Ok(())
    }

    /// The state root.
    pub fn root(&self) -> [u8; 32] {
        self.opening().root()
    }

    pub(crate) fn opening(&self) -> RootOpening {
        RootOpening {
            accounts: FieldDigest::from_node(self.node(DEPTH, 0)),
            pool: self.pool,
            fee_slot: self.fee_slot,
        }
    }

    /// The account in a slot.
    pub fn account(&self, slot: u32) -> Option<&Account> {
        self.accounts.get(&slot)
    }

    /// All accounts, by slot.
    pub fn accounts(&self) -> impl Iterator<Item = (u32, &Account)> {
        self.accounts.iter().map(|(slot, account)| (*slot, account))
    }

    /// What a slot's account can spend: the fee account can also spend the pool.
    pub fn spendable(&self, slot: u32) -> u64 {
        let balance = self.account(slot).map_or(0, |account| account.balance);
        balance + if slot == self.fee_slot { self.pool } else { 0 }
    }

    /// Fees paid and not yet collected by the fee account.
    pub fn pool(&self) -> u64 {
        self.pool
    }

    /// The fee account's slot.
    pub fn fee_slot(&self) -> u32 {
        self.fee_slot
    }

    /// The first slot from `start` on, wrapping, that has no account; `None` when all are taken.
    pub fn free_slot(&self, start: u32) -> Option<u32> {
        (start..SLOTS)
            .chain(0..start.min(SLOTS))
            .find(|slot| !self.accounts.contains_key(slot))
    }

    /// The path that shows a slot's account, or that it has none.
    pub fn path(&self, slot: u32) -> AccountPath {
        AccountPath {
            siblings: self.siblings(slot).map(FieldDigest::from_node),
            pool: self.pool,
            fee_slot: self.fee_slot,
        }
    }

    pub(crate) fn siblings(&self, slot: u32) -> [Node; DEPTH] {
        core::array::from_fn(|level| self.node(level, (slot >> level) ^ 1))
    }

    pub(crate) fn set(&mut self, slot: u32, account: Account) {
        let mut node = account.leaf();
        self.accounts.insert(slot, account);
        for level in 0..DEPTH {
            let index = slot >> level;
            self.nodes[level].insert(index, node);
            let sibling = self.node(level, index ^ 1);
            node = if index & 1 == 0 {
                compress(node, sibling)
            } else {
                compress(sibling, node)
            };
        }
        self.nodes[DEPTH].insert(0, node);
    }

    pub(crate) fn set_pool(&mut self, pool: u64) {
        self.pool = pool;
    }

    fn node(&self, level: usize, index: u32) -> Node {
        let stored = self.nodes[level].get(&index);
        stored.copied().unwrap_or_else(|| empty_nodes()[level])
    }

    /// A snapshot for a node's disk.
    pub fn to_bytes(&self) -> Vec<u8> {
        let accounts: Vec<(u32, Account)> = self.accounts().map(|(s, a)| (s, *a)).collect();
        let mut bytes = codec::encode(&(self.fee_slot, self.pool, accounts));
        bytes.extend_from_slice(&blake3::derive_key(SNAPSHOT, &bytes));
        bytes
    }

    /// Reads a snapshot; its checksum finds damage, and only its root says whether it is right.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        type Snapshot = (u32, u64, Vec<(u32, Account)>);
        let (body, checksum) = bytes
            .split_last_chunk::<32>()
            .ok_or(StateError::BadSnapshot)?;
        if blake3::derive_key(SNAPSHOT, body) != *checksum {
            return Err(StateError::BadSnapshot);
        }
        let (fee_slot, pool, accounts): Snapshot =
            codec::decode(body, body.len()).map_err(|_| StateError::BadSnapshot)?;
        let mut state = Self::empty(fee_slot);
        state.pool = pool;
        for (slot, account) in accounts {
            let canonical = account.key.is_canonical() && account.owner.is_canonical();
            let bounded = account.balance < VALUE_LIMIT && account.nonce < VALUE_LIMIT;
            if slot >= SLOTS || account.is_empty() || !canonical || !bounded {
                return Err(StateError::BadSnapshot);
            }
            state.set(slot, account);
        }
        Ok(state)
    }
}

/// Whether a path shows that `slot` holds `account` under `root`; the account of zeros stands for
/// an empty slot.
pub fn verify_path(root: &[u8; 32], slot: u32, account: &Account, path: &AccountPath) -> bool {
    let canonical = path.siblings.iter().all(FieldDigest::is_canonical)
        && account.key.is_canonical()
        && account.owner.is_canonical();
    let bounded = account.balance < VALUE_LIMIT && account.nonce < VALUE_LIMIT;
    if slot >= SLOTS || !canonical || !bounded || path.pool >= VALUE_LIMIT {
        return false;
    }
    let accounts =
        path.siblings
            .iter()
            .enumerate()
            .fold(account.leaf(), |node, (level, sibling)| {
                if (slot >> level) & 1 == 0 {
                    compress(node, sibling.node())
                } else {
                    compress(sibling.node(), node)
                }
            });
    let opening = RootOpening {
        accounts: FieldDigest::from_node(accounts),
        pool: path.pool,
        fee_slot: path.fee_slot,
    };
    opening.root() == *root
}

/// Roots of empty subtrees, by height.
fn empty_nodes() -> &'static [Node; DEPTH + 1] {
    static EMPTY: OnceLock<[Node; DEPTH + 1]> = OnceLock::new();
    EMPTY.get_or_init(|| {
        let mut node = Account::default().leaf();
        core::array::from_fn(|_| {
            let level = node;
            node = compress(node, node);
            level
        })
    })
}
