//! Bytes of every format that peers, clients or a disk hand to a node.

use bincode::config::standard;
use bincode::{Decode, Encode};
use conclave_consensus::SafetyState;
use conclave_crypto::{InconsistentBatch, MerklePath};
use conclave_ledger::Ledger;
use conclave_light::EntryProof;
use conclave_node::transport::{Hello, bounds};
use conclave_node::{
    BlockRecord, PeerMessage, RECORD_BYTES_MAX, Request, Response, SnapshotRecord, ceremony,
};
use conclave_payments::{AccountPath, Payment, State, WalletState};
use conclave_seal::{Ceremony, KeyGeneration, KeyShares, MalformedEvidence, OpeningCertificate};
use conclave_sequencer::{
    DeliveryRecord, Dispersal, FateRecord, OpeningRecord, OutcomeRecord, ProofRecord,
};
use conclave_types::{
    Batch, BatchRef, Block, BlockHeader, CommitCertificate, Digest, Envelope, EpochSetup, Genesis,
    KeyGenerationPost, Manifest, Receipt, Statement, SystemOp, ValidatorIndex, codec,
    decode_transactions, encode_transactions, limits,
};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use crate::allocation::measured;
use crate::choices::Choices;

/// A format by its decoder, and the longest input that the product hands to it.
struct Format {
    examine: fn(&[u8], usize) -> bool,
    bytes_max: usize,
}

const fn format<T: Encode + Decode<()>>(bytes_max: usize) -> Format {
    Format {
        examine: examine::<T>,
        bytes_max,
    }
}

/// The order is that of the corpus: a new format goes to the end.
const FORMATS: &[Format] = &[
    format::<PeerMessage>(bounds::DISPERSAL_FRAME_BYTES_MAX),
    format::<Request>(bounds::REQUEST_BYTES_MAX),
    format::<Response>(bounds::RESPONSE_BYTES_MAX),
    format::<Hello>(bounds::HELLO_BYTES_MAX),
    format::<ceremony::Word>(bounds::CONSENSUS_FRAME_BYTES_MAX),
    format::<Envelope>(limits::ENVELOPE_BYTES_MAX),
    format::<Batch>(RECORD_BYTES_MAX),
    format::<BatchRef>(limits::PROPOSAL_BYTES_MAX),
    format::<Block>(limits::PROPOSAL_BYTES_MAX),
    format::<BlockHeader>(limits::VOTE_BYTES_MAX),
    format::<CommitCertificate>(limits::VOTE_BYTES_MAX),
    format::<Receipt>(limits::VOTE_BYTES_MAX),
    format::<Statement>(limits::VOTE_BYTES_MAX),
    format::<SystemOp>(limits::PLAIN_BODY_BYTES_MAX),
    format::<KeyGenerationPost>(limits::DEALING_BYTES_MAX),
    format::<EpochSetup>(limits::PROPOSAL_BYTES_MAX),
    format::<OpeningCertificate>(limits::BATCH_BYTES_MAX),
    format::<MalformedEvidence>(limits::BATCH_BYTES_MAX),
    format::<Genesis>(limits::BATCH_BYTES_MAX),
    format::<SafetyState>(RECORD_BYTES_MAX),
    format::<BlockRecord>(RECORD_BYTES_MAX),
    format::<SnapshotRecord>(RECORD_BYTES_MAX),
    format::<OpeningRecord>(RECORD_BYTES_MAX),
    format::<DeliveryRecord>(RECORD_BYTES_MAX),
    format::<FateRecord>(RECORD_BYTES_MAX),
    format::<OutcomeRecord>(RECORD_BYTES_MAX),
    format::<ProofRecord>(RECORD_BYTES_MAX),
    format::<conclave_node::store::Identity>(RECORD_BYTES_MAX),
    format::<MerklePath>(limits::VOTE_BYTES_MAX),
    format::<EntryProof>(limits::VOTE_BYTES_MAX),
    format::<AccountPath>(limits::VOTE_BYTES_MAX),
    format::<WalletState>(64),
    format::<Payment>(conclave_payments::PAYMENT_BYTES_MAX),
    format::<Dispersal>(RECORD_BYTES_MAX),
    format::<Manifest>(RECORD_BYTES_MAX),
    format::<InconsistentBatch>(RECORD_BYTES_MAX),
];

/// Decoders with rules beyond the encoding.
const OTHERS: &[fn(&[u8]) -> bool] = &[
    a_payment,
    transactions,
    key_shares,
    ledger_snapshot,
    payments_snapshot,
    genesis_rules,
    key_generation,
];

/// Examines the first byte's format.
pub(crate) fn run(data: &[u8]) {
    understood(data);
}

/// Whether the input made some decoder say yes.
pub(crate) fn understood(data: &[u8]) -> Option<usize> {
    let mut choices = Choices::new(data);
    let which = choices.below(FORMATS.len() + OTHERS.len());
    let yes = match (
        FORMATS.get(which),
        OTHERS.get(which.wrapping_sub(FORMATS.len())),
    ) {
        (Some(format), _) => (format.examine)(choices.rest(), format.bytes_max),
        (None, Some(other)) => other(choices.rest()),
        (None, None) => false,
    };
    yes.then_some(which)
}

/// Decodes the bytes as they are, and the value that they are the beginning of when zeros follow.
fn examine<T: Encode + Decode<()>>(bytes: &[u8], bytes_max: usize) -> bool {
    let as_it_is = strict::<T>(bytes, bytes_max);
    let padded = [bytes, &[0; 1_024]].concat();
    let config = standard()
        .with_fixed_int_encoding()
        .with_limit::<0x10_0000>();
    let Ok((value, read)) = bincode::decode_from_slice::<T, _>(&padded, config) else {
        return as_it_is;
    };
    let bytes = codec::encode(&value);
    assert_eq!(bytes, padded[..read], "a value has two encodings");
    if bytes.len() <= bytes_max {
        assert!(strict::<T>(&bytes, bytes_max), "own encoding is refused");
        let longer = [&bytes[..], &[0]].concat();
        assert!(!strict::<T>(&longer, bytes_max), "trailing bytes are taken");
        if let Some((_, shorter)) = bytes.split_last() {
            assert!(!strict::<T>(shorter, bytes_max), "a cut value is taken");
        }
    }
    true
}

/// Whether the product's own decoder takes them; then they are the value's encoding.
fn strict<T: Encode + Decode<()>>(bytes: &[u8], bytes_max: usize) -> bool {
    let (decoded, taken) = measured(|| codec::decode::<T>(bytes, bytes_max));
    let taken_max = allowed(bytes.len());
    assert!(taken <= taken_max, "took {taken} bytes of {taken_max}");
    match decoded {
        Ok(value) => {
            assert_eq!(codec::encode(&value), bytes, "a value has two encodings");
            true
        }
        Err(_) => false,
    }
}

/// Memory that decoding this many bytes may ask for: what the codec lets length prefixes reserve,
/// and what lists take that grow to what was really there.
fn allowed(bytes: usize) -> usize {
    let reserved = match bytes {
        0..=0x3ff => 0x1_0000,
        0x400..=0xffff => 0x8_0000,
        0x1_0000..=0xf_ffff => 0x80_0000,
        _ => 0x2000_0000,
    };
    reserved + 16 * bytes + 4_096
}

fn a_payment(bytes: &[u8]) -> bool {
    let payment = Payment::decode(bytes);
    let Some(payment) = payment else {
        return false;
    };
    assert_eq!(payment.encode(), bytes, "a payment has two encodings");
    true
}

fn transactions(bytes: &[u8]) -> bool {
    let Ok(transactions) = decode_transactions(bytes) else {
        return false;
    };
    assert_eq!(encode_transactions(&transactions).as_deref(), Ok(bytes));
    true
}

fn key_shares(bytes: &[u8]) -> bool {
    let Ok(shares) = KeyShares::decode(bytes) else {
        return false;
    };
    assert_eq!(&shares.encode()[..], bytes, "key shares have two encodings");
    true
}

fn ledger_snapshot(bytes: &[u8]) -> bool {
    Ledger::restore(bytes).is_ok()
}

fn payments_snapshot(bytes: &[u8]) -> bool {
    State::from_bytes(bytes).is_ok_and(|state| state.to_bytes() == bytes)
}

fn genesis_rules(bytes: &[u8]) -> bool {
    let Some(genesis) = Choices::new(bytes).value::<Genesis>() else {
        return false;
    };
    genesis.check().is_ok()
}

/// A participant of a key generation that is told anything at all, in two messages.
fn key_generation(bytes: &[u8]) -> bool {
    let ceremony = Ceremony {
        context: Digest([7; 32]),
        weights: vec![1; 4],
    };
    let start = |index| {
        let mut random = ChaCha8Rng::seed_from_u64(u64::from(index));
        KeyGeneration::start(ceremony.clone(), ValidatorIndex(index), &mut random)
            .expect("a valid committee")
    };
    let (mut part, _) = start(0);
    let (_, real) = start(1);
    let mut choices = Choices::new(bytes);
    let mut message = match choices.flag() {
        true => real,
        false => Vec::new(),
    };
    let kept = choices.below(message.len() + 1);
    message.truncate(message.len() - kept);
    if let Some(at) = choices.below(message.len().max(1)).checked_sub(1) {
        message[at] ^= choices.u8();
    }
    message.extend_from_slice(choices.rest());
    let from = ValidatorIndex(1);
    let first = part.handle(from, &message).is_ok();
    let second = part.handle(from, &message).is_ok();
    assert!(!second || first, "what was refused is taken at last");
    first
}
