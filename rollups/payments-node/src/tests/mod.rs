//! The node's parts against real wallets and the real transition, and the whole node against a
//! chain in miniature.

mod chain;
mod fixture;
mod genesis;
mod http;
mod load;
mod node;
mod owner;
mod queue;
