//! Constraints on two neighbouring rows: accounts, paths, inputs and outcomes.

use winterfell::math::{FieldElement, fields::f64::BaseElement};

use crate::domain::{TAG_CHAIN, TAG_LEAF, TAG_ONE_TIME, TAG_PAYMENT, TAG_SIGNATURE};
use crate::fingerprint::NON_RESIDUE;
use crate::layout::{Selectors, column as col};

/// The places of the result, in the order of [`GROUPS`].
pub(super) struct Places<'a, E>(pub(super) core::slice::IterMut<'a, E>);

impl<E> Places<'_, E> {
    #[inline(always)]
    pub(super) fn push(&mut self, value: E) {
        if let Some(place) = self.0.next() {
            *place = value;
        }
    }
}

/// Two neighbouring rows, their selectors and the digest of the first.
pub(super) struct Rows<'a, E> {
    pub(super) now: &'a [E],
    pub(super) next: &'a [E],
    pub(super) select: Selectors<E>,
    pub(super) digest: [E; 4],
    pub(super) fee_slot: E,
}

/// Multiplies in the quadratic extension of the fingerprint.
#[inline(always)]
pub(super) fn multiply<E: FieldElement<BaseField = BaseElement>>(a: [E; 2], b: [E; 2]) -> [E; 2] {
    let seven = E::from(BaseElement::new(NON_RESIDUE));
    [a[0] * b[0] + seven * a[1] * b[1], a[0] * b[1] + a[1] * b[0]]
}

#[inline(always)]
pub(super) fn constant<E: FieldElement<BaseField = BaseElement>>(value: u64) -> E {
    E::from(BaseElement::new(value))
}

impl<E: FieldElement<BaseField = BaseElement>> Rows<'_, E> {
    #[inline(always)]
    pub(super) fn four(&self, column: usize) -> [E; 4] {
        core::array::from_fn(|i| self.now[column + i])
    }

    #[inline(always)]
    pub(super) fn two(&self, column: usize) -> [E; 2] {
        [self.now[column], self.now[column + 1]]
    }

    /// 1 in a slot that holds a payment, 0 in padding.
    pub(super) fn active(&self) -> E {
        (col::FLAGS..=col::APPLIED).fold(E::ZERO, |sum, flag| sum + self.now[flag])
    }

    /// 1 when the sender's nonce advances.
    pub(super) fn advances(&self) -> E {
        self.now[col::INSUFFICIENT] + self.now[col::APPLIED]
    }

    /// Bits are bits, and at most one outcome is flagged.
    pub(super) fn flags(&self, out: &mut Places<'_, E>) {
        let now = self.now;
        let bits = [col::SIDE, col::BIT, col::BIT + 1];
        for bit in bits.into_iter().chain(col::FLAGS..=col::CREATES) {
            out.push(now[bit] * (now[bit] - E::ONE));
        }
        let active = self.active();
        out.push(active * (active - E::ONE));
        out.push(now[col::CREATES] * (now[col::APPLIED] - E::ONE));
    }

    /// What belongs to a payment is the same on all its rows.
    pub(super) fn held(&self, out: &mut Places<'_, E>) {
        for held in col::HELD..col::HELD_END {
            out.push(self.select.hold * (self.next[held] - self.now[held]));
        }
    }

    /// Delay, root, commitment and pool.
    pub(super) fn carried(&self, out: &mut Places<'_, E>) {
        let (now, next, s, digest) = (self.now, self.next, &self.select, &self.digest);
        let absorb = now[col::ABSORB];
        let key_start = [
            constant(TAG_ONE_TIME),
            next[col::TREE],
            next[col::TREE + 1],
            next[col::POSITION],
        ];
        for i in 0..4 {
            let (delay, after) = (now[col::DELAY + i], next[col::DELAY + i]);
            out.push(
                s.delay * (after - digest[i])
                    + s.commit_digest * (after - key_start[i])
                    + s.one_time * (after - delay - absorb * (digest[i] - delay)),
            );
        }
        for i in 0..4 {
            let (root, after) = (now[col::ROOT + i], next[col::ROOT + i]);
            out.push(after - root - s.root_new * (digest[i] - root));
        }
        for i in 0..4 {
            out.push(
                s.root_old * (digest[i] - now[col::ROOT + i])
                    + s.key_last * (digest[i] - now[col::OWNER + i]),
            );
        }
        let extend = (s.commit_digest + s.commit_fingerprint) * self.active();
        for i in 0..4 {
            let (commitment, after) = (now[col::COMMITMENT + i], next[col::COMMITMENT + i]);
            out.push(after - commitment - extend * (digest[i] - commitment));
        }
        let pool = now[col::POOL];
        let collected = self.advances() * now[col::IS_FEE] * pool;
        let paid = now[col::APPLIED] * now[col::FEE];
        out.push(next[col::POOL] - pool - s.commit_fingerprint * (paid - collected));
    }

    /// What each row's permutation takes.
    pub(super) fn inputs(&self, out: &mut Places<'_, E>, payment_start: [E; 4]) {
        let (now, next, s) = (self.now, self.next, &self.select);
        let absorb = now[col::ABSORB];
        let chain = E::ONE - absorb;
        let zero = E::ZERO;
        let receiver_key = self.four(col::RECEIVER_KEY);

        // Left lanes.
        let tweak = [
            zero,
            zero,
            now[2] - now[col::TREE],
            now[3] - now[col::TREE + 1],
        ];
        for i in 0..4 {
            out.push(
                s.message * (next[i] - self.digest[i])
                    + s.salt * (next[i] - now[col::COMMITMENT + i])
                    + s.one_time * (absorb * (now[i] - now[col::DELAY + i]) + chain * tweak[i])
                    + s.send_leaf_old * (next[i] - now[i])
                    + s.receive_leaf_old * (next[i] - now[i] - now[col::CREATES] * receiver_key[i])
                    + s.commit_fingerprint * (now[i] - now[col::COMMITMENT + i]),
            );
        }

        // Right lanes.
        let right: [E; 4] = core::array::from_fn(|i| now[4 + i]);
        let block_0 = [
            right[0] - now[col::SENDER],
            right[1] - now[col::RECEIVER],
            right[2] - now[col::NONCE],
            zero,
        ];
        let block_1 = [
            right[0] - now[col::AMOUNT],
            right[1] - now[col::FEE],
            right[2],
            right[3] - constant(TAG_PAYMENT),
        ];
        let salt = [zero, zero, right[2], right[3] - constant(TAG_SIGNATURE)];
        let index = now[col::PAIR].double() + E::ONE - now[col::BIT];
        let chain_step = [
            right[0] - now[col::POSITION],
            right[1] - index,
            right[2] - constant(TAG_CHAIN),
            right[3],
        ];
        let second = [zero, zero, right[2], right[3] - constant(TAG_LEAF)];
        let fingerprint = [
            right[0] - now[col::POINT],
            right[1] - now[col::POINT + 1],
            right[2] - now[col::FINGERPRINT],
            right[3] - now[col::FINGERPRINT + 1],
        ];
        let second_old = s.send_second_old + s.receive_second_old;
        for i in 0..4 {
            out.push(
                s.block_0 * block_0[i]
                    + s.block_1 * block_1[i]
                    + s.block_2 * (right[i] - now[col::OWNER + i])
                    + s.block_3 * (right[i] - receiver_key[i])
                    + s.block_4 * (right[i] - now[col::NEXT_OWNER + i])
                    + s.salt * salt[i]
                    + s.one_time
                        * (absorb * (right[i] - now[col::ENDS + i]) + chain * chain_step[i])
                    + second_old * second[i]
                    + s.commit_fingerprint * fingerprint[i],
            );
        }

        // The new leaf, and the two starts that need a place of their own.
        let (advances, applied) = (self.advances(), now[col::APPLIED]);
        let collected = advances * now[col::IS_FEE] * now[col::POOL];
        let total = now[col::AMOUNT] + now[col::FEE];
        let tag = next[7] - constant(TAG_LEAF);
        let sent = [
            next[4] - right[0] - collected + applied * total,
            next[5] - right[1] - advances,
            next[6],
            tag,
        ];
        let received = [
            next[4] - right[0] - applied * now[col::AMOUNT],
            next[5] - right[1],
            next[6],
            tag,
        ];
        for i in 0..4 {
            let rotated = advances * (now[col::NEXT_OWNER + i] - right[i]);
            let created = now[col::CREATES] * (receiver_key[i] - right[i]);
            out.push(
                s.block_0 * (now[i] - payment_start[i])
                    + s.salt * (next[4 + i] - now[col::DELAY + i])
                    + s.send_leaf_old * (next[4 + i] - right[i] - rotated)
                    + s.receive_leaf_old * (next[4 + i] - right[i] - created)
                    + s.send_second_old * sent[i]
                    + s.receive_second_old * received[i],
            );
        }
    }

    /// Merkle paths: the node comes from below, old and new share sibling and side.
    pub(super) fn paths(&self, out: &mut Places<'_, E>) {
        let (now, next, s) = (self.now, self.next, &self.select);
        let (side, next_side) = (now[col::SIDE], next[col::SIDE]);
        for i in 0..4 {
            let node = next[i] + next_side * (next[4 + i] - next[i]);
            out.push(
                s.key_link * (node - self.digest[i]) + s.path_link * (node - now[col::DELAY + i]),
            );
        }
        for i in 0..4 {
            let sibling = now[4 + i] + side * (now[i] - now[4 + i]);
            let next_sibling = next[4 + i] + side * (next[i] - next[4 + i]);
            out.push(s.old_level * (next_sibling - sibling));
        }
        let seconds =
            s.send_second_old + s.send_second_new + s.receive_second_old + s.receive_second_new;
        out.push(seconds * side + s.old_level * (next_side - side));
        let (position, after) = (now[col::POSITION], next[col::POSITION]);
        out.push(
            (s.one_time + s.old_level) * (after - position)
                + s.next_level * (position - after.double() - side)
                + s.last_level * (position - side)
                + s.send_second_new * (after - now[col::SENDER])
                + s.receive_second_new * (after - now[col::RECEIVER]),
        );
    }

    /// Every outcome is the only one the accounts allow.
    pub(super) fn judgement(&self, out: &mut Places<'_, E>) {
        let (now, s) = (self.now, &self.select);
        let (advances, applied) = (self.advances(), now[col::APPLIED]);
        let creates = now[col::CREATES];
        let witness = self.four(col::WITNESS);
        let nonce_gap = now[5] - now[col::NONCE];
        let fee_gap = now[col::SENDER] - self.fee_slot;

        let mut owner_gap = E::ZERO;
        let mut key_gap = E::ZERO;
        let mut key_size = E::ZERO;
        for i in 0..4 {
            let owner = now[4 + i] - now[col::OWNER + i];
            let key = now[i] - now[col::RECEIVER_KEY + i];
            out.push(
                s.send_leaf_old * advances * owner
                    + s.receive_leaf_old * ((applied - creates) * key + creates * now[i]),
            );
            owner_gap += owner * witness[i];
            key_gap += key * witness[i];
            key_size += now[i] * witness[i];
        }
        out.push(
            s.send_second_old * advances * nonce_gap + s.send_leaf_new * now[col::IS_FEE] * fee_gap,
        );
        let taken = now[col::SLOT_TAKEN];
        let apart = (now[col::SENDER] - now[col::RECEIVER]) * witness[0];
        out.push(
            s.send_leaf_old * now[col::WRONG_OWNER] * (owner_gap - E::ONE)
                + s.send_leaf_new * (fee_gap * witness[0] + now[col::IS_FEE] - E::ONE)
                + s.send_second_old * now[col::WRONG_NONCE] * (nonce_gap * witness[0] - E::ONE)
                + s.receive_leaf_old * taken * (key_gap - E::ONE)
                + s.receive_leaf_new * taken * (key_size - E::ONE)
                + s.receive_second_new * now[col::OVERFLOW] * (apart - E::ONE),
        );
    }
}
