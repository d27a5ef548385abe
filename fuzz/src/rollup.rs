//! A small payments rollup from fixed seeds, with signed payments.

use std::sync::OnceLock;

use conclave_payments::{
    Address, Allocation, Draft, FieldDigest, LeafStore, LeafStoreError, Payment, PaymentContext,
    Seed, State, Wallet, WalletState,
};

pub(crate) const CONTEXT: PaymentContext = PaymentContext {
    chain: [7; 32],
    rollup: 3,
};
/// The last height that may order the signed payments.
pub(crate) const EXPIRY: u64 = 1_000;

/// Three accounts: one with little, one with more than half of what there can be, and the one that
/// collects the fees.
pub(crate) struct Rollup {
    pub(crate) state: State,
    pub(crate) addresses: [Address; 3],
    /// By the first account, with nonces 0, 1 and 2. Nobody has the keys of the others.
    pub(crate) payments: [Payment; 3],
}

struct Forgetful;

impl LeafStore for Forgetful {
    fn load(&self) -> Result<Option<WalletState>, LeafStoreError> {
        Ok(None)
    }

    fn store(&mut self, _: &WalletState) -> Result<(), LeafStoreError> {
        Ok(())
    }
}

/// The rollup, made at the first call.
pub(crate) fn rollup() -> &'static Rollup {
    static ROLLUP: OnceLock<Rollup> = OnceLock::new();
    ROLLUP.get_or_init(|| {
        let seed = Seed::new([1; 32]);
        let mut wallet = Wallet::create(seed, Forgetful).expect("an empty store");
        let address = |slot, key| Address { slot, key };
        let addresses = [
            address(0, wallet.account_key()),
            address((1 << 24) - 1, small(1)),
            address(9, small(2)),
        ];
        let allocations = [(0, 1_000_000), (1, (1 << 61) + 5)];
        let allocations = allocations.map(|(of, balance)| Allocation {
            address: addresses[of],
            balance,
        });
        let payments = [(1, 0), (2, 1), (1, 2)].map(|(to, nonce)| {
            let draft = Draft {
                sender: addresses[0].slot,
                nonce,
                receiver: addresses[to],
                amount: 100,
                fee: 5,
                expiry: EXPIRY,
            };
            wallet.pay(&CONTEXT, &draft).expect("fresh leaves")
        });
        Rollup {
            payments,
            state: State::genesis(addresses[2], &allocations).expect("a valid genesis"),
            addresses,
        }
    })
}

/// A key that is a small number.
pub(crate) fn small(number: u8) -> FieldDigest {
    let mut bytes = [0; 32];
    bytes[0] = number;
    FieldDigest::from_bytes(&bytes).expect("below the field's order")
}
