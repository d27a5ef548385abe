//! Combining shares into openings, and checking openings.
//!
//! An opening M is right when, with r = H(Y, M, label), C = r·G and D = M + r·Y. C fixes r, and
//! D − r·Y fixes M, so there is at most one.

use std::collections::{BTreeMap, BTreeSet};

use conclave_crypto::{is_regular, wrong_shares};
use conclave_types::{
    EnvelopeHeader, Payload, Point, ShareBundle, ShareContext, ShareIndex, ValidatorIndex,
    WrongShares,
};
use curve25519_dalek::constants::RISTRETTO_BASEPOINT_POINT;
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use rand_core::RngCore;

use crate::bisect::bisect;
use crate::key::CommitteeKey;
use crate::public::{self, Sum, weight};
use crate::scheme::{Liar, OpenResult, Verdict};
use crate::shares::{self, SealedList, part_of};
use crate::{curve, hashes, lagrange};

/// What a claimed opening must satisfy: C = r·G and D − M = r·Y.
struct Claim {
    r: Scalar,
    c: RistrettoPoint,
    /// D − M.
    s: RistrettoPoint,
}

/// The verdict on every claimed opening, by one multi-scalar multiplication when all are right.
pub(crate) fn verify(
    key: &CommitteeKey,
    openings: &[(&EnvelopeHeader, Point)],
    rng: &mut impl RngCore,
) -> Vec<bool> {
    let claims: Vec<Option<Claim>> = openings
        .iter()
        .map(|(header, m)| Claim::of_opening(key, header, m))
        .collect();
    verdicts(key, &claims, rng)
}

/// Opens all headers from the bundles, in the order given, as far as they reach.
///
/// 1. Take bundles until they hold 2f+1 key shares, and combine them.
/// 2. When every M checks, all is done and no proof is looked at: an M that checks is right,
///    whoever sent the shares.
/// 3. Otherwise verify the proofs of the bundles taken, and of every further one. Bundles that
///    fail are lies: leave them out, and go on from 1.
/// 4. Proven shares decide every envelope: one whose M does not check is malformed. S = x·C is
///    unique, so any other 2f+1 proven shares give the same M and the same verdict.
pub(crate) fn open(
    key: &CommitteeKey,
    context: ShareContext,
    headers: &[&EnvelopeHeader],
    bundles: &[ShareBundle],
    rng: &mut impl RngCore,
) -> OpenResult {
    let sealed = SealedList::new(headers);
    let mut pool = Pool::new(key, context, &sealed, bundles);
    if headers.is_empty() {
        return pool.result(Some(Vec::new()));
    }
    while pool.fill() {
        let (claims, openings) = pool.combine(headers);
        if !pool.proven {
            let readable: Vec<&Claim> = claims.iter().flatten().collect();
            if readable.len() == headers.len() && all_hold(key, &readable, rng) {
                let opened = openings.into_iter().flatten().map(Verdict::Opened);
                return pool.result(Some(opened.collect()));
            }
            if pool.drop_liars() > 0 {
                continue;
            }
        }
        let checked = verdicts(key, &claims, rng);
        let decided = openings.into_iter().zip(checked);
        let decided = decided.map(|(m, right)| match m {
            Some(m) if right => Verdict::Opened(m),
            _ => Verdict::Malformed,
        });
        return pool.result(Some(decided.collect()));
    }
    pool.result(None)
}

/// One bundle with its points decoded.
struct Part<'a> {
    bundle: &'a ShareBundle,
    shares: Vec<Vec<RistrettoPoint>>,
}

/// The bundles at hand and those in use.
struct Pool<'a> {
    key: &'a CommitteeKey,
    context: ShareContext,
    sealed: &'a SealedList,
    rest: core::slice::Iter<'a, ShareBundle>,
    seen: BTreeSet<ValidatorIndex>,
    parts: Vec<Part<'a>>,
    /// With what shows it to others, if it shows in what they signed.
    liars: BTreeMap<ValidatorIndex, Option<Box<WrongShares>>>,
    /// Set once an opening failed: from then on the proof of every part in use is verified.
    proven: bool,
}

impl<'a> Pool<'a> {
    fn new(
        key: &'a CommitteeKey,
        context: ShareContext,
        sealed: &'a SealedList,
        bundles: &'a [ShareBundle],
    ) -> Self {
        Self {
            key,
            context,
            sealed,
            rest: bundles.iter(),
            seen: BTreeSet::new(),
            parts: Vec::new(),
            liars: BTreeMap::new(),
            proven: false,
        }
    }

    /// Takes bundles until they hold 2f+1 key shares; `false` when there are too few.
    fn fill(&mut self) -> bool {
        while self.key_shares() < usize::from(self.key.threshold.quorum()) {
            let Some(bundle) = self.rest.next() else {
                return false;
            };
            if bundle.context != self.context || !self.seen.insert(bundle.signer) {
                continue;
            }
            let part = match self.is_of_list(bundle) {
                true => self.read(bundle),
                false => Err(None),
            };
            match part {
                Ok(part) => match self.proven.then(|| self.first_wrong(&part)).flatten() {
                    None => self.parts.push(part),
                    wrong => self.accuse(bundle, wrong),
                },
                Err(wrong) => self.accuse(bundle, wrong),
            }
        }
        true
    }

    fn key_shares(&self) -> usize {
        self.parts.iter().map(|part| part.shares.len()).sum()
    }

    /// Whether a bundle has the right numbers, and is for these envelopes: one list of shares per
    /// key share of the signer, one share per header, one proof per key share and part.
    fn is_of_list(&self, bundle: &ShareBundle) -> bool {
        let held = self.key.positions(bundle.signer);
        let envelopes = bundle.shares.first().map_or(0, Vec::len);
        held.is_some_and(|held| held.len() == bundle.shares.len())
            && is_regular(bundle)
            && envelopes == self.sealed.points.len()
            && bundle.lists == self.sealed.lists
    }

    /// Decodes a bundle of this list, or says where it cannot be.
    fn read(&self, bundle: &'a ShareBundle) -> Result<Part<'a>, Option<(u16, u32)>> {
        let decode = |points: &Vec<Point>| points.iter().map(curve::any_point).collect();
        let shares: Option<Vec<_>> = bundle.shares.iter().map(decode).collect();
        if let Some(shares) = shares {
            return Ok(Part { bundle, shares });
        }
        let mut rows = conclave_crypto::share_rows(bundle).map(|(row, _)| row);
        let broken = |point| curve::any_point(point).is_none();
        let row = rows.find(|row| row.shares.iter().any(broken));
        Err(row.map(|row| (row.key, row.part)))
    }

    fn first_wrong(&self, part: &Part<'_>) -> Option<(u16, u32)> {
        shares::first_wrong(self.key, part.bundle, self.sealed, &part.shares)
    }

    fn accuse(&mut self, bundle: &ShareBundle, wrong: Option<(u16, u32)>) {
        let evidence = wrong.and_then(|(key, part)| {
            wrong_shares(bundle, (key, part), part_of(&self.sealed.bytes, part))
        });
        self.liars.insert(bundle.signer, evidence.map(Box::new));
    }

    /// Verifies the proofs of the parts in use and drops those that fail; how many did.
    fn drop_liars(&mut self) -> usize {
        let before = self.parts.len();
        for part in core::mem::take(&mut self.parts) {
            match self.first_wrong(&part) {
                None => self.parts.push(part),
                wrong => self.accuse(part.bundle, wrong),
            }
        }
        self.proven = true;
        before - self.parts.len()
    }

    /// What exactly 2f+1 key shares make of each header: M, and what it must satisfy. `None` for a
    /// header that cannot be read, or when M is the identity.
    fn combine(&self, headers: &[&EnvelopeHeader]) -> (Vec<Option<Claim>>, Vec<Option<Point>>) {
        let held = |part: &Part<'_>| self.key.positions(part.bundle.signer).unwrap_or_default();
        let (indices, chosen): (Vec<ShareIndex>, Vec<&Vec<RistrettoPoint>>) = self
            .parts
            .iter()
            .flat_map(|part| held(part).zip(&part.shares))
            .map(|(position, shares)| (self.key.share(position).1, shares))
            .take(usize::from(self.key.threshold.quorum()))
            .unzip();
        let small = lagrange::small_at_zero(&indices);
        let factors = lagrange::at_zero(&indices);
        let claim = |(k, header): (usize, &&EnvelopeHeader)| {
            let points: Vec<RistrettoPoint> = chosen.iter().map(|shares| shares[k]).collect();
            let s = match &small {
                Some(factors) => public::combine_small(factors, &points),
                None => public::combine(&factors, &points),
            };
            Claim::of_shares(self.key, header, self.sealed.points[k], s).unzip()
        };
        headers.iter().enumerate().map(claim).unzip()
    }

    fn result(self, verdicts: Option<Vec<Verdict>>) -> OpenResult {
        OpenResult {
            verdicts,
            liars: self
                .liars
                .into_iter()
                .map(|(validator, evidence)| Liar {
                    validator,
                    evidence,
                })
                .collect(),
        }
    }
}

fn verdicts(key: &CommitteeKey, claims: &[Option<Claim>], rng: &mut impl RngCore) -> Vec<bool> {
    let readable: Vec<&Claim> = claims.iter().flatten().collect();
    let mut verdicts = bisect(readable.len(), |range| match &readable[range] {
        [claim] => claim.holds(key),
        claims => all_hold(key, claims, rng),
    })
    .into_iter();
    claims
        .iter()
        .map(|claim| claim.is_some() && verdicts.next() == Some(true))
        .collect()
}

/// Σ a·(C − r·G) + b·(S − r·Y) = 0 with independent 128-bit a and b per envelope.
fn all_hold(key: &CommitteeKey, claims: &[&Claim], rng: &mut impl RngCore) -> bool {
    let mut sum = Sum::with_capacity(2 * claims.len() + 2);
    let (mut base, mut committee) = (Scalar::ZERO, Scalar::ZERO);
    for claim in claims {
        let (a, b) = (weight(rng), weight(rng));
        base += a * claim.r;
        committee += b * claim.r;
        sum.add(a, claim.c);
        sum.add(b, claim.s);
    }
    sum.add(-base, RISTRETTO_BASEPOINT_POINT);
    sum.add(-committee, key.y);
    sum.is_zero()
}

impl Claim {
    /// `None` when the header or M cannot be read; M is never the identity.
    fn of_opening(key: &CommitteeKey, header: &EnvelopeHeader, m: &Point) -> Option<Self> {
        let Payload::Sealed(sealed) = &header.payload else {
            return None;
        };
        let s = curve::point(&sealed.d)? - curve::point(m)?;
        let c = curve::point(&sealed.c)?;
        let r = hashes::exponent(&key.y_bytes, m, &hashes::label_of(header));
        Some(Self { r, c, s })
    }

    /// The claim and the M = D − S that combined shares amount to.
    fn of_shares(
        key: &CommitteeKey,
        header: &EnvelopeHeader,
        c: RistrettoPoint,
        s: RistrettoPoint,
    ) -> Option<(Self, Point)> {
        let Payload::Sealed(sealed) = &header.payload else {
            return None;
        };
        let m = curve::point(&sealed.d)? - s;
        if c.is_identity() || m.is_identity() {
            return None;
        }
        let m = curve::encode(&m);
        let r = hashes::exponent(&key.y_bytes, &m, &hashes::label_of(header));
        Some((Self { r, c, s }, m))
    }

    /// The definition. r·G and r·Y are public once M is.
    fn holds(&self, key: &CommitteeKey) -> bool {
        public::base_and(&self.r, &Scalar::ZERO, &self.c) == self.c
            && public::combine(&[self.r], &[key.y]) == self.s
    }
}
