//! The seam between agreement and BLS: what a simulator may replace by something quicker.

use std::sync::OnceLock;

use blst::BLST_ERROR;
use blst::min_sig::{AggregatePublicKey, AggregateSignature, PublicKey, Signature};
use conclave_types::{BlsPublicKey, BlsSignature, Digest, Signers, ValidatorIndex, ValidatorInfo};

use crate::bls::{BlsKey, BlsSecret, TAG, decode_signature};

/// Marks the identity in the first byte of a compressed point.
const INFINITY_FLAG: u8 = 0x40;

/// The identity, which every verifier refuses: what a committee without a secret "signs".
const NO_SIGNATURE: BlsSignature = {
    let mut bytes = [0; 48];
    bytes[0] = 0x80 | INFINITY_FLAG;
    BlsSignature(bytes)
};

/// One committee's votes: signs with this node's key and verifies others'.
///
/// Implementations are deterministic: equal arguments give equal results, on every node.
pub trait Signatures: Send + Sync {
    /// Signs with this node's key. Only nodes that vote call it.
    fn sign(&self, message: &Digest) -> BlsSignature;

    /// Whether the validator signed the message; `false` for a stranger.
    fn verify(&self, signer: ValidatorIndex, message: &Digest, signature: &BlsSignature) -> bool;

    /// The sum of the signatures, which need not be verified; `None` if there are none or any is
    /// not a valid point.
    fn aggregate(&self, signatures: &[BlsSignature]) -> Option<BlsSignature>;

    /// Whether the signature is the sum of one by each member of each set over that set's
    /// message. The messages differ and the sets share no member: one group for a quorum or commit
    /// certificate, several for a timeout certificate.
    fn verify_aggregate(&self, groups: &[(Digest, Signers)], signature: &BlsSignature) -> bool;
}

/// The real implementation over a committee's keys.
pub struct BlsCommittee {
    keys: Vec<Key>,
    secret: Option<BlsSecret>,
}

/// A validator's key, decoded at once or when it is first asked for.
struct Key {
    bytes: BlsPublicKey,
    decoded: OnceLock<Option<BlsKey>>,
}

/// A genesis whose keys cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlsCommitteeError {
    /// The key is malformed, or its proof of possession does not verify.
    #[error(
        "[CV-CRYPTO-002] the BLS key of validator {name} has no valid proof of possession; have its owner run keygen again"
    )]
    Possession { name: String },
    /// The secret key is no committee member's.
    #[error(
        "[CV-CRYPTO-003] this node's BLS key is not in the genesis; point the node at the key directory that the genesis was drafted from"
    )]
    Stranger,
}

impl BlsCommittee {
    /// A committee that only verifies, for light clients and followers.
    ///
    /// Checks every key's proof of possession, about a millisecond each.
    pub fn verifier(validators: &[ValidatorInfo]) -> Result<Self, BlsCommitteeError> {
        let keys = validators.iter().map(|validator| {
            let (key, possession) = (&validator.bls_key, &validator.bls_possession);
            match BlsKey::decode_with_possession(key, possession) {
                Some(key) => Ok(Key::decoded(validator.bls_key, key)),
                None => Err(BlsCommitteeError::Possession {
                    name: validator.name.clone(),
                }),
            }
        });
        Ok(Self {
            keys: keys.collect::<Result<_, _>>()?,
            secret: None,
        })
    }

    /// A committee that only verifies, of validators whose proofs of possession were checked before.
    ///
    /// A key is decoded when it is first needed, so one signature costs one key.
    pub fn registered(validators: &[ValidatorInfo]) -> Self {
        let keys = validators.iter().map(|validator| Key {
            bytes: validator.bls_key,
            decoded: OnceLock::new(),
        });
        Self {
            keys: keys.collect(),
            secret: None,
        }
    }

    /// A committee with this node's key, which must be a member's.
    pub fn signer(
        validators: &[ValidatorInfo],
        secret: BlsSecret,
    ) -> Result<Self, BlsCommitteeError> {
        let public = secret.public();
        if !validators.iter().any(|v| v.bls_key == public) {
            return Err(BlsCommitteeError::Stranger);
        }
        let verifier = Self::verifier(validators)?;
        Ok(Self {
            secret: Some(secret),
            ..verifier
        })
    }

    fn key(&self, index: ValidatorIndex) -> Option<&PublicKey> {
        Some(self.keys.get(usize::from(index.0))?.get()?.point())
    }

    /// The sum of a set's keys. `Some(None)` stands for the identity, which two colluding members
    /// with opposite keys can make: their part of the aggregate is the identity too, so the group
    /// drops out of the equation instead of spoiling the others' certificate.
    fn sum(&self, signers: &Signers) -> Option<Option<PublicKey>> {
        let keys: Vec<&PublicKey> = signers
            .iter()
            .map(|index| self.key(index))
            .collect::<Option<_>>()?;
        let sum = AggregatePublicKey::aggregate(&keys, false).ok()?;
        let sum = sum.to_public_key();
        let identity = sum.to_bytes()[0] & INFINITY_FLAG != 0;
        Some((!identity).then_some(sum))
    }
}

impl Key {
    fn decoded(bytes: BlsPublicKey, key: BlsKey) -> Self {
        Self {
            bytes,
            decoded: OnceLock::from(Some(key)),
        }
    }

    fn get(&self) -> Option<&BlsKey> {
        let decode = || BlsKey::decode(&self.bytes);
        self.decoded.get_or_init(decode).as_ref()
    }
}

impl Signatures for BlsCommittee {
    fn sign(&self, message: &Digest) -> BlsSignature {
        match &self.secret {
            Some(secret) => secret.sign(message),
            None => NO_SIGNATURE,
        }
    }

    fn verify(&self, signer: ValidatorIndex, message: &Digest, signature: &BlsSignature) -> bool {
        self.keys
            .get(usize::from(signer.0))
            .and_then(Key::get)
            .is_some_and(|key| key.verify(message, signature))
    }

    fn aggregate(&self, signatures: &[BlsSignature]) -> Option<BlsSignature> {
        // Whoever verifies the sum checks that it is in the subgroup; one sum is cheaper to check
        // than its parts, and a part outside spoils it like any other wrong one.
        let points: Vec<Signature> = signatures
            .iter()
            .map(|signature| Signature::from_bytes(&signature.0).ok())
            .collect::<Option<_>>()?;
        let points: Vec<&Signature> = points.iter().collect();
        let sum = AggregateSignature::aggregate(&points, false).ok()?;
        Some(BlsSignature(sum.to_signature().to_bytes()))
    }

    fn verify_aggregate(&self, groups: &[(Digest, Signers)], signature: &BlsSignature) -> bool {
        let Some(signature) = decode_signature(signature) else {
            return false;
        };
        let mut messages: Vec<&[u8]> = Vec::with_capacity(groups.len());
        let mut keys = Vec::with_capacity(groups.len());
        for (message, signers) in groups {
            match self.sum(signers) {
                None => return false,
                Some(None) => {}
                Some(Some(key)) => {
                    messages.push(&message.0);
                    keys.push(key);
                }
            }
        }
        // The library verifies several groups on a thread pool, whose hand-over costs more than it
        // gains; one group, which nearly every certificate is, takes its sequential way.
        if let ([message], [key]) = (&messages[..], &keys[..]) {
            let verdict = signature.verify(false, message, TAG, &[], key, false);
            return verdict == BLST_ERROR::BLST_SUCCESS;
        }
        let keys: Vec<&PublicKey> = keys.iter().collect();
        // No group at all is refused by the library.
        signature.aggregate_verify(false, &messages, TAG, &keys, false) == BLST_ERROR::BLST_SUCCESS
    }
}
