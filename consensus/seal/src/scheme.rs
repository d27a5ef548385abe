//! The interface the sequencer opens envelopes through, and the real scheme behind it.

use std::sync::{Mutex, PoisonError};

use bincode::{Decode, Encode};
use conclave_crypto::{ShareProofs, ShareRow};
use conclave_types::{
    BatchedDleq, Envelope, EnvelopeHeader, Point, SealingKey, ShareBundle, ShareContext, Threshold,
    ValidatorIndex, WrongShares,
};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

use crate::key::{CommitteeKey, KeyError, KeyShares};
use crate::{check, opening, sealing, shares};

/// What became of an ordered envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Verdict {
    /// M, which checks against the header.
    Opened(Point),
    /// The seal holds no right M; proven by 2f+1 key shares.
    Malformed,
}

/// What the shares at hand lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenResult {
    /// One verdict per header, final and the same on every node; `None` while more shares are
    /// needed.
    pub verdicts: Option<Vec<Verdict>>,
    /// Signers of wrong bundles, ascending. Bundles that were not needed were not looked at.
    pub liars: Vec<Liar>,
}

/// A signer of a wrong bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Liar {
    pub validator: ValidatorIndex,
    /// What shows it to everybody, if the bundle's signature is its signer's. A bundle with wrong
    /// numbers, or for another list of envelopes, is no more than noise, and gives none.
    pub evidence: Option<Box<WrongShares>>,
}

/// Threshold sealing under the keys of the epochs that are in use.
///
/// An envelope's core names the epoch of its key, a context's lane that of its envelopes. A key that
/// is not known opens nothing and passes no check.
///
/// All methods compute and do no IO; `check`, `share_points` and `open` are CPU-heavy and belong on
/// worker threads. Every result is a function of the arguments and the keys: two nodes with the
/// same key agree on every verdict.
pub trait SealScheme: ShareProofs {
    /// For every header, whether its seal is well formed: canonical encodings, the bucket's size,
    /// and the sender's proof. A plain header has no seal: `false`. The payer's signature is
    /// another matter, see [`verify_payer_signature`](crate::verify_payer_signature).
    fn check(&self, headers: &[&EnvelopeHeader]) -> Vec<bool>;

    /// The own share points of headers that are sealed to one key: for each own share of that key,
    /// one point per header; nothing for a node without shares of it. They may be computed
    /// long before release, and are secret until then. The headers must have passed
    /// [`check`](Self::check); a share of an unchecked seal could help to read another envelope.
    fn share_points(&self, headers: &[&EnvelopeHeader]) -> Vec<Vec<Point>>;

    /// The bundle that releases the share points of exactly these headers, in this order. To be
    /// called, and sent, only once the block is committed. Its sender has yet to sign it. `None` for
    /// a node without key shares.
    fn bundle(
        &self,
        context: ShareContext,
        headers: &[&EnvelopeHeader],
        points: Vec<Vec<Point>>,
    ) -> Option<ShareBundle>;

    /// Tries to open all headers from the bundles at hand, whose signatures are the caller's to
    /// check. Bundles of another context and second
    /// bundles of a signer are skipped; unknown signers, wrong counts and points that do not
    /// decode are lies. When more shares are needed, try again with further bundles and without
    /// those of the liars, which would be found out, and paid for, again.
    fn open(
        &self,
        context: ShareContext,
        headers: &[&EnvelopeHeader],
        bundles: &[ShareBundle],
    ) -> OpenResult;

    /// For every claimed opening, whether M is the header's; at most one M is.
    fn verify_openings(&self, openings: &[(&EnvelopeHeader, Point)]) -> Vec<bool>;

    /// Whether M is the header's opening.
    fn verify_opening(&self, header: &EnvelopeHeader, m: &Point) -> bool {
        self.verify_openings(&[(header, *m)]) == [true]
    }

    /// The plaintext, padding removed, of an envelope whose opening is `m`; `None` when its sender
    /// encrypted nothing readable. The body must be the header's, see
    /// [`body_matches`](crate::body_matches).
    fn decrypt(&self, envelope: &Envelope, m: &Point) -> Option<Vec<u8>>;
}

/// The real scheme: TDH2 with a sealed group element over ristretto255.
pub struct Tdh2 {
    key: CommitteeKey,
    own: Option<(ValidatorIndex, KeyShares)>,
    /// Weights for batch checks, which nobody who sends us anything may foresee. No verdict
    /// depends on them: a batch that fails is split down to exact checks, and one that holds a
    /// false statement passes with probability 2^-128. So two runs with different seeds behave the
    /// same, and a lock here does not order anything.
    weights: Mutex<ChaCha20Rng>,
}

impl Tdh2 {
    /// The scheme of a committee with these weights, in committee order. `own` is absent on nodes
    /// that only verify. `seed` comes from the operating system's randomness.
    pub fn new(
        key: &SealingKey,
        weights: &[u16],
        own: Option<(ValidatorIndex, KeyShares)>,
        seed: [u8; 32],
    ) -> Result<Self, KeyError> {
        let key = CommitteeKey::new(key, weights)?;
        if let Some((validator, shares)) = &own
            && !shares.belong_to(&key, *validator)
        {
            return Err(KeyError::NotOwn {
                validator: *validator,
            });
        }
        Ok(Self {
            key,
            own,
            weights: Mutex::new(ChaCha20Rng::from_seed(seed)),
        })
    }

    /// n, f and the quorum of the committee.
    pub fn threshold(&self) -> Threshold {
        self.key.threshold
    }

    /// A generator of its own for one batch, so that the lock is held for an instant only.
    fn batch_rng(&self) -> ChaCha20Rng {
        let mut seed = [0; 32];
        let mut weights = self.weights.lock().unwrap_or_else(PoisonError::into_inner);
        weights.fill_bytes(&mut seed);
        ChaCha20Rng::from_seed(seed)
    }
}

impl ShareProofs for Tdh2 {
    fn holds(&self, row: &ShareRow<'_>, sealed: &[Point], proof: &BatchedDleq) -> bool {
        shares::holds_encoded(&self.key, row, sealed, proof)
    }
}

impl SealScheme for Tdh2 {
    fn check(&self, headers: &[&EnvelopeHeader]) -> Vec<bool> {
        check::check(&self.key.y_bytes, headers, &mut self.batch_rng())
    }

    fn share_points(&self, headers: &[&EnvelopeHeader]) -> Vec<Vec<Point>> {
        match &self.own {
            Some((_, shares)) => shares::share_points(shares, headers),
            None => Vec::new(),
        }
    }

    fn bundle(
        &self,
        context: ShareContext,
        headers: &[&EnvelopeHeader],
        points: Vec<Vec<Point>>,
    ) -> Option<ShareBundle> {
        let (signer, own) = self.own.as_ref()?;
        Some(shares::bundle(
            &self.key, *signer, own, context, headers, points,
        ))
    }

    fn open(
        &self,
        context: ShareContext,
        headers: &[&EnvelopeHeader],
        bundles: &[ShareBundle],
    ) -> OpenResult {
        opening::open(&self.key, context, headers, bundles, &mut self.batch_rng())
    }

    fn verify_openings(&self, openings: &[(&EnvelopeHeader, Point)]) -> Vec<bool> {
        opening::verify(&self.key, openings, &mut self.batch_rng())
    }

    fn decrypt(&self, envelope: &Envelope, m: &Point) -> Option<Vec<u8>> {
        sealing::decrypt(envelope, m)
    }
}
