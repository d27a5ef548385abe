//! What hostile bytes must not do to a node: fuzz targets as plain functions of their input.
//!
//! ```text
//! corpus/<target>/* ─┬─▶ tests/replay.rs: every kept input, and seeded mutations of them ─┐
//!                    └─▶ libFuzzer (run.sh): the same with coverage as its guide ─────────┴─▶ Target::run
//! ```
//!
//! A target panics when the code under test does, or breaks what it promises. It is a function of
//! its input alone: what it needs besides, such as a real proof, is made once from fixed seeds.
//!
//! | target | hostile input | must hold |
//! | --- | --- | --- |
//! | `proofs` | a proof, its exclusions and its root | only the unchanged proof is accepted; no panic; memory in proportion |
//! | `decoding` | bytes of every wire and store format | no panic; bounded memory; what decodes encodes to the same bytes |
//! | `text` | JSON and ids of the HTTP APIs | no panic; what parses is written and read again as the same |
//! | `payments` | ordered payments | the outcome of an independent model; money is conserved |
//! | `agreement` | everything one Byzantine validator of four and the network can do | agreement; no double vote; nobody honest is accused |
//! | `sequencing` | peers' batches, certificates, shares; clients' envelopes | no panic, no stop; blocks are executed in order; money is conserved |

mod agreement;
mod allocation;
mod choices;
mod committee;
mod decoding;
mod panics;
mod payments;
mod proofs;
mod rollup;
mod sequencing;
mod text;

use std::collections::BTreeSet;

pub use panics::{attempt, keep_contained_panics_quiet};

/// Something that takes hostile bytes.
pub struct Target {
    /// What its corpus's directory is called.
    pub name: &'static str,
    /// Panics when it found something.
    pub run: fn(&[u8]),
    /// Longest input that is worth a try, in bytes.
    pub bytes_max: usize,
    /// Mutations that the replay tries; a target that costs more per input gets fewer.
    pub mutations: u32,
}

/// All of them.
pub const TARGETS: [Target; 6] = [
    Target {
        name: "proofs",
        run: proofs::run,
        bytes_max: 512,
        mutations: 1_000,
    },
    Target {
        name: "decoding",
        run: decoding::run,
        bytes_max: 4_096,
        mutations: 20_000,
    },
    Target {
        name: "text",
        run: text::run,
        bytes_max: 4_096,
        mutations: 10_000,
    },
    Target {
        name: "payments",
        run: payments::run,
        bytes_max: 4_096,
        mutations: 2_000,
    },
    Target {
        name: "agreement",
        run: agreement::run,
        bytes_max: 4_096,
        mutations: 2_000,
    },
    Target {
        name: "sequencing",
        run: sequencing::run,
        bytes_max: 4_096,
        mutations: 1_000,
    },
];

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// How far the inputs of a target get: how many formats they are understood as, or how many blocks
/// the best of them has committed or executed. `None` for targets where there is nothing to count.
pub fn reach<'a>(name: &str, inputs: impl Iterator<Item = &'a [u8]>) -> Option<usize> {
    let distinct = |understood: fn(&[u8]) -> Option<usize>, inputs| {
        let found: BTreeSet<usize> = Iterator::filter_map(inputs, understood).collect();
        found.len()
    };
    match name {
        "decoding" => Some(distinct(decoding::understood, inputs)),
        "text" => Some(distinct(text::understood, inputs)),
        "agreement" => inputs.map(agreement::play).max(),
        "sequencing" => inputs.map(sequencing::play).max(),
        _ => None,
    }
}
