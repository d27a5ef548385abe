//! The sealing keys in use, one scheme for each epoch.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use conclave_crypto::{ShareProofs, ShareRow};
use conclave_seal::{OpenResult, SealScheme};
use conclave_types::{
    BatchedDleq, Envelope, EnvelopeHeader, Epoch, Point, ShareBundle, ShareContext,
};

/// Sends everything to the scheme of the epoch that an envelope or a lane names.
///
/// What is of an epoch that is not here passes no check and opens nothing. Keys are added before the
/// core hears of their epoch, and taken away when nothing under them can come any more, so what a
/// lookup finds does not depend on time.
///
/// A retired key stays, without this validator's shares: a batch that was packed in the key's last
/// height may arrive much later, and is judged as it would have been then.
#[derive(Default)]
pub struct Keyring {
    schemes: RwLock<BTreeMap<Epoch, Arc<dyn SealScheme>>>,
}

impl Keyring {
    /// Adds an epoch's key, in place of what was there.
    pub fn insert(&self, epoch: Epoch, scheme: Arc<dyn SealScheme>) {
        let mut schemes = self.schemes.write().unwrap_or_else(PoisonError::into_inner);
        schemes.insert(epoch, scheme);
    }

    /// Takes away the keys of all epochs before this one.
    pub fn forget_before(&self, oldest: Epoch) {
        let mut schemes = self.schemes.write().unwrap_or_else(PoisonError::into_inner);
        *schemes = schemes.split_off(&oldest);
    }

    fn of(&self, epoch: Epoch) -> Option<Arc<dyn SealScheme>> {
        let schemes = self.schemes.read().unwrap_or_else(PoisonError::into_inner);
        schemes.get(&epoch).cloned()
    }

    /// Has each epoch's items judged by its scheme, and puts the verdicts in the items' order.
    fn judge<T: Copy>(
        &self,
        items: &[T],
        epoch_of: impl Fn(&T) -> Epoch,
        verdicts_of: impl Fn(&dyn SealScheme, &[T]) -> Vec<bool>,
    ) -> Vec<bool> {
        let mut by_epoch: BTreeMap<Epoch, Vec<usize>> = BTreeMap::new();
        for (at, item) in items.iter().enumerate() {
            by_epoch.entry(epoch_of(item)).or_default().push(at);
        }
        let mut verdicts = vec![false; items.len()];
        for (epoch, places) in by_epoch {
            let Some(scheme) = self.of(epoch) else {
                continue;
            };
            let of_epoch: Vec<T> = places.iter().map(|at| items[*at]).collect();
            let judged = verdicts_of(scheme.as_ref(), &of_epoch);
            for (at, verdict) in places.into_iter().zip(judged) {
                verdicts[at] = verdict;
            }
        }
        verdicts
    }
}

impl ShareProofs for Keyring {
    fn holds(&self, row: &ShareRow<'_>, sealed: &[Point], proof: &BatchedDleq) -> bool {
        let scheme = self.of(row.context.lane.key);
        scheme.is_some_and(|scheme| scheme.holds(row, sealed, proof))
    }
}

impl SealScheme for Keyring {
    fn check(&self, headers: &[&EnvelopeHeader]) -> Vec<bool> {
        let epoch_of = |header: &&EnvelopeHeader| header.core.epoch;
        self.judge(headers, epoch_of, |scheme, headers| scheme.check(headers))
    }

    fn share_points(&self, headers: &[&EnvelopeHeader]) -> Vec<Vec<Point>> {
        let scheme = headers
            .first()
            .and_then(|header| self.of(header.core.epoch));
        scheme.map_or_else(Vec::new, |scheme| scheme.share_points(headers))
    }

    fn bundle(
        &self,
        context: ShareContext,
        headers: &[&EnvelopeHeader],
        points: Vec<Vec<Point>>,
    ) -> Option<ShareBundle> {
        self.of(context.lane.key)?.bundle(context, headers, points)
    }

    fn open(
        &self,
        context: ShareContext,
        headers: &[&EnvelopeHeader],
        bundles: &[ShareBundle],
    ) -> OpenResult {
        match self.of(context.lane.key) {
            Some(scheme) => scheme.open(context, headers, bundles),
            None => OpenResult {
                verdicts: None,
                liars: Vec::new(),
            },
        }
    }

    fn verify_openings(&self, openings: &[(&EnvelopeHeader, Point)]) -> Vec<bool> {
        let epoch_of = |(header, _): &(&EnvelopeHeader, Point)| header.core.epoch;
        self.judge(openings, epoch_of, |scheme, openings| {
            scheme.verify_openings(openings)
        })
    }

    fn decrypt(&self, envelope: &Envelope, m: &Point) -> Option<Vec<u8>> {
        self.of(envelope.header.core.epoch)?.decrypt(envelope, m)
    }
}
