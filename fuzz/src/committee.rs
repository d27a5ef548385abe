//! Four validators of one vote each, with keyed hashes in place of BLS: nobody guesses a hash, and
//! a sum is an exclusive or.

use std::sync::Arc;

use conclave_crypto::{Committee, EdSecret, ShareProofs, Signatures};
use conclave_ledger::{BlsCommittees, Committees};
use conclave_types::{
    AccountId, Allocation, Amount, BlockTime, BlsPublicKey, BlsSignature, Digest, Domain,
    EpochSetup, Genesis, SealingKey, Signers, ValidatorIndex, ValidatorInfo,
};

/// Validators.
pub(crate) const SIZE: u16 = 4;

/// One validator's signatures.
pub(crate) struct Model(pub(crate) ValidatorIndex);

impl Committees for Model {
    fn signatures(&self, _: &EpochSetup) -> Arc<dyn Signatures> {
        Arc::new(Self(self.0))
    }

    fn shares(&self, setup: &EpochSetup) -> Option<Arc<dyn ShareProofs>> {
        // Sealing is real here.
        BlsCommittees.shares(setup)
    }

    fn is_possessed(&self, _: &ValidatorInfo) -> bool {
        true
    }
}

impl Model {
    /// The only thing that a validator must not compute in another's name.
    pub(crate) fn signature(signer: ValidatorIndex, message: &Digest) -> BlsSignature {
        let hasher = Domain::Simulation.hasher().part(b"fuzz");
        let wide = hasher.part(&signer.0.to_le_bytes()).part(&message.0).wide();
        let mut signature = [0; 48];
        signature.copy_from_slice(&wide[..48]);
        BlsSignature(signature)
    }
}

/// The aggregate of these signatures.
pub(crate) fn sum(parts: impl IntoIterator<Item = BlsSignature>) -> BlsSignature {
    let mut sum = [0; 48];
    for part in parts {
        sum.iter_mut().zip(part.0).for_each(|(a, b)| *a ^= b);
    }
    BlsSignature(sum)
}

/// A set of validators.
pub(crate) fn set(of: impl IntoIterator<Item = u16>) -> Signers {
    let mut set = Signers::default();
    for index in of {
        set.insert(ValidatorIndex(index));
    }
    set
}

impl Signatures for Model {
    fn sign(&self, message: &Digest) -> BlsSignature {
        Self::signature(self.0, message)
    }

    fn verify(&self, signer: ValidatorIndex, message: &Digest, signature: &BlsSignature) -> bool {
        signer.0 < SIZE && *signature == Self::signature(signer, message)
    }

    fn aggregate(&self, signatures: &[BlsSignature]) -> Option<BlsSignature> {
        (!signatures.is_empty()).then(|| sum(signatures.iter().copied()))
    }

    fn verify_aggregate(&self, groups: &[(Digest, Signers)], signature: &BlsSignature) -> bool {
        let parts = groups.iter().flat_map(|(message, signers)| {
            let parts: Vec<_> = signers
                .iter()
                .map(|signer| Self::signature(signer, message))
                .collect();
            parts
        });
        !groups.is_empty() && sum(parts) == *signature
    }
}

/// A payer.
pub(crate) fn payer(number: u8) -> EdSecret {
    EdSecret::from_seed(&[0x50 + number; 32])
}

/// Payers that have money.
pub(crate) const PAYERS: u8 = 3;

/// The genesis of the four, with this sealing key.
pub(crate) fn genesis(sealing: SealingKey) -> Genesis {
    let validators = (0..SIZE as u8).map(|index| ValidatorInfo {
        name: format!("v{index}"),
        weight: 1,
        bls_key: BlsPublicKey([index; 96]),
        bls_possession: BlsSignature([0; 48]),
        transport_key: EdSecret::from_seed(&[index + 1; 32]).transport_key(),
        account: AccountId(Digest([index; 32])),
        address: String::new(),
        api: String::new(),
    });
    let allocations = (0..PAYERS).map(|number| Allocation {
        account: payer(number).account(),
        balance: Amount(1_000_000_000),
        fees: Amount(1_000_000),
    });
    Genesis {
        name: "fuzz".into(),
        time: BlockTime(0),
        validators: validators.collect(),
        sealing,
        allocations: allocations.collect(),
        consensus: Default::default(),
        fees: Default::default(),
        market: Default::default(),
    }
}

/// The committee of a genesis.
pub(crate) fn committee(genesis: &Genesis) -> Committee {
    Committee::from_genesis(genesis).expect("4 = 3 · 1 + 1")
}
