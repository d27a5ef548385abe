//! How much memory a piece of code asks for.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Runs it, and counts the bytes that this process asked for meanwhile. What was given back counts
/// too: a reservation that is dropped at once may already have been too large.
pub(crate) fn measured<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let region = Region::new(ALLOCATOR);
    let result = run();
    (result, region.change().bytes_allocated)
}
