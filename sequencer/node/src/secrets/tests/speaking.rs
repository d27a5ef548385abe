//! What a validator says in a key generation, and when, on the production ledger.

use conclave_ledger::{BlsCommittees, ExecutableBlock, VoteKeys};
use conclave_market::{ContentSource, OrderedTransaction};
use conclave_types::{BlockTime, Range};

use super::super::*;
use crate::http::tests::chain::{Lenient, genesis};

struct Nothing;

impl ContentSource for Nothing {
    fn transactions(&self, _: &Range) -> Option<Vec<OrderedTransaction>> {
        None
    }
}

/// A ledger whose key generation has just begun, and validator 0.
struct Member {
    secrets: Secrets,
    ledger: Ledger,
    votes: VoteKeys,
    _data: tempfile::TempDir,
}

impl Member {
    fn new() -> Self {
        let mut genesis = genesis();
        genesis.consensus.epoch_blocks = 2;
        genesis.consensus.keygen_phase_blocks = limits::KEYGEN_PHASE_BLOCKS_MIN;
        let data = tempfile::tempdir().expect("a directory");
        let vault = Vault::open(data.path()).expect("a vault");
        let votes = VoteKeys {
            chain: genesis.chain_id(),
            committees: Arc::new(BlsCommittees),
        };
        let mut member = Self {
            secrets: Secrets::new(ValidatorIndex(0), vault, Vec::new(), None),
            ledger: Ledger::genesis(&genesis),
            votes,
            _data: data,
        };
        while member.ledger.key_generation().is_none() {
            member.executes(1);
        }
        member
    }

    fn executes(&mut self, blocks: u64) {
        for _ in 0..blocks {
            let height = self.ledger.height().next();
            let block = ExecutableBlock {
                height,
                epoch: Epoch(0),
                time: BlockTime(2_000_000 + height.0),
                proposer: ValidatorIndex(0),
                ledger_height: Height(height.0 - 1),
                entries: vec![],
                bids: vec![],
            };
            let executed = self.ledger.execute(block, &Nothing, &Lenient, &self.votes);
            executed.expect("an empty block");
        }
    }

    /// The phase that this validator would speak in, with so many final blocks not executed.
    fn says(&mut self, lag: u64) -> Option<KeyGenerationPhase> {
        let committed = Height(self.ledger.height().0 + lag);
        let turn = self.secrets.turn(&self.ledger, committed);
        let turn = turn.expect("a vault that can be read")?;
        turn.speak(&self.ledger)?;
        self.secrets.spoke(&turn);
        Some(self.ledger.key_generation().expect("runs").phase())
    }
}

/// Opening may lag 64 blocks behind ordering, and in a committee that was more than 32 behind nobody
/// said anything: every attempt at a key failed until it had caught up.
#[test]
fn a_member_speaks_while_opening_lags_as_far_as_it_may() {
    let mut member = Member::new();
    let said = member.says(limits::LEDGER_LAG_BLOCKS_MAX);
    assert_eq!(said, Some(KeyGenerationPhase::Channel));
}

/// What was not ordered was said again 64 blocks later, when the phase was over.
#[test]
fn what_was_not_ordered_is_said_again_in_the_same_phase() {
    let mut member = Member::new();
    let lag = 5;
    assert!(member.says(lag).is_some());
    member.executes(lag + limits::ORDER_BLOCKS - 1);
    assert_eq!(member.says(lag), None, "it may be in the next block");
    member.executes(1);
    assert_eq!(member.says(lag), Some(KeyGenerationPhase::Channel));
    assert_eq!(member.says(lag), None);
}

/// A node that catches up executes key generations of long ago, whose members have long spoken.
#[test]
fn nothing_is_said_in_a_phase_that_is_over_by_what_is_final() {
    let mut member = Member::new();
    assert_eq!(member.says(limits::KEYGEN_PHASE_BLOCKS_MIN), None);
    assert!(member.says(limits::KEYGEN_PHASE_BLOCKS_MIN - 1).is_some());
}
