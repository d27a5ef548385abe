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
/// Bytes of a proposal: its references with up to `BATCH_ROLLUPS_MAX` contents each, and two
/// certificates.
pub const PROPOSAL_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Bytes of one consensus vote, timeout or certificate: a timeout carries up to two certificates,
/// one with up to 256 groups of signers.
pub const VOTE_BYTES_MAX: usize = 64 * 1024;
/// Milliseconds a block's time may be ahead of the voter's clock.
pub const BLOCK_TIME_AHEAD_MS_MAX: u64 = 250;
/// Blocks between the newest block and the ledger root a header names, before proposing waits:
/// the bound on how far opening may fall behind ordering.
pub const LEDGER_LAG_BLOCKS_MAX: u64 = 64;
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
/// Bids in one auction; more are charged and void, so that a ring cannot stall the clearing.
pub const AUCTION_BIDS_MAX: usize = 256;
/// Bytes of a rollup's or a validator's name.
pub const NAME_BYTES_MAX: usize = 64;
/// Envelopes under one proof of shares. What shows that a share is wrong holds both points of each,
/// 64 KiB, and costs every validator that checks it some 20 ms.
pub const SHARE_PART_ENVELOPES_MAX: usize = 1024;
/// One message of a key generation: 256 dealings of 171 points each are 1.4 MiB, 256 × 256 shares
/// with their tags 2.1 MiB.
pub const KEY_GENERATION_MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

const _: () = assert!(PROOF_BYTES_MAX + 8 * 1024 <= PLAIN_BODY_BYTES_MAX);
const _: () = assert!(2 * 32 * SHARE_PART_ENVELOPES_MAX + 8 * 1024 <= PLAIN_BODY_BYTES_MAX);
const _: () = assert!(SEALED_BODY_BYTES_MAX <= PLAIN_BODY_BYTES_MAX);
const _: () = assert!(ENVELOPE_BYTES_MAX <= BATCH_BYTES_MAX);
