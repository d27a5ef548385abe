//! A committee of real validators on loopback, made once and started anew for each run.

use std::fs;

use anyhow::Context;
use conclave_crypto::EdSecret;
use conclave_sdk::{Client, Gateway, GatewayOptions};
use conclave_types::{
    Allocation, Amount, ConsensusParameters, Digest, FeeParameters, Genesis, MarketParameters,
    ProgramVersion, ProofPolicy, RollupConfig, RollupId, SealingKey, StateRoot, SystemOp,
};
use std::sync::Arc;
use std::time::Duration;

use super::machine;
use crate::devnet::directory::Directory;
use crate::devnet::plan::validator_name;
use crate::devnet::processes::Processes;
use crate::devnet::{setup, start_validators};
use crate::files::{read_toml, write_toml};
use crate::genesis::{self, Draft};

/// Who pays for the load. Each payer's sequence numbers then stay far within the window in which
/// they may be ordered.
pub(super) const PAYERS: usize = 64;
/// What each account starts with, and has prepaid: enough for every run.
const BALANCE: Amount = Amount(1_000_000_000_000);
/// How long a registration may take.
const REGISTER_PATIENCE: Duration = Duration::from_secs(30);

/// The committee's files, processes and chain.
pub(super) struct Committee<'a> {
    directory: &'a Directory,
    processes: &'a mut Processes,
    genesis: Arc<Genesis>,
    payers: Arc<Vec<EdSecret>>,
    operator: [u8; 32],
}

impl<'a> Committee<'a> {
    /// Makes keys, generates the sealing key between processes, and makes the genesis.
    pub(super) async fn create(
        directory: &'a Directory,
        processes: &'a mut Processes,
    ) -> anyhow::Result<Self> {
        let plan = *directory.plan();
        let payers: Vec<EdSecret> = (0..PAYERS)
            .map(|_| EdSecret::generate(&mut rand_core::OsRng))
            .collect();
        let operator = EdSecret::generate(&mut rand_core::OsRng);
        let allocate = |secret: &EdSecret| Allocation {
            account: secret.account(),
            balance: BALANCE,
            fees: BALANCE,
        };
        let draft = Draft {
            name: "conclave bench".into(),
            time: genesis::now()?,
            consensus: ConsensusParameters::default(),
            fees: FeeParameters::default(),
            market: MarketParameters::default(),
            validators: setup::validators(directory, &plan)?,
            allocations: payers.iter().chain([&operator]).map(allocate).collect(),
        };
        genesis::write_draft(&directory.file("draft.toml"), &draft)?;
        processes.run_to_end(&setup::dkg(directory, &plan)).await?;
        let sealing: SealingKey = read_toml(&directory.part(&validator_name(0), "sealing.toml"))?;
        let genesis = draft.with_key(sealing);
        genesis.check()?;
        write_toml(&directory.file("genesis.toml"), &genesis)?;
        directory.complete(genesis.chain_id().to_string())?;
        setup::configure_validators(directory)?;
        Ok(Self {
            directory,
            processes,
            genesis: Arc::new(genesis),
            payers: Arc::new(payers),
            operator: *operator.to_seed(),
        })
    }

    pub(super) fn genesis(&self) -> &Arc<Genesis> {
        &self.genesis
    }

    pub(super) fn payers(&self) -> &Arc<Vec<EdSecret>> {
        &self.payers
    }

    /// The base URL of each validator's API.
    pub(super) fn urls(&self) -> Vec<String> {
        self.directory.plan().api_urls(0)
    }

    /// Starts the validators on a chain without blocks and registers the rollups, whose contents
    /// need no proofs.
    pub(super) async fn start(&mut self) -> anyhow::Result<()> {
        self.clear()?;
        start_validators(self.directory, self.processes).await?;
        let sequence = self.directory.file("operator.sequence");
        let client = Client::new(self.urls())?;
        let secret = EdSecret::from_seed(&self.operator);
        let options = GatewayOptions::default();
        let gateway =
            Gateway::open(client, self.genesis.clone(), secret, &sequence, options).await?;
        for id in self.directory.plan().rollup_ids() {
            let op = SystemOp::RegisterRollup {
                rollup: RollupId(id.into()),
                config: RollupConfig {
                    name: format!("bench-{id}"),
                    owner: gateway.account(),
                    program: ProgramVersion(Digest::ZERO),
                    genesis_root: StateRoot(Digest::ZERO),
                    policy: ProofPolicy::None,
                    reserve_price: Amount::ZERO,
                    reserve_price_max: Amount::ZERO,
                    range_transactions: 1024,
                    range_age_ms: 60_000,
                    deadline_ms: 60_000,
                    bond_percent: 100,
                    fee_share_percent: 20,
                },
            };
            gateway.perform(&op, REGISTER_PATIENCE).await?;
        }
        // Every node admits for them only once it has executed the registration itself.
        for url in self.urls() {
            let client = Client::new([url])?;
            for id in self.directory.plan().rollup_ids() {
                while let Err(error) = client.rollup(RollupId(id.into())).await {
                    if !error.is_not_found() {
                        return Err(error.into());
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        Ok(())
    }

    /// Stops the validators; who did not stop by itself is an error, since that is one of theirs.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        let trouble = self.processes.stop(&[]).await;
        anyhow::ensure!(trouble.is_empty(), "[CV-CLI-092] {}", trouble.join("; "));
        self.clear()
    }

    /// An error that says so if a validator has died.
    pub(super) async fn died(&mut self) -> anyhow::Error {
        let ended = self.processes.next_end().await;
        self.processes.describe(&ended)
    }

    /// CPU seconds of all validators so far.
    pub(super) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.processes.pids().map(machine::cpu_seconds).sum()
    }

    /// The most memory that any validator had resident, in MiB.
    pub(super) fn peak_rss_mib(&self) -> anyhow::Result<f64> {
        let mut peaks = self.processes.pids().map(machine::peak_rss_mib);
        peaks.try_fold(0.0, |most: f64, peak| Ok(most.max(peak?)))
    }

    /// Removes what the chain left.
    fn clear(&self) -> anyhow::Result<()> {
        for index in 0..self.directory.plan().validators {
            let data = self.directory.part(&validator_name(index), "data");
            remove(fs::remove_dir_all(&data)).with_context(|| {
                format!(
                    "[CV-CLI-076] cannot remove {}; check its rights",
                    data.display()
                )
            })?;
        }
        let sequence = self.directory.file("operator.sequence");
        remove(fs::remove_file(&sequence)).with_context(|| {
            format!(
                "[CV-CLI-076] cannot remove {}; check its rights",
                sequence.display()
            )
        })
    }
}

/// What is not there need not be removed.
fn remove(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
