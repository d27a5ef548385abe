//! Every bound of the transport, each with its reason.

use conclave_types::limits::{BATCH_BYTES_MAX, PROPOSAL_BYTES_MAX, VALIDATORS_MAX, VOTE_BYTES_MAX};

/// What messages add around the largest thing they carry: tags, lengths, a signature.
const ENVELOPE_SLACK_BYTES: usize = 64 * 1024;

/// Bytes of one consensus frame: a proposal is the largest.
pub const CONSENSUS_FRAME_BYTES_MAX: usize = PROPOSAL_BYTES_MAX + ENVELOPE_SLACK_BYTES;
/// Bytes of one frame of shares or openings: 32 full batches of 1,024 envelopes have 1 MiB of
/// share points for each key share of the sender. Senders of more key shares split.
pub const SHARES_FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of one dispersal frame: a manifest, which is smaller than the batch, and the receiver's
/// shards; all n of them, should it hold so many, are less than three times the bodies.
pub const DISPERSAL_FRAME_BYTES_MAX: usize = 4 * BATCH_BYTES_MAX;
/// Bytes of one request: lists of ids and ranges.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one response: one validator's shards of a batch, or several blocks with their
/// certificates. Larger things are asked for in parts.
pub const RESPONSE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Consensus frames that wait for one peer; then the oldest goes. A view makes a handful.
pub const CONSENSUS_QUEUE_FRAMES_MAX: usize = 1024;
/// Bytes of them: a few proposals of the largest size.
pub const CONSENSUS_QUEUE_BYTES_MAX: usize = 8 * CONSENSUS_FRAME_BYTES_MAX;
/// Frames of shares that wait for one peer; then the oldest goes.
pub const SHARES_QUEUE_FRAMES_MAX: usize = 512;
/// Bytes of them.
pub const SHARES_QUEUE_BYTES_MAX: usize = 8 * SHARES_FRAME_BYTES_MAX;
/// Dispersal frames that wait for one peer; then the newest is refused.
pub const DISPERSAL_QUEUE_FRAMES_MAX: usize = 1024;
/// Bytes of them. Frames are shared between the queues of a broadcast, so this is about what the
/// whole node holds.
pub const DISPERSAL_QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Consensus messages received and not yet taken; more wait in the network.
pub const CONSENSUS_INBOX_MAX: usize = 1024;
/// Likewise of shares.
pub const SHARES_INBOX_MAX: usize = 256;
/// Likewise of dispersal; 16 full batches.
pub const DISPERSAL_INBOX_MAX: usize = 16;
/// Requests received and not yet taken; more are refused.
pub const REQUESTS_INBOX_MAX: usize = 256;
/// Events about peers not yet taken.
pub const PEER_EVENTS_MAX: usize = 4 * VALIDATORS_MAX;

/// Bulk frames (dispersal and responses) under way to one peer at a time. Four of
/// [`STREAM_WINDOW_BYTES`] fill 640 Mbit/s at 100 ms.
pub const BULK_STREAMS_MAX: usize = 4;
/// Requests that one peer may have open at us, and we at it.
pub const REQUESTS_OPEN_MAX: usize = 8;
/// Unidirectional streams of a peer: consensus, shares, bulk.
pub const UNI_STREAMS_MAX: usize = 2 + BULK_STREAMS_MAX;
/// Bidirectional streams of a peer: hello and requests.
pub const BIDI_STREAMS_MAX: usize = 1 + REQUESTS_OPEN_MAX;

/// Unread bytes of one stream: a bandwidth-delay product of 160 Mbit/s at 100 ms.
pub const STREAM_WINDOW_BYTES: usize = 2 * 1024 * 1024;
/// Unread bytes of one connection. All the streams that may stand unread together fit, so that the
/// connection's window never stops one stream because of the others.
pub const CONNECTION_WINDOW_BYTES: usize =
    (UNI_STREAMS_MAX + BULK_STREAMS_MAX + 1) * STREAM_WINDOW_BYTES;
/// Unacknowledged bytes of one connection: what an honest peer's windows let us have under way,
/// twice, since bytes count until they are acknowledged. So consensus finds room whatever waits.
pub const SEND_WINDOW_BYTES: usize = 2 * CONNECTION_WINDOW_BYTES;

/// Handshakes of strangers under way at a time, a few per validator at a restart of all.
pub const HANDSHAKES_MAX: usize = 2 * VALIDATORS_MAX;
/// Above this many, a stranger must first show that it receives at its address.
pub const HANDSHAKES_UNPROVEN_MAX: usize = HANDSHAKES_MAX / 8;
/// Bytes of a Hello.
pub const HELLO_BYTES_MAX: usize = 64;
/// Wanted UDP socket buffers; the kernel may give less. The kernel's default of about 200 KiB
/// holds 2 ms of a gigabit, so bursts of bulk would be lost before quinn reads them.
pub const SOCKET_BUFFER_BYTES: usize = 8 * 1024 * 1024;
/// Bytes sent before the first acknowledgement: the usual block and a batch of 200 envelopes in
/// one round trip. Committee links are provisioned, few, and shared with nobody's web browsing.
pub const INITIAL_WINDOW_BYTES: u64 = 256 * 1024;

const _: () = assert!(VOTE_BYTES_MAX <= CONSENSUS_FRAME_BYTES_MAX);
const _: () = assert!(DISPERSAL_FRAME_BYTES_MAX <= RESPONSE_BYTES_MAX);
const _: () = assert!(DISPERSAL_FRAME_BYTES_MAX <= DISPERSAL_QUEUE_BYTES_MAX);
