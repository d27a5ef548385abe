//! What the SDK promises: numbers never repeat, streams have no gaps, and nothing false verifies.

mod audit;
mod chain;
mod epochs;
mod follow;
mod nodes;
mod outcomes;
mod sequence;
mod settlement;
mod sse;
mod verify;
