//! The constraints. `docs/programs/payments.md` argues why they are sound.
//!
//! A *slot* is the 256 rows of one payment. Groups of constraints that can never meet in one row
//! share one place in the result, each under its own selector: at every row at most one selector
//! of a place is 1, so each of them holds on its own rows.

use winterfell::math::{FieldElement, fields::f64::BaseElement};
use winterfell::{
    Air, AirContext, Assertion, EvaluationFrame, ProofOptions, TraceInfo,
    TransitionConstraintDegree,
};

use crate::domain::{TAG_CHAIN, TAG_LEAF, TAG_ONE_TIME, TAG_PAYMENT, TAG_SIGNATURE};
use crate::fingerprint::NON_RESIDUE;
use crate::layout::{SLOT_ROWS, Selectors, column as col, periodic_columns};
use crate::payment::VALUE_LIMIT;
use crate::permutation;
use crate::signature::PAIRS;
use crate::statement::PublicInputs;

/// The program's algebraic intermediate representation for one range.
pub(crate) struct PaymentsAir {
    context: AirContext<BaseElement>,
    inputs: PublicInputs,
    payment_start: [BaseElement; 4],
    fee_slot: BaseElement,
}

/// Constraints of each group: how many, their degree in the trace, and whether selectors join in.
const GROUPS: [(usize, usize, bool); 31] = [
    (permutation::CONSTRAINTS, 3, false),
    (12, 2, false),                       // bits and flags
    (col::HELD_END - col::HELD, 1, true), // held columns
    (4, 2, true),                         // delay
    (4, 1, true),                         // root moves
    (4, 1, true),                         // digest is a root
    (4, 2, true),                         // commitment
    (1, 3, true),                         // pool
    (4, 2, true),                         // left input
    (4, 2, true),                         // right input
    (1, 3, true),                         // new leaf: balance
    (3, 2, true),                         // new leaf: the rest
    (4, 2, true),                         // links of paths
    (4, 2, true),                         // shared siblings
    (1, 1, true),                         // side
    (1, 1, true),                         // position
    (1, 2, true),                         // absorb
    (1, 1, true),                         // end of the one-time key
    (1, 2, true),                         // first bit
    (1, 3, true),                         // second bit
    (1, 3, true),                         // first shift
    (1, 2, true),                         // second shift
    (1, 1, true),                         // pair counter
    (4, 2, true),                         // chain ends stay
    (2, 3, true),                         // chain ends computed
    (2, 1, true),                         // tweak
    (2, 2, true),                         // code bits
    (2, 4, true),                         // fingerprint
    (2, 2, true),                         // square of the point
    (5, 2, true),                         // equalities
    (1, 3, true),                         // inequalities
];

/// Root, commitment and pool at both ends.
pub(crate) const ASSERTIONS: usize = 2 * (4 + 4 + 1);

/// All transition constraints.
pub(crate) fn constraint_count() -> usize {
    GROUPS.iter().map(|(count, ..)| count).sum()
}

fn degrees() -> Vec<TransitionConstraintDegree> {
    let degree = |(count, base, periodic): (usize, usize, bool)| {
        let degree = if periodic {
            TransitionConstraintDegree::with_cycles(base, vec![SLOT_ROWS])
        } else {
            TransitionConstraintDegree::new(base)
        };
        core::iter::repeat_n(degree, count)
    };
    GROUPS.into_iter().flat_map(degree).collect()
}

impl Air for PaymentsAir {
    type BaseField = BaseElement;
    type PublicInputs = PublicInputs;

    fn new(trace_info: TraceInfo, inputs: PublicInputs, options: ProofOptions) -> Self {
        // The last row takes part in no constraint: it holds filler, so that every column has
        // full degree whatever the payments are.
        let context = AirContext::new(trace_info, degrees(), ASSERTIONS, options)
            .set_num_transition_exemptions(2);
        Self {
            context,
            payment_start: inputs.range.payment_context().first_state().elements(),
            fee_slot: BaseElement::from(inputs.old.fee_slot),
            inputs,
        }
    }

    fn context(&self) -> &AirContext<BaseElement> {
        &self.context
    }

    fn get_periodic_column_values(&self) -> Vec<Vec<BaseElement>> {
        periodic_columns()
    }

    fn get_assertions(&self) -> Vec<Assertion<BaseElement>> {
        let last = self.trace_length() - 2;
        let inputs = &self.inputs;
        let ends = [
            (0, &inputs.old, inputs.first_commitment),
            (last, &inputs.new, inputs.last_commitment),
        ];
        let mut assertions = Vec::new();
        for (step, opening, commitment) in ends {
            for (i, root) in opening.accounts.elements().into_iter().enumerate() {
                assertions.push(Assertion::single(col::ROOT + i, step, root));
            }
            for (i, value) in commitment.elements().into_iter().enumerate() {
                assertions.push(Assertion::single(col::COMMITMENT + i, step, value));
            }
            let pool = BaseElement::new(opening.pool);
            assertions.push(Assertion::single(col::POOL, step, pool));
        }
        assertions
    }

    fn evaluate_transition<E: FieldElement<BaseField = BaseElement>>(
        &self,
        frame: &EvaluationFrame<E>,
        periodic_values: &[E],
        result: &mut [E],
    ) {
        let (now, next) = (frame.current(), frame.next());
        let (permutation, rest) = result.split_at_mut(permutation::CONSTRAINTS);
        let output = permutation::constrain(now, permutation);
        let rows = Rows {
            now,
            next,
            select: Selectors::read(periodic_values),
            digest: core::array::from_fn(|i| output[i] + now[i]),
            fee_slot: self.fee_slot.into(),
        };
        let mut out = Places(rest.iter_mut());
        rows.flags(&mut out);
        rows.held(&mut out);
        rows.carried(&mut out);
        rows.inputs(&mut out, self.payment_start.map(E::from));
        rows.paths(&mut out);
        rows.one_time_key(&mut out);
        rows.fingerprint(&mut out);
        rows.judgement(&mut out);
        debug_assert!(out.0.next().is_none());
    }
}

/// The places of the result, in the order of [`GROUPS`].
struct Places<'a, E>(core::slice::IterMut<'a, E>);

impl<E> Places<'_, E> {
    #[inline(always)]
    fn push(&mut self, value: E) {
        if let Some(place) = self.0.next() {
            *place = value;
        }
    }
}

/// Two neighbouring rows, their selectors and the digest of the first.
struct Rows<'a, E> {
    now: &'a [E],
    next: &'a [E],
    select: Selectors<E>,
    digest: [E; 4],
    fee_slot: E,
}

/// Multiplies in the quadratic extension of the fingerprint.
#[inline(always)]
fn multiply<E: FieldElement<BaseField = BaseElement>>(a: [E; 2], b: [E; 2]) -> [E; 2] {
    let seven = E::from(BaseElement::new(NON_RESIDUE));
    [a[0] * b[0] + seven * a[1] * b[1], a[0] * b[1] + a[1] * b[0]]
}

#[inline(always)]
fn constant<E: FieldElement<BaseField = BaseElement>>(value: u64) -> E {
    E::from(BaseElement::new(value))
}

impl<E: FieldElement<BaseField = BaseElement>> Rows<'_, E> {
    #[inline(always)]
    fn four(&self, column: usize) -> [E; 4] {
        core::array::from_fn(|i| self.now[column + i])
    }

    #[inline(always)]
    fn two(&self, column: usize) -> [E; 2] {
        [self.now[column], self.now[column + 1]]
    }

    /// 1 in a slot that holds a payment, 0 in padding.
    fn active(&self) -> E {
        (col::FLAGS..=col::APPLIED).fold(E::ZERO, |sum, flag| sum + self.now[flag])
    }

    /// 1 when the sender's nonce advances.
    fn advances(&self) -> E {
        self.now[col::INSUFFICIENT] + self.now[col::APPLIED]
    }

    /// Bits are bits, and at most one outcome is flagged.
    fn flags(&self, out: &mut Places<'_, E>) {
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
    fn held(&self, out: &mut Places<'_, E>) {
        for held in col::HELD..col::HELD_END {
            out.push(self.select.hold * (self.next[held] - self.now[held]));
        }
    }

    /// Delay, root, commitment and pool.
    fn carried(&self, out: &mut Places<'_, E>) {
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
    fn inputs(&self, out: &mut Places<'_, E>, payment_start: [E; 4]) {
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
    fn paths(&self, out: &mut Places<'_, E>) {
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

    /// The one-time key: each pair of chains takes a row for each revealed chain, then one to
    /// absorb both ends. 124 rows with 62 absorbing ones leave exactly 62 revealed chains.
    fn one_time_key(&self, out: &mut Places<'_, E>) {
        let (now, next, s) = (self.now, self.next, &self.select);
        let (absorb, chain) = (now[col::ABSORB], E::ONE - now[col::ABSORB]);
        let bits = self.two(col::BIT);
        let next_bits = [next[col::BIT], next[col::BIT + 1]];
        let pair = now[col::PAIR];

        out.push(s.one_time * (absorb - (E::ONE - bits[0]) * (E::ONE - bits[1])));
        out.push(
            s.one_time_last * (absorb - E::ONE) + s.key_first * (pair - constant(PAIRS as u64)),
        );
        // A chain row uses up the first bit that is set; an absorbing row loads fresh bits.
        out.push(s.one_time * chain * next_bits[0] + s.key_first * bits[0]);
        out.push(s.one_time * chain * (next_bits[1] - bits[0] * bits[1]) + s.key_first * bits[1]);
        self.shifts(out);
        let next_pair = next[col::PAIR];
        out.push(s.commit_digest * next_pair + s.one_time * (next_pair - pair - absorb));

        let ends = self.four(col::ENDS);
        for i in 0..4 {
            out.push(s.one_time * chain * (next[col::ENDS + i] - ends[i]));
        }
        for i in 0..2 {
            let end = ends[2 + i] + bits[0] * (ends[i] - ends[2 + i]);
            out.push(s.one_time * chain * (self.digest[i] - end));
        }
        for i in 0..2 {
            out.push(s.one_time * (next[col::TREE + i] - now[col::TREE + i]));
        }
        for i in 0..2 {
            let (code, after) = (now[col::CODE + i], next[col::CODE + i]);
            let kept = chain * (after - code) + absorb * (after - next_bits[i]);
            out.push(s.commit_digest * (after - next_bits[i]) + s.one_time * kept);
        }
    }

    /// The numbers that give up bits: the codeword's two halves, then what is range-checked.
    fn shifts(&self, out: &mut Places<'_, E>) {
        let (now, next, s) = (self.now, self.next, &self.select);
        let (absorb, chain) = (now[col::ABSORB], E::ONE - now[col::ABSORB]);
        let bits = self.two(col::BIT);
        let coded = |i: usize| {
            let (shift, after) = (now[col::SHIFT + i], next[col::SHIFT + i]);
            let halved = shift - after.double() - next[col::BIT + i];
            s.salt * (after - self.digest[i])
                + s.commit_digest * halved
                + s.one_time * (chain * (after - shift) + absorb * halved)
                + s.key_first * shift
        };

        let (shift, after) = (now[col::SHIFT], next[col::SHIFT]);
        let quartered = shift - after.double().double() - bits[0] - bits[1].double();
        let balance = now[4];
        let (applied, overflow) = (now[col::APPLIED], now[col::OVERFLOW]);
        let spendable = balance + now[col::IS_FEE] * now[col::POOL];
        let rest = spendable - now[col::AMOUNT] - now[col::FEE];
        let covered = (applied + overflow + now[col::SLOT_TAKEN]) * rest;
        let short = now[col::INSUFFICIENT] * (rest + E::ONE);
        let credited = balance + now[col::AMOUNT];
        let fits = applied * credited;
        let exceeds = overflow * (credited - constant(VALUE_LIMIT));
        out.push(
            coded(0)
                + s.send_second_old * (after - covered + short)
                + s.receive_second_old * (after - fits - exceeds)
                + s.range * quartered
                + s.range_end * shift,
        );
        out.push(coded(1));
    }

    /// The fingerprint of the signature, in the order `fingerprint::fingerprint` takes it.
    fn fingerprint(&self, out: &mut Places<'_, E>) {
        let (now, next, s) = (self.now, self.next, &self.select);
        let (absorb, chain) = (now[col::ABSORB], E::ONE - now[col::ABSORB]);
        let value = self.two(col::FINGERPRINT);
        let (z, zz) = (self.two(col::POINT), self.two(col::POINT_SQUARED));
        let side = now[col::SIDE];
        let sibling = |i: usize| now[4 + i] + side * (now[i] - now[4 + i]);

        let stepped = multiply(value, z);
        let squared = multiply(value, zz);
        let tree = multiply([next[col::TREE], next[col::TREE + 1]], z);
        let leaf = [next[col::POSITION], E::ZERO];
        let [kept_a, kept_b] = [0, 1].map(|i| E::ONE - now[col::CODE + i]);
        let ends = self.four(col::ENDS);
        let end_a = multiply([ends[0], ends[1]], z);
        let upper = multiply([sibling(0), sibling(1)], z);
        for i in 0..2 {
            let after = next[col::FINGERPRINT + i];
            let absorbed = squared[i] + kept_a * end_a[i] + kept_b * ends[2 + i];
            out.push(
                s.salt * (after - now[4 + i])
                    + s.commit_digest * (after - squared[i] - tree[i] - leaf[i])
                    + s.one_time * (after - chain * (stepped[i] + now[i]) - absorb * absorbed)
                    + s.key * (after - squared[i] - upper[i] - sibling(2 + i))
                    + s.fingerprint_done * (after - value[i]),
            );
        }
        let square = multiply(z, z);
        for i in 0..2 {
            out.push(s.block_0 * (zz[i] - square[i]));
        }
    }

    /// Every outcome is the only one the accounts allow.
    fn judgement(&self, out: &mut Places<'_, E>) {
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
