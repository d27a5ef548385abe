//! A real small chain as a validator serves it: sealed envelopes, opened by a quorum, in blocks with
//! commit certificates.

use conclave_crypto::{BlsCommittee, BlsSecret, EdSecret, Signatures, merkle};
use conclave_sdk::api::{BlockView, DeliveredEnvelope, DeliveryView};
use conclave_seal::{
    Ceremony, KeyGeneration, KeyShares, SealScheme, Tdh2, Verdict, bucket_for, seal,
};
use conclave_types::*;
use rand_core::OsRng;

pub(super) const ROLLUP: RollupId = RollupId(7);

pub(super) struct Chain {
    pub(super) genesis: Genesis,
    secrets: Vec<BlsSecret>,
    schemes: Vec<Tdh2>,
    payer: EdSecret,
    sequence: u64,
    next_index: u64,
    tip: Option<Block>,
}

impl Chain {
    pub(super) fn new() -> Self {
        let secrets: Vec<_> = (0..4).map(|_| BlsSecret::generate(&mut OsRng)).collect();
        let (shares, sealing) = generate();
        let validators = secrets.iter().enumerate().map(|(index, secret)| {
            let transport = EdSecret::generate(&mut OsRng);
            ValidatorInfo {
                name: format!("v{index}"),
                weight: 1,
                bls_key: secret.public(),
                bls_possession: secret.prove_possession(),
                transport_key: transport.transport_key(),
                account: transport.account(),
                address: String::new(),
                api: String::new(),
            }
        });
        let genesis = Genesis {
            name: "test".into(),
            time: BlockTime(0),
            validators: validators.collect(),
            sealing,
            allocations: Vec::new(),
            consensus: ConsensusParameters::default(),
            fees: FeeParameters::default(),
            market: MarketParameters::default(),
        };
        let schemes = (0..).map(ValidatorIndex).zip(shares).map(|own| {
            Tdh2::new(&genesis.sealing, &[1; 4], Some(own), [7; 32]).expect("own shares")
        });
        Self {
            schemes: schemes.collect(),
            genesis,
            secrets,
            payer: EdSecret::generate(&mut OsRng),
            sequence: 0,
            next_index: 0,
            tip: None,
        }
    }

    /// An envelope with one transaction.
    pub(super) fn envelope(&mut self) -> Envelope {
        self.sequence += 1;
        let plaintext = encode_transactions(&[vec![1, 2, 3]]).expect("short");
        let core = EnvelopeCore {
            chain: self.genesis.chain_id(),
            epoch: Epoch(0),
            rollup: ROLLUP,
            payer: self.payer.account(),
            sequence: Sequence(self.sequence),
            expiry: Height(1_000),
            release: ReleaseRule::OnCommit,
            bucket: bucket_for(plaintext.len()).expect("short"),
            fee_max: Amount(u64::MAX),
        };
        let key = &self.genesis.sealing.key;
        let sign = |digest: &_| self.payer.sign(digest);
        seal(key, core, &plaintext, &mut OsRng, sign).expect("fits")
    }

    /// The next block, final, as delivered.
    pub(super) fn extend(&mut self, envelopes: &[&Envelope]) -> DeliveryView {
        let block = self.block(envelopes);
        let headers: Vec<_> = envelopes.iter().map(|envelope| &envelope.header).collect();
        let opened = self.open(&block, &headers);
        let views = envelopes
            .iter()
            .zip(opened)
            .map(|(envelope, m)| DeliveredEnvelope {
                id: envelope.header.id().to_string(),
                payer: envelope.header.core.payer.to_string(),
                header: hex(&codec::encode(&envelope.header)),
                outcome: "opened".into(),
                opening: Some(m.to_string()),
                body: Some(hex(&envelope.body)),
                transactions: vec!["010203".into()],
            });
        let view = DeliveryView {
            rollup: ROLLUP.0,
            height: block.header.height.0,
            time_ms: 0,
            first_index: self.next_index,
            envelopes: views.collect(),
            malformed_evidence: Vec::new(),
            inconsistent_evidence: vec![],
            stream_digest: Digest::ZERO.to_string(),
            block: Some(self.certify(&block)),
        };
        self.next_index += envelopes.len() as u64;
        self.tip = Some(block);
        view
    }

    /// A second final block at the height of the last one: what must never be.
    pub(super) fn fork(&mut self) -> DeliveryView {
        let mut twin = self.tip.clone().expect("a block");
        twin.batches.clear();
        twin.header.payload = Block::payload_digest(&[]);
        twin.header.time.0 += 1;
        DeliveryView {
            rollup: ROLLUP.0,
            height: twin.header.height.0,
            time_ms: 0,
            first_index: 0,
            envelopes: Vec::new(),
            malformed_evidence: Vec::new(),
            inconsistent_evidence: vec![],
            stream_digest: Digest::ZERO.to_string(),
            block: Some(self.certify(&twin)),
        }
    }

    fn block(&self, envelopes: &[&Envelope]) -> Block {
        let chain = self.genesis.chain_id();
        let ids: Vec<_> = envelopes
            .iter()
            .map(|envelope| envelope.header.id().0)
            .collect();
        let contents = RollupContents {
            rollup: ROLLUP,
            count: ids.len() as u32,
            root: merkle::root(&ids),
        };
        let header = BatchHeader {
            chain,
            epoch: Epoch(0),
            author: ValidatorIndex(0),
            sequence: self.sequence,
            shards: Digest::ZERO,
            contents: vec![contents],
        };
        let stored = SignatureSet {
            signers: Signers::default(),
            signatures: Vec::new(),
        };
        let batches = match envelopes {
            [] => Vec::new(),
            _ => vec![BatchRef { header, stored }],
        };
        let (parent, height, view) = match self.tip.as_ref().map(|tip| &tip.header) {
            Some(tip) => (tip.id(), tip.height.next(), tip.view),
            None => (BlockId::genesis(chain), Height(1), View(0)),
        };
        let header = BlockHeader {
            chain,
            epoch: Epoch(0),
            view: view.next(),
            height,
            parent,
            parent_view: view,
            proposer: ValidatorIndex(1),
            time: BlockTime(height.0),
            payload: Block::payload_digest(&batches),
            ledger_height: Height(0),
            ledger_root: Digest::ZERO,
            next_epoch: None,
        };
        Block { header, batches }
    }

    fn certify(&self, block: &Block) -> BlockView {
        let header = &block.header;
        let message = VoteKind::Commit.message(
            header.chain,
            header.epoch,
            header.view,
            header.height,
            block.id(),
        );
        let mut signers = Signers::default();
        let signatures: Vec<_> = (0..3)
            .map(|index| {
                signers.insert(ValidatorIndex(index));
                self.secrets[usize::from(index)].sign(&message)
            })
            .collect();
        let committee = BlsCommittee::verifier(&self.genesis.validators).expect("valid keys");
        let certificate = CommitCertificate {
            epoch: header.epoch,
            view: header.view,
            height: header.height,
            block: block.id(),
            aggregate: AggregateSignature {
                signers,
                signature: committee.aggregate(&signatures).expect("valid points"),
            },
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
            batches: Vec::new(),
            block: hex(&codec::encode(block)),
            tail: Vec::new(),
            certificate: hex(&codec::encode(&certificate)),
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
        let point = |verdict| match verdict {
            Verdict::Opened(m) => m,
            Verdict::Malformed => panic!("a well-formed envelope opens"),
        };
        let verdicts = verdicts.expect("a quorum of shares");
        verdicts.into_iter().map(point).collect()
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn generate() -> (Vec<KeyShares>, SealingKey) {
    let ceremony = Ceremony {
        context: Digest([7; 32]),
        weights: vec![1; 4],
    };
    let (mut parts, mut queue) = (Vec::new(), Vec::new());
    for index in (0..4).map(ValidatorIndex) {
        let (part, message) =
            KeyGeneration::start(ceremony.clone(), index, &mut OsRng).expect("a valid committee");
        parts.push(part);
        queue.push((index, message));
    }
    while let Some((from, message)) = queue.pop() {
        for (to, part) in parts.iter_mut().enumerate() {
            if to != usize::from(from.0) {
                let progress = part.handle(from, &message).expect("honest dealers");
                let reply = progress
                    .send
                    .map(|message| (ValidatorIndex(to as u16), message));
                queue.extend(reply);
            }
        }
    }
    let finished = parts
        .into_iter()
        .map(|part| part.finish().expect("all messages are in"));
    let (shares, mut keys): (Vec<_>, Vec<_>) = finished.unzip();
    (shares, keys.pop().expect("four"))
}
