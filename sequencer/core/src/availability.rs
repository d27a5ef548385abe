//! Batches on their way to a certificate, and certified ones on their way into a block.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use conclave_crypto::{Committee, ed};
use conclave_types::{
    BatchHeader, BatchId, BatchRef, ChainId, EdSignature, Epoch, SignatureSet, Signers, Stored,
    ValidatorIndex,
};

use crate::certificates::Certificates;
use crate::dispersal::Dispersal;
use crate::proposer::Slot;
use crate::quota::Quotas;

/// How far behind an author's newest ordered batch another one of its may still be ordered.
const ORDERED_WINDOW: usize = 4096;

/// How long a certificate is expected to come any moment. Under load it takes about half as long.
const EXPECTED_MS: u64 = 20;

/// A batch of ours, collecting "stored" signatures.
#[derive(Debug)]
struct Collecting {
    /// Per validator.
    dispersals: Vec<Arc<Dispersal>>,
    signatures: BTreeMap<ValidatorIndex, EdSignature>,
    sent_ms: u64,
}

impl Collecting {
    fn part(&self, of: ValidatorIndex) -> Option<&Arc<Dispersal>> {
        self.dispersals.get(usize::from(of.0))
    }

    /// All parts are of one batch.
    fn header(&self) -> Option<&BatchHeader> {
        self.dispersals.first().map(|part| &part.manifest.header)
    }
}

/// Certificates and what leads to them.
#[derive(Debug, Default)]
pub(crate) struct Availability {
    collecting: BTreeMap<BatchId, Collecting>,
    pub(crate) certificates: Certificates,
    /// What we signed "stored" for, by author.
    pub(crate) quotas: Quotas,
    /// Batches, anybody's, that are likely to have a certificate soon, by when they came.
    expected: BTreeMap<BatchId, u64>,
    ordered: BTreeMap<ValidatorIndex, BTreeSet<u64>>,
}

impl Availability {
    pub(crate) fn collect(&mut self, id: BatchId, dispersals: Vec<Arc<Dispersal>>, now: u64) {
        let signatures = BTreeMap::new();
        self.collecting.insert(
            id,
            Collecting {
                dispersals,
                signatures,
                sent_ms: now,
            },
        );
    }

    /// Notes a well-formed batch whose certificate is likely to come soon.
    pub(crate) fn expect(&mut self, id: BatchId, now: u64) {
        self.expected.retain(|_, at| now < *at + EXPECTED_MS);
        self.expected.insert(id, now);
    }

    /// Whether there is a batch without a certificate that has not taken long yet.
    pub(crate) fn expects_more(&self, now: u64) -> bool {
        self.expected.values().any(|at| now < *at + EXPECTED_MS)
    }

    /// What one validator is sent of a batch of ours that waits for its certificate.
    pub(crate) fn dispersal(&self, id: BatchId, to: ValidatorIndex) -> Option<Arc<Dispersal>> {
        self.collecting.get(&id)?.part(to).cloned()
    }

    /// Our batches that wait for their certificate.
    pub(crate) fn collecting(&self) -> usize {
        self.collecting.len()
    }

    /// Adds one signature; the certificate when it completes a quorum.
    ///
    /// Signatures are verified together; only if that fails, one by one, which names the liars. Who
    /// weighs nothing, as a validator that has left, would only spoil the certificate.
    pub(crate) fn stored(
        &mut self,
        chain: ChainId,
        committee: &Committee,
        stored: &Stored,
    ) -> (Option<BatchRef>, Vec<ValidatorIndex>) {
        if committee.weight(stored.signer) == 0 {
            return (None, Vec::new());
        }
        let Some(collecting) = self.collecting.get_mut(&stored.batch) else {
            return (None, Vec::new());
        };
        collecting
            .signatures
            .entry(stored.signer)
            .or_insert(stored.signature);
        let (certificate, liars) =
            quorum(chain, committee, stored.batch, &mut collecting.signatures);
        let Some(stored_by) = certificate else {
            return (None, liars);
        };
        let done = self.collecting.remove(&stored.batch);
        let header = done.and_then(|done| Some(done.header()?.clone()));
        let certificate = header.map(|header| BatchRef {
            header,
            stored: stored_by,
        });
        (certificate, liars)
    }

    /// Adds a verified certificate; `false` when it was known or its batch ordered.
    pub(crate) fn certify(&mut self, id: BatchId, reference: BatchRef, now: u64) -> bool {
        if self.is_ordered(&reference.header) || !self.certificates.add(id, reference, now) {
            return false;
        }
        self.collecting.remove(&id);
        self.expected.remove(&id);
        true
    }

    /// The batch's certificate, until it is ordered.
    pub(crate) fn certificate(&self, id: BatchId) -> Option<&BatchRef> {
        self.certificates.get(id)
    }

    /// Whether exactly this certificate was verified before.
    pub(crate) fn knows(&self, id: BatchId, reference: &BatchRef) -> bool {
        self.certificates.get(id) == Some(reference)
    }

    /// Forgets every batch of an earlier epoch that is not ordered: the committee of this one takes
    /// none of their certificates. Names those that had one.
    pub(crate) fn abandon_before(&mut self, epoch: Epoch) -> Vec<BatchId> {
        self.collecting.clear();
        self.expected.clear();
        self.quotas.abandon_before(epoch);
        self.certificates.abandon_before(epoch)
    }

    pub(crate) fn is_ordered(&self, header: &BatchHeader) -> bool {
        let ordered = self.ordered.get(&header.author);
        ordered.is_some_and(|ordered| is_over(ordered, header.sequence))
    }

    /// The sequence numbers that were ordered, by author, as far back as they count.
    pub(crate) fn ordered(&self) -> Vec<(ValidatorIndex, Vec<u64>)> {
        let ordered = self.ordered.iter();
        ordered
            .map(|(author, sequences)| (*author, sequences.iter().copied().collect()))
            .collect()
    }

    /// Takes up what [`Self::ordered`] was before a restart. All validators must agree on it: who
    /// forgets proposes what the others refuse.
    pub(crate) fn recover(&mut self, ordered: Vec<(ValidatorIndex, Vec<u64>)>) {
        let sets = ordered.into_iter();
        self.ordered = sets
            .map(|(author, sequences)| (author, sequences.into_iter().collect()))
            .collect();
    }

    /// Notes that a batch is in a committed block. Names the certified batches that can be ordered
    /// no more: itself, and others to which a lying author gave the same sequence number. Kept,
    /// they would spoil every proposal of ours.
    pub(crate) fn order(&mut self, reference: &BatchRef) -> Vec<BatchId> {
        let sequences = self.ordered.entry(reference.header.author).or_default();
        sequences.insert(reference.header.sequence);
        while sequences.len() > ORDERED_WINDOW {
            sequences.pop_first();
        }
        let ordered = &*sequences;
        let author = reference.header.author;
        self.expected.remove(&reference.header.id());
        self.quotas
            .forget(author, |sequence| is_over(ordered, sequence));
        let over = |header: &BatchHeader| is_over(ordered, header.sequence);
        let own = |collecting: &Collecting| {
            let header = collecting.header();
            header.is_some_and(|header| header.author == author && over(header))
        };
        self.collecting.retain(|_, collecting| !own(collecting));
        self.certificates.forget(author, over)
    }

    /// Up to `max` certified batches whose slots no ancestor holds, authors in turn.
    pub(crate) fn orderable(&self, ancestors: &[Slot], max: usize) -> Vec<BatchRef> {
        self.certificates.orderable(ancestors, max)
    }

    /// Since when a certified batch has waited whose slot is in no block that is on its way to being
    /// final.
    pub(crate) fn orderable_since(&self, uncommitted: &[Slot]) -> Option<u64> {
        self.certificates.orderable_since(uncommitted)
    }

    /// Our batches' certificates that are not ordered although they were sent this long ago. The
    /// message may have been lost, and we may not be elected for a long time.
    pub(crate) fn unordered(
        &mut self,
        author: ValidatorIndex,
        now: u64,
        age_ms: u64,
    ) -> Vec<BatchRef> {
        self.certificates.resend(author, now, age_ms)
    }

    /// Batches whose dispersal is older than `age_ms` and to be repeated, with who has signed.
    pub(crate) fn overdue(&mut self, now: u64, age_ms: u64) -> Vec<(BatchId, Signers)> {
        let overdue = self
            .collecting
            .iter_mut()
            .filter(|(_, c)| now >= c.sent_ms + age_ms);
        overdue
            .map(|(id, collecting)| {
                collecting.sent_ms = now;
                let mut signed = Signers::default();
                for signer in collecting.signatures.keys() {
                    signed.insert(*signer);
                }
                (*id, signed)
            })
            .collect()
    }
}

/// Whether an author's sequence number can be ordered no more.
fn is_over(ordered: &BTreeSet<u64>, sequence: u64) -> bool {
    let too_old =
        ordered.len() >= ORDERED_WINDOW && ordered.first().is_some_and(|first| sequence < *first);
    too_old || ordered.contains(&sequence)
}

/// The certificate, if the signatures that hold are of a quorum; and whose do not.
fn quorum(
    chain: ChainId,
    committee: &Committee,
    batch: BatchId,
    collected: &mut BTreeMap<ValidatorIndex, EdSignature>,
) -> (Option<SignatureSet>, Vec<ValidatorIndex>) {
    let set = signature_set(collected);
    if !committee.has_quorum(&set.signers) {
        return (None, Vec::new());
    }
    let message = Stored::message(chain, batch);
    if committee.all_signed(&message, &set) {
        return (Some(set), Vec::new());
    }
    let mut liars = Vec::new();
    collected.retain(|signer, signature| {
        let member = committee.member(*signer);
        let key = member.map(|member| &member.transport_key.0);
        let honest = key.is_some_and(|key| ed::verify(key, &message, signature));
        if !honest {
            liars.push(*signer);
        }
        honest
    });
    let set = signature_set(collected);
    (committee.has_quorum(&set.signers).then_some(set), liars)
}

fn signature_set(collected: &BTreeMap<ValidatorIndex, EdSignature>) -> SignatureSet {
    let mut signers = Signers::default();
    for signer in collected.keys() {
        signers.insert(*signer);
    }
    SignatureSet {
        signers,
        signatures: collected.values().copied().collect(),
    }
}
