//! The account tree: paths, snapshots, genesis.

use super::fixture::{FEE_SLOT, Fixture, at, ctx};
use crate::{
    Account, Address, Allocation, FieldDigest, SLOTS, State, StateError, execute, program_version,
    security_bits, verify_path,
};

#[test]
fn paths_show_accounts_and_empty_slots() {
    let mut fixture = Fixture::new();
    let payment = fixture.pay(0, 3, 123, 0);
    execute(&mut fixture.state, &ctx(), &at(1, &[&payment]));
    let state = &fixture.state;
    let root = state.root();
    for slot in [0, 1, 5, 0x00ab_cdef, SLOTS - 1, FEE_SLOT] {
        let account = state.account(slot).copied().unwrap_or_default();
        let path = state.path(slot);
        assert!(verify_path(&root, slot, &account, &path));
        assert!(!verify_path(&root, slot ^ (1 << 23), &account, &path));
        assert!(!verify_path(&[0; 32], slot, &account, &path));
        assert!(!verify_path(&root, slot + SLOTS, &account, &path));
        let richer = Account {
            balance: account.balance + 1,
            ..account
        };
        assert!(!verify_path(&root, slot, &richer, &path));
        // The same number modulo the field's order is another balance.
        let wrapped = Account {
            balance: account.balance.wrapping_add(0xffff_ffff_0000_0001),
            ..account
        };
        assert!(!verify_path(&root, slot, &wrapped, &path));
    }
}

#[test]
fn snapshots_give_back_the_same_root() {
    let mut fixture = Fixture::new();
    let payment = fixture.pay(0, 3, 123, 0);
    execute(&mut fixture.state, &ctx(), &at(1, &[&payment]));
    let bytes = fixture.state.to_bytes();
    let read = State::from_bytes(&bytes).unwrap();
    assert_eq!(read.root(), fixture.state.root());
    assert_eq!(read.to_bytes(), bytes);
    for at in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert!(State::from_bytes(&damaged).is_err());
        assert!(State::from_bytes(&bytes[..at]).is_err());
    }
}

#[test]
fn the_root_does_not_depend_on_the_order_of_writes() {
    let fixture = Fixture::new();
    let allocations: Vec<_> = fixture.addresses[..3]
        .iter()
        .rev()
        .map(|address| Allocation {
            address: *address,
            balance: 1_000_000,
        })
        .collect();
    let state = State::genesis(fixture.addresses[4], &allocations).unwrap();
    assert_eq!(state.root(), fixture.state.root());
}

#[test]
fn genesis_refuses_what_breaks_an_invariant() {
    let key = FieldDigest([1; 4]);
    let fee_account = Address { slot: 0, key };
    let genesis = |address: Address, balance: u64| {
        let allocation = Allocation { address, balance };
        State::genesis(fee_account, &[allocation]).map(|state| state.root())
    };
    let at = |slot| Address { slot, key };
    assert!(genesis(at(0), 5).is_ok());
    assert_eq!(genesis(at(1), 1 << 62), Err(StateError::SupplyTooLarge));
    assert_eq!(
        genesis(at(SLOTS), 1),
        Err(StateError::SlotOutOfRange { slot: SLOTS })
    );
    let zero = Address {
        slot: 1,
        key: FieldDigest::ZERO,
    };
    assert_eq!(genesis(zero, 1), Err(StateError::BadKey { slot: 1 }));
    let other = Address {
        slot: 0,
        key: FieldDigest([2; 4]),
    };
    assert_eq!(genesis(other, 1), Err(StateError::SlotTaken { slot: 0 }));
}

/// A change of these bytes is a new program: it needs a new version in the registry.
#[test]
fn the_program_and_its_hashes_are_pinned() {
    assert_eq!(
        hex::encode(program_version()),
        "fc27b6c930679856b98bb2f447dd5f20b2978fa286b42a4d008e660f899e7b65"
    );
    let fixture = Fixture::new();
    assert_eq!(
        hex::encode(fixture.state.root()),
        "726bda46efd6d910dd1d960aa587fde157b1d848d871183d7e676b6da4084758"
    );
    assert_eq!(
        fixture.addresses[0].key.to_string(),
        "1aff7f8af03614207a4e13205e3236df3ea53ecaf1e01f91bf7fc540321847ee"
    );
}

#[test]
fn proofs_of_every_length_have_100_proven_bits() {
    for payments in [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] {
        let bits = security_bits(payments);
        assert!(bits.proven >= 100, "{payments}: {bits:?}");
    }
}
