//! The payment that fills the slots a range leaves over.
//!
//! The constraints on signatures have no switch to turn them off, so padding carries a payment
//! that is really signed, under a key everybody knows. It touches no commitment and no account,
//! and its owner root is its own one-time key: it could not pay anything anywhere.

use crate::hash::FieldDigest;
use crate::payment::{Address, Entry, Payment, PaymentBody, PaymentContext};
use crate::signature::{
    CHAINS, KEY_DEPTH, Signature, chain_end, codeword, one_time_digest, path_root,
};

/// The start of every chain.
const START: [u64; 2] = [1, 2];
const TREE: [u64; 2] = [3, 4];

/// The padding of one rollup.
pub(crate) fn padding_payment(ctx: &PaymentContext) -> (Payment, Entry) {
    use p3_field::PrimeField64;
    let ends = core::array::from_fn(|chain| chain_end(START, TREE, 0, chain));
    let path = [FieldDigest::ZERO; KEY_DEPTH];
    let owner = path_root(one_time_digest(TREE, 0, &ends), 0, &path);
    let body = PaymentBody {
        sender: 0,
        owner,
        nonce: 0,
        receiver: Address {
            slot: 0,
            key: owner,
        },
        amount: 0,
        fee: 0,
        expiry: 0,
        new_owner: None,
    };
    let digest = body.digest(ctx);
    let mut salt = [0; 2];
    let codeword = loop {
        if let Some(codeword) = codeword(digest, salt) {
            break codeword;
        }
        salt[0] += 1;
    };
    let chains = core::array::from_fn::<_, CHAINS, _>(|chain| {
        if codeword.bit(chain) {
            START
        } else {
            ends[chain].map(|e| e.as_canonical_u64())
        }
    });
    let signature = Signature {
        salt,
        tree: TREE,
        leaf: 0,
        chains,
        path,
    };
    let entry = Entry::new(digest, codeword, [0; 2], &signature);
    (Payment { body, signature }, entry)
}
