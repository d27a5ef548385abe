//! Constraints on the one-time key, on bits, and on the fingerprint.

use winterfell::math::{FieldElement, fields::f64::BaseElement};

use super::rows::{Places, Rows, constant, multiply};
use crate::layout::column as col;
use crate::payment::VALUE_LIMIT;
use crate::signature::PAIRS;

impl<E: FieldElement<BaseField = BaseElement>> Rows<'_, E> {
    /// The one-time key: each pair of chains takes a row for each revealed chain, then one to
    /// absorb both ends. 124 rows with 62 absorbing ones leave exactly 62 revealed chains.
    pub(super) fn one_time_key(&self, out: &mut Places<'_, E>) {
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
    pub(super) fn fingerprint(&self, out: &mut Places<'_, E>) {
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
}
