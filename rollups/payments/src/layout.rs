//! Columns of the trace, rows of a payment, and the selectors that name groups of rows.

use winterfell::math::{FieldElement, fields::f64::BaseElement};

use crate::payment::DEPTH;
use crate::permutation;
use crate::signature::{CHAINS, KEY_DEPTH};

/// Rows a payment takes.
pub(crate) const SLOT_ROWS: usize = 256;

/// Columns by name. The permutation takes the first 180.
pub(crate) mod column {
    use super::permutation;

    /// The digest of the row before, or the state of the hash over a one-time key.
    pub(crate) const DELAY: usize = permutation::CELLS;
    /// Root of the account tree.
    pub(crate) const ROOT: usize = DELAY + 4;
    /// The commitment chain.
    pub(crate) const COMMITMENT: usize = ROOT + 4;
    /// The fee pool.
    pub(crate) const POOL: usize = COMMITMENT + 4;

    /// First of the columns that stay the same over a payment's rows.
    pub(crate) const HELD: usize = POOL + 1;
    pub(crate) const SENDER: usize = HELD;
    pub(crate) const RECEIVER: usize = SENDER + 1;
    pub(crate) const NONCE: usize = RECEIVER + 1;
    pub(crate) const AMOUNT: usize = NONCE + 1;
    pub(crate) const FEE: usize = AMOUNT + 1;
    pub(crate) const OWNER: usize = FEE + 1;
    pub(crate) const RECEIVER_KEY: usize = OWNER + 4;
    pub(crate) const NEXT_OWNER: usize = RECEIVER_KEY + 4;
    /// The fingerprint's point and its square.
    pub(crate) const POINT: usize = NEXT_OWNER + 4;
    pub(crate) const POINT_SQUARED: usize = POINT + 2;
    /// First of the flags, of which the first six exclude each other.
    pub(crate) const FLAGS: usize = POINT_SQUARED + 2;
    /// The no-op's reason: the account's owner root is another, or there is no account.
    pub(crate) const WRONG_OWNER: usize = FLAGS;
    pub(crate) const WRONG_NONCE: usize = FLAGS + 1;
    pub(crate) const INSUFFICIENT: usize = FLAGS + 2;
    pub(crate) const SLOT_TAKEN: usize = FLAGS + 3;
    pub(crate) const OVERFLOW: usize = FLAGS + 4;
    pub(crate) const APPLIED: usize = FLAGS + 5;
    /// The receiver's account is created.
    pub(crate) const CREATES: usize = FLAGS + 6;
    /// The sender is the fee account.
    pub(crate) const IS_FEE: usize = FLAGS + 7;
    /// One past the held columns.
    pub(crate) const HELD_END: usize = FLAGS + 8;

    /// The fingerprint of the signature so far.
    pub(crate) const FINGERPRINT: usize = HELD_END;
    /// Numbers that give up their bits, lowest first.
    pub(crate) const SHIFT: usize = FINGERPRINT + 2;
    /// The bits given up.
    pub(crate) const BIT: usize = SHIFT + 2;
    /// This row absorbs a pair of chain ends; otherwise it computes a chain's end.
    pub(crate) const ABSORB: usize = BIT + 2;
    /// Pairs absorbed so far.
    pub(crate) const PAIR: usize = ABSORB + 1;
    /// The ends of the pair's two chains.
    pub(crate) const ENDS: usize = PAIR + 1;
    /// The same columns hold witnesses of inequality outside the signature's rows.
    pub(crate) const WITNESS: usize = ENDS;
    /// The key tree's tweak.
    pub(crate) const TREE: usize = ENDS + 4;
    /// The leaf of the key tree, or an account's slot: gives up its bits along a path.
    pub(crate) const POSITION: usize = TREE + 2;
    /// The node is the right child.
    pub(crate) const SIDE: usize = POSITION + 1;
    /// The codeword's bits of this pair.
    pub(crate) const CODE: usize = SIDE + 1;
    pub(crate) const WIDTH: usize = CODE + 2;

    const _: () = assert!(WIDTH == 240);
}

/// Rows of a payment by name.
pub(crate) mod row {
    use super::{CHAINS, DEPTH, KEY_DEPTH, SLOT_ROWS};

    /// Absorbs the payment's five blocks.
    pub(crate) const MESSAGE: usize = 0;
    pub(crate) const MESSAGE_END: usize = 5;
    /// Salts the digest into a codeword.
    pub(crate) const SALT: usize = MESSAGE_END;
    /// Extends the commitment by the payment's digest.
    pub(crate) const COMMIT_DIGEST: usize = SALT + 1;
    /// 62 chain rows and 62 absorbing rows, in the order the codeword asks for.
    pub(crate) const ONE_TIME: usize = COMMIT_DIGEST + 1;
    pub(crate) const ONE_TIME_END: usize = ONE_TIME + CHAINS;
    /// From the one-time key to the owner root.
    pub(crate) const KEY: usize = ONE_TIME_END;
    pub(crate) const KEY_END: usize = KEY + KEY_DEPTH;
    /// The sender: two rows a leaf, old and new interleaved, then two rows a level.
    pub(crate) const SEND: usize = KEY_END;
    pub(crate) const RECEIVE: usize = SEND + ACCOUNT_ROWS;
    /// Extends the commitment by the fingerprint; the fee joins the pool.
    pub(crate) const COMMIT_FINGERPRINT: usize = RECEIVE + ACCOUNT_ROWS;

    /// Rows of one account's change.
    pub(crate) const ACCOUNT_ROWS: usize = LEVELS + 2 * DEPTH;
    /// Old and new first block of the leaf, then old and new second block.
    pub(crate) const LEAF_OLD: usize = 0;
    pub(crate) const LEAF_NEW: usize = 1;
    pub(crate) const SECOND_OLD: usize = 2;
    pub(crate) const SECOND_NEW: usize = 3;
    pub(crate) const LEVELS: usize = 4;
    /// The last rows of the old and of the new path.
    pub(crate) const TOP_OLD: usize = ACCOUNT_ROWS - 2;
    pub(crate) const TOP_NEW: usize = ACCOUNT_ROWS - 1;
    /// Rows a 62-bit number takes to give up its bits, two a row, from `SECOND_NEW` on.
    pub(crate) const RANGE_ROWS: usize = 31;

    // The last two rows of a trace are exempt from all constraints.
    const _: () = assert!(COMMIT_FINGERPRINT + 2 < SLOT_ROWS);
    const _: () = assert!(SECOND_NEW + RANGE_ROWS < ACCOUNT_ROWS);
}

/// Declares the selectors: periodic columns that are 1 on the rows the pattern matches.
macro_rules! selectors {
    ($($(#[$doc:meta])* $name:ident = |$row:ident| $rule:expr;)*) => {
        /// Selectors at one row or point.
        #[derive(Clone, Copy)]
        pub(crate) struct Selectors<E> {
            $($(#[$doc])* pub(crate) $name: E,)*
        }

        /// The periodic columns, in the order [`Selectors::read`] takes them.
        pub(crate) fn periodic_columns() -> Vec<Vec<BaseElement>> {
            vec![$({
                let rule = |$row: usize| -> bool { $rule };
                (0..SLOT_ROWS).map(|row| BaseElement::from(u8::from(rule(row)))).collect()
            },)*]
        }

        impl<E: FieldElement> Selectors<E> {
            /// Names the values of the periodic columns.
            pub(crate) fn read(values: &[E]) -> Self {
                let mut values = values.iter().copied();
                Self { $($name: values.next().unwrap_or(E::ZERO),)* }
            }
        }
    };
}

/// The row inside one account's change, when `row` is one.
fn account_row(row: usize) -> Option<usize> {
    let rows = row::SEND..row::COMMIT_FINGERPRINT;
    rows.contains(&row)
        .then(|| (row - row::SEND) % row::ACCOUNT_ROWS)
}

fn in_account(row: usize, rule: impl Fn(usize) -> bool) -> bool {
    account_row(row).is_some_and(rule)
}

/// Whether a row of an account's change hashes a node of the old path.
fn is_old_level(row: usize) -> bool {
    row >= row::LEVELS && row.is_multiple_of(2)
}

selectors! {
    /// All rows but the last of a payment.
    hold = |r| r != SLOT_ROWS - 1;
    /// The next row's delay is this row's digest.
    delay = |r| r != row::COMMIT_DIGEST && !(row::ONE_TIME..row::ONE_TIME_END).contains(&r);
    /// Rows of the payment's blocks.
    message = |r| r < row::MESSAGE_END;
    block_0 = |r| r == row::MESSAGE;
    block_1 = |r| r == row::MESSAGE + 1;
    block_2 = |r| r == row::MESSAGE + 2;
    block_3 = |r| r == row::MESSAGE + 3;
    block_4 = |r| r == row::MESSAGE + 4;
    salt = |r| r == row::SALT;
    commit_digest = |r| r == row::COMMIT_DIGEST;
    commit_fingerprint = |r| r == row::COMMIT_FINGERPRINT;
    one_time = |r| (row::ONE_TIME..row::ONE_TIME_END).contains(&r);
    one_time_last = |r| r == row::ONE_TIME_END - 1;
    key = |r| (row::KEY..row::KEY_END).contains(&r);
    key_first = |r| r == row::KEY;
    key_last = |r| r == row::KEY_END - 1;
    /// The next row continues the key path from this row's digest.
    key_link = |r| (row::KEY - 1..row::KEY_END - 1).contains(&r);
    send_leaf_old = |r| r == row::SEND + row::LEAF_OLD;
    send_leaf_new = |r| r == row::SEND + row::LEAF_NEW;
    send_second_old = |r| r == row::SEND + row::SECOND_OLD;
    send_second_new = |r| r == row::SEND + row::SECOND_NEW;
    receive_leaf_old = |r| r == row::RECEIVE + row::LEAF_OLD;
    receive_leaf_new = |r| r == row::RECEIVE + row::LEAF_NEW;
    receive_second_old = |r| r == row::RECEIVE + row::SECOND_OLD;
    receive_second_new = |r| r == row::RECEIVE + row::SECOND_NEW;
    /// The next row continues the old or new path from the digest two rows before it.
    path_link = |r| in_account(r, |a| (row::LEAF_NEW..row::TOP_NEW).contains(&a));
    /// Rows of the old path; the next row hashes the new path's node of the same level.
    old_level = |r| in_account(r, is_old_level);
    /// The position gives up a bit to the next level.
    next_level = |r| (row::KEY..row::KEY_END - 1).contains(&r)
        || in_account(r, |a| a > row::LEVELS && !is_old_level(a) && a != row::TOP_NEW);
    /// The position's last bit: nothing is left after it.
    last_level = |r| r == row::KEY_END - 1 || in_account(r, |a| a == row::TOP_NEW);
    /// The old path's root.
    root_old = |r| in_account(r, |a| a == row::TOP_OLD);
    /// The new path's root.
    root_new = |r| in_account(r, |a| a == row::TOP_NEW);
    /// A number gives up two bits.
    range = |r| in_account(r, |a|
        (row::SECOND_NEW..row::SECOND_NEW + row::RANGE_ROWS).contains(&a));
    /// Nothing is left of it.
    range_end = |r| in_account(r, |a| a == row::SECOND_NEW + row::RANGE_ROWS);
    /// The fingerprint is complete and waits for its commitment.
    fingerprint_done = |r| (row::KEY_END..row::COMMIT_FINGERPRINT).contains(&r);
}
