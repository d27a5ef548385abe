//! Whole nodes, with a look inside.

#[path = "../tests/common/mod.rs"]
pub(crate) mod common;
mod skipping;
