//! The node of the payments rollup: it takes payments, has them ordered, executes what was ordered,
//! and shows every account with a proof against the ledger's settled root.
//!
//! ```text
//! POST /v1/payments ─▶ checks ─▶ queue (durable) ─▶ sender: seal, submit ─▶ validators
//!                                  ▲      │                                     │
//! faucet, load generator ──────────┘      │ seen delivered                      ▼
//!                                         └──────────── owner ◀── feed: the rollup's stream
//! GET /v1/accounts, /v1/payments ◀──────────────────────┘  │
//!                                                          └◀── the ledger's settled root
//! ```
//!
//! Invariants:
//! - An acknowledged payment is on disk until it was seen delivered, or can never be.
//! - One sender's payments are never in two envelopes on their way, so its nonces arrive in order.
//! - The state follows from the stream alone; nothing a client sends changes it directly.
//! - The settled state's root is the ledger's, or the node stops.
//! - One thread owns state, queue and database; it replies only after the commit.
//! - The wallets of faucet and load generator record leaves as used before they sign.
//!
//! A rollup's genesis file is described at [`RollupGenesis`]; [`RollupGenesis::load`] is for every
//! program that executes the rollup, and [`prepare_genesis`] writes the file of a devnet.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod api;
mod config;
mod devnet;
mod domain;
mod error;
mod faucet;
mod feed;
mod files;
mod gateway;
mod genesis;
mod leaves;
mod load;
mod metrics;
mod node;
mod outcome;
mod owner;
mod payment_id;
mod purse;
mod queue;
mod refusal;
mod register;
mod replica;
mod store;

#[cfg(test)]
mod tests;

pub use api::{
    ApiFailure, FaucetRequest, FaucetView, PaymentState, PaymentView, RollupAccountView,
    RollupStatusView, StateName, SubmitRequest, ViewError,
};
pub use config::{
    DevnetConfig, ENVELOPE_PAYMENTS_MAX, GatewayConfig, RegistrationConfig, RollupNodeConfig,
};
pub use devnet::prepare_genesis;
pub use error::RollupError;
pub use genesis::RollupGenesis;
pub use node::RollupNode;
pub use outcome::OutcomeKind;
pub use payment_id::PaymentId;
pub use refusal::Refusal;
