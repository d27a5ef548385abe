//! Every envelope has an opener, the work follows the weights, and takeover goes round.

use conclave_types::Epoch;

use super::*;
use crate::tests::committee_of;
use conclave_types::Digest;

fn block(number: u8) -> BlockId {
    BlockId(Digest([number; 32]))
}

#[test]
fn small_committees_and_malformed_envelopes_have_one_group() {
    let whole = BTreeMap::from([(ShareGroup::Whole, (0..20).collect::<Vec<_>>())]);
    let small = committee_of(&[1; 16]);
    assert_eq!(
        groups(&small, block(1), LaneKind::OnCommit.of(Epoch(0)), 20),
        whole
    );
    let large = committee_of(&[1; 19]);
    assert_eq!(
        groups(&large, block(1), LaneKind::Malformed.of(Epoch(0)), 20),
        whole
    );
    assert_eq!(receivers(&large, ShareGroup::Whole, 0), Receivers::All);
}

#[test]
fn every_envelope_is_in_one_group_and_groups_follow_the_weights() {
    let mut weights = [1; 19];
    weights[3] = 10;
    let committee = committee_of(&weights);
    // As many runs as key shares: each key share gets one.
    let count = RUN * 28;
    for number in 0..9 {
        let groups = groups(
            &committee,
            block(number),
            LaneKind::OnCommit.of(Epoch(0)),
            count,
        );
        let mut places: Vec<usize> = groups.values().flatten().copied().collect();
        places.sort_unstable();
        assert_eq!(places, (0..count).collect::<Vec<_>>());
        for (group, places) in groups {
            let ShareGroup::Of(opener) = group else {
                panic!("a large committee has openers");
            };
            assert!(places.is_sorted());
            let weight = usize::from(committee.weight(opener));
            assert_eq!(places.len(), RUN * weight, "{opener}");
        }
    }
}

#[test]
fn the_block_and_the_lane_decide_where_the_runs_begin() {
    let committee = committee_of(&[1; 19]);
    let first = |number, lane| {
        let groups = groups(&committee, block(number), lane, 1);
        *groups.keys().next().expect("one envelope")
    };
    let lane = LaneKind::OnCommit.of(Epoch(0));
    let openers: std::collections::BTreeSet<_> = (0..40).map(|n| first(n, lane)).collect();
    assert!(openers.len() > 10, "{openers:?}");
    let other = (0..40).filter(|n| first(*n, lane) != first(*n, LaneKind::AtClose.of(Epoch(0))));
    assert!(other.count() > 30);
}

#[test]
fn one_more_takes_over_each_turn_and_then_all() {
    let committee = committee_of(&[1; 19]);
    let some = |indices: &[u16]| {
        let indices = indices.iter().copied().map(ValidatorIndex);
        Receivers::Some(indices.collect())
    };
    let group = ShareGroup::Of(ValidatorIndex(17));
    assert_eq!(receivers(&committee, group, 0), some(&[17, 18]));
    assert_eq!(receivers(&committee, group, 1), some(&[17, 18, 0]));
    assert_eq!(receivers(&committee, group, 3), some(&[17, 18, 0, 1, 2]));
    assert_eq!(receivers(&committee, group, TURNS_MAX), Receivers::All);
}
