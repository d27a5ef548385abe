//! The committee's keys, real ones or models, and the genesis that they are in.

use std::sync::Arc;

use conclave_crypto::{BlsCommittee, BlsSecret, Committee, EdSecret, Signatures};
use conclave_market::Verifier;
use conclave_seal::{Ceremony, KeyGeneration, KeyShares, SealScheme, Tdh2};
use conclave_types::{Digest, Genesis, Point, SealingKey, ValidatorIndex, ValidatorInfo};
use rand_chacha::ChaCha20Rng;

use super::node::Identity;
use crate::model::{ModelSeal, ModelSignatures, Sealer};

/// The committee's keys, of either kind.
pub(super) struct Keys {
    pub(super) validators: Vec<ValidatorInfo>,
    pub(super) sealing: SealingKey,
    real: Option<(Vec<BlsSecret>, Vec<KeyShares>)>,
}

impl Keys {
    pub(super) fn new(seed: u64, nodes: usize, real: bool, random: &mut ChaCha20Rng) -> Self {
        let bls: Vec<BlsSecret> = match real {
            true => (0..nodes).map(|_| BlsSecret::generate(random)).collect(),
            false => Vec::new(),
        };
        let validators = (0..nodes).map(|index| {
            let transport = EdSecret::from_seed(&receipts_seed(seed, index));
            let mut model_key = [0; 96];
            model_key[0] = index as u8;
            ValidatorInfo {
                name: format!("validator-{index}"),
                weight: 1,
                bls_key: bls
                    .get(index)
                    .map_or(conclave_types::BlsPublicKey(model_key), BlsSecret::public),
                bls_possession: bls.get(index).map_or(
                    conclave_types::BlsSignature([0; 48]),
                    BlsSecret::prove_possession,
                ),
                transport_key: transport.transport_key(),
                account: transport.account(),
                address: String::new(),
                api: String::new(),
            }
        });
        let validators = validators.collect();
        let (shares, sealing) = match real {
            true => generate(nodes, random),
            false => (
                Vec::new(),
                SealingKey {
                    key: Point([0; 32]),
                    shares: vec![Point([0; 32]); nodes],
                    transcript: Digest::ZERO,
                },
            ),
        };
        Self {
            validators,
            sealing,
            real: real.then_some((bls, shares)),
        }
    }

    pub(super) fn into_identities(
        self,
        seed: u64,
        genesis: &Genesis,
        committee: &Committee,
        verifier: &Arc<dyn Verifier + Send + Sync>,
    ) -> (Sealer, Vec<Identity>) {
        let weights: Vec<u16> = committee
            .members()
            .iter()
            .map(|member| member.weight)
            .collect();
        let Some((bls, shares)) = self.real else {
            let identities = committee.indices().map(|index| Identity {
                index,
                signatures: Arc::new(ModelSignatures::new(seed, index)),
                seal: Arc::new(ModelSeal::new(seed, Some(index), committee.clone())),
                model_seed: seed,
                verifier: verifier.clone(),
                receipts: receipts_seed(seed, usize::from(index.0)),
            });
            let model = ModelSeal::new(seed, None, committee.clone());
            return (Sealer::Model(model), identities.collect());
        };
        let scheme = |own| Tdh2::new(&genesis.sealing, &weights, own, [7; 32]).expect("valid keys");
        let keys = committee.indices().zip(bls.into_iter().zip(shares));
        let identities = keys.map(|(index, (bls, shares))| {
            let signer = BlsCommittee::signer(&genesis.validators, bls).expect("valid keys");
            let signatures: Arc<dyn Signatures> = Arc::new(signer);
            let seal: Arc<dyn SealScheme> = Arc::new(scheme(Some((index, shares))));
            let receipts = receipts_seed(seed, usize::from(index.0));
            Identity {
                index,
                signatures,
                seal,
                model_seed: seed,
                verifier: verifier.clone(),
                receipts,
            }
        });
        let identities = identities.collect();
        (Sealer::Real(genesis.sealing.clone()), identities)
    }
}

fn receipts_seed(seed: u64, index: usize) -> [u8; 32] {
    let mut bytes = [0x40 + index as u8; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes
}

fn generate(nodes: usize, random: &mut ChaCha20Rng) -> (Vec<KeyShares>, SealingKey) {
    let ceremony = Ceremony {
        context: Digest([7; 32]),
        weights: vec![1; nodes],
    };
    let (mut parts, mut queue) = (Vec::new(), Vec::new());
    for index in 0..nodes as u16 {
        let index = ValidatorIndex(index);
        let (part, message) =
            KeyGeneration::start(ceremony.clone(), index, random).expect("a valid committee");
        parts.push(part);
        queue.push((index, message));
    }
    while let Some((from, message)) = queue.pop() {
        for (to, part) in parts.iter_mut().enumerate() {
            if to != usize::from(from.0) {
                let progress = part.handle(from, &message).expect("honest dealers");
                let reply = progress
                    .send
                    .map(|message| (ValidatorIndex(to as u16), message));
                queue.extend(reply);
            }
        }
    }
    let finished = parts
        .into_iter()
        .map(|part| part.finish().expect("all messages are in"));
    let (shares, mut keys): (Vec<_>, Vec<_>) = finished.unzip();
    (shares, keys.pop().expect("at least one validator"))
}
