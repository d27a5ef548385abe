//! A real small chain: four validators with a generated sealing key, blocks with certificates,
//! sealed envelopes that a quorum opened.

use conclave_crypto::{BlsCommittee, BlsSecret, EdSecret, Signatures, merkle};
use conclave_seal::{
    Ceremony, KeyGeneration, KeyShares, SealScheme, ShareContext, Tdh2, Verdict, bucket_for,
    encode_transactions, seal,
};
use conclave_types::*;
use rand_core::OsRng;

use crate::api::{BlockView, DeliveredEnvelope, DeliveryView};

pub(super) const ROLLUP: RollupId = RollupId(7);
const VALIDATORS: u16 = 4;

pub(super) struct Chain {
    pub(super) genesis: Genesis,
    secrets: Vec<BlsSecret>,
    transport: Vec<EdSecret>,
    schemes: Vec<Tdh2>,
    payer: EdSecret,
    sequence: u64,
    tip: Option<BlockHeader>,
    next_index: u64,
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
        let genesis = Genesis {
            name: "test".into(),
            time: BlockTime(0),
            validators: validators.collect(),
            sealing,
            allocations: vec![],
            consensus: ConsensusParameters::default(),
            fees: FeeParameters::default(),
            market: MarketParameters::default(),
        };
        let schemes = (0..).map(ValidatorIndex).zip(shares).map(|own| {
            Tdh2::new(&genesis.sealing, &[1; 4], Some(own), [7; 32]).expect("own shares")
        });
        Self {
            schemes: schemes.collect(),
            payer: EdSecret::generate(&mut OsRng),
            sequence: 0,
            tip: None,
            next_index: 0,
            genesis,
            secrets,
            transport,
        }
    }

    pub(super) fn transport(&self, index: usize) -> &EdSecret {
        &self.transport[index]
    }

    /// A sealed envelope of the rollup.
    pub(super) fn envelope(&mut self, transactions: &[&[u8]]) -> Envelope {
        let transactions: Vec<Vec<u8>> = transactions.iter().map(|t| t.to_vec()).collect();
        let plaintext = encode_transactions(&transactions).expect("few");
        self.sequence += 1;
        let core = EnvelopeCore {
            chain: self.genesis.chain_id(),
            epoch: Epoch(0),
            rollup: ROLLUP,
            payer: self.payer.account(),
            sequence: Sequence(self.sequence),
            expiry: Height(1_000),
            release: ReleaseRule::OnCommit,
            bucket: bucket_for(plaintext.len()).expect("short"),
        };
        let sign = |digest: &_| self.payer.sign(digest);
        seal(
            &self.genesis.sealing.key,
            core,
            &plaintext,
            &mut OsRng,
            sign,
        )
        .expect("fits")
    }

    /// The next block, final, and what it delivers: every envelope opened.
    pub(super) fn extend(&mut self, envelopes: &[(Envelope, &[&[u8]])]) -> DeliveryView {
        let ids: Vec<_> = envelopes.iter().map(|(e, _)| e.header.id().0).collect();
        let header = BatchHeader {
            chain: self.genesis.chain_id(),
            epoch: Epoch(0),
            author: ValidatorIndex(0),
            sequence: self.sequence,
            contents: vec![RollupContents {
                rollup: ROLLUP,
                count: ids.len() as u32,
                root: merkle::root(&ids),
            }],
        };
        let stored = self.aggregate(Stored::message(self.genesis.chain_id(), header.id()));
        let batches = match envelopes {
            [] => vec![],
            _ => vec![BatchRef { header, stored }],
        };
        let block = self.block(batches);
        let block_view = self.certify(&block);
        let opened = self.open(&block, envelopes);
        let view = DeliveryView {
            malformed_evidence: None,
            rollup: ROLLUP.0,
            height: block.header.height.0,
            time_ms: block.header.time.0,
            first_index: self.next_index,
            envelopes: opened,
            stream_digest: Digest::ZERO.to_string(),
            block: Some(block_view),
        };
        self.next_index += envelopes.iter().map(|(_, t)| t.len() as u64).sum::<u64>();
        self.tip = Some(block.header);
        view
    }

    fn block(&self, batches: Vec<BatchRef>) -> Block {
        let chain = self.genesis.chain_id();
        let (parent, height, time, parent_view) = match &self.tip {
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
            ledger_height: Height(0),
            ledger_root: Digest::ZERO,
        };
        Block { header, batches }
    }

    pub(super) fn certify(&self, block: &Block) -> BlockView {
        let header = &block.header;
        let message = VoteKind::Commit.message(
            header.chain,
            header.epoch,
            header.view,
            header.height,
            block.id(),
        );
        let certificate = CommitCertificate {
            epoch: header.epoch,
            view: header.view,
            height: header.height,
            block: block.id(),
            aggregate: self.aggregate(message),
        };
        BlockView {
            id: block.id().to_string(),
            height: header.height.0,
            view: header.view.0,
            epoch: 0,
            parent: header.parent.to_string(),
            proposer: header.proposer.0,
            time_ms: header.time.0,
            ledger_height: 0,
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
        let committee = BlsCommittee::verifier(&self.genesis).expect("valid keys");
        AggregateSignature {
            signers,
            signature: committee.aggregate(&signatures).expect("valid points"),
        }
    }

    fn open(&self, block: &Block, envelopes: &[(Envelope, &[&[u8]])]) -> Vec<DeliveredEnvelope> {
        let headers: Vec<_> = envelopes.iter().map(|(e, _)| &e.header).collect();
        let context = ShareContext {
            block: block.id(),
            height: block.header.height,
            lane: ShareLane::OnCommit,
        };
        let bundles: Vec<_> = self.schemes[..3]
            .iter()
            .map(|scheme| {
                let points = scheme.share_points(&headers);
                scheme
                    .bundle(context, &headers, points)
                    .expect("own shares")
            })
            .collect();
        let verdicts = self.schemes[3].open(context, &headers, &bundles).verdicts;
        let verdicts = verdicts.expect("a quorum of shares");
        envelopes
            .iter()
            .zip(verdicts)
            .map(|((envelope, transactions), verdict)| {
                let Verdict::Opened(m) = verdict else {
                    panic!("a well-formed envelope opens");
                };
                DeliveredEnvelope {
                    id: envelope.header.id().to_string(),
                    payer: envelope.header.core.payer.to_string(),
                    header: hex::encode(codec::encode(&envelope.header)),
                    outcome: "opened".into(),
                    opening: Some(m.to_string()),
                    body: Some(hex::encode(&envelope.body)),
                    transactions: transactions.iter().map(hex::encode).collect(),
                }
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
