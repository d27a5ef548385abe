//! A real small chain: four validators with a generated sealing key, blocks with certificates,
//! sealed envelopes that a quorum opened, and the real ledger, whose roots the blocks name.

use std::sync::Arc;

use conclave_crypto::{BlsCommittee, BlsSecret, EdSecret, MerkleTree, Signatures, merkle};
use conclave_ledger::{
    BlsCommittees, Content, Entry, ExecutableBlock, Ledger, OrderedBlock, OrderedEnvelope, VoteKeys,
};
use conclave_light::{EntryProof, EntryTable, LEDGER_BUCKETS, entry_bucket, entry_leaf};
use conclave_market::{ContentSource, OrderedTransaction, ProofRejected, Verifier};
use conclave_seal::{
    Ceremony, KeyGeneration, KeyShares, SealScheme, Tdh2, Verdict, bucket_for, plain, seal,
};
use conclave_types::*;
use rand_core::OsRng;

use crate::api::{BlockView, DeliveredEnvelope, DeliveryView, LedgerProofView, ProvenEntryView};

pub(super) const ROLLUP: RollupId = RollupId(7);
const VALIDATORS: u16 = 4;

pub(super) struct Chain {
    pub(super) genesis: Genesis,
    secrets: Vec<BlsSecret>,
    transport: Vec<EdSecret>,
    schemes: Vec<Arc<Tdh2>>,
    /// Has fees.
    pub(super) payer: EdSecret,
    /// Has none.
    pub(super) poor: EdSecret,
    sequence: u64,
    tip: Option<Block>,
    votes: VoteKeys,
    pub(super) ledger: Ledger,
    /// The ledger that the last block names.
    pub(super) named: Ledger,
}

/// Nothing is proven on this chain.
struct Nothing;

impl ContentSource for Nothing {
    fn transactions(&self, _: &Range) -> Option<Vec<OrderedTransaction>> {
        None
    }
}

impl Verifier for Nothing {
    fn knows(&self, _: &ProgramVersion) -> bool {
        false
    }

    fn verify(
        &self,
        _: &Statement,
        _: ProofSystem,
        _: &[OrderedTransaction],
        _: &[u32],
        _: &[u8],
    ) -> Result<(), ProofRejected> {
        unreachable!("no program is known")
    }
}

impl Chain {
    pub(super) fn new() -> Self {
        let secrets: Vec<_> = (0..VALIDATORS)
            .map(|_| BlsSecret::generate(&mut OsRng))
            .collect();
        let transport: Vec<_> = (0..VALIDATORS)
            .map(|_| EdSecret::generate(&mut OsRng))
            .collect();
        let (shares, sealing) = generate();
        let validators = secrets.iter().zip(&transport).enumerate();
        let validators = validators.map(|(index, (secret, transport))| ValidatorInfo {
            name: format!("v{index}"),
            weight: 1,
            bls_key: secret.public(),
            bls_possession: secret.prove_possession(),
            transport_key: transport.transport_key(),
            account: AccountId(Digest::ZERO),
            address: String::new(),
            api: String::new(),
        });
        let payer = EdSecret::generate(&mut OsRng);
        let genesis = Genesis {
            name: "test".into(),
            time: BlockTime(0),
            validators: validators.collect(),
            sealing,
            allocations: vec![Allocation {
                account: payer.account(),
                balance: Amount(1_000_000),
                fees: Amount(1_000_000),
            }],
            consensus: ConsensusParameters::default(),
            fees: FeeParameters::default(),
            market: MarketParameters::default(),
        };
        let schemes = (0..).map(ValidatorIndex).zip(shares).map(|own| {
            Arc::new(Tdh2::new(&genesis.sealing, &[1; 4], Some(own), [7; 32]).expect("own shares"))
        });
        let schemes: Vec<Arc<Tdh2>> = schemes.collect();
        let ledger = Ledger::genesis(&genesis);
        Self {
            payer,
            poor: EdSecret::generate(&mut OsRng),
            sequence: 0,
            tip: None,
            votes: VoteKeys {
                chain: genesis.chain_id(),
                committees: Arc::new(BlsCommittees),
            },
            schemes,
            named: ledger.clone(),
            ledger,
            genesis,
            secrets,
            transport,
        }
    }

    /// A chain whose first block registers the rollup.
    pub(super) fn with_rollup() -> Self {
        let mut chain = Self::new();
        let register = chain.register(ROLLUP);
        chain.extend(vec![register]);
        chain
    }

    pub(super) fn transport(&self, index: usize) -> &EdSecret {
        &self.transport[index]
    }

    /// A sealed envelope of the rollup.
    pub(super) fn envelope(&mut self, transactions: &[&[u8]]) -> Envelope {
        self.sequence += 1;
        self.sealed(&self.payer, self.sequence, transactions)
    }

    /// A sealed envelope of a payer and a sequence number.
    pub(super) fn sealed(
        &self,
        payer: &EdSecret,
        sequence: u64,
        transactions: &[&[u8]],
    ) -> Envelope {
        let transactions: Vec<Vec<u8>> = transactions.iter().map(|t| t.to_vec()).collect();
        let plaintext = encode_transactions(&transactions).expect("few");
        let core = EnvelopeCore {
            bucket: bucket_for(plaintext.len()).expect("short"),
            ..self.core(payer, ROLLUP, sequence)
        };
        let key = &self.genesis.sealing.key;
        seal(key, core, &plaintext, &mut OsRng, |digest| {
            payer.sign(digest)
        })
        .expect("fits")
    }

    /// The registration of a rollup that proves nothing.
    pub(super) fn register(&mut self, rollup: RollupId) -> Envelope {
        let config = RollupConfig {
            name: "test".into(),
            owner: self.payer.account(),
            program: ProgramVersion(Digest::ZERO),
            genesis_root: StateRoot(Digest([9; 32])),
            policy: ProofPolicy::None,
            reserve_price: Amount(0),
            reserve_price_max: Amount(0),
            range_transactions: 1,
            range_age_ms: 0,
            deadline_ms: 1,
            bond_percent: 0,
            fee_share_percent: 0,
        };
        self.sequence += 1;
        let core = self.core(&self.payer, RollupId::SYSTEM, self.sequence);
        let body = codec::encode(&SystemOp::RegisterRollup { rollup, config });
        plain(core, body, |digest| self.payer.sign(digest)).expect("fits")
    }

    fn core(&self, payer: &EdSecret, rollup: RollupId, sequence: u64) -> EnvelopeCore {
        EnvelopeCore {
            chain: self.genesis.chain_id(),
            epoch: Epoch(0),
            rollup,
            payer: payer.account(),
            sequence: Sequence(sequence),
            expiry: Height(1_000),
            release: ReleaseRule::OnCommit,
            bucket: Bucket(0),
            fee_max: Amount(u64::MAX),
        }
    }

    /// The next block, final, and what it delivers to the rollup.
    pub(super) fn extend(&mut self, mut envelopes: Vec<Envelope>) -> DeliveryView {
        envelopes.sort_by_key(|envelope| envelope.header.core.rollup);
        let block = self.block(self.batches(&envelopes));
        let header = block.header.clone();
        let ordered = OrderedBlock {
            height: header.height,
            epoch: header.epoch,
            time: header.time,
            proposer: header.proposer,
            ledger_height: header.ledger_height,
        };
        let author = ValidatorIndex(0);
        let headers = envelopes.iter().map(|envelope| OrderedEnvelope {
            header: &envelope.header,
            author,
        });
        let headers: Vec<_> = headers.collect();
        let mut fees = self.ledger.fees().clone();
        let dispositions = fees.order(&ordered, &headers).expect("executed");
        let opens: Vec<bool> = dispositions
            .iter()
            .zip(&envelopes)
            .map(|(disposition, envelope)| disposition.is_accepted() && envelope.header.is_sealed())
            .collect();
        let sealed = envelopes.iter().zip(&opens).filter(|(_, opens)| **opens);
        let sealed: Vec<&EnvelopeHeader> = sealed.map(|(e, _)| &e.header).collect();
        let mut opened = self.open(&block, &sealed).into_iter();
        let openings: Vec<Option<Point>> = opens
            .iter()
            .map(|opens| opens.then(|| opened.next().expect("one each")))
            .collect();
        let contents = envelopes.iter().zip(&openings).zip(&dispositions);
        let entries = contents.map(|((envelope, m), disposition)| Entry {
            header: envelope.header.clone(),
            author,
            content: match (m, disposition.is_accepted()) {
                (Some(m), _) => Content::Opened {
                    plaintext: self.schemes[0].decrypt(envelope, m).expect("ours"),
                    m: *m,
                },
                (None, true) => Content::Plain(envelope.body.clone()),
                (None, false) => Content::NotOpened,
            },
        });
        let executable = ExecutableBlock {
            height: ordered.height,
            epoch: ordered.epoch,
            time: ordered.time,
            proposer: ordered.proposer,
            ledger_height: ordered.ledger_height,
            entries: entries.collect(),
            bids: Vec::new(),
        };
        self.named = self.ledger.clone();
        let first = self.ledger.stream(ROLLUP).map_or(0, |stream| stream.next.0);
        let executed = self
            .ledger
            .execute(executable, &Nothing, &Nothing, &self.votes)
            .expect("everything is here");
        let delivery = executed.deliveries.iter().find(|d| d.rollup == ROLLUP);
        let delivered = delivery.map_or(&[][..], |delivery| &delivery.entries);
        let own = envelopes.iter().zip(&openings);
        let own = own.filter(|(envelope, _)| envelope.header.core.rollup == ROLLUP);
        let views = own
            .zip(delivered)
            .map(|((envelope, m), entry)| self.view(envelope, *m, entry));
        let view = DeliveryView {
            malformed_evidence: Vec::new(),
            inconsistent_evidence: vec![],
            rollup: ROLLUP.0,
            height: header.height.0,
            time_ms: header.time.0,
            first_index: first,
            envelopes: views.collect(),
            stream_digest: self
                .ledger
                .stream(ROLLUP)
                .map_or(Digest::ZERO, |stream| stream.digest)
                .to_string(),
            block: Some(self.certify(&block)),
        };
        self.tip = Some(block);
        view
    }

    fn view(
        &self,
        envelope: &Envelope,
        m: Option<Point>,
        entry: &DeliveredEntry,
    ) -> DeliveredEnvelope {
        let plaintext = m.and_then(|m| self.schemes[0].decrypt(envelope, &m));
        let transactions = plaintext.and_then(|plaintext| decode_transactions(&plaintext).ok());
        DeliveredEnvelope {
            id: entry.envelope.to_string(),
            payer: envelope.header.core.payer.to_string(),
            header: hex::encode(codec::encode(&envelope.header)),
            outcome: entry.outcome.name().into(),
            opening: m.map(|m| m.to_string()),
            body: m.map(|_| hex::encode(&envelope.body)),
            transactions: transactions.iter().flatten().map(hex::encode).collect(),
        }
    }

    /// What the ledger that the last block names holds of a rollup.
    pub(super) fn proof(&self, rollup: RollupId) -> LedgerProofView {
        self.proof_from(&self.named, rollup)
    }

    /// The same from another ledger.
    pub(super) fn proof_from(&self, ledger: &Ledger, rollup: RollupId) -> LedgerProofView {
        let entry = |value: Vec<u8>, proof: Vec<u8>| ProvenEntryView {
            value: hex::encode(value),
            proof: hex::encode(proof),
        };
        let (stream, proof) = ledger.prove_stream(rollup).expect("a stream");
        LedgerProofView {
            rollup: rollup.0,
            ledger_height: ledger.height().0,
            block: self.certify(self.tip.as_ref().expect("a block")),
            stream: entry(codec::encode(&stream), codec::encode(&proof)),
            settled: ledger
                .prove_settled(rollup)
                .map(|(settled, proof)| entry(codec::encode(&settled), codec::encode(&proof))),
        }
    }

    /// The proof from a ledger that the committee made final after the last block, where so much of
    /// the rollup is settled. This chain proves nothing, so that ledger holds the two entries alone.
    pub(super) fn proof_settled(&self, settled: Settled) -> LedgerProofView {
        let (stream, _) = self.ledger.prove_stream(ROLLUP).expect("a stream");
        let key = codec::encode(&ROLLUP);
        let entries = [
            (EntryTable::Streams, codec::encode(&stream)),
            (EntryTable::Settled, codec::encode(&settled)),
        ];
        let mut buckets = vec![Vec::new(); LEDGER_BUCKETS];
        let places = entries.clone().map(|(table, value)| {
            let bucket = entry_bucket(table, &key);
            buckets[bucket].push(entry_leaf(table, &key, &value));
            (bucket, buckets[bucket].len() as u64 - 1)
        });
        let roots: Vec<Digest> = buckets.iter().map(|leaves| merkle::root(leaves)).collect();
        let tree = MerkleTree::new(&roots);
        let views = entries
            .into_iter()
            .zip(places)
            .map(|((_, value), (bucket, leaf))| ProvenEntryView {
                value: hex::encode(value),
                proof: hex::encode(codec::encode(&EntryProof {
                    leaf: MerkleTree::new(&buckets[bucket])
                        .path(leaf)
                        .expect("a leaf"),
                    bucket_root: roots[bucket],
                    bucket: tree.path(bucket as u64).expect("a bucket"),
                })),
            });
        let mut block = self.block(vec![]);
        block.header.ledger_root = tree.root();
        let [stream, settled] = views.collect::<Vec<_>>().try_into().expect("two");
        LedgerProofView {
            rollup: ROLLUP.0,
            ledger_height: block.header.ledger_height.0,
            block: self.certify(&block),
            stream,
            settled: Some(settled),
        }
    }

    /// One batch with all envelopes, which are grouped by rollup.
    fn batches(&self, envelopes: &[Envelope]) -> Vec<BatchRef> {
        let groups = envelopes.chunk_by(|a, b| a.header.core.rollup == b.header.core.rollup);
        let contents = groups.map(|group| {
            let ids: Vec<_> = group
                .iter()
                .map(|envelope| envelope.header.id().0)
                .collect();
            RollupContents {
                rollup: group[0].header.core.rollup,
                count: ids.len() as u32,
                root: merkle::root(&ids),
            }
        });
        let header = BatchHeader {
            chain: self.genesis.chain_id(),
            epoch: Epoch(0),
            author: ValidatorIndex(0),
            sequence: self.sequence,
            shards: Digest::ZERO,
            contents: contents.collect(),
        };
        let message = Stored::message(self.genesis.chain_id(), header.id());
        let mut signers = Signers::default();
        for index in 0..3 {
            signers.insert(ValidatorIndex(index));
        }
        let signatures = self.transport[..3].iter().map(|key| key.sign(&message));
        let stored = SignatureSet {
            signers,
            signatures: signatures.collect(),
        };
        match envelopes {
            [] => vec![],
            _ => vec![BatchRef { header, stored }],
        }
    }

    pub(super) fn block(&self, batches: Vec<BatchRef>) -> Block {
        let chain = self.genesis.chain_id();
        let (parent, height, time, parent_view) = match self.tip.as_ref().map(|tip| &tip.header) {
            Some(tip) => (tip.id(), tip.height.next(), tip.time.0 + 1, tip.view),
            None => (BlockId::genesis(chain), Height(1), 1, View(0)),
        };
        let header = BlockHeader {
            chain,
            epoch: Epoch(0),
            view: parent_view.next(),
            height,
            parent,
            parent_view,
            proposer: ValidatorIndex(1),
            time: BlockTime(time),
            payload: Block::payload_digest(&batches),
            ledger_height: self.ledger.height(),
            ledger_root: self.ledger.root(),
            next_epoch: None,
        };
        Block { header, batches }
    }

    /// By three of the four.
    pub(super) fn certificate(&self, block: &Block) -> CommitCertificate {
        let header = &block.header;
        let message = VoteKind::Commit.message(
            header.chain,
            header.epoch,
            header.view,
            header.height,
            block.id(),
        );
        CommitCertificate {
            epoch: header.epoch,
            view: header.view,
            height: header.height,
            block: block.id(),
            aggregate: self.aggregate(message),
        }
    }

    pub(super) fn certify(&self, block: &Block) -> BlockView {
        let header = &block.header;
        let certificate = self.certificate(block);
        BlockView {
            id: block.id().to_string(),
            height: header.height.0,
            view: header.view.0,
            epoch: header.epoch.0,
            parent: header.parent.to_string(),
            proposer: header.proposer.0,
            time_ms: header.time.0,
            ledger_height: header.ledger_height.0,
            ledger_root: header.ledger_root.to_string(),
            batches: vec![],
            block: hex::encode(codec::encode(block)),
            tail: vec![],
            certificate: hex::encode(codec::encode(&certificate)),
        }
    }

    /// By three of the four.
    fn aggregate(&self, message: Digest) -> AggregateSignature {
        let mut signers = Signers::default();
        let signatures: Vec<_> = (0..3)
            .map(|index| {
                signers.insert(ValidatorIndex(index));
                self.secrets[usize::from(index)].sign(&message)
            })
            .collect();
        let committee = BlsCommittee::verifier(&self.genesis.validators).expect("valid keys");
        AggregateSignature {
            signers,
            signature: committee.aggregate(&signatures).expect("valid points"),
        }
    }

    fn open(&self, block: &Block, headers: &[&EnvelopeHeader]) -> Vec<Point> {
        if headers.is_empty() {
            return Vec::new();
        }
        let context = ShareContext {
            block: block.id(),
            height: block.header.height,
            lane: LaneKind::OnCommit.of(Epoch(0)),
            group: ShareGroup::Whole,
        };
        let bundles: Vec<_> = self.schemes[..3]
            .iter()
            .map(|scheme| {
                let points = scheme.share_points(headers);
                scheme.bundle(context, headers, points).expect("own shares")
            })
            .collect();
        let verdicts = self.schemes[3].open(context, headers, &bundles).verdicts;
        let verdicts = verdicts.expect("a quorum of shares");
        verdicts
            .into_iter()
            .map(|verdict| match verdict {
                Verdict::Opened(m) => m,
                Verdict::Malformed => panic!("a well-formed envelope opens"),
            })
            .collect()
    }
}

/// The sealing key, generated by all four without a dealer.
fn generate() -> (Vec<KeyShares>, SealingKey) {
    let ceremony = Ceremony {
        context: Digest([3; 32]),
        weights: vec![1; usize::from(VALIDATORS)],
    };
    let mut parts = Vec::new();
    let mut messages = Vec::new();
    for index in (0..VALIDATORS).map(ValidatorIndex) {
        let (part, first) =
            KeyGeneration::start(ceremony.clone(), index, &mut OsRng).expect("a member");
        parts.push(part);
        messages.push((index, first));
    }
    while let Some((from, message)) = messages.pop() {
        for (index, part) in (0..).map(ValidatorIndex).zip(&mut parts) {
            if index != from {
                let progress = part.handle(from, &message).expect("honest");
                messages.extend(progress.send.map(|message| (index, message)));
            }
        }
    }
    let mut shares = Vec::new();
    let mut key = None;
    for part in parts {
        let (own, sealing) = part.finish().expect("all were honest");
        shares.push(own);
        key = Some(sealing);
    }
    (shares, key.expect("four parts"))
}
