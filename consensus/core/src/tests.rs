//! The protocol's rules as exact steps, then agreement and liveness of small networks.

mod election;
mod fixture;
mod keys;
mod lagging;
mod leading;
mod network;
mod rules;
mod timeouts;
