//! The real payments program: wallets that sign, the production prover's program that proves, the
//! production adapter that verifies, and the native transition for the checker.

use std::collections::BTreeMap;
use std::sync::Arc;

use conclave_ledger::Ledger;
use conclave_market::{ContentSource, OrderedTransaction, Verifier};
use conclave_payments::{
    Address, Allocation, Draft, ExclusionReason, LeafStore, LeafStoreError, Outcome,
    PaymentContext, SLOTS, Seed, State, Wallet, WalletState, apply, classify,
};
use conclave_prover::{PaymentsProgram, ProgramVerifier};
use conclave_sdk::{Program, ProgramState, ProofJob, ProvenRange};
use conclave_types::{
    ChainId, Digest, Domain, Height, ProgramVersion, Range, RollupId, StateRoot, Statement, TxIndex,
};
use rand::Rng;
use rand_chacha::ChaCha20Rng;

use super::proofs::{Execution, Proofs};
use crate::coverage::Branch;

/// Deriving a wallet's keys is the costly part of a client.
const WALLETS: u32 = 3;
const BALANCE: u64 = 1_000_000;

/// Forgets with the simulation, which is when its wallets end.
#[derive(Default)]
struct MemoryStore(Option<WalletState>);

impl LeafStore for MemoryStore {
    fn load(&self) -> Result<Option<WalletState>, LeafStoreError> {
        Ok(self.0)
    }

    fn store(&mut self, state: &WalletState) -> Result<(), LeafStoreError> {
        self.0 = Some(*state);
        Ok(())
    }
}

/// Payments rollups, all with the same genesis.
pub(crate) struct Payments {
    chain: ChainId,
    genesis: State,
    /// The last one's account collects the fees.
    wallets: Vec<Wallet<MemoryStore>>,
    addresses: Vec<Address>,
    /// What clients know: how far, and the state there.
    followed: BTreeMap<RollupId, (TxIndex, State)>,
    /// The provers' states at the starts of ranges.
    starts: BTreeMap<(RollupId, TxIndex), Box<dyn ProgramState>>,
    /// Proofs by the statement as it is before proving; a submission may be sent again.
    proven: BTreeMap<Digest, ProvenRange>,
}

impl Payments {
    pub(crate) fn new(seed: u64, chain: ChainId) -> Self {
        let wallet = |number: u32| {
            let hasher = Domain::Simulation.hasher().part(b"wallet");
            let hasher = hasher.part(&seed.to_le_bytes()).part(&number.to_le_bytes());
            Wallet::create(Seed::new(hasher.digest().0), MemoryStore::default())
                .expect("the store is empty")
        };
        let wallets: Vec<_> = (0..WALLETS).map(wallet).collect();
        let addresses: Vec<Address> = (0..WALLETS)
            .zip(&wallets)
            .map(|(number, wallet)| Address {
                slot: number * 1_000_003,
                key: wallet.account_key(),
            })
            .collect();
        let allocation = |address: &Address| Allocation {
            address: *address,
            balance: BALANCE,
        };
        let allocations: Vec<_> = addresses.iter().map(allocation).collect();
        let fee_account = addresses[addresses.len() - 1];
        let genesis = State::genesis(fee_account, &allocations).expect("a small supply");
        Self {
            chain,
            genesis,
            wallets,
            addresses,
            followed: BTreeMap::new(),
            starts: BTreeMap::new(),
            proven: BTreeMap::new(),
        }
    }

    fn start(&self) -> Box<dyn ProgramState> {
        let snapshot = self.genesis.to_bytes();
        PaymentsProgram.restore(&snapshot).expect("our own state")
    }

    /// One transaction; most are valid when they are ordered soon.
    fn transaction(
        &mut self,
        rollup: RollupId,
        height: Height,
        sender: usize,
        nonce: u64,
        random: &mut ChaCha20Rng,
    ) -> Vec<u8> {
        let mut context = context(self.chain, rollup);
        let mut draft = Draft {
            sender: self.addresses[sender].slot,
            nonce,
            receiver: self.addresses[random.gen_range(0..self.addresses.len())],
            amount: random.gen_range(0..1_000),
            fee: random.gen_range(0..10),
            expiry: height.0 + 10_000,
        };
        let mut cut = false;
        match random.gen_range(0..20) {
            // Signed for another rollup.
            0 => context.rollup ^= 0x100,
            1 => draft.nonce += random.gen_range(1..4),
            2 => draft.amount = 100 * BALANCE,
            // To nobody's account yet, and to somebody else's.
            3 => draft.receiver.slot = random.gen_range(0..SLOTS),
            4 => draft.receiver.slot = self.addresses[(sender + 1) % self.addresses.len()].slot,
            5 => draft.expiry = height.0 + random.gen_range(0..4),
            6 => draft.sender = SLOTS - 1,
            7 => cut = true,
            8 => return vec![random.r#gen(); random.gen_range(0..100)],
            _ => {}
        }
        let payment = self.wallets[sender].pay(&context, &draft);
        let mut bytes = payment.expect("many leaves are left").encode();
        if cut {
            bytes.truncate(random.gen_range(0..bytes.len()));
        }
        bytes
    }
}

fn context(chain: ChainId, rollup: RollupId) -> PaymentContext {
    PaymentContext {
        chain: chain.0.0,
        rollup: rollup.0,
    }
}

impl Proofs for Payments {
    fn program(&self) -> ProgramVersion {
        ProgramVersion(Digest(conclave_payments::program_version()))
    }

    fn genesis_root(&self) -> StateRoot {
        StateRoot(Digest(self.genesis.root()))
    }

    fn range_limits(&self) -> (u64, u64) {
        (4, 4_000)
    }

    fn verifier(&self) -> Arc<dyn Verifier + Send + Sync> {
        Arc::new(ProgramVerifier::new(vec![Arc::new(PaymentsProgram)]))
    }

    fn observe(&mut self, ledger: &Ledger, contents: &dyn ContentSource) {
        for rollup in crate::sim::PROVEN {
            let genesis = || (TxIndex(0), self.genesis.clone());
            let (from, state) = self.followed.entry(rollup).or_insert_with(genesis);
            let to = ledger.stream(rollup).map_or(*from, |stream| stream.next);
            if to <= *from {
                continue;
            }
            // Contents are found by their positions alone.
            let range = Range {
                rollup,
                from: *from,
                to,
                from_height: Height(0),
                to_height: ledger.height(),
            };
            let Some(contents) = contents.transactions(&range) else {
                continue;
            };
            for transaction in contents {
                let (bytes, height) = (&transaction.bytes, transaction.height.0);
                if let Ok(payment) = classify(bytes, &context(self.chain, rollup), height) {
                    apply(state, &payment);
                }
            }
            *from = to;
        }
    }

    fn transactions(
        &mut self,
        rollup: RollupId,
        height: Height,
        random: &mut ChaCha20Rng,
    ) -> Vec<Vec<u8>> {
        let sender = random.gen_range(0..self.wallets.len());
        let state = self.followed.get(&rollup).map(|(_, state)| state);
        let account = state
            .unwrap_or(&self.genesis)
            .account(self.addresses[sender].slot);
        let nonce = account.map_or(0, |account| account.nonce);
        let count = random.gen_range(1..4);
        (nonce..nonce + count)
            .map(|nonce| self.transaction(rollup, height, sender, nonce, random))
            .collect()
    }

    fn prove(
        &mut self,
        statement: &mut Statement,
        contents: &[OrderedTransaction],
    ) -> (Vec<u32>, Vec<u8>) {
        let id = statement.digest();
        let Range {
            rollup, from, to, ..
        } = statement.range;
        if !self.proven.contains_key(&id) {
            if from == TxIndex(0) {
                let genesis = self.start();
                self.starts.insert((rollup, from), genesis);
            }
            let contents: Vec<_> = contents
                .iter()
                .map(|transaction| conclave_sdk::OrderedTransaction {
                    height: transaction.height,
                    bytes: transaction.bytes.clone(),
                })
                .collect();
            // Whoever proved the range before left the state behind.
            let start = &self.starts[&(rollup, from)];
            assert_eq!(start.root(), statement.old_root, "the settled root");
            let job = ProofJob {
                chain: statement.chain,
                prover: statement.prover,
                range: statement.range,
            };
            let proven = start.prove(&job, &contents).expect("a range of our own");
            let mut end = start.fork();
            end.execute(statement.chain, rollup, &contents);
            self.starts.insert((rollup, to), end);
            self.proven.insert(id, proven);
        }
        let proven = &self.proven[&id];
        statement.new_root = proven.new_root;
        (proven.excluded.clone(), proven.proof.clone())
    }

    fn execution(&self, rollup: RollupId) -> Box<dyn Execution> {
        Box::new(NativeExecution {
            context: context(self.chain, rollup),
            state: self.genesis.clone(),
        })
    }
}

struct NativeExecution {
    context: PaymentContext,
    state: State,
}

impl Execution for NativeExecution {
    fn execute(&mut self, transaction: &OrderedTransaction) -> Branch {
        let height = transaction.height.0;
        let outcome = match classify(&transaction.bytes, &self.context, height) {
            Ok(payment) => apply(&mut self.state, &payment),
            Err(reason) => Outcome::Excluded(reason),
        };
        match outcome {
            Outcome::Applied => Branch::PaymentApplied,
            Outcome::InsufficientBalance
            | Outcome::WrongNonce
            | Outcome::OwnerMismatch
            | Outcome::AbsentSender
            | Outcome::ReceiverSlotTaken
            | Outcome::BalanceOverflow => Branch::PaymentRefused,
            Outcome::Excluded(
                ExclusionReason::Undecodable
                | ExclusionReason::Expired
                | ExclusionReason::BadSignature,
            ) => Branch::PaymentExcluded,
        }
    }

    fn root(&self) -> StateRoot {
        StateRoot(Digest(self.state.root()))
    }
}
