//! The payments program as the SDK sees programs.

use std::sync::Arc;

use conclave_payments::{
    Address, Allocation, PaymentContext, ProveJob, RangeContext, State, bench_range, execute,
    program_version, prove, verify,
};
use conclave_sdk::{
    Measurement, OrderedTransaction, Program, ProgramError, ProgramState, ProofJob, ProvenRange,
};
use conclave_types::{
    ChainId, Digest, ProgramVersion, ProofSystem, Range, RollupId, StateRoot, Statement,
};
use serde::{Deserialize, Serialize};

/// The payments program, proven with Winterfell.
#[derive(Debug, Clone, Copy, Default)]
pub struct PaymentsProgram;

/// The description of a payments rollup's genesis state, a TOML file that its operator publishes.
/// What else is in the file, such as names, does not matter here: the ledger's root judges it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentsGenesis {
    /// Who collects the payments' fees.
    pub fee_account: PaymentsAddress,
    /// Who holds what.
    #[serde(default)]
    pub accounts: Vec<PaymentsAllocation>,
}

/// Where an account lives and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaymentsAddress {
    /// The slot in the account tree.
    pub slot: u32,
    /// The account key, 64 hexadecimal digits.
    pub key: String,
}

/// Money at the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaymentsAllocation {
    /// The slot in the account tree.
    pub slot: u32,
    /// The account key, 64 hexadecimal digits.
    pub key: String,
    /// How much.
    pub balance: u64,
}

impl PaymentsGenesis {
    /// The state described.
    pub fn state(&self) -> Result<State, ProgramError> {
        let fee_account = address(self.fee_account.slot, &self.fee_account.key)?;
        let allocations: Result<Vec<_>, ProgramError> = self
            .accounts
            .iter()
            .map(|account| {
                Ok(Allocation {
                    address: address(account.slot, &account.key)?,
                    balance: account.balance,
                })
            })
            .collect();
        State::genesis(fee_account, &allocations?).map_err(refuse)
    }

    /// The root that the rollup registers.
    pub fn root(&self) -> Result<StateRoot, ProgramError> {
        Ok(StateRoot(Digest(self.state()?.root())))
    }
}

fn address(slot: u32, key: &str) -> Result<Address, ProgramError> {
    let key = key.parse().map_err(|_| ProgramError {
        reason: format!("[CV-PROVER-010] the key of slot {slot} is not an account key; give 64 hexadecimal digits"),
    })?;
    Ok(Address { slot, key })
}

impl Program for PaymentsProgram {
    fn version(&self) -> ProgramVersion {
        ProgramVersion(Digest(program_version()))
    }

    fn system(&self) -> ProofSystem {
        ProofSystem::Winterfell
    }

    fn genesis(&self, description: &[u8]) -> Result<Box<dyn ProgramState>, ProgramError> {
        let text = str::from_utf8(description).map_err(refuse)?;
        let genesis: PaymentsGenesis = toml::from_str(text).map_err(refuse)?;
        Ok(Box::new(PaymentsState(Arc::new(genesis.state()?))))
    }

    fn restore(&self, snapshot: &[u8]) -> Result<Box<dyn ProgramState>, ProgramError> {
        let state = State::from_bytes(snapshot).map_err(refuse)?;
        Ok(Box::new(PaymentsState(Arc::new(state))))
    }

    fn measure(&self, transactions: u64) -> Result<Measurement, ProgramError> {
        let report = bench_range(usize::try_from(transactions).unwrap_or(usize::MAX));
        let report = report.map_err(refuse)?;
        Ok(Measurement {
            transactions: report.payments as u64,
            proving: report.prove_cpu,
        })
    }

    fn verify(
        &self,
        statement: &Statement,
        contents: &[OrderedTransaction],
        excluded: &[u32],
        proof: &[u8],
    ) -> Result<(), ProgramError> {
        if statement.program != self.version() {
            return Err(ProgramError {
                reason: "[CV-PROVER-011] the statement is of another program version".into(),
            });
        }
        let range = context(
            statement.chain,
            statement.prover.0,
            &statement.range,
            statement.old_root,
        );
        let new_root = &statement.new_root.0.0;
        verify(&range, &plain(contents), excluded, new_root, proof).map_err(refuse)?;
        Ok(())
    }
}

/// A payments state; copies share it until one of them executes.
#[derive(Clone)]
struct PaymentsState(Arc<State>);

impl ProgramState for PaymentsState {
    fn root(&self) -> StateRoot {
        StateRoot(Digest(self.0.root()))
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    fn fork(&self) -> Box<dyn ProgramState> {
        Box::new(self.clone())
    }

    fn execute(&mut self, chain: ChainId, rollup: RollupId, contents: &[OrderedTransaction]) {
        let context = PaymentContext {
            chain: chain.0.0,
            rollup: rollup.0,
        };
        execute(Arc::make_mut(&mut self.0), &context, &plain(contents));
    }

    fn prove(
        &self,
        job: &ProofJob,
        contents: &[OrderedTransaction],
    ) -> Result<ProvenRange, ProgramError> {
        let contents = plain(contents);
        let job = ProveJob {
            range: context(job.chain, job.prover.0, &job.range, self.root()),
            state: &self.0,
            contents: &contents,
        };
        let proven = prove(&job).map_err(refuse)?;
        Ok(ProvenRange {
            proof: proven.proof,
            new_root: StateRoot(Digest(proven.new_root)),
            excluded: proven.excluded,
        })
    }
}

fn context(chain: ChainId, prover: Digest, range: &Range, old_root: StateRoot) -> RangeContext {
    RangeContext {
        chain: chain.0.0,
        rollup: range.rollup.0,
        prover: prover.0,
        from_height: range.from_height.0,
        to_height: range.to_height.0,
        from_index: range.from.0,
        to_index: range.to.0,
        old_root: old_root.0.0,
    }
}

fn plain(contents: &[OrderedTransaction]) -> Vec<(u64, Vec<u8>)> {
    contents
        .iter()
        .map(|transaction| (transaction.height.0, transaction.bytes.clone()))
        .collect()
}

fn refuse(error: impl std::fmt::Display) -> ProgramError {
    ProgramError {
        reason: error.to_string(),
    }
}
