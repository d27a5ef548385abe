//! Pinned encodings of what validators send each other: length and digest of one value of each
//! type. The byte tables of docs/wire-format.md are of these types.

use super::super::*;

fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

fn signers() -> Signers {
    let mut signers = Signers::default();
    for index in [0, 1, 3] {
        signers.insert(ValidatorIndex(index));
    }
    signers
}

fn aggregate() -> AggregateSignature {
    AggregateSignature {
        signers: signers(),
        signature: BlsSignature([4; 48]),
    }
}

fn batch() -> BatchRef {
    let contents = |rollup, count| RollupContents {
        rollup: RollupId(rollup),
        count,
        root: digest(5),
    };
    BatchRef {
        header: BatchHeader {
            chain: ChainId(digest(1)),
            epoch: Epoch(0),
            author: ValidatorIndex(2),
            sequence: 77,
            contents: vec![contents(0, 3), contents(7, 9)],
            shards: digest(8),
        },
        stored: SignatureSet {
            signers: signers(),
            signatures: vec![EdSignature([4; 64]); 3],
        },
    }
}

fn quorum(view: u64) -> QuorumCertificate {
    QuorumCertificate {
        epoch: Epoch(0),
        view: View(view),
        height: Height(6),
        block: BlockId(digest(2)),
        aggregate: aggregate(),
    }
}

fn timeout() -> TimeoutCertificate {
    TimeoutCertificate {
        epoch: Epoch(0),
        view: View(9),
        high_qc: quorum(8),
        groups: vec![(View(8), signers())],
        signature: BlsSignature([6; 48]),
    }
}

fn block() -> Block {
    let batches = vec![batch()];
    Block {
        header: BlockHeader {
            chain: ChainId(digest(1)),
            epoch: Epoch(0),
            view: View(10),
            height: Height(7),
            parent: BlockId(digest(2)),
            parent_view: View(8),
            proposer: ValidatorIndex(1),
            time: BlockTime(1_700_000_000_000),
            payload: Block::payload_digest(&batches),
            ledger_height: Height(5),
            ledger_root: digest(3),
            next_epoch: None,
        },
        batches,
    }
}

fn vote() -> PrepareVote {
    PrepareVote {
        epoch: Epoch(0),
        view: View(10),
        height: Height(7),
        block: block().id(),
        signer: ValidatorIndex(3),
        signature: BlsSignature([7; 48]),
    }
}

#[track_caller]
fn pinned<T: bincode::Encode + bincode::Decode<()>>(value: &T, length: usize, digest: &str) {
    let bytes = codec::encode(value);
    let found = Domain::Simulation.digest(&bytes).to_string();
    assert_eq!(
        (bytes.len(), &found[..16]),
        (length, digest),
        "the wire format changed: bump the protocol version and say so in docs/wire-format.md"
    );
    let again: T = codec::decode(&bytes, bytes.len()).expect("own encoding");
    assert_eq!(codec::encode(&again), bytes);
}

#[test]
fn batches_and_their_certificates_are_pinned() {
    pinned(&batch().header, 90 + 2 * 40, "05760b58e2b7aec6");
    pinned(&batch(), 90 + 2 * 40 + 232, "958bfde833bdd8aa");
    let stored = Stored {
        batch: batch().header.id(),
        signer: ValidatorIndex(3),
        signature: EdSignature([7; 64]),
    };
    pinned(&stored, 98, "92cf8bbafb8a060e");
}

#[test]
fn blocks_and_proposals_are_pinned() {
    pinned(&block().header, 179, "0b4fec187d8c2491");
    pinned(&block(), 179 + 8 + 402, "4e0077f7a835c8fc");
    let proposal = Proposal {
        block: block(),
        justify: quorum(8),
        timeout: Some(timeout()),
        signature: BlsSignature([7; 48]),
    };
    pinned(&proposal, 589 + 136 + 1 + 248 + 48, "7c24c6bfd4020c3d");
}

#[test]
fn votes_and_certificates_are_pinned() {
    pinned(&vote(), 106, "cb8712bb2089dfb9");
    pinned(&quorum(8), 136, "14dfe1933c9647a1");
    pinned(&timeout(), 208 + 40, "69d192f365e5d446");
    let refusal = Timeout {
        epoch: Epoch(0),
        view: View(10),
        high_qc: quorum(8),
        entry: Entry::Timeout(timeout()),
        signer: ValidatorIndex(3),
        signature: BlsSignature([7; 48]),
    };
    pinned(&refusal, 202 + 4 + 248, "5e9573ad43c7550f");
}

#[test]
fn signed_messages_are_pinned() {
    let (chain, block) = (ChainId(digest(1)), BlockId(digest(2)));
    let vote = |kind: VoteKind| kind.message(chain, Epoch(0), View(10), Height(7), block);
    let messages = [
        (vote(VoteKind::Prepare), "abf15cd12eedf402"),
        (vote(VoteKind::Commit), "9bb81d15250ddd28"),
        (
            Timeout::message(chain, Epoch(0), View(10), View(8)),
            "261355b3f6fa9d20",
        ),
        (
            Stored::message(chain, BatchId(digest(3))),
            "dc4aaec0c0550e0a",
        ),
    ];
    for (message, digest) in messages {
        assert_eq!(&message.to_string()[..16], digest);
    }
}

#[test]
fn shares_and_receipts_are_pinned() {
    let bundle = ShareBundle {
        context: share_context(),
        signer: ValidatorIndex(3),
        lists: vec![digest(8)],
        shares: vec![vec![Point([1; 32]), Point([2; 32])]],
        proofs: vec![vec![share_proof()]],
        signature: EdSignature([5; 64]),
    };
    let bytes = 58 + 2 + (8 + 32) + (8 + 8 + 2 * 32) + (8 + 8 + 64) + 64;
    pinned(&bundle, bytes, "cb55ab06b808f0e2");
    let wrong = WrongShares {
        context: share_context(),
        key: 0,
        part: 1,
        parts: 2,
        sealed: vec![Point([6; 32])],
        shares: vec![Point([7; 32])],
        proof: share_proof(),
        path: vec![digest(9)],
        signature: EdSignature([5; 64]),
    };
    let evidence = Misbehaviour {
        epoch: Epoch(0),
        validator: ValidatorIndex(3),
        offence: Offence::WrongShares(Box::new(wrong)),
    };
    let bytes = 8 + 2 + 4 + 58 + 10 + 2 * (8 + 32) + 64 + (8 + 32) + 64;
    pinned(&evidence, bytes, "edc97714d06f1490");
    let receipt = Receipt {
        chain: ChainId(digest(1)),
        envelope: EnvelopeId(digest(2)),
        validator: ValidatorIndex(3),
        height: Height(7),
        deadline: Height(207),
        signature: EdSignature([5; 64]),
    };
    pinned(&receipt, 146, "9beccf1dc2173940");
}

#[test]
fn key_generations_and_epochs_are_pinned() {
    let proof = LogarithmProof {
        commitment: Point([1; 32]),
        response: Scalar([2; 32]),
    };
    let offer = ChannelOffer {
        channel: Point([3; 32]),
        possession: proof,
    };
    let dealing = Dealing {
        commitment: vec![Point([4; 32]); 3],
        knowledge: proof,
        sealed: vec![vec![5; 48], Vec::new()],
    };
    let revealed = RevealedShares {
        receiver: ValidatorIndex(1),
        shares: vec![Scalar([6; 32])],
    };
    let post = |message| {
        SystemOp::KeyGeneration(Box::new(KeyGenerationPost {
            epoch: Epoch(1),
            attempt: 2,
            validator: ValidatorIndex(3),
            message,
        }))
    };
    let head = 4 + 8 + 4 + 2 + 4;
    let channel = post(KeyGenerationMessage::Channel(offer));
    pinned(&channel, head + 96, "0da288ad70dd9f33");
    let deal = post(KeyGenerationMessage::Deal(dealing));
    pinned(
        &deal,
        head + 8 + 96 + 64 + 8 + 8 + 48 + 8,
        "6210febb73103a2b",
    );
    let dealers = signers();
    let acknowledge = post(KeyGenerationMessage::Acknowledge { dealers });
    pinned(&acknowledge, head + 32, "866d3758777e8b41");
    let shares = vec![revealed];
    let reveal = post(KeyGenerationMessage::Reveal { shares });
    pinned(&reveal, head + 8 + 2 + 8 + 32, "abbfa42ac7604482");
    let setup = EpochSetup {
        epoch: Epoch(1),
        validators: Vec::new(),
        sealing: SealingKey {
            key: Point([7; 32]),
            shares: vec![Point([8; 32]); 4],
            transcript: digest(9),
        },
    };
    pinned(&setup, 8 + 8 + 32 + 8 + 128 + 32, "9fcf25f20333d755");
    let record = EpochRecord {
        setup: setup.digest(),
        ready: Height(7),
        first: Some(Height(11)),
        last: None,
        ended: None,
    };
    pinned(&record, 32 + 8 + 9 + 1 + 1, "b262ecbbcff2d5f0");
}

fn share_context() -> ShareContext {
    ShareContext {
        block: BlockId(digest(2)),
        height: Height(7),
        lane: LaneKind::AtClose.of(Epoch(3)),
        group: ShareGroup::Of(ValidatorIndex(4)),
    }
}

fn share_proof() -> BatchedDleq {
    BatchedDleq {
        challenge: Scalar([3; 32]),
        response: Scalar([4; 32]),
    }
}
