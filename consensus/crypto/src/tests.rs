//! Forgery fails, equal inputs give equal verdicts alone and together, paths prove exactly one
//! thing.

use conclave_types::{
    AccountId, BlockTime, BlsPublicKey, BlsSignature, Digest, Domain, EdSignature, Epoch, Genesis,
    Point, SealingKey, ShareIndex, Signers, ValidatorIndex, ValidatorInfo, codec, limits,
};
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::scalar::Scalar;

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use sha2::{Digest as _, Sha512};

use crate::ed::{self, EdItem};
use crate::*;

fn random(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn message(byte: u8) -> Digest {
    Domain::Simulation.digest(&[byte])
}

fn secrets(count: usize) -> Vec<BlsSecret> {
    let mut random = random(1);
    (0..count)
        .map(|_| BlsSecret::generate(&mut random))
        .collect()
}

fn genesis(secrets: &[BlsSecret], weights: &[u16]) -> Genesis {
    let mut random = random(2);
    let validators = secrets.iter().zip(weights).enumerate();
    let validators = validators.map(|(index, (secret, weight))| ValidatorInfo {
        name: format!("v{index}"),
        weight: *weight,
        bls_key: secret.public(),
        bls_possession: secret.prove_possession(),
        transport_key: EdSecret::generate(&mut random).transport_key(),
        account: AccountId(Digest([index as u8; 32])),
        address: String::new(),
        api: String::new(),
    });
    Genesis {
        name: "test".into(),
        time: BlockTime(0),
        validators: validators.collect(),
        sealing: SealingKey {
            key: Point([0; 32]),
            shares: vec![Point([0; 32]); weights.iter().map(|w| usize::from(*w)).sum()],
            transcript: Digest::ZERO,
        },
        allocations: vec![],
        consensus: Default::default(),
        fees: Default::default(),
        market: Default::default(),
    }
}

fn set(indices: &[u16]) -> Signers {
    let mut signers = Signers::default();
    for index in indices {
        signers.insert(ValidatorIndex(*index));
    }
    signers
}

#[test]
fn bls_signatures_bind_key_and_message() {
    let [a, b] = <[BlsSecret; 2]>::try_from(secrets(2)).ok().expect("two");
    let signature = a.sign(&message(1));
    let key = BlsKey::decode(&a.public()).expect("valid");
    assert!(key.verify(&message(1), &signature));
    assert!(!key.verify(&message(2), &signature));
    assert!(
        !BlsKey::decode(&b.public())
            .expect("valid")
            .verify(&message(1), &signature)
    );
    let back = BlsSecret::from_bytes(&a.to_bytes()).expect("own bytes");
    assert_eq!(back.public(), a.public());
    assert!(BlsSecret::from_bytes(&[0; 32]).is_none());
    assert!(BlsSecret::from_bytes(&[0xff; 32]).is_none());
}

#[test]
fn malformed_points_and_the_identity_are_refused() {
    let mut identity = [0; 48];
    identity[0] = 0xc0;
    let mut identity_key = [0; 96];
    identity_key[0] = 0xc0;
    let secret = &secrets(1)[0];
    let key = BlsKey::decode(&secret.public()).expect("valid");
    assert!(BlsKey::decode(&BlsPublicKey(identity_key)).is_none());
    assert!(BlsKey::decode(&BlsPublicKey([0x11; 96])).is_none());
    assert!(!key.verify(&message(1), &BlsSignature(identity)));
    assert!(!key.verify(&message(1), &BlsSignature([0xff; 48])));
}

/// The curve E(Fp) has cofactor > 1, so most of its points are outside the subgroup.
#[test]
fn points_outside_the_subgroup_are_refused() {
    let mut outside = 0;
    for x in 1..60_u8 {
        let mut bytes = [0; 48];
        bytes[0] = 0x80;
        bytes[47] = x;
        if blst::min_sig::Signature::from_bytes(&bytes).is_ok() {
            outside += 1;
            assert!(bls::decode_signature(&BlsSignature(bytes)).is_none());
        }
    }
    assert!(outside > 10);
}

#[test]
fn a_rogue_key_without_possession_is_refused() {
    let secrets = secrets(4);
    let mut genesis = genesis(&secrets, &[1, 1, 1, 1]);
    assert!(BlsCommittee::verifier(&genesis.validators).is_ok());
    // Somebody else's proof, under another key.
    genesis.validators[3].bls_possession = genesis.validators[2].bls_possession;
    let refused = BlsCommittee::verifier(&genesis.validators).err();
    assert_eq!(
        refused,
        Some(BlsCommitteeError::Possession { name: "v3".into() })
    );
    let stranger = BlsSecret::from_seed(&[9; 32]);
    let refused = BlsCommittee::signer(&genesis.validators, stranger).err();
    assert_eq!(refused, Some(BlsCommitteeError::Stranger));
}

#[test]
fn aggregates_stand_for_exactly_their_signers_and_messages() {
    let secrets = secrets(4);
    let committee =
        BlsCommittee::verifier(&genesis(&secrets, &[1, 1, 1, 1]).validators).expect("valid");
    let (one, two) = (message(1), message(2));
    let signatures: Vec<_> = secrets[..3]
        .iter()
        .map(|secret| secret.sign(&one))
        .collect();
    let sum = committee.aggregate(&signatures).expect("valid points");
    assert!(committee.verify_aggregate(&[(one, set(&[0, 1, 2]))], &sum));
    assert!(!committee.verify_aggregate(&[(one, set(&[0, 1]))], &sum));
    assert!(!committee.verify_aggregate(&[(one, set(&[0, 1, 2, 3]))], &sum));
    assert!(!committee.verify_aggregate(&[(two, set(&[0, 1, 2]))], &sum));
    assert!(!committee.verify_aggregate(&[(one, set(&[0, 1, 2, 9]))], &sum));
    assert!(!committee.verify_aggregate(&[], &sum));
    let mixed = [signatures[0], signatures[1], secrets[3].sign(&two)];
    let sum = committee.aggregate(&mixed).expect("valid points");
    assert!(committee.verify_aggregate(&[(one, set(&[0, 1])), (two, set(&[3]))], &sum));
    assert!(!committee.verify_aggregate(&[(one, set(&[0, 3])), (two, set(&[1]))], &sum));
    assert_eq!(
        committee.aggregate(&[signatures[0], BlsSignature([1; 48])]),
        None
    );
    assert_eq!(committee.aggregate(&[]), None);
}

/// Two members with opposite keys sign one message: their parts cancel. The certificate of the
/// others must still verify, or the two could stop every timeout certificate they take part in.
#[test]
fn members_with_opposite_keys_do_not_spoil_a_certificate() {
    let mut secrets = secrets(4);
    let order_minus = {
        // r - x, big-endian, with r the order of the group.
        let r: [u8; 32] = [
            0x73, 0xed, 0xa7, 0x53, 0x29, 0x9d, 0x7d, 0x48, 0x33, 0x39, 0xd8, 0x08, 0x09, 0xa1,
            0xd8, 0x05, 0x53, 0xbd, 0xa4, 0x02, 0xff, 0xfe, 0x5b, 0xfe, 0xff, 0xff, 0xff, 0xff,
            0x00, 0x00, 0x00, 0x01,
        ];
        let x = secrets[2].to_bytes();
        let (mut out, mut borrow) = ([0; 32], 0_i16);
        for i in (0..32).rev() {
            let digit = i16::from(r[i]) - i16::from(x[i]) - borrow;
            borrow = i16::from(digit < 0);
            out[i] = digit.rem_euclid(256) as u8;
        }
        out
    };
    secrets[3] = BlsSecret::from_bytes(&order_minus).expect("a scalar");
    let committee =
        BlsCommittee::verifier(&genesis(&secrets, &[1, 1, 1, 1]).validators).expect("valid");
    let (one, two) = (message(1), message(2));
    let signatures = [
        secrets[0].sign(&one),
        secrets[2].sign(&two),
        secrets[3].sign(&two),
    ];
    let sum = committee.aggregate(&signatures).expect("valid points");
    assert!(committee.verify_aggregate(&[(one, set(&[0])), (two, set(&[2, 3]))], &sum));
    let nothing = committee.aggregate(&signatures[1..]).expect("valid points");
    assert!(!committee.verify_aggregate(&[(two, set(&[2, 3]))], &nothing));
}

#[test]
fn a_committee_counts_weights_and_shares() {
    let secrets = secrets(4);
    let committee = Committee::from_genesis(&genesis(&secrets, &[1, 3, 2, 1])).expect("7 = 3f+1");
    assert_eq!(committee.epoch, Epoch(0));
    assert_eq!(committee.threshold.quorum(), 5);
    assert_eq!(committee.weight_of(&set(&[1, 2])), Some(5));
    assert!(committee.has_quorum(&set(&[1, 2])));
    assert!(!committee.has_quorum(&set(&[0, 2, 3])));
    assert!(!committee.has_quorum(&set(&[0, 1, 2, 3, 4])));
    let shares: Vec<_> = committee.share_indices(ValidatorIndex(1)).collect();
    assert_eq!(shares, [2, 3, 4].map(ShareIndex));
    assert_eq!(committee.share_positions(ValidatorIndex(3)), 6..7);
    for (share, owner) in [(1, 0), (2, 1), (4, 1), (5, 2), (6, 2), (7, 3)] {
        assert_eq!(
            committee.share_owner(ShareIndex(share)),
            Some(ValidatorIndex(owner))
        );
    }
    assert_eq!(committee.share_owner(ShareIndex(0)), None);
    assert_eq!(committee.share_owner(ShareIndex(8)), None);
    assert!(Committee::from_genesis(&genesis(&secrets, &[1, 1, 1, 2])).is_err());
    let mut hasty = genesis(&secrets, &[1, 3, 2, 1]);
    hasty.consensus.keygen_phase_blocks = limits::KEYGEN_PHASE_BLOCKS_MIN - 1;
    assert!(Committee::from_genesis(&hasty).is_err());
}

struct Signed {
    key: [u8; 32],
    message: Digest,
    signature: EdSignature,
}

fn verdicts(signed: &[Signed]) -> (Vec<usize>, Vec<usize>) {
    let items: Vec<_> = signed
        .iter()
        .map(|s| EdItem {
            key: &s.key,
            message: &s.message,
            signature: &s.signature,
        })
        .collect();
    let alone = (0..signed.len())
        .filter(|i| !ed::verify(&signed[*i].key, &signed[*i].message, &signed[*i].signature))
        .collect();
    (ed::verify_batch(&items), alone)
}

fn signed(count: u8) -> Vec<Signed> {
    let mut random = random(3);
    (0..count)
        .map(|i| {
            let secret = EdSecret::generate(&mut random);
            Signed {
                key: secret.public(),
                message: message(i),
                signature: secret.sign(&message(i)),
            }
        })
        .collect()
}

#[test]
fn ed_signatures_verify_alone_and_together() {
    let mut list = signed(33);
    assert_eq!(verdicts(&list), (vec![], vec![]));
    list[0].message = message(99);
    list[17].signature.0[40] ^= 1;
    list[18].key = list[19].key;
    list[32].signature = EdSignature([0xff; 64]);
    let bad = vec![0, 17, 18, 32];
    assert_eq!(verdicts(&list), (bad.clone(), bad));
    assert_eq!(ed::verify_batch(&[]), Vec::<usize>::new());
}

/// Encoding a point again would show the same, at the price of an inversion.
#[test]
fn an_encoding_is_canonical_if_the_point_has_no_other() {
    let mut encodings = Vec::new();
    for low in 0..=u8::MAX {
        for fill in [0, 0xff] {
            for last in [0, 1, 0x7e, 0x7f, 0x80, 0x81, 0xfe, 0xff] {
                let mut bytes = [fill; 32];
                (bytes[0], bytes[31]) = (low, last);
                encodings.push(bytes);
            }
        }
    }
    encodings.extend(EIGHT_TORSION.iter().map(|point| point.compress().0));
    encodings.extend(signed(8).iter().map(|signed| signed.key));
    let mut points = 0;
    for bytes in encodings {
        if let Some(point) = CompressedEdwardsY(bytes).decompress() {
            points += 1;
            let again = point.compress().0 == bytes;
            assert_eq!(ed::is_canonical(&bytes), again, "{bytes:?}");
        }
    }
    assert!(points > 1_000, "{points}");
}

/// Our own rule agrees with the strict one on everything an honest signer makes.
#[test]
fn honest_signatures_pass_the_strict_rule_too() {
    for item in signed(4) {
        let key = ed25519_dalek::VerifyingKey::from_bytes(&item.key).expect("own key");
        let signature = ed25519_dalek::Signature::from_bytes(&item.signature.0);
        assert!(key.verify_strict(&item.message.0, &signature).is_ok());
    }
}

/// Commitments with a small-order part are where batch and single verification of other libraries
/// disagree. Here every batch of them, in any company, gives the single verdict.
#[test]
fn small_order_parts_give_one_verdict() {
    let mut random = random(4);
    let mut list = signed(3);
    for torsion in &EIGHT_TORSION[1..] {
        // The signer itself adds a small-order point to its commitment before it hashes.
        let mut wide = [0; 64];
        random.fill_bytes(&mut wide);
        let (x, k) = (
            Scalar::from(random.next_u64()),
            Scalar::from_bytes_mod_order_wide(&wide),
        );
        let base = curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
        let key = (base * x).compress().0;
        let commitment = (base * k + torsion).compress().0;
        let hash = Sha512::new().chain_update(commitment).chain_update(key);
        let challenge = Scalar::from_hash(hash.chain_update(message(7).0));
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&commitment);
        signature[32..].copy_from_slice((k + challenge * x).as_bytes());
        list.push(Signed {
            key,
            message: message(7),
            signature: EdSignature(signature),
        });
    }
    for window in 1..=list.len() {
        for part in list.windows(window) {
            let (together, alone) = verdicts(part);
            assert_eq!(together, alone);
        }
    }
}

#[test]
fn small_order_keys_and_second_encodings_are_refused() {
    let mut list = signed(1);
    // With a small-order key, R = s·B verifies for every message under the plain equation.
    let base = curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
    for torsion in EIGHT_TORSION {
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&base.compress().0);
        signature[32..].copy_from_slice(Scalar::ONE.as_bytes());
        let key = torsion.compress().0;
        list.push(Signed {
            key,
            message: message(1),
            signature: EdSignature(signature),
        });
    }
    assert_eq!(verdicts(&list).0, (1..=8).collect::<Vec<_>>());
    assert_eq!(verdicts(&list).1, (1..=8).collect::<Vec<_>>());
    // y = 1 + p encodes the identity a second time.
    let mut second = [0xff; 32];
    second[0] = 0xee;
    second[31] = 0x7f;
    assert!(CompressedEdwardsY(second).decompress().is_some());
    let mut item = signed(1).remove(0);
    item.signature.0[..32].copy_from_slice(&second);
    assert_eq!(verdicts(&[item]), (vec![0], vec![0]));
}

#[test]
fn merkle_paths_prove_one_leaf_at_one_place() {
    for count in 0..20_u8 {
        let leaves: Vec<_> = (0..count).map(message).collect();
        let tree = MerkleTree::new(&leaves);
        assert_eq!(tree.root(), merkle::root(&leaves));
        assert_eq!(tree.path(u64::from(count)), None);
        for (index, leaf) in leaves.iter().enumerate() {
            let path = tree.path(index as u64).expect("in range");
            assert!(path.verify(leaf, &tree.root()));
            assert!(!path.verify(&message(200), &tree.root()));
            for other in 0..u64::from(count) + 2 {
                let moved = MerklePath {
                    index: other,
                    ..path.clone()
                };
                assert_eq!(moved.verify(leaf, &tree.root()), other == index as u64);
            }
            let grown = MerklePath {
                count: path.count + 1,
                ..path.clone()
            };
            assert!(!grown.verify(leaf, &tree.root()));
            let mut long = path.clone();
            long.siblings.push(Digest::ZERO);
            assert!(!long.verify(leaf, &tree.root()));
            let bytes = codec::encode(&path);
            assert_eq!(codec::decode::<MerklePath>(&bytes, 4096), Ok(path));
        }
    }
}

#[test]
fn a_tree_with_a_leaf_replaced_is_the_tree_over_the_new_leaves() {
    for count in 0..20_u8 {
        let mut leaves: Vec<_> = (0..count).map(message).collect();
        let mut tree = MerkleTree::new(&leaves);
        for index in (0..usize::from(count)).rev() {
            leaves[index] = message(100 + index as u8);
            tree.set(index as u64, &leaves[index]);
            assert_eq!(tree.root(), merkle::root(&leaves));
        }
        tree.set(u64::from(count), &message(99));
        assert_eq!(tree.root(), merkle::root(&leaves));
    }
}

/// Duplicating an odd last node (as Bitcoin does) would give these lists one root.
#[test]
fn different_lists_have_different_roots() {
    let mut roots = std::collections::BTreeSet::new();
    for count in 0..20_u8 {
        let mut leaves: Vec<_> = (0..count).map(message).collect();
        assert!(roots.insert(merkle::root(&leaves)));
        if let Some(last) = leaves.last().copied() {
            leaves.push(last);
            assert!(roots.insert(merkle::root(&leaves)));
        }
    }
    // A root as a leaf does not stand for the tree below it.
    let pair = [message(1), message(2)];
    assert_ne!(merkle::root(&[merkle::root(&pair)]), merkle::root(&pair));
}

#[test]
fn key_files_are_private_and_never_overwritten() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("bls.key");
    save_key(&path, &[7; 32]).expect("new file");
    assert_eq!(*load_key(&path).expect("readable"), [7; 32]);
    assert!(matches!(
        save_key(&path, &[8; 32]),
        Err(KeyFileError::Io { .. })
    ));
    let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode));
    mode(0o640).expect("own file");
    assert!(matches!(
        load_key(&path),
        Err(KeyFileError::Exposed { mode: 0o640, .. })
    ));
    mode(0o600).expect("own file");
    std::fs::write(&path, "07").expect("own file");
    assert!(matches!(
        load_key(&path),
        Err(KeyFileError::Malformed { .. })
    ));
}
