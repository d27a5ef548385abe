//! A job is done once, in its turn, whatever the market and the network do.

use std::collections::BTreeMap;
use std::sync::Arc;

use conclave_sdk::ProvenRange;
use conclave_sdk::api::AuctionView;
use conclave_types::{AuctionId, Digest, Range, RollupId, StateRoot, TxIndex};

use super::views::{ME, OTHER, auction, prover, won};
use crate::bids::{Abstention, Bids, Capacity};
use crate::contents::{Contents, ContentsError};
use crate::jobs::{JobStage, Jobs, Submission, key_of, range_of};
use crate::tests::views::{config, delivery};

fn proven() -> Arc<ProvenRange> {
    Arc::new(ProvenRange {
        proof: vec![1],
        new_root: StateRoot(Digest([9; 32])),
        excluded: vec![],
    })
}

/// Shows the jobs a market with this settled index; returns the ranges that are over.
fn observe(jobs: &mut Jobs, now: u64, auctions: &[AuctionView], settled: u64) -> Vec<Range> {
    let settled = |_: RollupId| Some(TxIndex(settled));
    jobs.observe(now, ME, auctions, true, settled)
}

fn stages(jobs: &Jobs) -> Vec<JobStage> {
    jobs.iter().map(|job| job.stage.clone()).collect()
}

#[test]
fn a_won_range_is_proven_at_once_and_submitted_after_its_predecessor() {
    let mut jobs = Jobs::default();
    let waiting = [won(2, 10, 20, None)];
    observe(&mut jobs, 0, &waiting, 0);
    let range = range_of(&waiting[0]);
    assert_eq!(jobs.wanted(), [range]);
    jobs.proving(&range);
    assert!(jobs.wanted().is_empty(), "one worker is enough");
    jobs.proved(key_of(&range), Ok(proven()));
    assert!(
        jobs.start_submitting(0).is_empty(),
        "the predecessor is not settled"
    );

    observe(&mut jobs, 1, &[won(2, 10, 20, Some(9_000))], 10);
    let due = jobs.start_submitting(1);
    assert_eq!(due.len(), 1);
    assert!(jobs.start_submitting(1).is_empty(), "once at a time");
    jobs.submitted(2, key_of(&range), AuctionId(2), Submission::Accepted);
    assert!(jobs.start_submitting(3).is_empty());
    assert_eq!(observe(&mut jobs, 4, &[], 20), [range], "settled: over");
    assert!(stages(&jobs).is_empty());
}

#[test]
fn refusals_are_retried_or_given_up_by_their_codes() {
    let view = won(2, 0, 10, Some(9_000));
    let range = range_of(&view);
    let ready = |jobs: &mut Jobs| {
        observe(jobs, 0, std::slice::from_ref(&view), 0);
        jobs.proved(key_of(&range), Ok(proven()));
        assert_eq!(jobs.start_submitting(0).len(), 1);
    };
    let submit = |code: &str| {
        let mut jobs = Jobs::default();
        ready(&mut jobs);
        let result = Submission::refused(code, "why");
        jobs.submitted(100, key_of(&range), AuctionId(2), result);
        let early = jobs.start_submitting(101).len();
        let late = jobs.start_submitting(100_000).len();
        (stages(&jobs).remove(0), early, late)
    };
    for code in [
        "CV-MKT-012",
        "CV-MKT-013",
        "CV-MKT-014",
        "CV-MKT-019",
        "CV-SEQ-026",
        "CV-SEQ-024",
    ] {
        assert_eq!(
            submit(code),
            (JobStage::Submitting, 0, 1),
            "{code}: again, after a pause"
        );
    }
    assert_eq!(submit("CV-MKT-016"), (JobStage::Accepted, 0, 0));
    for code in ["CV-MKT-010", "CV-MKT-015", "CV-MKT-020", "CV-LEDGER-021"] {
        let (stage, early, late) = submit(code);
        assert!(matches!(stage, JobStage::Failed(_)), "{code}");
        assert_eq!(
            (early, late),
            (0, 0),
            "{code}: a false proof is not sent again"
        );
    }
}

#[test]
fn the_standby_starts_when_the_winner_missed_and_others_keep_out() {
    let mut jobs = Jobs::default();
    let standing_by = AuctionView {
        winner: Some(OTHER.to_string()),
        standby: Some(ME.to_string()),
        ..auction(1, 0, 10, "awarded")
    };
    observe(&mut jobs, 0, std::slice::from_ref(&standing_by), 0);
    assert!(jobs.wanted().is_empty(), "it is the winner's turn");
    let called = AuctionView {
        state: "standby".into(),
        ..standing_by.clone()
    };
    observe(&mut jobs, 1, &[called], 0);
    assert_eq!(jobs.wanted().len(), 1);

    let mut others = Jobs::default();
    let foreign = AuctionView {
        standby: Some(OTHER.to_string()),
        ..standing_by
    };
    observe(&mut others, 0, &[foreign], 0);
    assert!(others.wanted().is_empty());
    let settled = |_: RollupId| Some(TxIndex(0));
    let open = [auction(1, 0, 10, "open")];
    others.observe(1, ME, &open, false, settled);
    assert!(others.wanted().is_empty(), "open jobs are not wanted here");
    others.observe(2, ME, &open, true, settled);
    assert_eq!(others.wanted().len(), 1);
}

#[test]
fn the_same_range_in_another_auction_keeps_its_proof() {
    let mut jobs = Jobs::default();
    let first = won(1, 0, 10, Some(1));
    let key = key_of(&range_of(&first));
    observe(&mut jobs, 0, &[first], 0);
    jobs.proved(key, Ok(proven()));
    jobs.start_submitting(0);
    jobs.submitted(
        0,
        key,
        AuctionId(1),
        Submission::refused("CV-MKT-011", "ended"),
    );
    observe(&mut jobs, 1, &[won(5, 0, 10, Some(1))], 0);
    let due = jobs.start_submitting(1);
    assert_eq!(
        due.iter().map(|(_, id, _)| *id).collect::<Vec<_>>(),
        [AuctionId(5)]
    );
    jobs.submitted(2, key, AuctionId(1), Submission::Accepted);
    assert_eq!(
        stages(&jobs),
        [JobStage::Submitting],
        "a late answer of the old auction"
    );
}

#[test]
fn unserved_rollups_and_settled_ranges_make_no_jobs() {
    let mut jobs = Jobs::default();
    jobs.observe(0, ME, &[won(1, 0, 10, None)], true, |_| None);
    assert!(jobs.wanted().is_empty());
    observe(&mut jobs, 0, &[won(1, 0, 10, None)], 10);
    assert!(jobs.wanted().is_empty());
}

#[test]
fn no_bid_without_a_served_rollup() {
    let (config, prover) = (config(), prover());
    let capacity = Capacity {
        config: &config,
        prover: Some(&prover),
        unproven: vec![],
    };
    let result =
        Bids::default().consider(&auction(1, 0, 4, "bidding"), &BTreeMap::new(), &capacity);
    assert_eq!(result, Err(Abstention::NotServed));
}

#[test]
fn contents_resume_inside_a_block_and_notice_gaps() {
    let transactions: Vec<Vec<u8>> = (0..6_u8).map(|n| vec![n]).collect();
    let mut contents = Contents::from(TxIndex(2));
    contents
        .append(&delivery(4, 0, &transactions[..4]))
        .expect("fits");
    assert_eq!(contents.next(), TxIndex(4), "the first two were settled");
    contents
        .append(&delivery(5, 4, &transactions[4..]))
        .expect("fits");
    let range = contents.range(TxIndex(3), TxIndex(5)).expect("here");
    let found: Vec<_> = range.iter().map(|t| (t.height.0, t.bytes[0])).collect();
    assert_eq!(found, [(4, 3), (5, 4)]);
    assert_eq!(contents.range(TxIndex(3), TxIndex(7)), None, "not read yet");
    contents.forget_before(TxIndex(4));
    assert_eq!(contents.range(TxIndex(3), TxIndex(5)), None, "gone");
    let gap = contents.append(&delivery(7, 7, &transactions[..1]));
    assert!(matches!(gap, Err(ContentsError::Gap { .. })));
}
