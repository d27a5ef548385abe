//! Every kept input of every target, and seeded mutations of them: the part of fuzzing that needs
//! no fuzzer.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use conclave_fuzz::{Target, attempt, keep_contained_panics_quiet, reach, target};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// Memory is counted for the whole process, so one target runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// What the kept inputs of a target have to reach, by [`reach`].
const REACHED_MIN: [(&str, usize); 4] = [
    ("decoding", 30),
    ("text", 30),
    ("agreement", 8),
    ("sequencing", 3),
];

#[test]
fn proofs() {
    replay("proofs");
}

#[test]
fn decoding() {
    replay("decoding");
}

#[test]
fn text() {
    replay("text");
}

#[test]
fn payments() {
    replay("payments");
}

#[test]
fn agreement() {
    replay("agreement");
}

#[test]
fn sequencing() {
    replay("sequencing");
}

/// Inputs age with the code that they were found for. These have to reach what they are kept for.
#[test]
fn the_kept_inputs_still_reach_what_they_are_kept_for() {
    let _alone = ALONE.lock();
    for (name, reached_min) in REACHED_MIN {
        let kept = kept(name);
        let reached = reach(name, kept.iter().map(|(_, input)| &input[..]));
        assert!(reached >= Some(reached_min), "{name} reaches {reached:?}");
    }
}

fn replay(name: &str) {
    let alone = ALONE.lock();
    let target = target(name).expect("a target");
    keep_contained_panics_quiet();
    let kept = kept(name);
    for (path, input) in &kept {
        if let Err(failure) = attempt(target, input) {
            panic!("{}: {failure}", path.display());
        }
    }
    mutate(target, &kept);
    drop(alone);
}

fn mutate(target: &Target, kept: &[(PathBuf, Vec<u8>)]) {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..target.mutations {
        let mut input = pick(&mut random, kept);
        for _ in 0..1 + random.next_u32() % 4 {
            change(&mut input, &mut random, kept);
        }
        input.truncate(target.bytes_max);
        if let Err(failure) = attempt(target, &input) {
            let hex = input.iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            });
            panic!("{}: {failure}\nkeep this input: {hex}", target.name);
        }
    }
}

fn pick(random: &mut ChaCha8Rng, kept: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
    let which = random.next_u32() as usize % kept.len();
    kept[which].1.clone()
}

fn change(input: &mut Vec<u8>, random: &mut ChaCha8Rng, kept: &[(PathBuf, Vec<u8>)]) {
    let at = random.next_u32() as usize % (input.len() + 1);
    let length = 1 + random.next_u32() as usize % 8;
    match random.next_u32() % 6 {
        0 if at < input.len() => input[at] = random.next_u32() as u8,
        1 if at < input.len() => input[at] ^= 1 << (random.next_u32() % 8),
        2 => {
            let mut bytes = vec![0; length];
            random.fill_bytes(&mut bytes);
            input.splice(at..at, bytes);
        }
        3 => drop(input.drain(at..(at + length).min(input.len()))),
        4 => {
            let other = pick(random, kept);
            let from = random.next_u32() as usize % (other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        _ => {
            let fill = [0, 0xff, 0x80, 1][random.next_u32() as usize % 4];
            let end = (at + length).min(input.len());
            input[at.min(end)..end].fill(fill);
        }
    }
}

/// The kept inputs of a target, in the order of their names.
fn kept(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let entries = fs::read_dir(&directory).expect("every target has a corpus");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", directory.display());
    let read = |path: PathBuf| {
        let input = fs::read(&path).expect("readable");
        (path, input)
    };
    paths.into_iter().map(read).collect()
}
