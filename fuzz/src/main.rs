//! The libFuzzer binary: one for all targets, named by the variable `CONCLAVE_FUZZ_TARGET`.
//!
//! `run.sh` builds it with coverage counters in the crates of this workspace and starts it.
#![no_main]

use std::process::abort;
use std::sync::OnceLock;

use conclave_fuzz::{Target, attempt, keep_contained_panics_quiet, target};

static TARGET: OnceLock<&'static Target> = OnceLock::new();

fn choose() -> &'static Target {
    // libFuzzer's own handler aborts on every panic, also on those that the code under test
    // contains.
    keep_contained_panics_quiet();
    let name = std::env::var("CONCLAVE_FUZZ_TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| {
        eprintln!("CONCLAVE_FUZZ_TARGET is {name:?}, which is no target; see fuzz/src/lib.rs");
        std::process::exit(2);
    })
}

libfuzzer_sys::fuzz_target!(init: TARGET.get_or_init(choose), |data: &[u8]| {
    if let Err(failure) = attempt(TARGET.get_or_init(choose), data) {
        eprintln!("{failure}");
        abort();
    }
});
