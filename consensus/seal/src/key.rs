//! The committee's key, decoded and checked, and one validator's secret part of it.

use core::ops::Range;

use conclave_types::codec;
use conclave_types::{
    Digest, Domain, Point, SealingKey, ShareIndex, Threshold, ThresholdError, ValidatorIndex,
};
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::curve;
use crate::public::Sum;

/// A sealing key, or a part of one, that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The weights do not add up to 3f+1.
    #[error(transparent)]
    Threshold(#[from] ThresholdError),
    /// A validator without key shares at genesis.
    #[error("[CV-SEAL-010] validator {validator} has weight 0; remove it from the committee")]
    Weight { validator: ValidatorIndex },
    /// Not one public share per unit of weight.
    #[error(
        "[CV-SEAL-011] the sealing key has {found} shares for a total weight of {expected}; use the key that was generated for this committee"
    )]
    Shares { found: usize, expected: u16 },
    /// A point is not canonical, or Y is the identity.
    #[error(
        "[CV-SEAL-012] a point of the sealing key is not a valid group element; use the genesis as its key generation wrote it"
    )]
    Point,
    /// The public shares are not those of one secret with threshold 2f+1.
    #[error(
        "[CV-SEAL-013] the sealing key's shares do not belong together; use the genesis as its key generation wrote it"
    )]
    Inconsistent,
    /// The validator's own secrets are not those of its public shares.
    #[error(
        "[CV-SEAL-014] the key shares are not those of validator {validator} in this sealing key; use the file that its key generation wrote"
    )]
    NotOwn { validator: ValidatorIndex },
    /// The bytes of a key share file are damaged.
    #[error("[CV-SEAL-015] the key share file holds no valid shares; restore it from a copy")]
    Scalar,
}

/// A committee's sealing key, decoded, with who holds which share.
#[derive(Debug, Clone)]
pub(crate) struct CommitteeKey {
    pub(crate) threshold: Threshold,
    pub(crate) y: RistrettoPoint,
    pub(crate) y_bytes: Point,
    /// Y_i by position, which is the share index minus 1.
    shares: Vec<RistrettoPoint>,
    /// Each validator's positions in `shares`.
    holdings: Vec<Range<usize>>,
}

impl CommitteeKey {
    /// Decodes the key of a committee with these weights, and checks that any 2f+1 of its shares
    /// stand for the same secret, which opening relies on.
    pub(crate) fn new(key: &SealingKey, weights: &[u16]) -> Result<Self, KeyError> {
        let total = weights.iter().map(|weight| u64::from(*weight)).sum();
        let threshold = Threshold::for_total(total)?;
        if key.shares.len() != usize::from(threshold.total()) {
            return Err(KeyError::Shares {
                found: key.shares.len(),
                expected: threshold.total(),
            });
        }
        // The last dealer of a key generation can choose its values so that the share of somebody it
        // colludes with is zero. Then all know that share, which its holder could tell them anyway;
        // to refuse the key for it would let the two stop every key generation.
        let share = |bytes| curve::any_point(bytes).ok_or(KeyError::Point);
        let shares: Vec<_> = key.shares.iter().map(share).collect::<Result<_, _>>()?;
        let decoded = Self {
            threshold,
            y: curve::point(&key.key).ok_or(KeyError::Point)?,
            y_bytes: key.key,
            shares,
            holdings: holdings(weights),
        };
        match decoded.is_consistent(key) {
            true => Ok(decoded),
            false => Err(KeyError::Inconsistent),
        }
    }

    /// The share positions of a validator; `None` for one that holds none.
    pub(crate) fn positions(&self, validator: ValidatorIndex) -> Option<Range<usize>> {
        let positions = self.holdings.get(usize::from(validator.0)).cloned();
        positions.filter(|positions| !positions.is_empty())
    }

    /// Y_i and the index i for a position.
    pub(crate) fn share(&self, position: usize) -> (&RistrettoPoint, ShareIndex) {
        (&self.shares[position], index_of(position))
    }

    /// Whether Y, Y_1, …, Y_n are the values at 0, 1, …, n of one polynomial of degree 2f, in the
    /// exponent.
    ///
    /// Such values, and no others, are orthogonal to every v_i·g(i) with v_i = Π_{j≠i} 1/(i−j) and
    /// g of degree at most n − 2f − 1 (SCRAPE, Cascudo–David, section 2.1). One g suffices when
    /// its coefficients are drawn after the points are fixed; they come from their hash, so every
    /// node decides the same.
    fn is_consistent(&self, key: &SealingKey) -> bool {
        let n = usize::from(self.threshold.total());
        let degree = n - usize::from(self.threshold.quorum());
        let mut rng = ChaCha20Rng::from_seed(self.points_digest(key).0);
        let g: Vec<Scalar> = (0..=degree).map(|_| Scalar::random(&mut rng)).collect();
        let at = |i: usize| Scalar::from(i as u64);
        let mut duals: Vec<Scalar> = (0..=n)
            .map(|i| (0..=n).filter(|j| *j != i).map(|j| at(i) - at(j)).product())
            .collect();
        Scalar::batch_invert(&mut duals);
        let mut sum = Sum::with_capacity(n + 1);
        for (i, dual) in duals.iter().enumerate() {
            let value = g.iter().rev().fold(Scalar::ZERO, |sum, g| sum * at(i) + g);
            let point = if i == 0 { self.y } else { self.shares[i - 1] };
            sum.add(dual * value, point);
        }
        sum.is_zero()
    }

    fn points_digest(&self, key: &SealingKey) -> Digest {
        Domain::SealingKeyCheck
            .hasher()
            .part(&codec::encode(&key.key))
            .part(&codec::encode(&key.shares))
            .digest()
    }
}

/// Each validator's share positions, by slot; none for who weighs 0.
pub(crate) fn holdings(weights: &[u16]) -> Vec<Range<usize>> {
    let mut next = 0;
    let range = |weight: &u16| {
        let start = next;
        next += usize::from(*weight);
        start..next
    };
    weights.iter().map(range).collect()
}

/// The index of the share at a position; at most 256 shares exist.
pub(crate) fn index_of(position: usize) -> ShareIndex {
    ShareIndex(position as u16 + 1)
}

/// One validator's secret key shares x_i, with consecutive indices.
///
/// Never printed, erased when dropped.
#[derive(ZeroizeOnDrop)]
pub struct KeyShares {
    #[zeroize(skip)]
    first: ShareIndex,
    secrets: Vec<Scalar>,
}

impl KeyShares {
    pub(crate) fn new(first: ShareIndex, secrets: Vec<Scalar>) -> Self {
        Self { first, secrets }
    }

    /// The indices of the shares, ascending.
    pub fn indices(&self) -> impl Iterator<Item = ShareIndex> + '_ {
        (self.first.0..).map(ShareIndex).take(self.secrets.len())
    }

    /// The bytes to keep in a file that only the node's user can read.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 + 32 * self.secrets.len()));
        bytes.extend_from_slice(&self.first.0.to_le_bytes());
        for secret in &self.secrets {
            let secret = Zeroizing::new(secret.to_bytes());
            bytes.extend_from_slice(secret.as_slice());
        }
        bytes
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, KeyError> {
        let (first, rest) = bytes.split_first_chunk().ok_or(KeyError::Scalar)?;
        let (chunks, tail) = rest.as_chunks::<32>();
        let first = ShareIndex(u16::from_le_bytes(*first));
        if first.0 == 0 || chunks.is_empty() || chunks.len() > 256 || !tail.is_empty() {
            return Err(KeyError::Scalar);
        }
        let mut shares = Self::new(first, Vec::with_capacity(chunks.len()));
        for chunk in chunks {
            let secret: Option<Scalar> = Scalar::from_canonical_bytes(*chunk).into();
            shares.secrets.push(secret.ok_or(KeyError::Scalar)?);
        }
        Ok(shares)
    }

    pub(crate) fn secrets(&self) -> &[Scalar] {
        &self.secrets
    }

    /// Whether these are the secrets of that validator's public shares.
    pub(crate) fn belong_to(&self, key: &CommitteeKey, validator: ValidatorIndex) -> bool {
        let Some(positions) = key.positions(validator) else {
            return false;
        };
        positions.len() == self.secrets.len()
            && positions.start + 1 == usize::from(self.first.0)
            && positions
                .zip(&self.secrets)
                .all(|(position, secret)| curve::base(secret) == *key.share(position).0)
    }
}
