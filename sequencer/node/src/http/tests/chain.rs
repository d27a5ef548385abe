//! An in-memory chain: blocks made on demand, executed by the real ledger.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use conclave_crypto::{Committee, ShareProofs, ShareRow, Signatures};
use conclave_ledger::{
    ClosedBid, Content, Entry, ExecutableBlock, Executed, Ledger, LedgerEvent, VoteKeys,
};
use conclave_market::{ContentSource, OrderedTransaction, ProofRejected, Verifier};
use conclave_sdk::api::{
    DeliveredEnvelope, DeliveryView, EnvelopeStage, EnvelopeView, EventView, ProofView, StatusView,
};
use conclave_types::*;
use tokio::sync::{Notify, watch};

use crate::backend::{
    Backend, CertifiedBlock, NamedLedger, Progress, ProverRecord, Refusal, StoredLink,
};
use crate::provable::Provable;

pub(super) const ROLLUP: RollupId = RollupId(7);
pub(super) const PAYER: AccountId = AccountId(Digest([1; 32]));
pub(super) const PROVER: AccountId = AccountId(Digest([2; 32]));

/// A node without peers.
pub(super) struct Chain {
    genesis: Genesis,
    inner: Mutex<Inner>,
    progress: watch::Sender<Progress>,
    /// What a submission is refused with.
    pub(super) refusal: Mutex<Option<Refusal>>,
    pub(super) ready: Mutex<Result<(), String>>,
    /// When set, submissions wait for it.
    pub(super) gate: Mutex<Option<Arc<Notify>>>,
    /// Submissions that have come in.
    pub(super) submissions: watch::Sender<usize>,
}

struct Inner {
    ledger: Ledger,
    shared: Arc<Ledger>,
    sequence: u64,
    blocks: BTreeMap<Height, CertifiedBlock>,
    provable: Provable,
    /// The root of every height.
    roots: BTreeMap<Height, Digest>,
    /// The ledger that headers name, when not the one before their own.
    names: Option<Height>,
    deliveries: BTreeMap<(RollupId, Height), DeliveryView>,
    links: BTreeMap<(RollupId, Height), StoredLink>,
    envelopes: BTreeMap<EnvelopeId, Height>,
    events: BTreeMap<Height, Vec<EventView>>,
    proofs: BTreeMap<AuctionId, ProofView>,
    record: ProverRecord,
    transactions: Transactions,
    votes: VoteKeys,
    /// Plaintexts of held bids.
    bids: BTreeMap<EnvelopeId, Vec<u8>>,
}

#[derive(Default)]
struct Transactions(BTreeMap<RollupId, Vec<OrderedTransaction>>);

impl ContentSource for Transactions {
    fn transactions(&self, range: &Range) -> Option<Vec<OrderedTransaction>> {
        let all = self.0.get(&range.rollup)?;
        Some(
            all.get(range.from.0 as usize..range.to.0 as usize)?
                .to_vec(),
        )
    }
}

/// Takes every proof: what a proof shows is not what these tests are about.
/// Nobody signs anything in these tests.
struct Unsigned;

impl Signatures for Unsigned {
    fn sign(&self, _: &Digest) -> BlsSignature {
        BlsSignature([0; 48])
    }

    fn verify(&self, _: ValidatorIndex, _: &Digest, _: &BlsSignature) -> bool {
        false
    }

    fn aggregate(&self, _: &[BlsSignature]) -> Option<BlsSignature> {
        None
    }

    fn verify_aggregate(&self, _: &[(Digest, Signers)], _: &BlsSignature) -> bool {
        false
    }
}

impl ShareProofs for Unsigned {
    fn holds(&self, _: &ShareRow<'_>, _: &[Point], _: &BatchedDleq) -> bool {
        false
    }
}

struct Lenient;

impl Verifier for Lenient {
    fn knows(&self, _: &ProgramVersion) -> bool {
        true
    }

    fn verify(
        &self,
        _: &Statement,
        _: ProofSystem,
        _: &[OrderedTransaction],
        _: &[u32],
        _: &[u8],
    ) -> Result<(), ProofRejected> {
        Ok(())
    }
}

impl Chain {
    pub(super) fn new() -> Arc<Self> {
        let genesis = genesis();
        let ledger = Ledger::genesis(&genesis);
        Arc::new(Self {
            inner: Mutex::new(Inner {
                shared: Arc::new(ledger.clone()),
                provable: Provable::new(Arc::new(ledger.clone())),
                roots: BTreeMap::from([(Height(0), ledger.root())]),
                names: None,
                links: BTreeMap::new(),
                ledger,
                sequence: 0,
                blocks: BTreeMap::new(),
                deliveries: BTreeMap::new(),
                envelopes: BTreeMap::new(),
                events: BTreeMap::new(),
                proofs: BTreeMap::new(),
                record: ProverRecord::default(),
                transactions: Transactions::default(),
                votes: VoteKeys {
                    chain: genesis.chain_id(),
                    committee: Arc::new(Committee::from_genesis(&genesis).expect("3f+1")),
                    signatures: Arc::new(Unsigned),
                    shares: Arc::new(Unsigned),
                },
                bids: BTreeMap::new(),
            }),
            progress: watch::Sender::new(Progress::default()),
            refusal: Mutex::new(None),
            ready: Mutex::new(Ok(())),
            gate: Mutex::new(None),
            submissions: watch::Sender::new(0),
            genesis,
        })
    }

    /// A chain on which a rollup was registered (height 1), two transactions were delivered to it
    /// (2), a bid was made (3), its auction closed (4), the range was proven (5), and two more
    /// transactions came (6), whose auction takes bids.
    pub(super) fn with_market() -> Arc<Self> {
        let chain = Self::new();
        chain.commit(&[
            chain.operation(
                PAYER,
                &SystemOp::RegisterRollup {
                    rollup: ROLLUP,
                    config: config(),
                },
            ),
            chain.operation(
                PAYER,
                &SystemOp::FundRollup {
                    rollup: ROLLUP,
                    amount: Amount(100_000),
                },
            ),
            chain.operation(PROVER, &SystemOp::RegisterProver { slots: 2 }),
            chain.operation(
                PROVER,
                &SystemOp::PostBond {
                    amount: Amount(50_000),
                },
            ),
        ]);
        chain.commit(&[chain.contents(&[b"one", b"two"])]);
        chain.commit(&[chain.bid(AuctionId(1), Amount(150))]);
        chain.commit(&[]);
        chain.commit(&[chain.operation(
            PROVER,
            &SystemOp::SubmitProof(ProofSubmission {
                auction: AuctionId(1),
                system: ProofSystem::Winterfell,
                new_root: StateRoot(Digest([8; 32])),
                excluded: vec![],
                proof: vec![5; 100],
            }),
        )]);
        chain.commit(&[chain.contents(&[b"three", b"four"])]);
        chain
    }

    /// A system operation in a plain envelope.
    pub(super) fn operation(&self, author: AccountId, operation: &SystemOp) -> Entry {
        let body = codec::encode(operation);
        self.entry(
            author,
            RollupId::SYSTEM,
            ReleaseRule::OnCommit,
            Payload::Plain,
            Content::Plain(body),
        )
    }

    /// An opened envelope of the rollup.
    pub(super) fn contents(&self, transactions: &[&[u8]]) -> Entry {
        let transactions: Vec<Vec<u8>> = transactions.iter().map(|bytes| bytes.to_vec()).collect();
        let plaintext = encode_transactions(&transactions).expect("few");
        let content = Content::Opened {
            plaintext,
            m: Point([3; 32]),
        };
        self.entry(PAYER, ROLLUP, ReleaseRule::OnCommit, sealed(), content)
    }

    fn bid(&self, auction: AuctionId, price: Amount) -> Entry {
        let release = ReleaseRule::AtClose(auction);
        let entry = self.entry(PROVER, RollupId::SYSTEM, release, sealed(), Content::Held);
        let bid = codec::encode(&SystemOp::Bid(Bid { auction, price }));
        self.lock().bids.insert(entry.header.id(), bid);
        entry
    }

    fn entry(
        &self,
        payer: AccountId,
        rollup: RollupId,
        release: ReleaseRule,
        payload: Payload,
        content: Content,
    ) -> Entry {
        let mut inner = self.lock();
        inner.sequence += 1;
        let header = EnvelopeHeader {
            core: EnvelopeCore {
                chain: self.genesis.chain_id(),
                epoch: Epoch(0),
                rollup,
                payer,
                sequence: Sequence(inner.sequence),
                expiry: Height(10_000),
                release,
                bucket: Bucket(0),
            },
            body_bytes: 100,
            body_digest: Digest([4; 32]),
            payload,
            signature: EdSignature([5; 64]),
        };
        Entry {
            header,
            author: ValidatorIndex(0),
            content,
        }
    }

    /// Makes the next block of these envelopes, executes it, and publishes the height.
    pub(super) fn commit(&self, entries: &[Entry]) {
        let height = self.lock().execute(&self.genesis, entries);
        self.progress.send_replace(Progress {
            committed: height,
            executed: height,
        });
    }

    /// From now on headers name this ledger.
    pub(super) fn name(&self, ledger_height: u64) {
        self.lock().names = Some(Height(ledger_height));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test panics while holding it")
    }
}

impl Inner {
    fn execute(&mut self, genesis: &Genesis, entries: &[Entry]) -> Height {
        let height = self.ledger.height().next();
        let time = BlockTime(self.ledger.time().0 + 1000);
        let proposer = ValidatorIndex((height.0 % 4) as u16);
        let named = self.names.unwrap_or(self.ledger.height());
        let ledger = (named, self.roots[&named]);
        let at = (height, time, proposer);
        let block = block(genesis, at, entries.len() as u32, ledger);
        let closing = self.ledger.closing(time, height, proposer);
        let held = closing
            .into_iter()
            .flat_map(|auction| self.ledger.held_bids(auction));
        let bids = held
            .map(|header| ClosedBid {
                envelope: header.id(),
                content: Content::Opened {
                    plaintext: self.bids[&header.id()].clone(),
                    m: Point([6; 32]),
                },
            })
            .collect();
        let executable = ExecutableBlock {
            height,
            epoch: Epoch(0),
            time,
            proposer,
            ledger_height: named,
            entries: entries.to_vec(),
            bids,
        };
        let executed = self
            .ledger
            .execute(executable, &self.transactions, &Lenient, &self.votes)
            .expect("everything is here");
        self.roots.insert(height, executed.state_root);
        self.provable.committed(&block.block.header);
        self.blocks.insert(height, block);
        self.keep(entries, executed, time);
        self.shared = Arc::new(self.ledger.clone());
        self.provable.executed(self.shared.clone());
        height
    }

    fn keep(&mut self, entries: &[Entry], executed: Executed, time: BlockTime) {
        let height = executed.height;
        for entry in entries {
            self.envelopes.insert(entry.header.id(), height);
        }
        for delivery in executed.deliveries {
            let stream = self.transactions.0.entry(delivery.rollup).or_default();
            stream.extend(
                delivery
                    .transactions
                    .iter()
                    .map(|bytes| OrderedTransaction {
                        height,
                        bytes: bytes.clone(),
                    }),
            );
            let envelopes = delivery.entries.iter().map(|entry| {
                let header = entries
                    .iter()
                    .map(|entry| &entry.header)
                    .find(|h| h.id() == entry.envelope);
                let header = header.expect("delivered from this block");
                let range = match entry.outcome {
                    StreamOutcome::Opened {
                        first,
                        transactions,
                    } => {
                        let first = (first.0 - delivery.first.0) as usize;
                        first..first + transactions as usize
                    }
                    _ => 0..0,
                };
                DeliveredEnvelope {
                    id: entry.envelope.to_string(),
                    payer: header.core.payer.to_string(),
                    header: hex::encode(codec::encode(header)),
                    outcome: entry.outcome.name().into(),
                    opening: None,
                    body: None,
                    transactions: delivery.transactions[range]
                        .iter()
                        .map(hex::encode)
                        .collect(),
                }
            });
            let link = StoredLink {
                link: StreamLink::new(height, &delivery.entries),
                digest: delivery.digest,
            };
            self.links.insert((delivery.rollup, height), link);
            let view = DeliveryView {
                malformed_evidence: None,
                inconsistent_evidence: vec![],
                rollup: delivery.rollup.0,
                height: height.0,
                time_ms: time.0,
                first_index: delivery.first.0,
                envelopes: envelopes.collect(),
                stream_digest: delivery.digest.to_string(),
                block: None,
            };
            self.deliveries.insert((delivery.rollup, height), view);
        }
        for event in executed.events {
            let text = format!("{event:?}");
            let kind = text.split([' ', '{']).next().unwrap_or_default().to_owned();
            let view = EventView {
                height: height.0,
                time_ms: time.0,
                kind,
                text,
            };
            self.events.entry(height).or_default().push(view);
            match event {
                LedgerEvent::RangeSettled {
                    auction,
                    range,
                    new_root,
                } => {
                    let proof = proof(auction, &range, new_root, height);
                    self.proofs.insert(auction, proof);
                }
                LedgerEvent::Paid { .. } => self.record.settled += 1,
                LedgerEvent::DeadlineMissed { .. } => self.record.missed += 1,
                _ => {}
            }
        }
    }
}

impl Backend for Chain {
    async fn submit(&self, envelope: Envelope) -> Result<Receipt, Refusal> {
        self.submissions.send_modify(|count| *count += 1);
        let gate = self.gate.lock().expect("not poisoned").clone();
        if let Some(gate) = gate {
            gate.notified().await;
        }
        if let Some(refusal) = self.refusal.lock().expect("not poisoned").clone() {
            return Err(refusal);
        }
        Ok(Receipt {
            chain: self.genesis.chain_id(),
            envelope: envelope.header.id(),
            validator: ValidatorIndex(0),
            height: self.progress.borrow().committed,
            deadline: Height(500),
            signature: EdSignature([7; 64]),
        })
    }

    fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    fn ledger(&self) -> Arc<Ledger> {
        self.lock().shared.clone()
    }

    fn envelope(&self, id: EnvelopeId) -> Option<EnvelopeView> {
        let height = *self.lock().envelopes.get(&id)?;
        Some(EnvelopeView {
            id: id.to_string(),
            status: EnvelopeStage::Opened,
            height: Some(height.0),
            code: None,
            reason: None,
            times: None,
        })
    }

    fn block(&self, height: Height) -> Option<CertifiedBlock> {
        self.lock().blocks.get(&height).cloned()
    }

    fn delivery(&self, rollup: RollupId, height: Height) -> Option<DeliveryView> {
        self.lock().deliveries.get(&(rollup, height)).cloned()
    }

    fn named_ledger(&self) -> Option<NamedLedger> {
        self.lock().provable.newest()
    }

    fn links(&self, rollup: RollupId, from: Height, to: Height, limit: usize) -> Vec<StoredLink> {
        let inner = self.lock();
        let links = inner.links.range((rollup, from)..=(rollup, to));
        links.map(|(_, link)| *link).take(limit).collect()
    }

    fn last_link(&self, rollup: RollupId, to: Height) -> Option<StoredLink> {
        let inner = self.lock();
        let mut links = inner.links.range((rollup, Height(0))..=(rollup, to));
        links.next_back().map(|(_, link)| *link)
    }

    fn events(&self, height: Height) -> Vec<EventView> {
        self.lock().events.get(&height).cloned().unwrap_or_default()
    }

    fn prover_record(&self, _: AccountId) -> ProverRecord {
        self.lock().record
    }

    fn proofs(&self, rollup: RollupId, from_index: u64, limit: usize) -> Vec<ProofView> {
        let inner = self.lock();
        let of_rollup = inner
            .proofs
            .values()
            .filter(|proof| proof.rollup == rollup.0);
        let wanted = of_rollup
            .filter(|proof| proof.from_index >= from_index)
            .take(limit);
        wanted
            .cloned()
            .map(|proof| ProofView {
                proof: None,
                ..proof
            })
            .collect()
    }

    fn proof(&self, auction: u64) -> Option<ProofView> {
        self.lock().proofs.get(&AuctionId(auction)).cloned()
    }

    fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    fn status(&self) -> StatusView {
        let progress = *self.progress.borrow();
        let inner = self.lock();
        StatusView {
            chain: self.genesis.chain_id().to_string(),
            validator: 0,
            view: 1,
            leader: None,
            committed_height: progress.committed.0,
            executed_height: progress.executed.0,
            block_time_ms: inner.ledger.time().0,
            peers_connected: 3,
            mempool_envelopes: 0,
            envelopes_ordered: inner.sequence,
            transactions_ordered: 4,
            finality_ms_p50: None,
            finality_ms_p99: None,
            opening_ms_p50: None,
            opening_ms_p99: None,
            syncing: None,
        }
    }

    fn ready(&self) -> Result<(), String> {
        self.ready.lock().expect("not poisoned").clone()
    }

    fn metrics(&self) -> String {
        "# TYPE conclave_height gauge\nconclave_height 6\n".into()
    }
}

fn sealed() -> Payload {
    let point = Point([3; 32]);
    Payload::Sealed(SealedKey {
        c: point,
        d: point,
        c_bar: point,
        commitment: point,
        commitment_bar: point,
        response: Scalar([3; 32]),
    })
}

fn genesis() -> Genesis {
    let validator = |index: u8| ValidatorInfo {
        name: format!("validator-{index}"),
        weight: 1,
        bls_key: BlsPublicKey([index; 96]),
        bls_possession: BlsSignature([index; 48]),
        transport_key: TransportKey([index; 32]),
        account: AccountId(Digest([100 + index; 32])),
        address: format!("127.0.0.1:{}", 4000 + u16::from(index)),
        api: format!("http://127.0.0.1:{}", 5000 + u16::from(index)),
    };
    let allocation = |account| Allocation {
        account,
        balance: Amount(1_000_000),
        fees: Amount(1_000_000),
    };
    let genesis = Genesis {
        name: "test".into(),
        time: BlockTime(1_000_000),
        validators: (0..4).map(validator).collect(),
        sealing: SealingKey {
            key: Point([1; 32]),
            shares: vec![Point([2; 32]); 4],
            transcript: Digest([3; 32]),
        },
        allocations: vec![allocation(PAYER), allocation(PROVER)],
        consensus: ConsensusParameters::default(),
        fees: FeeParameters::default(),
        market: MarketParameters::default(),
    };
    genesis.check().expect("a sound genesis");
    genesis
}

fn config() -> RollupConfig {
    RollupConfig {
        name: "payments".into(),
        owner: PAYER,
        program: ProgramVersion(Digest([9; 32])),
        genesis_root: StateRoot(Digest([7; 32])),
        policy: ProofPolicy::Any {
            systems: vec![ProofSystem::Winterfell],
            required: 1,
        },
        reserve_price: Amount(100),
        reserve_price_max: Amount(200),
        range_transactions: 2,
        range_age_ms: 60_000,
        deadline_ms: 60_000,
        bond_percent: 150,
        fee_share_percent: 10,
    }
}

fn block(
    genesis: &Genesis,
    (height, time, proposer): (Height, BlockTime, ValidatorIndex),
    envelopes: u32,
    (ledger_height, ledger_root): (Height, Digest),
) -> CertifiedBlock {
    let chain = genesis.chain_id();
    let aggregate = AggregateSignature {
        signers: Signers::default(),
        signature: BlsSignature([0; 48]),
    };
    let contents = vec![RollupContents {
        rollup: ROLLUP,
        count: envelopes,
        root: Digest([1; 32]),
    }];
    let batch = BatchHeader {
        chain,
        epoch: Epoch(0),
        author: proposer,
        sequence: height.0,
        shards: Digest::ZERO,
        contents,
    };
    let batches = match envelopes {
        0 => vec![],
        _ => vec![BatchRef {
            header: batch,
            stored: SignatureSet {
                signers: aggregate.signers,
                signatures: vec![EdSignature([0; 64]); aggregate.signers.count()],
            },
        }],
    };
    let header = BlockHeader {
        chain,
        epoch: Epoch(0),
        view: View(height.0),
        height,
        parent: BlockId::genesis(chain),
        parent_view: View(height.0 - 1),
        proposer,
        time,
        payload: Block::payload_digest(&batches),
        ledger_height,
        ledger_root,
    };
    let block = Block { header, batches };
    let certificate = CommitCertificate {
        epoch: Epoch(0),
        view: View(height.0),
        height,
        block: block.id(),
        aggregate,
    };
    CertifiedBlock {
        block,
        tail: vec![],
        certificate,
    }
}

fn proof(auction: AuctionId, range: &Range, new_root: StateRoot, height: Height) -> ProofView {
    ProofView {
        auction: auction.0,
        rollup: range.rollup.0,
        system: "winterfell".into(),
        program: config().program.to_string(),
        prover: PROVER.to_string(),
        from_index: range.from.0,
        to_index: range.to.0,
        from_height: range.from_height.0,
        to_height: range.to_height.0,
        old_root: config().genesis_root.to_string(),
        new_root: new_root.to_string(),
        excluded: vec![],
        height: height.0,
        proof: Some("05".repeat(100)),
        proof_bytes: 100,
    }
}

/// An envelope that decodes; nobody checks its signature here.
pub(super) fn envelope(chain: &Chain, body: &[u8]) -> Envelope {
    let entry = chain.contents(&[b"x"]);
    Envelope {
        header: entry.header,
        body: body.to_vec(),
    }
}
