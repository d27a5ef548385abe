//! Keyed hashes in place of BLS: nobody in the simulator forges, so a key that everyone could
//! compute is enough, and a sum is an exclusive or.

use std::sync::Arc;

use conclave_crypto::{ShareProofs, Signatures};
use conclave_ledger::Committees;
use conclave_seal::SealScheme;
use conclave_types::{
    BlsSignature, Digest, Domain, EpochSetup, Signers, ValidatorIndex, ValidatorInfo,
};

/// One node's view of the committee's keys.
pub(crate) struct ModelSignatures {
    seed: u64,
    own: ValidatorIndex,
}

/// Committees whose validators keep their keys, by slot, through all epochs.
pub(crate) struct SameKeys {
    pub(crate) votes: Arc<dyn Signatures>,
    pub(crate) shares: Arc<dyn SealScheme>,
}

impl Committees for SameKeys {
    fn signatures(&self, _: &EpochSetup) -> Arc<dyn Signatures> {
        self.votes.clone()
    }

    fn shares(&self, _: &EpochSetup) -> Option<Arc<dyn ShareProofs>> {
        Some(self.shares.clone())
    }

    fn is_possessed(&self, _: &ValidatorInfo) -> bool {
        true
    }
}

impl ModelSignatures {
    pub(crate) fn new(seed: u64, own: ValidatorIndex) -> Self {
        Self { seed, own }
    }

    fn signature(&self, signer: ValidatorIndex, message: &Digest) -> [u8; 48] {
        let hasher = Domain::Simulation
            .hasher()
            .part(b"signature")
            .part(&self.seed.to_le_bytes());
        let wide = hasher.part(&signer.0.to_le_bytes()).part(&message.0).wide();
        let mut signature = [0; 48];
        signature.copy_from_slice(&wide[..48]);
        signature
    }
}

fn xor(into: &mut [u8; 48], other: &[u8; 48]) {
    into.iter_mut().zip(other).for_each(|(a, b)| *a ^= b);
}

impl Signatures for ModelSignatures {
    fn sign(&self, message: &Digest) -> BlsSignature {
        BlsSignature(self.signature(self.own, message))
    }

    fn verify(&self, signer: ValidatorIndex, message: &Digest, signature: &BlsSignature) -> bool {
        self.signature(signer, message) == signature.0
    }

    fn aggregate(&self, signatures: &[BlsSignature]) -> Option<BlsSignature> {
        let mut sum = [0; 48];
        signatures
            .iter()
            .for_each(|signature| xor(&mut sum, &signature.0));
        (!signatures.is_empty()).then_some(BlsSignature(sum))
    }

    fn verify_aggregate(&self, groups: &[(Digest, Signers)], signature: &BlsSignature) -> bool {
        let mut sum = [0; 48];
        for (message, signers) in groups {
            for signer in signers.iter() {
                xor(&mut sum, &self.signature(signer, message));
            }
        }
        !groups.is_empty() && sum == signature.0
    }
}
