//! What happens to the networks: losses, crashes, lost disks, liars, the ends of epochs.

use super::*;

fn calm() -> Options {
    Options {
        twins: false,
        drop_percent: 0,
        delay_ms: 20,
        crashes: 0,
        outages: vec![],
        wipes: vec![],
        blind: None,
        #[cfg(feature = "broken-rules")]
        broken: None,
    }
}

#[test]
fn a_calm_network_loses_no_view() {
    let mut world = World::new(1, calm());
    world.run();
    let engine = world.peers[0].engine.as_ref().expect("up");
    let lost = engine.view().0 - engine.committed().0.0;
    assert!(lost <= 2, "{lost}");
    assert!(world.agreed.len() >= 55, "{}", world.agreed.len());
}

#[test]
fn epochs_follow_each_other_without_a_lost_view_in_between() {
    let mut world = World::new(2, calm());
    world.run();
    let views: Vec<u64> = world.peers[0]
        .disk
        .chain
        .windows(2)
        .map(|pair| pair[1].0.header.view.0 - pair[1].0.header.parent_view.0)
        .collect();
    let lost = views.iter().filter(|views| **views > 1).count();
    assert!(world.epochs >= 15, "{} epochs", world.epochs);
    // As in one long epoch: those of the start.
    assert!(lost <= 2, "{lost} views were lost");
}

#[test]
fn drops_delays_and_crashes_around_every_write() {
    for seed in 0..60 {
        let options = Options {
            drop_percent: 5 + seed % 30,
            delay_ms: 10 << (seed % 6),
            crashes: 5 * (seed % 8),
            ..calm()
        };
        World::new(seed, options).run();
    }
}

#[test]
fn twins_that_share_a_key_divide_nobody() {
    let mut caught = 0;
    for seed in 100..140 {
        let options = Options {
            twins: true,
            drop_percent: seed % 10,
            delay_ms: 10 << (seed % 5),
            crashes: 3 * (seed % 4),
            ..calm()
        };
        let mut world = World::new(seed, options);
        world.run();
        caught += world.accused.len();
    }
    assert!(caught > 20, "twins were caught in {caught} of 40 networks");
}

/// Views are being lost when everyone goes down at once, again and again.
#[test]
fn restarts_of_everyone_in_the_middle_of_timeouts() {
    for seed in 200..230 {
        let options = Options {
            drop_percent: 60,
            delay_ms: 400,
            outages: (1..9)
                .map(|i| (i * 2_000 + seed * 37 % 1_900, Outage::All))
                .collect(),
            ..calm()
        };
        World::new(seed, options).run();
    }
}

/// A sequencer once lost its liveness for good when all but one of its nodes restarted: the timeouts
/// that they had sent were forgotten, and the one that was up waited for them. So: all, all but one,
/// or one after the other, in whatever view and with whatever timeouts under way, over and over.
#[test]
fn restarts_of_all_of_all_but_one_and_one_by_one() {
    for seed in 400..460 {
        let outage = |at: u64| match (seed + at) % 3 {
            0 => Outage::All,
            1 => Outage::AllBut((at % 4) as usize),
            _ => Outage::Staggered(100 + at % 700),
        };
        let times = (1..10).map(|i| i * 1_900 + seed * 53 % 1_800);
        let options = Options {
            drop_percent: [0, 30, 70][seed as usize % 3],
            delay_ms: 40 + seed % 7 * 100,
            outages: times.map(|at| (at, outage(at))).collect(),
            ..calm()
        };
        World::new(seed, options).run();
    }
}

/// A validator whose disk is lost comes back with its keys and nothing else, while views are being
/// lost and others crash: it never contradicts what it signed before, or the checks of agreement
/// and of misbehaviour above say so, and it takes part again.
#[test]
fn a_validator_that_lost_its_disk_never_contradicts_itself() {
    let (mut wiped, mut doubts) = (0, 0);
    for seed in 500..580 {
        let options = Options {
            drop_percent: [0, 20, 50][seed as usize % 3],
            delay_ms: 20 << (seed % 5),
            crashes: 4 * (seed % 5),
            wipes: (0..5)
                .map(|i| {
                    (
                        2_500 + i * 3_500 + seed * 41 % 3_000,
                        (seed + i) as usize % 4,
                    )
                })
                .collect(),
            ..calm()
        };
        let mut world = World::new(seed, options);
        world.run();
        wiped += world.wiped;
        doubts += world.doubts;
    }
    assert!(wiped > 80, "{wiped} disks were lost");
    assert!(doubts > 0, "none at the end of an epoch");
}

/// The same with a liar in the committee, which shows different standings to whoever asks.
#[test]
fn a_lost_disk_beside_a_twin_divides_nobody() {
    for seed in 600..640 {
        let options = Options {
            twins: true,
            drop_percent: seed % 10,
            delay_ms: 10 << (seed % 5),
            wipes: (0..3)
                .map(|i| {
                    (
                        3_000 + i * 5_000 + seed * 31 % 2_000,
                        (seed + i) as usize % 3,
                    )
                })
                .collect(),
            ..calm()
        };
        World::new(seed, options).run();
    }
}

/// One validator sees every vote and no block, while those who have the blocks crash over and
/// over: it may hold a certificate for a block that only they have.
#[test]
fn certificates_for_blocks_that_only_crashed_nodes_hold() {
    for seed in 300..330 {
        let options = Options {
            blind: Some((seed % 4) as usize),
            drop_percent: 2,
            delay_ms: 60,
            crashes: 60,
            outages: vec![
                (6_000 + seed * 13, Outage::All),
                (12_000 + seed * 29, Outage::All),
            ],
            ..calm()
        };
        World::new(seed, options).run();
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let run = || {
        let options = Options {
            twins: true,
            drop_percent: 10,
            crashes: 10,
            ..calm()
        };
        World::new(7, options).run()
    };
    assert_eq!(run(), run());
}

/// The checks of these networks are not blind: where an epoch's last block is extended in its epoch,
/// they say so.
#[cfg(feature = "broken-rules")]
#[test]
fn networks_that_extend_last_blocks_are_noticed() {
    let noticed = |seed: u64| {
        let options = Options {
            drop_percent: 10 + seed % 40,
            delay_ms: 40 << (seed % 4),
            broken: Some(Broken::LastBlock),
            ..calm()
        };
        let mut world = World::new(seed, options);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run())).is_err()
    };
    assert!((700..730).any(noticed), "nobody noticed");
}
