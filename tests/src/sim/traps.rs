//! Histories in which protocols of this kind are known to have failed, each played at many moments
//! of a view. Under every one of them each invariant must hold, and everything be done in the end.

use super::plan::{Crash, Liar, MS, Partition, Plan, SECOND, Submission};
use super::{Options, Outcome, run_censored, run_plan};
use crate::byzantine::Lie;
use crate::coverage::Branch;

/// Plays the trap at many moments; what it reached, summed up.
fn play(set: impl Fn(&mut Plan, u64)) -> crate::Coverage {
    let mut coverage = crate::Coverage::default();
    for moment in 0..12 {
        let mut plan = Plan::calm();
        set(&mut plan, 1_500 * MS + moment * 37 * MS);
        let Outcome {
            violation,
            coverage: reached,
            ..
        } = run_plan(Options::of(7_001 + moment), plan);
        assert_eq!(violation, None, "at moment {moment}");
        coverage.add(&reached);
    }
    coverage
}

fn cut(from_us: u64, to_us: u64, side: u32) -> Partition {
    Partition {
        from_us,
        to_us,
        side,
        one_way: false,
    }
}

/// Two and two: each half sees the timeouts of f+1, again and again. Whoever enters a view on so
/// few can be led away from a block that the others make final; the checker counts the timeouts
/// behind every view that is entered.
#[test]
fn timeouts_of_f_plus_one_do_not_move_a_view() {
    let reached = play(|plan, at_us| plan.partitions.push(cut(at_us, at_us + 3 * SECOND, 0b0011)));
    assert!(reached.times(Branch::ViewTimedOut) > 0);
}

/// One node loses the votes of its view, gives up that view and later ones, and only then learns
/// of the certificate of the first. A commit vote now would contradict its timeouts: f+1 such nodes
/// and a certificate of timeouts that does not name the block undo a final block.
#[test]
fn a_view_given_up_gets_no_commit_vote_when_its_certificate_comes_late() {
    let reached = play(|plan, at_us| {
        for node in 0..3 {
            plan.partitions.push(Partition {
                one_way: true,
                ..cut(
                    at_us + node * 300 * MS,
                    at_us + 1_400 * MS,
                    0b1111 ^ 1 << node,
                )
            });
        }
    });
    assert!(reached.times(Branch::ViewTimedOut) > 0);
    assert!(reached.times(Branch::TimeoutCertified) > 0);
}

/// With one node down and another deaf, one makes the certificate of the timeouts, moves on alone
/// and is not heard: the others must get it from its later timeouts, or nobody ever moves again.
#[test]
fn who_moves_on_alone_takes_the_others_along() {
    let reached = play(|plan, at_us| {
        plan.crashes.push(Crash {
            node: 3,
            at_us,
            back_us: at_us + 3 * SECOND,
        });
        // Nothing leaves node 0 while the timeouts of the lost view come in.
        plan.partitions.push(Partition {
            one_way: true,
            ..cut(at_us, at_us + 2 * SECOND, 0b0001)
        });
    });
    assert!(reached.times(Branch::TimeoutCertified) > 0);
}

/// A block gets its certificate, which one node far away learns, and the nodes that hold it all
/// crash at once. What a quorum voted for is on their disks, so the block must come back.
#[test]
fn a_certified_block_survives_the_crash_of_all_who_hold_it() {
    let reached = play(|plan, at_us| {
        plan.partitions
            .push(cut(at_us - 200 * MS, at_us - 20 * MS, 0b1000));
        let crash = |node| Crash {
            node,
            at_us,
            back_us: at_us + 900 * MS,
        };
        plan.crashes.extend((0..3).map(crash));
    });
    assert!(reached.times(Branch::Restart) > 0);
}

/// A leader proposes blocks of the future, so that an auction is over before anybody else has bid.
/// Voters refuse them; auctions go on under the other leaders.
#[test]
fn a_leader_cannot_jump_over_an_auction() {
    let reached = play(|plan, at_us| {
        let node = (at_us / MS % 4) as usize;
        let lies = vec![Lie::TimeJumper];
        plan.liar = Some(Liar { node, lies });
    });
    assert!(reached.times(Branch::OpenedAtClose) > 0);
}

/// Every way to lie, alone and at every place, on a network without any other fault.
#[test]
fn one_liar_of_any_kind_harms_nobody() {
    for (number, lie) in (0..).zip(Lie::ALL) {
        let mut plan = Plan::calm();
        let node = number as usize % 4;
        let lies = vec![lie];
        plan.liar = Some(Liar { node, lies });
        let outcome = run_plan(Options::of(7_100 + number), plan);
        assert_eq!(outcome.violation, None, "{lie:?}");
        assert!(outcome.delivered > 0, "{lie:?}");
    }
}

/// Seven nodes, three of which leave at the end of the first epoch, and time for what follows.
fn with_leavers() -> Plan {
    let submission = |number: u64| Submission {
        at_us: 300 * MS + number * 200 * MS,
        draw: number,
    };
    Plan {
        nodes: 7,
        epoch_blocks: 20,
        ahead_ms: vec![0; 7],
        leavers: vec![4, 5, 6],
        heal_us: 10 * SECOND,
        end_us: 130 * SECOND,
        submissions: (0..45).map(submission).collect(),
        ..Plan::calm()
    }
}

/// Three of seven leave and stay up, with one of them lying in every way there is, or none. What they
/// say was counted among signers of whom they are none: no batch had a certificate any more, nothing
/// was opened, and a node that had asked where others stand never began.
#[test]
fn who_weighs_nothing_any_more_spoils_nothing() {
    let lies = [None].into_iter().chain(Lie::ALL.into_iter().map(Some));
    for (number, lie) in (0..).zip(lies) {
        let mut plan = with_leavers();
        plan.liar = lie.map(|lie| Liar {
            node: 4 + number as usize % 3,
            lies: vec![lie],
        });
        // The others are as many as a quorum, and one of them comes back late.
        plan.crashes.push(Crash {
            node: 1,
            at_us: 6 * SECOND + number * 131 * MS,
            back_us: 9 * SECOND,
        });
        let outcome = run_plan(Options::of(7_401 + number), plan);
        assert_eq!(outcome.violation, None, "{lie:?}");
        let left = outcome.coverage.times(Branch::MembersLeft);
        assert!(left > 0, "{lie:?}: nobody has left");
    }
}

/// One member leaves one author's batches out whenever it leads, and the network keeps every other
/// leader's proposals from arriving, so that nothing but its blocks can become final. As soon as the
/// others are sure that it must know better they vote for none of them, and once they are heard they
/// order what was left out.
#[test]
fn a_leader_that_leaves_an_author_out_is_not_followed() {
    let outcome = run_censored(Options::of(7_300));
    assert_eq!(outcome.violation, None);
    assert!(outcome.delivered > 0);
}
