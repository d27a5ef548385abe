//! Every domain-separation string and tag of the payments program, in one place.
//!
//! Strings separate uses of BLAKE3; tags are field elements that separate uses of the field hash.

/// The four field elements a payment's hash starts from: chain id and rollup id.
pub(crate) const PAYMENT_CONTEXT: &str = "conclave/v1/payments/payment-context";
/// The start c0 of a range's commitment chain.
pub(crate) const RANGE_CONTEXT: &str = "conclave/v1/payments/range-context";
/// The program version: AIR identity, parameters and registered options.
pub(crate) const PROGRAM_VERSION: &str = "conclave/v1/payments/program-version";
/// The key of one tree of one-time keys, from a wallet's seed.
pub(crate) const TREE_KEY: &str = "conclave/v1/payments/tree-key";
/// The secrets of one leaf of a key tree.
pub(crate) const LEAF_SECRETS: &[u8] = b"conclave/v1/payments/leaf-secrets";
/// The public tweak of a key tree.
pub(crate) const TREE_TWEAK: &[u8] = b"conclave/v1/payments/tree-tweak";
/// The salts a leaf tries for one message.
pub(crate) const SALT: &[u8] = b"conclave/v1/payments/salt";
/// The checksum of a wallet's state file.
pub(crate) const WALLET_STATE: &str = "conclave/v1/payments/wallet-state";
/// The checksum of a state snapshot.
pub(crate) const SNAPSHOT: &str = "conclave/v1/payments/snapshot";
/// The point a payment's signature is fingerprinted at.
pub(crate) const FINGERPRINT: &str = "conclave/v1/payments/signature-fingerprint";

/// Second block of an account leaf.
pub(crate) const TAG_LEAF: u64 = 1;
/// Salting of a payment's digest before it is signed.
pub(crate) const TAG_SIGNATURE: u64 = 2;
/// One step of a one-time key's chain.
pub(crate) const TAG_CHAIN: u64 = 3;
/// First state of the hash over a one-time public key.
pub(crate) const TAG_ONE_TIME: u64 = 4;
/// The state root over tree root and fee pool.
pub(crate) const TAG_ROOT: u64 = 5;
/// Second block of a payment's digest; also the version of its layout.
pub(crate) const TAG_PAYMENT: u64 = 6;
