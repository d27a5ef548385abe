//! Whole nodes, with a look inside.

#[path = "../tests/common/mod.rs"]
mod common;
mod skipping;
