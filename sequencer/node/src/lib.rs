//! The IO shell of a validator: sockets, files, clocks and threads around the sans-IO cores.
//!
//! ```text
//! peers ◀──QUIC──▶ transport ──▶ node tasks ──▶ store ──fsync──▶ file
//! ```

pub mod store;
pub mod transport;
