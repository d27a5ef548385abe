//! Parameters that no chain may start with.

use crate::{ConsensusParameters, limits};

fn with_phases(keygen_phase_blocks: u64) -> ConsensusParameters {
    ConsensusParameters {
        keygen_phase_blocks,
        ..ConsensusParameters::default()
    }
}

/// A genesis could have phases that were over before a member which lags as far as opening may had
/// executed the block that they began with: no attempt at a key of such a chain needed to succeed.
#[test]
fn phases_of_a_key_generation_are_longer_than_opening_may_lag() {
    let shortest = limits::KEYGEN_PHASE_BLOCKS_MIN;
    assert_eq!(with_phases(shortest).check(), Ok(()));
    assert_eq!(ConsensusParameters::default().check(), Ok(()));
    for blocks in [0, 1, limits::LEDGER_LAG_BLOCKS_MAX, shortest - 1] {
        let error = with_phases(blocks).check().expect_err("too short");
        assert!(error.to_string().starts_with("[CV-TYPE-007]"), "{error}");
        // Without epochs there are none.
        let mut single = with_phases(blocks);
        single.epoch_blocks = 0;
        assert_eq!(single.check(), Ok(()));
    }
}
