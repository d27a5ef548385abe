//! Real payments, really proven: states, snapshots, kept proofs, and the node's verifier.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use conclave_market::Verifier;
use conclave_payments::{
    Address, Draft, FieldDigest, LeafStore, LeafStoreError, PaymentContext, Seed, Wallet,
    WalletState,
};
use conclave_sdk::{OrderedTransaction, Program, ProgramState, ProofJob};
use conclave_types::{
    Amount, ChainId, Digest, Height, ProofSystem, Range, RollupId, StateRoot, Statement, TxIndex,
};

use super::views::{ME, auction, config, delivery, prover};
use crate::bids::{Abstention, Bids, Capacity};
use crate::calibrate::Calibration;
use crate::payments::{PaymentsAddress, PaymentsAllocation, PaymentsGenesis, PaymentsProgram};
use crate::prove::{ProveWork, Proved};
use crate::snapshot::Snapshot;
use crate::track::{Boundary, Terms, Track};
use crate::verifier::ProgramVerifier;

const CHAIN: ChainId = ChainId(Digest([4; 32]));
const ROLLUP: RollupId = RollupId(1);

/// Wallets of a test live as long as it.
struct InMemory;

impl LeafStore for InMemory {
    fn load(&self) -> Result<Option<WalletState>, LeafStoreError> {
        Ok(None)
    }
    fn store(&mut self, _: &WalletState) -> Result<(), LeafStoreError> {
        Ok(())
    }
}

fn account_key(byte: u8) -> FieldDigest {
    FieldDigest::from_bytes(&[byte; 32]).expect("below the modulus")
}

/// A rollup with one rich account, and its payments: three valid ones and garbage.
struct Rollup {
    genesis: PaymentsGenesis,
    transactions: Vec<Vec<u8>>,
}

fn rollup() -> Rollup {
    let mut wallet = Wallet::create(Seed::new([5; 32]), InMemory).expect("a fresh seed");
    let sender = wallet.owner();
    let genesis = PaymentsGenesis {
        fee_account: PaymentsAddress {
            slot: 0,
            key: account_key(1).to_string(),
        },
        accounts: vec![PaymentsAllocation {
            slot: 1,
            key: sender.to_string(),
            balance: 1_000_000,
        }],
    };
    let context = PaymentContext {
        chain: CHAIN.0.0,
        rollup: ROLLUP.0,
    };
    let mut pay = |nonce| {
        let draft = Draft {
            sender: 1,
            nonce,
            receiver: Address {
                slot: 2,
                key: account_key(2),
            },
            amount: 10,
            fee: 1,
            expiry: 100,
        };
        wallet.pay(&context, &draft).expect("a fresh leaf").encode()
    };
    let transactions = vec![pay(0), b"garbage".to_vec(), pay(1), pay(2)];
    Rollup {
        genesis,
        transactions,
    }
}

impl Rollup {
    fn state(&self) -> Box<dyn ProgramState> {
        let text = toml::to_string(&self.genesis).expect("plain data");
        PaymentsProgram.genesis(text.as_bytes()).expect("valid")
    }

    fn contents(&self) -> Vec<OrderedTransaction> {
        let height = |index| Height(if index < 2 { 3 } else { 5 });
        let all = self.transactions.iter().enumerate();
        all.map(|(index, bytes)| OrderedTransaction {
            height: height(index),
            bytes: bytes.clone(),
        })
        .collect()
    }

    fn after(&self, count: usize) -> Box<dyn ProgramState> {
        let mut state = self.state();
        state.execute(CHAIN, ROLLUP, &self.contents()[..count]);
        state
    }

    fn track(&self, settled_index: u64, settled_root: StateRoot, slot_us: u64) -> Track {
        let terms = Terms {
            settled_root,
            settled_index: TxIndex(settled_index),
            settled_height: Height(3),
            reserve_price: Amount(100),
            bond_percent: 150,
            deadline_ms: 10_000,
        };
        let calibration = Calibration {
            proof_us: 0,
            slot_us,
        };
        let base = Boundary {
            index: TxIndex(0),
            state: Arc::from(self.state()),
        };
        let program = Arc::new(PaymentsProgram);
        let mut track = Track::new(CHAIN, ROLLUP, program, calibration, terms, base);
        let (first, second) = self.transactions.split_at(2);
        track.take(&delivery(3, 0, first)).expect("fits");
        track.take(&delivery(5, 2, second)).expect("fits");
        track
    }
}

fn range() -> Range {
    Range {
        rollup: ROLLUP,
        from: TxIndex(1),
        to: TxIndex(4),
        from_height: Height(3),
        to_height: Height(5),
    }
}

fn work(track: &Track, dir: &Path) -> ProveWork {
    let (start, before, contents) = track.start_of(&range()).expect("all is here");
    ProveWork {
        job: ProofJob {
            chain: CHAIN,
            prover: ME,
            range: range(),
        },
        program: Arc::new(PaymentsProgram),
        start,
        before,
        contents,
        dir: dir.into(),
    }
}

#[test]
fn a_range_is_proven_kept_across_a_restart_and_verified_by_nodes() {
    let dir = tempfile::tempdir().expect("a directory");
    let rollup = rollup();
    let mut track = rollup.track(0, rollup.state().root(), 1);
    let Proved {
        proven, boundaries, ..
    } = work(&track, dir.path()).run().expect("proves");
    assert_eq!(proven.excluded, [0], "the garbage");
    assert_eq!(proven.new_root, rollup.after(4).root());

    // The states at the range's ends serve the ranges after it.
    let ends: Vec<_> = boundaries
        .iter()
        .map(|b| (b.index, b.state.root()))
        .collect();
    let expected = [
        (TxIndex(1), rollup.after(1).root()),
        (TxIndex(4), rollup.after(4).root()),
    ];
    assert_eq!(ends, expected);
    boundaries
        .into_iter()
        .for_each(|boundary| track.keep(boundary));
    let (start, before, _) = track.start_of(&range()).expect("all is here");
    assert_eq!((start.index, before.len()), (TxIndex(1), 0));

    // After a restart the kept proof is taken, unless the disk changed it.
    let again = work(&track, dir.path()).run().expect("takes it");
    assert_eq!((&again.proven, again.took.as_nanos()), (&proven, 0));

    // Nodes accept it for its own prover, contents and exclusions only.
    let verifier = ProgramVerifier::new(vec![Arc::new(PaymentsProgram)]);
    let statement = Statement {
        chain: CHAIN,
        program: PaymentsProgram.version(),
        prover: ME,
        range: range(),
        old_root: rollup.after(1).root(),
        new_root: proven.new_root,
    };
    let contents = &rollup.contents()[1..];
    let contents: Vec<_> = contents
        .iter()
        .map(|t| conclave_market::OrderedTransaction {
            height: t.height,
            bytes: t.bytes.clone(),
        })
        .collect();
    let verify = |statement: &Statement, excluded: &[u32], proof: &[u8]| {
        verifier.verify(
            statement,
            ProofSystem::Winterfell,
            &contents,
            excluded,
            proof,
        )
    };
    assert_eq!(verify(&statement, &[0], &proven.proof), Ok(()));
    let thief = Statement {
        prover: super::views::OTHER,
        ..statement
    };
    assert!(verify(&thief, &[0], &proven.proof).is_err());
    assert!(verify(&statement, &[0, 1], &proven.proof).is_err());
    assert!(verify(&statement, &[0], &proven.proof[1..]).is_err());
    let unknown = Statement {
        program: conclave_types::ProgramVersion(Digest::ZERO),
        ..statement
    };
    assert!(!verifier.knows(&unknown.program));
    assert!(verify(&unknown, &[0], &proven.proof).is_err());
}

#[test]
fn the_settled_state_moves_on_is_kept_and_must_agree_with_the_ledger() {
    let dir = tempfile::tempdir().expect("a directory");
    let rollup = rollup();
    let settled = rollup.after(2).root();
    let mut track = rollup.track(2, settled, 1);
    let advance = track.advance(dir.path()).expect("the ledger is ahead");
    assert!(track.advance(dir.path()).is_none(), "one at a time");
    track.advanced(Some(advance.run()));
    assert_eq!(track.base_index(), TxIndex(2));
    assert_eq!(*track.watch_settled().borrow(), TxIndex(2));
    assert!(track.start_of(&range()).is_none(), "its start is settled");

    let snapshot = Snapshot::load(dir.path(), ROLLUP).expect("readable");
    let snapshot = snapshot.expect("kept");
    assert_eq!((snapshot.index, snapshot.height), (TxIndex(2), Height(3)));
    let restored = PaymentsProgram.restore(&snapshot.state).expect("whole");
    assert_eq!(restored.root(), settled);

    let mut wrong = rollup.track(2, StateRoot(Digest([7; 32])), 1);
    let advance = wrong.advance(dir.path()).expect("the ledger is ahead");
    wrong.advanced(Some(advance.run()));
    let reason = wrong.broken.expect("it disagrees");
    assert!(reason.contains("CV-PROVER-032"), "{reason}");
}

#[test]
fn bids_stay_within_slots_bond_time_and_ceiling() {
    let rollup = rollup();
    let root = rollup.state().root();
    let tracks = |slot_us| BTreeMap::from([(ROLLUP, rollup.track(0, root, slot_us))]);
    let config = config();
    let view = |id| {
        let mut view = auction(id, 0, 4, "bidding");
        view.program = PaymentsProgram.version().to_string();
        view
    };
    let consider =
        |bids: &Bids, tracks: &BTreeMap<RollupId, Track>, prover: &_, unproven: usize| {
            let capacity = Capacity {
                config: &config,
                prover: Some(prover),
                unproven: vec![range(); unproven],
            };
            bids.consider(&view(9), tracks, &capacity)
        };
    let mut bids = Bids::default();
    let quick = tracks(1_000_000);
    let cost = 4 * 1_000 * 120 / 100;
    assert_eq!(
        consider(&bids, &quick, &prover(), 0),
        Ok((Amount(cost), Amount(600)))
    );
    let mut other = prover();
    other.armed = false;
    assert_eq!(
        consider(&bids, &quick, &other, 0),
        Err(Abstention::NotArmed)
    );
    let mut poor = prover();
    poor.bond_free = 599;
    assert_eq!(consider(&bids, &quick, &poor, 0), Err(Abstention::NoBond));
    assert_eq!(
        consider(&bids, &tracks(2_000_000), &prover(), 0),
        Err(Abstention::NoTime)
    );
    assert_eq!(
        consider(&bids, &quick, &prover(), 1),
        Err(Abstention::NoTime),
        "what is to be proven comes first"
    );
    let free = tracks(1);
    bids.place(&view(1), Amount(600));
    assert!(consider(&bids, &free, &prover(), 0).is_ok());
    bids.place(&view(2), Amount(600));
    assert_eq!(
        consider(&bids, &free, &prover(), 0),
        Err(Abstention::NoSlot),
        "open bids may win"
    );
    bids.keep_open(&[view(2)]);
    poor.bond_free = 1_199;
    assert_eq!(consider(&bids, &free, &poor, 0), Err(Abstention::NoBond));

    let mut later = view(3);
    later.to_index = 5;
    let (config, prover) = (&config, &prover());
    let capacity = Capacity {
        config,
        prover: Some(prover),
        unproven: vec![],
    };
    let result = Bids::default().consider(&later, &free, &capacity);
    assert_eq!(result, Err(Abstention::NotRead));
    let mut cheap = view(3);
    cheap.price_max = 0;
    let result = Bids::default().consider(&cheap, &free, &capacity);
    assert_eq!(result, Err(Abstention::TooCheap));
}

#[test]
fn calibration_measures_this_machine_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = Calibration::load_or_measure(dir.path(), &PaymentsProgram).expect("proves");
    assert!(first.slot_us > 0 && first.time_us(64) > first.time_us(8));
    let second = Calibration::load_or_measure(dir.path(), &PaymentsProgram).expect("cached");
    assert_eq!(first, second);
}
