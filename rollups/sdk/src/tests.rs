//! What the SDK promises: numbers never repeat, streams have no gaps, and nothing false verifies.

mod chain;
mod follow;
mod nodes;
mod sequence;
mod sse;
mod verify;
