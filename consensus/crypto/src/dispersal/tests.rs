//! A batch comes back whole from any f+1 shards, and a lying author's does not, with one verdict.

use conclave_types::{
    AccountId, Amount, BatchHeader, Bucket, ChainId, Digest, EdSignature, EnvelopeCore, Epoch,
    Height, Payload, ReleaseRule, RollupId, Sequence, SignatureSet, Signers, ValidatorIndex, codec,
};

use super::*;

fn threshold() -> Threshold {
    Threshold::for_total(4).expect("3f+1")
}

fn envelope(rollup: u32, sequence: u64, body: Vec<u8>) -> Envelope {
    Envelope {
        header: EnvelopeHeader {
            core: EnvelopeCore {
                chain: ChainId(Digest([1; 32])),
                epoch: Epoch(0),
                rollup: RollupId(rollup),
                payer: AccountId(Digest([2; 32])),
                sequence: Sequence(sequence),
                expiry: Height(9),
                release: ReleaseRule::OnCommit,
                bucket: Bucket(0),
                fee_max: Amount(u64::MAX),
            },
            body_bytes: body.len() as u32,
            body_digest: Domain::EnvelopeBody.digest(&body),
            payload: Payload::Plain,
            signature: EdSignature([0; 64]),
        },
        body,
    }
}

fn batch(envelopes: Vec<Envelope>) -> (Batch, Codeword) {
    let codeword = Coder::default().disperse(threshold(), &envelopes);
    let codeword = codeword.expect("within the limit");
    let headers: Vec<EnvelopeHeader> = envelopes.iter().map(|e| e.header.clone()).collect();
    let header = BatchHeader {
        chain: ChainId(Digest([1; 32])),
        epoch: Epoch(0),
        author: ValidatorIndex(3),
        sequence: 7,
        contents: batch_contents(&headers),
        shards: codeword.root(),
    };
    (Batch { header, envelopes }, codeword)
}

fn three() -> Vec<Envelope> {
    vec![
        envelope(0, 1, vec![1; 33]),
        envelope(0, 2, vec![]),
        envelope(5, 3, (0..200).collect()),
    ]
}

fn evidence(batch: &Batch, shards: Vec<Shard>) -> InconsistentBatch {
    InconsistentBatch {
        batch: BatchRef {
            header: batch.header.clone(),
            stored: SignatureSet {
                signers: Signers::default(),
                signatures: vec![],
            },
        },
        envelopes: batch.manifest().envelopes,
        shards,
    }
}

#[test]
fn a_batch_comes_back_whole_and_nothing_speaks_against_its_author() {
    let (batch, codeword) = batch(three());
    let mut coder = Coder::default();
    for shards in [
        codeword.shards(0..2),
        codeword.shards(1..3),
        codeword.shards(2..4),
    ] {
        let rebuilt = coder.rebuild_batch(threshold(), &batch.manifest(), &shards);
        assert_eq!(rebuilt, Ok(RebuiltBatch::Whole(batch.clone())));
        assert!(!evidence(&batch, shards).holds(threshold(), &mut coder));
    }
}

#[test]
fn a_body_that_is_not_its_headers_spoils_the_batch_for_everybody_alike() {
    let mut envelopes = three();
    envelopes[2].body[9] ^= 1;
    let (batch, codeword) = batch(envelopes);
    let mut coder = Coder::default();
    for shards in [
        codeword.shards(0..2),
        codeword.shards(1..3),
        codeword.shards(2..4),
    ] {
        let rebuilt = coder.rebuild_batch(threshold(), &batch.manifest(), &shards);
        assert_eq!(rebuilt, Ok(RebuiltBatch::Inconsistent));
        assert!(evidence(&batch, shards).holds(threshold(), &mut coder));
    }
}

#[test]
fn evidence_that_is_incomplete_or_of_other_envelopes_shows_nothing() {
    let mut envelopes = three();
    envelopes[0].body[0] ^= 1;
    let (batch, codeword) = batch(envelopes);
    let mut coder = Coder::default();
    assert!(!evidence(&batch, codeword.shards(0..1)).holds(threshold(), &mut coder));
    let mut renamed = evidence(&batch, codeword.shards(0..2));
    renamed.envelopes[0].body_digest = Digest::ZERO;
    assert!(!renamed.holds(threshold(), &mut coder));
    let mut forged = evidence(&batch, codeword.shards(0..2));
    forged.shards[0].bytes[0] ^= 1;
    assert!(!forged.holds(threshold(), &mut coder));
}

/// The layout that docs/wire-format.md gives.
#[test]
fn a_shard_is_encoded_as_it_is_written_down() {
    let (_, codeword) = batch(three());
    let shard = &codeword.shards(1..2)[0];
    let number = |number: usize| (number as u64).to_le_bytes();
    let mut expected = [number(1), number(4), number(2)].concat();
    for sibling in &shard.path.siblings {
        expected.extend(sibling.0);
    }
    expected.extend(number(shard.bytes.len()));
    expected.extend(&shard.bytes);
    assert_eq!(codec::encode(shard), expected);
}
