//! Wallets: signatures, one leaf a signature, and crashes.

use std::cell::Cell;
use std::rc::Rc;

use super::fixture::{Fixture, MemoryStore, ctx};
use crate::leaf_store::{FileLeafStore, LeafStore, LeafStoreError};
use crate::signature::{CHAINS, WEIGHT, codeword};
use crate::{
    Address, Draft, FieldDigest, KEY_LEAVES, PAYMENT_BYTES_MAX, Payment, PaymentContext,
    ROTATION_LEAVES, Seed, Wallet, WalletError, WalletState,
};

fn draft(key: FieldDigest, nonce: u64) -> Draft {
    Draft {
        sender: 1,
        nonce,
        receiver: Address { slot: 2, key },
        amount: 3,
        fee: 4,
        expiry: 5,
    }
}

fn seed() -> Seed {
    Seed::new([9; 32])
}

#[test]
fn signatures_verify_for_their_message_and_rollup_only() {
    let mut wallet = Wallet::create(seed(), MemoryStore::default()).unwrap();
    let payment = wallet.pay(&ctx(), &draft(wallet.owner(), 0)).unwrap();
    assert!(payment.is_authorised(&ctx()));
    assert!(!payment.is_authorised(&PaymentContext { rollup: 9, ..ctx() }));
    assert!(!payment.is_authorised(&PaymentContext {
        chain: [0; 32],
        ..ctx()
    }));
    type Change = fn(&mut Payment);
    let changes: [Change; 9] = [
        |p| p.body.sender += 1,
        |p| p.body.owner.0[0] ^= 1,
        |p| p.body.nonce += 1,
        |p| p.body.receiver.slot += 1,
        |p| p.body.receiver.key.0[3] ^= 1,
        |p| p.body.amount += 1,
        |p| p.body.fee += 1,
        |p| p.body.expiry += 1,
        |p| p.body.new_owner = Some(FieldDigest([1; 4])),
    ];
    for change in changes {
        let mut changed = payment.clone();
        change(&mut changed);
        assert!(!changed.is_authorised(&ctx()));
    }
}

#[test]
fn codewords_have_their_weight() {
    let mut wallet = Wallet::create(seed(), MemoryStore::default()).unwrap();
    let payment = wallet.pay(&ctx(), &draft(wallet.owner(), 0)).unwrap();
    let word = codeword(payment.body.digest(&ctx()), payment.signature.salt).unwrap();
    let ones = (0..CHAINS).filter(|chain| word.bit(*chain)).count();
    assert_eq!(ones, WEIGHT as usize);
}

#[test]
fn payments_have_one_encoding() {
    let mut wallet = Wallet::create(seed(), MemoryStore::default()).unwrap();
    let plain = wallet.pay(&ctx(), &draft(wallet.owner(), 0)).unwrap();
    let rotating = wallet.rotate(&ctx(), &draft(wallet.owner(), 1)).unwrap();
    assert_eq!(rotating.encode().len(), PAYMENT_BYTES_MAX);
    for payment in [plain, rotating] {
        let bytes = payment.encode();
        assert_eq!(Payment::decode(&bytes).unwrap(), payment);
        // An element at or above the modulus has no second encoding.
        let mut bytes = bytes;
        let owner = 4..12;
        bytes[owner].fill(0xff);
        assert!(Payment::decode(&bytes).is_none());
    }
}

#[test]
fn no_leaf_signs_twice_and_the_last_ones_only_rotate() {
    let mut wallet = Wallet::create(seed(), MemoryStore::default()).unwrap();
    let draft = draft(wallet.owner(), 0);
    let ordinary = KEY_LEAVES - ROTATION_LEAVES;
    for leaf in 0..ordinary {
        assert_eq!(wallet.pay(&ctx(), &draft).unwrap().signature.leaf, leaf);
    }
    assert!(matches!(
        wallet.pay(&ctx(), &draft),
        Err(WalletError::MustRotate)
    ));
    for leaf in ordinary..KEY_LEAVES - 8 {
        let rotation = wallet.rotate(&ctx(), &draft).unwrap();
        assert_eq!(rotation.signature.leaf, leaf);
        assert!(rotation.is_authorised(&ctx()));
    }
    assert!(matches!(
        wallet.rotate(&ctx(), &draft),
        Err(WalletError::Exhausted)
    ));
}

#[test]
fn a_restored_wallet_only_rotates() {
    let mut wallet = Wallet::create(seed(), MemoryStore::default()).unwrap();
    let draft = draft(wallet.owner(), 0);
    let mut restored = Wallet::restore(seed(), 0, MemoryStore::default()).unwrap();
    assert!(matches!(
        restored.pay(&ctx(), &draft),
        Err(WalletError::MustRotate)
    ));
    let rotation = restored.rotate(&ctx(), &draft).unwrap();
    assert!(rotation.signature.leaf >= KEY_LEAVES - 8);
    let next = rotation.body.new_owner.unwrap();
    assert!(matches!(
        restored.adopt(FieldDigest([5; 4])),
        Err(WalletError::UnknownOwner)
    ));
    restored.adopt(next).unwrap();
    assert_eq!(restored.owner(), next);
    assert_eq!(restored.account_key(), draft.receiver.key);
    assert_eq!(restored.pay(&ctx(), &draft).unwrap().signature.leaf, 0);
    wallet.adopt(next).unwrap();
    assert_eq!(wallet.owner(), next);
}

/// Fails at the chosen write, before or after it reached the disk.
struct Failing {
    disk: Rc<Cell<Option<WalletState>>>,
    writes_left: u32,
    reaches_disk: bool,
}

impl LeafStore for Failing {
    fn load(&self) -> Result<Option<WalletState>, LeafStoreError> {
        Ok(self.disk.get())
    }
    fn store(&mut self, state: &WalletState) -> Result<(), LeafStoreError> {
        let fails = self.writes_left == 0;
        self.writes_left = self.writes_left.saturating_sub(1);
        if !fails || self.reaches_disk {
            self.disk.set(Some(*state));
        }
        if fails {
            return Err(std::io::Error::other("the disk is gone").into());
        }
        Ok(())
    }
}

#[test]
fn a_crash_at_any_write_never_reuses_a_leaf() {
    for writes in 1..6 {
        for reaches_disk in [false, true] {
            let disk = Rc::new(Cell::new(None));
            let store = |writes_left| Failing {
                disk: Rc::clone(&disk),
                writes_left,
                reaches_disk,
            };
            let mut wallet = Wallet::create(seed(), store(writes)).unwrap();
            let draft = draft(wallet.owner(), 0);
            let mut used = Vec::new();
            loop {
                match wallet.pay(&ctx(), &draft) {
                    Ok(payment) => used.push(payment.signature.leaf),
                    Err(error) => {
                        assert!(matches!(error, WalletError::Store(_)));
                        break;
                    }
                }
            }
            // What the disk holds is unknown now, so nothing more is signed.
            assert!(matches!(
                wallet.pay(&ctx(), &draft),
                Err(WalletError::Poisoned)
            ));
            let mut reopened = Wallet::open(seed(), store(u32::MAX)).unwrap();
            let next = reopened.pay(&ctx(), &draft).unwrap().signature.leaf;
            assert!(used.iter().all(|leaf| *leaf < next));
        }
    }
}

#[test]
fn the_state_file_survives_and_refuses_damage_and_company() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wallet.state");
    let store = FileLeafStore::open(&path).unwrap();
    assert!(matches!(
        FileLeafStore::open(&path),
        Err(LeafStoreError::Locked)
    ));
    assert!(matches!(
        Wallet::open(seed(), store),
        Err(WalletError::Missing)
    ));
    let mut wallet = Wallet::create(seed(), FileLeafStore::open(&path).unwrap()).unwrap();
    let draft = draft(wallet.owner(), 0);
    assert_eq!(wallet.pay(&ctx(), &draft).unwrap().signature.leaf, 0);
    drop(wallet);
    // A crash between writing and renaming leaves a temporary file that counts for nothing.
    std::fs::write(path.with_extension("tmp"), b"half a state").unwrap();
    let again = Wallet::create(seed(), FileLeafStore::open(&path).unwrap());
    assert!(matches!(again, Err(WalletError::Exists)));
    drop(again);
    let mut wallet = Wallet::open(seed(), FileLeafStore::open(&path).unwrap()).unwrap();
    assert_eq!(wallet.pay(&ctx(), &draft).unwrap().signature.leaf, 1);
    drop(wallet);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let damaged = Wallet::open(seed(), FileLeafStore::open(&path).unwrap());
    assert!(matches!(
        damaged,
        Err(WalletError::Store(LeafStoreError::Damaged))
    ));
}

#[test]
fn addresses_read_back() {
    let address = Address {
        slot: 77,
        key: Fixture::new().addresses[0].key,
    };
    assert_eq!(address.to_string().parse(), Ok(address));
    for wrong in ["", "77", "77:", "x:00", "16777216:01"] {
        assert!(wrong.parse::<Address>().is_err());
    }
}

#[test]
fn trees_of_one_seed_differ() {
    let fixture = Fixture::new();
    let mut roots: Vec<_> = fixture.wallets.iter().map(Wallet::owner).collect();
    let mut wallet = Wallet::create(Seed::new([1; 32]), MemoryStore::default()).unwrap();
    assert_eq!(wallet.owner(), roots[0]);
    let rotation = wallet.rotate(&ctx(), &draft(roots[0], 0)).unwrap();
    roots.push(rotation.body.new_owner.unwrap());
    roots.sort();
    roots.dedup();
    assert_eq!(roots.len(), 6);
}
