//! Every bound of the protocol, each with its reason. Relations between them hold at compile time.

/// Validators in a committee; a bitmap of signers is four 64-bit words.
pub const VALIDATORS_MAX: usize = 256;
/// Validators up to which votes go to all instead of to collectors: 13 send 156 votes a phase, which
/// each node takes in well under a millisecond; the number grows with the square.
pub const VOTES_TO_ALL_VALIDATORS_MAX: usize = 13;
/// Validators up to which everybody combines everybody's shares: 16 take in half a KiB of shares an
/// envelope, hardly more than its header.
pub const SHARES_TO_ALL_VALIDATORS_MAX: usize = 16;
/// Bytes of a plain body: a proof of up to 1,024 payments takes about 200 KiB, with room to grow.
pub const PLAIN_BODY_BYTES_MAX: usize = 512 * 1024;
/// The largest bucket's plaintext and its 16-byte AEAD tag: 288 KiB and a bit.
pub const SEALED_BODY_BYTES_MAX: usize = 1024 * 288 + 16;
/// One envelope on the wire: header (under 600 bytes) and body.
pub const ENVELOPE_BYTES_MAX: usize = PLAIN_BODY_BYTES_MAX + 1024;
/// What an envelope takes besides its body, as bytes of bodies that take as much: its signature, its
/// seal and its share of every lane. Two cores order 1,000 envelopes a second of one transaction,
/// and 220 of 144 KiB.
pub const ENVELOPE_COST_BYTES: u64 = 16 * 1024;
/// Block time over which what a rollup has ordered is compared with its fair share.
pub const TARIFF_WINDOW_MS: u64 = 1_000;
/// A tariff without congestion: fees are the genesis' ones. In thousandths.
pub const TARIFF_BASE: u32 = 1_000;
/// The highest tariff: a rollup that floods pays this many thousandths of the genesis' fees.
pub const TARIFF_MAX: u32 = 256 * TARIFF_BASE;
/// A tariff changes by at most one part in this many from one window to the next: it doubles in six
/// at least.
pub const TARIFF_STEP: u64 = 8;
/// Transactions in one envelope; 256 of 512 bytes fill half of the largest bucket.
pub const ENVELOPE_TRANSACTIONS_MAX: usize = 1024;
/// Envelopes in one batch; 1,024 single-transaction envelopes are about 1.6 MiB.
pub const BATCH_ENVELOPES_MAX: usize = 1024;
/// Bytes of one batch; larger ones hold up the line of small ones behind them.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Rollups named in one batch, at most one per envelope.
pub const BATCH_ROLLUPS_MAX: usize = BATCH_ENVELOPES_MAX;
/// Batches referenced by one block. 32 full batches are 128 MiB, more than a view can disperse.
pub const BLOCK_BATCHES_MAX: usize = 32;
/// Batches of one author that a validator keeps while they are not ordered: two full blocks of one
/// author alone.
pub const AUTHOR_BATCHES_MAX: usize = 64;
/// Bytes of their bodies, of which a validator keeps its shards: sixteen full batches. The envelope
/// headers of as many small ones are half of that again.
pub const AUTHOR_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Certificates of one author's unordered batches: its honest signers allow less than
/// 2 · `AUTHOR_BATCHES_MAX`, and a validator that is behind learns late which of them are ordered.
pub const AUTHOR_CERTIFICATES_MAX: usize = 4 * AUTHOR_BATCHES_MAX;
/// Batches in one report of those that wait for their order; the oldest come first.
pub const REPORT_BATCHES_MAX: usize = 256;
/// Bytes of a proposal: its references with up to `BATCH_ROLLUPS_MAX` contents each, and two
/// certificates.
pub const PROPOSAL_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Bytes of one consensus vote, timeout or certificate: a timeout carries up to two certificates,
/// one with up to 256 groups of signers.
pub const VOTE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the hand-over to an epoch: up to 256 validators with keys, names and addresses, a key
/// share's point for each unit of weight, a header and a certificate.
pub const EPOCH_CHANGE_BYTES_MAX: usize = 512 * 1024;
/// Milliseconds a block's time may be ahead of the voter's clock.
pub const BLOCK_TIME_AHEAD_MS_MAX: u64 = 250;
/// Blocks between the newest block and the ledger root a header names, before proposing waits:
/// the bound on how far opening may fall behind ordering.
pub const LEDGER_LAG_BLOCKS_MAX: u64 = 64;
/// Blocks within which an envelope that a validator submits is expected to be ordered. A batch whose
/// dispersal or certificate was lost is sent again after 500 ms, in which a quick network makes some 16
/// blocks; twice as many leave room for leaders that leave it out.
pub const ORDER_BLOCKS: u64 = 32;
/// Heights that a phase of a key generation stays open at least. A member learns that a phase has
/// begun when it executes the block that the one before ended with; by then blocks up to
/// [`LEDGER_LAG_BLOCKS_MAX`] above it may be ordered, which hold nothing that it says. What it says then
/// is ordered within [`ORDER_BLOCKS`] more. In a shorter phase honest members fall short as soon as
/// opening lags as far as it may, in every attempt anew.
pub const KEYGEN_PHASE_BLOCKS_MIN: u64 = LEDGER_LAG_BLOCKS_MAX + ORDER_BLOCKS;
/// Envelopes a validator keeps that are not ordered yet.
pub const MEMPOOL_ENVELOPES_MAX: usize = 65_536;
/// Bytes of them.
pub const MEMPOOL_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Heights between an envelope's admission and its expiry; bounds how long a copy must be
/// remembered.
pub const EXPIRY_AHEAD_BLOCKS_MAX: u64 = 100_000;
/// How far below an account's newest sequence number an unused one is still accepted; a bitmap of
/// this many bits per account.
pub const SEQUENCE_WINDOW: u64 = 4096;
/// Transactions in one proven range.
pub const RANGE_TRANSACTIONS_MAX: u64 = 1024;
/// Bytes of transactions after which a range takes no more: every validator that verifies its
/// proof holds all of them in memory. 1,024 payments take 2.5 MiB.
pub const RANGE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Bytes of one proof.
pub const PROOF_BYTES_MAX: usize = 448 * 1024;
/// Executed heights that a node keeps in its store at least. A peer may ask for the 1,024 headers that
/// elections look back at before the oldest snapshot it is offered, which is up to 1,600 blocks old;
/// the rest is room for peers that catch up block by block.
pub const RETENTION_BLOCKS_MIN: u64 = 4096;
/// Heights in one object of the archive: some minutes of blocks, so that a reader of one height
/// fetches little.
pub const ARCHIVE_SEGMENT_BLOCKS: u64 = 256;
/// Bytes after which an object takes no further height; it is read whole.
pub const ARCHIVE_SEGMENT_BYTES: usize = 8 * 1024 * 1024;
/// Bids in one auction; more are charged and void, so that a ring cannot stall the clearing.
pub const AUCTION_BIDS_MAX: usize = 256;
/// Bytes of a rollup's or a validator's name.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of a validator's address, and of its API's URL: a host name has at most 253.
pub const ADDRESS_BYTES_MAX: usize = 280;
/// Envelopes under one proof of shares. What shows that a share is wrong holds both points of each,
/// 64 KiB, and costs every validator that checks it some 20 ms.
pub const SHARE_PART_ENVELOPES_MAX: usize = 1024;
/// One message of the genesis's key generation: 256 dealings of 171 points each are 1.4 MiB, 256 × 256 shares
/// with their tags 2.1 MiB.
pub const KEY_GENERATION_MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a dealing over the chain with 256 members: 171 points, 256 encrypted shares with their
/// tags and lengths. It travels in one plain envelope.
pub const DEALING_BYTES_MAX: usize = 171 * 32 + 256 * (32 + 16 + 8) + 1024;

const _: () = assert!(PROOF_BYTES_MAX + 8 * 1024 <= PLAIN_BODY_BYTES_MAX);
const _: () = assert!(DEALING_BYTES_MAX <= PLAIN_BODY_BYTES_MAX);
const _: () = assert!(2 * 32 * SHARE_PART_ENVELOPES_MAX + 8 * 1024 <= PLAIN_BODY_BYTES_MAX);
const _: () = assert!(SEALED_BODY_BYTES_MAX <= PLAIN_BODY_BYTES_MAX);
const _: () = assert!(ENVELOPE_BYTES_MAX <= BATCH_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_MAX as u64 * 4 <= AUTHOR_BYTES_MAX);
const _: () = assert!(BLOCK_BATCHES_MAX < AUTHOR_BATCHES_MAX);
