//! Views as a node would give them.

use conclave_sdk::api::{AccountView, AuctionView, DeliveredEnvelope, DeliveryView, ProverView};
use conclave_types::{AccountId, Amount, Digest, RollupId};

use crate::config::{ProverConfig, ServedRollup};
use crate::strategy::Strategy;

pub(super) const ME: AccountId = AccountId(Digest([1; 32]));
pub(super) const OTHER: AccountId = AccountId(Digest([2; 32]));

pub(super) fn config() -> ProverConfig {
    ProverConfig {
        account_key: "key".into(),
        nodes: vec!["http://127.0.0.1:1".into()],
        data_dir: "data".into(),
        rollups: vec![ServedRollup {
            id: RollupId(1),
            genesis: "genesis.toml".into(),
        }],
        strategy: Strategy::default(),
        price_per_second: Amount(1_000),
        workers: 1,
        slots: 2,
        bond: Amount(10_000),
        rearm: true,
        open_jobs: true,
        fees_min: Amount(1_000),
        fees_topup: Amount(5_000),
        poll_ms: 75,
    }
}

pub(super) fn auction(id: u64, from: u64, to: u64, state: &str) -> AuctionView {
    AuctionView {
        id,
        rollup: 1,
        program: Digest::ZERO.to_string(),
        from_index: from,
        to_index: to,
        from_height: 1,
        to_height: 2,
        state: state.into(),
        round: 1,
        opened_ms: 0,
        closes_ms: 500,
        price_max: 1_000_000,
        sealed_bids: 0,
        bids: vec![],
        winner: None,
        standby: None,
        price: None,
        bond: None,
        deadline_ms: None,
        settled_by: None,
        paid: None,
    }
}

pub(super) fn won(id: u64, from: u64, to: u64, deadline_ms: Option<u64>) -> AuctionView {
    AuctionView {
        winner: Some(ME.to_string()),
        standby: Some(OTHER.to_string()),
        deadline_ms,
        ..auction(id, from, to, "awarded")
    }
}

pub(super) fn prover() -> ProverView {
    ProverView {
        account: ME.to_string(),
        balance: 0,
        bond_free: 10_000,
        bond_locked: 0,
        slots: 2,
        jobs: 0,
        armed: true,
        settled: 0,
        missed: 0,
    }
}

pub(super) fn account(balance: u64, fees: u64) -> AccountView {
    AccountView {
        account: ME.to_string(),
        balance,
        fees,
        sequence: None,
    }
}

pub(super) fn delivery(height: u64, first_index: u64, transactions: &[Vec<u8>]) -> DeliveryView {
    DeliveryView {
        malformed_evidence: Vec::new(),
        inconsistent_evidence: vec![],
        rollup: 1,
        height,
        time_ms: 0,
        first_index,
        envelopes: vec![DeliveredEnvelope {
            id: String::new(),
            payer: String::new(),
            header: String::new(),
            outcome: "opened".into(),
            opening: None,
            body: None,
            transactions: transactions.iter().map(hex::encode).collect(),
        }],
        stream_digest: String::new(),
        block: None,
    }
}
