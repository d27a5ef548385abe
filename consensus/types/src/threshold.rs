//! The one place that computes n, f and the quorum.

use bincode::{Decode, Encode};

/// Total weight n = 3f+1 of a committee, and what follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Threshold {
    faults: u16,
}

/// A total weight that is not 3f+1, or too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "[CV-TYPE-002] the committee's total weight is {total}, but it must be 3f+1 and at most 256 \
     (4, 7, 10, …, 256); change the number or the weights of the validators"
)]
pub struct ThresholdError {
    /// The refused total.
    pub total: u64,
}

impl Threshold {
    /// The threshold for a total weight of exactly 3f+1, at most 256.
    pub fn for_total(total: u64) -> Result<Self, ThresholdError> {
        if total == 0 || total > 256 || total % 3 != 1 {
            return Err(ThresholdError { total });
        }
        Ok(Self {
            faults: ((total - 1) / 3) as u16,
        })
    }

    /// n, the total weight.
    pub const fn total(self) -> u16 {
        3 * self.faults + 1
    }

    /// f, the weight that may be Byzantine.
    pub const fn faults(self) -> u16 {
        self.faults
    }

    /// 2f+1: two quorums share an honest validator; also the number of shares that open.
    pub const fn quorum(self) -> u16 {
        2 * self.faults + 1
    }

    /// f+1: at least one of them is honest.
    pub const fn one_honest(self) -> u16 {
        self.faults + 1
    }
}
