//! The API over real HTTP on a loopback port, served from an in-memory chain that a real ledger
//! executes.

pub(crate) mod chain;
mod errors;
mod ledger;
mod routes;
mod server;
mod serving;
mod streams;
