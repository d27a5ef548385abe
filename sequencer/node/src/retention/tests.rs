//! Does pruning keep what must stay, and can the rest still be read?

use std::collections::BTreeMap;
use std::path::PathBuf;

use conclave_consensus::{ANCESTRY_BLOCKS, SafetyState};
use conclave_ledger::{BlsCommittees, Delivery, ExecutableBlock, Ledger, LedgerEvent, VoteKeys};
use conclave_market::{ContentSource, OrderedTransaction, Payment};
use conclave_sequencer::{DeliveryRecord, OutcomeRecord, ProofRecord, Write};
use conclave_types::*;
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::*;
use crate::archive::{Archive, ArchivePlace, History};
use crate::http::tests::chain::{Lenient, PAYER, PROVER, genesis};
use crate::records;
use crate::recovery;
use crate::replica::Record;
use crate::serve::{self, Request, Response};
use crate::store::{Identity, Row, Store};

const BUSY: RollupId = RollupId(7);
const RARE: RollupId = RollupId(9);
const HEIGHTS: u64 = 3000;
/// The oldest snapshot of 3,000 heights is that of 2,048; elections look back 1,024 from there, and
/// 256 heights are a segment.
const PRUNED: u64 = (2048 - ANCESTRY_BLOCKS as u64) / 256 * 256;
/// The setting; less than what the protocol needs, which must win.
const KEPT: u64 = 100;

struct Nothing;

impl ContentSource for Nothing {
    fn transactions(&self, _: &Range) -> Option<Vec<OrderedTransaction>> {
        None
    }
}

/// The store of a validator after some thousand heights, and its archive.
struct Fixture {
    directory: TempDir,
    genesis: Genesis,
    store: Store,
    archive: Archive,
}

fn batch_of(height: Height) -> BatchRef {
    BatchRef {
        header: BatchHeader {
            chain: ChainId(Digest::ZERO),
            epoch: Epoch(0),
            author: ValidatorIndex(0),
            sequence: height.0,
            shards: Digest::ZERO,
            contents: Vec::new(),
        },
        stored: SignatureSet {
            signers: Signers::default(),
            signatures: Vec::new(),
        },
    }
}

fn delivery(rollup: RollupId, height: Height, index: u64) -> Write {
    let delivery = Delivery {
        rollup,
        height,
        first: TxIndex(index),
        entries: Vec::new(),
        transactions: vec![height.0.to_le_bytes().to_vec()],
        digest: Digest([height.0 as u8; 32]),
    };
    let record = DeliveryRecord {
        time: BlockTime(height.0),
        delivery,
        placed: Vec::new(),
    };
    Write::Delivery {
        rollup,
        height,
        record,
    }
}

fn proof(height: Height) -> Write {
    let range = Range {
        rollup: BUSY,
        from: TxIndex(height.0),
        to: TxIndex(height.0 + 1),
        from_height: height,
        to_height: height,
    };
    let submission = ProofSubmission {
        auction: AuctionId(height.0),
        system: ProofSystem::Winterfell,
        new_root: StateRoot(Digest::ZERO),
        excluded: Vec::new(),
        proof: vec![height.0 as u8; 500],
    };
    Write::Proof(Box::new(ProofRecord {
        height,
        range,
        program: ProgramVersion(Digest::ZERO),
        prover: PROVER,
        old_root: StateRoot(Digest::ZERO),
        submission,
    }))
}

fn events_of(height: Height) -> Vec<LedgerEvent> {
    if !height.0.is_multiple_of(50) {
        return Vec::new();
    }
    let auction = AuctionId(height.0);
    let payment = Payment {
        prover: PROVER,
        amount: Amount(5),
    };
    vec![
        LedgerEvent::ProofAccepted {
            auction,
            system: ProofSystem::Winterfell,
            prover: PROVER,
            new_root: StateRoot(Digest::ZERO),
        },
        LedgerEvent::Paid { auction, payment },
    ]
}

impl Fixture {
    fn new() -> Self {
        let directory = TempDir::new().expect("a directory");
        let genesis = genesis();
        let owner = Identity {
            chain: genesis.chain_id(),
            validator: ValidatorIndex(1),
        };
        let place = ArchivePlace::Folder(directory.path().join("archive"));
        let archive = Archive::open(&place, owner, Handle::current()).expect("opens");
        let store = Store::create(&directory.path().join("node.redb"), owner).expect("is new");
        let fixture = Self {
            directory,
            genesis,
            store,
            archive,
        };
        fixture.run();
        fixture
    }

    /// Executes blocks as a validator does; every tenth orders a batch and delivers.
    fn run(&self) {
        let mut ledger = Ledger::genesis(&self.genesis);
        let votes = VoteKeys {
            chain: self.genesis.chain_id(),
            committees: Arc::new(BlsCommittees),
        };
        let mut parent = BlockId::genesis(self.genesis.chain_id());
        let mut batch = WriteBatch::new();
        let safety = SafetyState::origin(&self.genesis.origin());
        batch.put_value(Table::Safety, keys::SAFETY, &safety);
        for height in (1..=HEIGHTS).map(Height) {
            let named = (ledger.height(), ledger.root());
            let time = BlockTime(self.genesis.time.0 + height.0);
            let executable = ExecutableBlock {
                height,
                epoch: Epoch(0),
                time,
                proposer: ValidatorIndex(0),
                ledger_height: named.0,
                entries: Vec::new(),
                bids: Vec::new(),
            };
            let executed = ledger.execute(executable, &Nothing, &Lenient, &votes);
            let root = executed.expect("nothing is needed").state_root;
            let mut writes = Vec::new();
            let mut batches = Vec::new();
            if height.0.is_multiple_of(10) {
                let reference = batch_of(height);
                let id = reference.header.id();
                batch.put(Table::Batches, id.as_bytes(), vec![height.0 as u8; 300]);
                batch.put(Table::Dispersals, id.as_bytes(), vec![height.0 as u8; 200]);
                batches.push(reference);
                writes.push(delivery(BUSY, height, height.0 / 10 - 1));
            }
            if height.0.is_multiple_of(700) {
                writes.push(delivery(RARE, height, height.0 / 700 - 1));
            }
            if !events_of(height).is_empty() {
                writes.push(proof(height));
            }
            batch.put(
                Table::Openings,
                keys::height_lane(height, LaneKind::OnCommit.of(Epoch(0))),
                [1; 40],
            );
            let header = BlockHeader {
                chain: self.genesis.chain_id(),
                epoch: Epoch(0),
                view: View(height.0),
                height,
                parent,
                parent_view: View(height.0 - 1),
                proposer: ValidatorIndex(0),
                time,
                payload: Block::payload_digest(&batches),
                ledger_height: named.0,
                ledger_root: named.1,
                next_epoch: None,
            };
            parent = header.id();
            let certificate = CommitCertificate {
                epoch: Epoch(0),
                view: header.view,
                height,
                block: parent,
                aggregate: AggregateSignature {
                    signers: Signers::default(),
                    signature: BlsSignature([0; 48]),
                },
            };
            writes.push(Write::Block(
                Arc::new(Block { header, batches }),
                certificate,
            ));
            let record = OutcomeRecord {
                time,
                root,
                events: events_of(height),
            };
            writes.push(Write::Outcome { height, record });
            if height.0.is_multiple_of(32) {
                writes.push(Write::Snapshot {
                    height,
                    ledger: Arc::new(ledger.clone()),
                    held: Vec::new(),
                    ordered: Vec::new(),
                });
            }
            for write in writes {
                records::put(&mut batch, &Record::Sequencing(Box::new(write)));
            }
            if height.0.is_multiple_of(500) {
                self.store
                    .commit(&std::mem::take(&mut batch))
                    .expect("is written");
            }
        }
    }

    /// Prunes until nothing is left to do. `lose` says whether the node is killed right before the
    /// commit of a step, and so does it again; what went to the archive stays there.
    async fn prune(&self, free: &Free, mut lose: impl FnMut() -> bool) -> usize {
        let mut steps = 0;
        loop {
            let snapshot = self.store.snapshot().expect("is open");
            let owner = self.archive.owner();
            let step = plan::next(&snapshot, owner, KEPT, Height(HEIGHTS), free);
            let batch = match step.expect("can be planned") {
                Step::Nothing => return steps,
                Step::Forget(batch) => batch,
                Step::Archive(segment) => {
                    let reference = self.archive.write(&segment).await.expect("is written");
                    let mut batch = WriteBatch::new();
                    batch.put_value(Table::Archive, keys::height(segment.first), &reference);
                    batch
                }
            };
            steps += 1;
            if !lose() {
                self.store.commit(&batch).expect("is written");
            }
        }
    }

    fn rows(&self, table: Table) -> Vec<Row> {
        let snapshot = self.store.snapshot().expect("is open");
        snapshot
            .range(table, &KeyRange::all(), usize::MAX)
            .expect("can be read")
    }

    /// Everything that belongs to heights, wherever it is.
    fn history(&self) -> BTreeMap<(Table, Vec<u8>), Vec<u8>> {
        let snapshot = self.store.snapshot().expect("is open");
        let history = History::new(&snapshot, &self.archive);
        let mut found = BTreeMap::new();
        for height in (1..=HEIGHTS).map(Height) {
            let key = keys::height(height);
            let lane = keys::height_lane(height, LaneKind::OnCommit.of(Epoch(0)));
            let proof = records::proof(AuctionId(height.0), ProofSystem::Winterfell);
            let batch = batch_of(height).header.id();
            for (table, key) in [
                (Table::Blocks, key.to_vec()),
                (Table::Events, key.to_vec()),
                (Table::Openings, lane.to_vec()),
                (
                    Table::Deliveries,
                    keys::rollup_height(BUSY, height).to_vec(),
                ),
                (
                    Table::Deliveries,
                    keys::rollup_height(RARE, height).to_vec(),
                ),
            ] {
                let value = history.get(table, &key, height).expect("can be read");
                found.extend(value.map(|value| ((table, key), value)));
            }
            for table in [Table::Batches, Table::Dispersals] {
                // As those that know only its id find it.
                let at = snapshot.get_value(Table::BatchHeights, batch.as_bytes());
                let at = at.expect("can be read").unwrap_or(height);
                let value = history
                    .get(table, batch.as_bytes(), at)
                    .expect("can be read");
                found.extend(value.map(|value| ((table, batch.as_bytes().to_vec()), value)));
            }
            let whole = match history.segment(height).expect("can be read") {
                Some(segment) => segment.get(Table::Proofs, &proof).map(<[u8]>::to_vec),
                None => snapshot.get(Table::Proofs, proof).expect("can be read"),
            };
            found.extend(whole.map(|value| ((Table::Proofs, proof.to_vec()), value)));
        }
        found
    }

    fn first_block(&self) -> u64 {
        let snapshot = self.store.snapshot().expect("is open");
        let first = snapshot
            .keys(Table::Blocks, &KeyRange::all(), 1)
            .expect("can be read");
        keys::parse_height(&first[0]).expect("a height").0
    }

    fn objects(&self) -> Vec<PathBuf> {
        let owner = self.archive.owner();
        let folder = self
            .directory
            .path()
            .join("archive")
            .join(owner.chain.to_string());
        let entries = std::fs::read_dir(folder.join("validator-1")).expect("was made");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").path())
            .collect();
        names.sort();
        names
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_was_pruned_reads_as_before() {
    let fixture = Fixture::new();
    let before = fixture.history();
    let counts = fixture.counts();
    let steps = fixture.prune(&Free::new(), || false).await;
    assert_eq!(fixture.first_block(), PRUNED + 1);
    assert_eq!(fixture.objects().len() as u64, PRUNED / 256);
    // Small ones: each is a commit that votes wait behind.
    assert!(steps as u64 > PRUNED / 32, "{steps}");
    for (table, left) in [
        (Table::Events, HEIGHTS - PRUNED),
        (Table::Openings, HEIGHTS - PRUNED),
        (Table::Batches, HEIGHTS / 10 - PRUNED / 10),
        (Table::Dispersals, HEIGHTS / 10 - PRUNED / 10),
        (Table::BatchHeights, PRUNED / 10),
        (Table::BlockHeights, HEIGHTS),
        (Table::StreamLinks, HEIGHTS / 10 + HEIGHTS / 700),
    ] {
        assert_eq!(fixture.rows(table).len() as u64, left, "{}", table.name());
    }
    let bytes = fixture
        .rows(Table::Proofs)
        .into_iter()
        .map(|(_, value)| value.len());
    assert!(bytes.clone().max() > Some(500) && bytes.min() < Some(500));
    assert_eq!(fixture.history(), before);
    assert_eq!(
        fixture.counts(),
        counts,
        "what provers did is still counted"
    );
    assert_eq!(counts[&PROVER].settled, HEIGHTS / 50);
    assert!(!counts.contains_key(&PAYER));
}

/// Killed before any commit, as often as one likes, it ends where it would have ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_kill_at_any_step_changes_nothing() {
    let (whole, killed) = (Fixture::new(), Fixture::new());
    whole.prune(&Free::new(), || false).await;
    let mut step = 0_u32;
    let lose = || {
        step += 1;
        !step.is_multiple_of(3)
    };
    killed.prune(&Free::new(), lose).await;
    for table in Table::ALL {
        assert_eq!(killed.rows(*table), whole.rows(*table), "{}", table.name());
    }
    let names = |fixture: &Fixture| -> Vec<_> {
        let objects = fixture.objects().into_iter();
        objects
            .map(|path| path.file_name().map(ToOwned::to_owned))
            .collect()
    };
    assert_eq!(names(&killed), names(&whole));
}

/// The contents of a range that somebody may still prove stay here: a proof is verified without asking
/// an archive that may be away.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn unproven_ranges_stay() {
    let fixture = Fixture::new();
    let heights = || -> Vec<u64> {
        let rows = fixture.rows(Table::Deliveries);
        let busy = rows
            .iter()
            .filter(|(key, _)| key.starts_with(&keys::rollup(BUSY)));
        busy.map(|(key, _)| keys::parse_rollup_height(key).expect("a height").0)
            .collect()
    };
    fixture
        .prune(&Free::from([(BUSY, Height(499))]), || false)
        .await;
    assert_eq!(fixture.first_block(), PRUNED + 1);
    assert_eq!(
        heights(),
        (50..=HEIGHTS / 10)
            .map(|height| height * 10)
            .collect::<Vec<_>>()
    );
    let range = Range {
        rollup: BUSY,
        from: TxIndex(49),
        to: TxIndex(150),
        from_height: Height(500),
        to_height: Height(1500),
    };
    let snapshot = fixture.store.snapshot().expect("is open");
    let found = crate::contents::read(&snapshot, &range).expect("can be read");
    assert_eq!(found.expect("is here").len(), 101);
    drop(snapshot);
    // Once it is settled they go too.
    fixture.prune(&Free::new(), || false).await;
    assert_eq!(heights().first(), Some(&(PRUNED / 10 * 10 + 10)));
}

/// A validator whose old blocks are gone starts again, and gives a joining one all that it asks for.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_pruned_node_starts_again_and_serves() {
    let fixture = Fixture::new();
    fixture.prune(&Free::new(), || false).await;
    let snapshot = fixture.store.snapshot().expect("is open");
    let recovered = recovery::recover(&snapshot, &fixture.genesis).expect("is whole");
    assert_eq!(recovered.sequencing.committed, Height(HEIGHTS));
    let agreement = recovered.agreement.expect("has a memory");
    assert_eq!(agreement.recovered.committed.len(), ANCESTRY_BLOCKS);

    let history = History::new(&snapshot, &fixture.archive);
    let ask = |request| serve::answer(&history, &request).expect("can be read");
    let Response::Snapshots(offers) = ask(Request::Snapshots) else {
        panic!("an answer to another question");
    };
    for manifest in &offers {
        let mut bytes = Vec::new();
        for piece in 0..manifest.pieces.len() as u32 {
            let height = manifest.height;
            let Response::Piece(Some(piece)) = ask(Request::Piece { height, piece }) else {
                panic!("a piece is missing");
            };
            bytes.extend(piece);
        }
        recovery::assemble(manifest, &bytes).expect("is whole");
        let ancestry = Height(manifest.height.0 - ANCESTRY_BLOCKS as u64 + 1);
        let stored = snapshot.contains(Table::Blocks, keys::height(ancestry));
        assert!(
            stored.expect("can be read"),
            "what joining needs never left"
        );
    }
    // And whoever wants them, the first blocks.
    let Response::Blocks {
        blocks,
        certificate,
    } = ask(Request::Blocks { from: Height(1) })
    else {
        panic!("an answer to another question");
    };
    let numbers: Vec<u64> = blocks.iter().map(|block| block.header.height.0).collect();
    assert_eq!(numbers, (1..=serve::BLOCKS_MAX).collect::<Vec<_>>());
    assert_eq!(
        certificate.map(|found| found.height),
        Some(Height(serve::BLOCKS_MAX))
    );
    let first = blocks[0].id();
    assert!(matches!(
        ask(Request::Block(first)),
        Response::Block(Some(_))
    ));

    // What the archive lost is not there for peers; nothing breaks.
    let fresh = Fixture::reopen(&fixture);
    for object in fixture.objects() {
        std::fs::remove_file(object).expect("is there");
    }
    let history = History::new(&snapshot, &fresh);
    let lost = serve::answer(&history, &Request::Blocks { from: Height(1) });
    let nothing = Response::Blocks {
        blocks: Vec::new(),
        certificate: None,
    };
    assert_eq!(lost, Ok(nothing));
}

impl Fixture {
    /// The archive without what it has in memory.
    fn reopen(&self) -> Archive {
        let place = ArchivePlace::Folder(self.directory.path().join("archive"));
        Archive::open(&place, self.archive.owner(), Handle::current()).expect("opens")
    }

    fn counts(&self) -> BTreeMap<AccountId, ProverRecord> {
        let snapshot = self.store.snapshot().expect("is open");
        let mut counts = counted(&snapshot).expect("can be read");
        for height in (1..=HEIGHTS).map(Height) {
            for event in heights::events(&snapshot, height).expect("can be read") {
                crate::shell::count(&mut counts, &event);
            }
        }
        counts
    }
}
