//! The ledger as its owner holds it: the state and what is derived from it.

use conclave_types::{Digest, Genesis, codec};

use crate::agenda::Agenda;
use crate::broken::Switch;
use crate::error::RestoreError;
use crate::state::State;
use crate::tree::StateTree;

/// Bytes of a snapshot; what a node can hold in memory twice with room to spare.
const SNAPSHOT_BYTES_MAX: usize = 1 << 30;

/// The state machine. See the crate's documentation for what it does in which order.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub(crate) state: State,
    /// Derived: leaf digests of every entry.
    pub(crate) tree: StateTree,
    /// Derived: what is due when, and which auctions are finished.
    pub(crate) agenda: Agenda,
    /// Derived: the root of the state.
    pub(crate) root: Digest,
    pub(crate) broken: Switch,
}

impl Ledger {
    /// The ledger before the first block of a checked genesis.
    pub fn genesis(genesis: &Genesis) -> Self {
        Self::from_state(State::genesis(genesis))
    }

    /// The whole state as bytes. A ledger restored from them continues exactly like this one.
    pub fn snapshot(&self) -> Vec<u8> {
        codec::encode(&self.state)
    }

    /// Restores a snapshot. Compare [`Ledger::root`] with a certified header before relying on one
    /// that came from a peer.
    pub fn restore(bytes: &[u8]) -> Result<Self, RestoreError> {
        let state: State = codec::decode(bytes, SNAPSHOT_BYTES_MAX)?;
        if state.fees.executed != state.meta.height {
            return Err(RestoreError::Inconsistent {
                reason: "the fee ledger stands at another height",
            });
        }
        if !state.setups.contains(&state.meta.epoch) || !state.epochs.contains(&state.meta.epoch) {
            return Err(RestoreError::Inconsistent {
                reason: "the present epoch has no committee",
            });
        }
        let ledger = Self::from_state(state);
        if ledger.state.money() != u128::from(ledger.state.meta.supply.0) {
            return Err(RestoreError::Inconsistent {
                reason: "the entries do not add up to the money supply",
            });
        }
        Ok(ledger)
    }

    /// The state root after the last executed block.
    pub const fn root(&self) -> Digest {
        self.root
    }

    fn from_state(mut state: State) -> Self {
        let mut tree = StateTree::default();
        state.flush(&mut tree);
        let root = tree.root();
        let agenda = Agenda::of(&state);
        Self {
            state,
            tree,
            agenda,
            root,
            broken: Switch::default(),
        }
    }
}
