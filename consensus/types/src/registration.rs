//! What validators ask of the registry: to join, to change, to leave.

use bincode::{Decode, Encode};

use crate::{BlsPublicKey, BlsSignature, TransportKey, ValidatorIndex};

/// What a validator changes about itself; what is `None` stays as it is.
///
/// It acts from the next epoch whose member set is frozen afterwards.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct ValidatorUpdate {
    pub validator: ValidatorIndex,
    /// At least 1; to have no weight is to leave.
    pub weight: Option<u16>,
    /// A new BLS key, and the proof of its possession.
    pub bls: Option<(BlsPublicKey, BlsSignature)>,
    pub transport_key: Option<TransportKey>,
    /// `host:port` of the peer transport (UDP).
    pub address: Option<String>,
    /// Base URL of the HTTP API.
    pub api: Option<String>,
}
