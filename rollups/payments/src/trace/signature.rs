//! The rows of a signature: one-time key and key path.

use winterfell::math::FieldElement;

use super::{Base, Item, Rows, join, multiply, number};
use crate::domain::{TAG_CHAIN, TAG_ONE_TIME};
use crate::hash::to_base;
use crate::layout::column as col;
use crate::signature::{PAIRS, Signature, chain_end};

impl Rows {
    /// The next pair's bits leave the shifts.
    fn load_bits(&mut self) {
        let bits = self.shift.map(|shift| number(shift & 1));
        self.shift = self.shift.map(|shift| shift >> 1);
        self.write_shift();
        self.set(col::BIT, &bits);
        self.set(col::CODE, &bits);
    }

    pub(super) fn one_time_key(&mut self, item: &Item<'_>) {
        let signature = item.signature;
        let (tree, leaf) = (
            signature.tree.map(number),
            number(u64::from(signature.leaf)),
        );
        self.set(col::TREE, &tree);
        self.row[col::POSITION] = leaf;
        self.set(col::DELAY, &[number(TAG_ONE_TIME), tree[0], tree[1], leaf]);
        self.absorb_two(tree, [leaf, Base::ZERO]);
        self.load_bits();
        for pair in 0..PAIRS {
            self.row[col::PAIR] = number(pair as u64);
            let chains = [2 * pair, 2 * pair + 1];
            let revealed = chains.map(|chain| item.entry.codeword.bit(chain));
            let values = chains.map(|chain| signature.chains[chain].map(number));
            let ends = core::array::from_fn::<_, 2, _>(|i| {
                if revealed[i] {
                    let start = signature.chains[chains[i]];
                    chain_end(start, signature.tree, signature.leaf, chains[i]).map(to_base)
                } else {
                    values[i]
                }
            });
            self.set(col::ENDS, &[ends[0][0], ends[0][1], ends[1][0], ends[1][1]]);
            self.row[col::ABSORB] = Base::ZERO;
            for i in (0..2).filter(|i| revealed[*i]) {
                let (state, [a, b]) = (self.four(col::DELAY), values[i]);
                let tag = number(TAG_CHAIN);
                let index = number(chains[i] as u64);
                self.emit([a, b, tree[0], tree[1], leaf, index, tag, Base::ZERO]);
                self.set(col::DELAY, &state);
                self.absorb_one(values[i]);
                self.row[col::BIT + i] = Base::ZERO;
            }
            self.row[col::ABSORB] = Base::ONE;
            self.emit(join(self.four(col::DELAY), self.four(col::ENDS)));
            let kept = |i: usize| {
                if revealed[i] {
                    [Base::ZERO; 2]
                } else {
                    ends[i]
                }
            };
            self.absorb_two(kept(0), kept(1));
            self.load_bits();
        }
        self.row[col::PAIR] = number(PAIRS as u64);
    }

    fn absorb_one(&mut self, value: [Base; 2]) {
        let moved = multiply(self.two(col::FINGERPRINT), self.two(col::POINT));
        self.set(
            col::FINGERPRINT,
            &[moved[0] + value[0], moved[1] + value[1]],
        );
    }

    fn absorb_two(&mut self, first: [Base; 2], second: [Base; 2]) {
        self.absorb_one(first);
        self.absorb_one(second);
    }

    pub(super) fn key_path(&mut self, signature: &Signature) {
        let mut position = u64::from(signature.leaf);
        for sibling in &signature.path {
            let sibling = sibling.elements();
            self.row[col::POSITION] = number(position);
            self.path_row(position & 1 == 1, self.four(col::DELAY), sibling);
            self.absorb_two([sibling[0], sibling[1]], [sibling[2], sibling[3]]);
            position >>= 1;
        }
        self.row[col::SIDE] = Base::ZERO;
    }
}
