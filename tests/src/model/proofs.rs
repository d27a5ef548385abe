//! What proven rollups run, as the simulator needs it: transactions to send, proofs to make, a
//! verifier for the nodes, and an execution for the checker that shares nothing with the proofs.

use std::sync::Arc;

use conclave_ledger::Ledger;
use conclave_market::{ContentSource, OrderedTransaction, Verifier};
use conclave_types::{Height, ProgramVersion, RollupId, StateRoot, Statement};
use rand::Rng;
use rand_chacha::ChaCha20Rng;

use crate::coverage::Branch;

/// A program with its clients and its prover.
pub(crate) trait Proofs {
    /// What rollups register.
    fn program(&self) -> ProgramVersion;

    /// The state before the first transaction.
    fn genesis_root(&self) -> StateRoot;

    /// After how many transactions, and after how many milliseconds, a range is due.
    fn range_limits(&self) -> (u64, u64);

    /// What nodes verify with.
    fn verifier(&self) -> Arc<dyn Verifier + Send + Sync>;

    /// Lets clients see what is delivered.
    fn observe(&mut self, ledger: &Ledger, contents: &dyn ContentSource);

    /// The transactions of one client's envelope, valid and invalid ones.
    fn transactions(
        &mut self,
        rollup: RollupId,
        height: Height,
        random: &mut ChaCha20Rng,
    ) -> Vec<Vec<u8>>;

    /// What a prover submits: excluded positions and proof; the statement gets its new root.
    fn prove(
        &mut self,
        statement: &mut Statement,
        contents: &[OrderedTransaction],
    ) -> (Vec<u32>, Vec<u8>);

    /// The checker's execution of one rollup, from its genesis on.
    fn execution(&self, rollup: RollupId) -> Box<dyn Execution>;
}

/// A rollup's state as the checker computes it.
pub(crate) trait Execution {
    /// Executes a transaction and names what became of it.
    fn execute(&mut self, transaction: &OrderedTransaction) -> Branch;

    /// The state's root.
    fn root(&self) -> StateRoot;
}

/// Transactions of a rollup that takes any bytes.
pub(crate) fn any_transactions(random: &mut ChaCha20Rng) -> Vec<Vec<u8>> {
    let count = random.gen_range(1..6);
    let transaction = |random: &mut ChaCha20Rng| -> Vec<u8> {
        let bytes = random.gen_range(0..40);
        (0..bytes).map(|_| random.gen_range(0..=3)).collect()
    };
    (0..count).map(|_| transaction(random)).collect()
}
