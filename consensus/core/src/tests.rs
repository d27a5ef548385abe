//! The protocol's rules as exact steps, then agreement and liveness of small networks.

mod election;
mod epochs;
mod evidence;
mod fixture;
mod keys;
mod lagging;
mod leading;
mod model;
mod network;
mod routing;
mod rules;
mod timeouts;
