//! One block's envelopes for one rollup: all of them, and what they hold.

use std::collections::BTreeMap;

use conclave_crypto::{Coder, InconsistentBatch};
use conclave_light::verify_complete;
use conclave_seal::{MalformedEvidence, SealScheme, Verdict, body_matches};
use conclave_types::{
    Block, DeliveredEntry, Digest, Domain, Envelope, EnvelopeHeader, EnvelopeId, Epoch, Height,
    LaneKind, Point, RollupId, ShareContext, ShareGroup, StreamOutcome, TxIndex,
    decode_transactions, limits,
};

use super::{Auditor, HEADER_BYTES_MAX, VerifyError, decode};
use crate::OrderedTransaction;
use crate::api::{DeliveredEnvelope, DeliveryView};

/// The outcome of an envelope whose transactions were delivered.
const OPENED: &str = "opened";
/// More transactions than a rollup ever has, with room to count on.
const INDEX_MAX: u64 = u64::MAX / 2;
/// Bytes of the evidence for a block's malformed envelopes, or for one inconsistent batch.
const EVIDENCE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a verified block delivered to a rollup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedDelivery {
    /// The height that ordered it.
    pub height: Height,
    /// The index of the first transaction.
    pub first_index: TxIndex,
    /// The transactions of all opened envelopes, in order.
    pub transactions: Vec<OrderedTransaction>,
    /// What became of every envelope, in order. Only a digest that leads to a proven one shows
    /// that the outcomes are right; [`Auditor::range`] sees to that.
    pub entries: Vec<DeliveredEntry>,
}

/// What is inside an envelope, as far as it was given.
struct Contents {
    /// The digest by which the plaintext enters the stream.
    plaintext: Option<Digest>,
    transactions: Option<Vec<Vec<u8>>>,
}

impl Auditor {
    /// Verifies that a delivery lists every envelope that a final block orders for the rollup, and
    /// that opened ones hold the listed transactions. The outcomes are those stated, as far as
    /// headers, openings and certificates do not contradict them. CPU-heavy.
    pub fn delivery(
        &self,
        rollup: RollupId,
        block: &Block,
        view: &DeliveryView,
    ) -> Result<VerifiedDelivery, VerifyError> {
        let height = block.header.height;
        let malformed = |what| VerifyError::Malformed { height, what };
        if view.height != height.0 || view.rollup != rollup.0 {
            return Err(malformed("the delivery's height or rollup"));
        }
        if view.first_index > INDEX_MAX {
            return Err(malformed("the index of the first transaction"));
        }

        // 1. All headers, in their committed order.
        let headers: Option<Vec<EnvelopeHeader>> = view
            .envelopes
            .iter()
            .map(|envelope| decode(&envelope.header, HEADER_BYTES_MAX))
            .collect();
        let headers = headers.ok_or_else(|| malformed("an envelope's header"))?;
        verify_complete(block, rollup, &headers)
            .map_err(|source| VerifyError::Contents { height, source })?;

        // 2. The openings, all at once.
        let openings = self.openings(height, &headers, &view.envelopes)?;

        // 3. Those that provably hold nothing.
        let unopenable = self.malformed(block, view)?;
        let bodiless = self.inconsistent(block, view)?;

        // 4. What each envelope holds.
        let mut verified = VerifiedDelivery {
            height,
            first_index: TxIndex(view.first_index),
            transactions: Vec::new(),
            entries: Vec::with_capacity(view.envelopes.len()),
        };
        for ((header, envelope), m) in headers.into_iter().zip(&view.envelopes).zip(openings) {
            let id = header.id();
            let refuse = |what| VerifyError::Envelope {
                height,
                envelope: id,
                what,
            };
            if envelope.id != id.to_string() {
                return Err(refuse("the header is of another envelope"));
            }
            let expired = height > header.core.expiry;
            let contents = self.contents(header, envelope, m).map_err(refuse)?;
            let outcome = match (envelope.outcome.as_str(), &contents.transactions) {
                (OPENED, Some(transactions)) => StreamOutcome::Opened {
                    first: next_index(&verified),
                    transactions: transactions.len() as u32,
                },
                (OPENED, None) => {
                    return Err(refuse("it is called opened and holds no transactions"));
                }
                (name, _) => StreamOutcome::named(name)
                    .ok_or_else(|| refuse("it is called what no envelope comes to"))?,
            };
            match (outcome, contents.transactions) {
                (StreamOutcome::Opened { .. }, Some(transactions)) => {
                    let inside = transactions.iter().map(hex::encode);
                    if !inside.eq(envelope.transactions.iter().cloned()) {
                        return Err(refuse("the listed transactions are not those inside"));
                    }
                    let ordered = transactions
                        .into_iter()
                        .map(|bytes| OrderedTransaction { height, bytes });
                    verified.transactions.extend(ordered);
                }
                (
                    StreamOutcome::Malformed
                    | StreamOutcome::Undecryptable
                    | StreamOutcome::Undecodable,
                    Some(_),
                ) => {
                    return Err(refuse("it is called unreadable and holds transactions"));
                }
                (StreamOutcome::Inconsistent, _) if !bodiless.contains(&id) => {
                    return Err(refuse("its batch is called inconsistent without evidence"));
                }
                (StreamOutcome::Malformed, _) if !unopenable.contains(&id) => {
                    return Err(refuse("it is called malformed without a certificate"));
                }
                (StreamOutcome::Expired, _) if !expired => {
                    return Err(refuse("it is called expired and was in time"));
                }
                _ if !envelope.transactions.is_empty() => {
                    return Err(refuse(
                        "transactions are listed for an envelope without effect",
                    ));
                }
                _ => {}
            }
            let plaintext = match outcome.has_plaintext() {
                true => contents
                    .plaintext
                    .ok_or_else(|| refuse("its contents are not given"))?,
                false => Digest::ZERO,
            };
            verified.entries.push(DeliveredEntry {
                envelope: id,
                outcome,
                plaintext,
            });
        }
        Ok(verified)
    }

    /// The envelopes that an opening certificate shows to be malformed.
    fn malformed(
        &self,
        block: &Block,
        view: &DeliveryView,
    ) -> Result<Vec<EnvelopeId>, VerifyError> {
        let mut malformed = Vec::new();
        for text in &view.malformed_evidence {
            malformed.extend(self.malformed_under_one_key(block, text)?);
        }
        Ok(malformed)
    }

    fn malformed_under_one_key(
        &self,
        block: &Block,
        text: &str,
    ) -> Result<Vec<EnvelopeId>, VerifyError> {
        let height = block.header.height;
        let refuse = || VerifyError::Malformed {
            height,
            what: "the evidence of malformed envelopes",
        };
        let MalformedEvidence {
            headers,
            certificate,
        } = decode(text, EVIDENCE_BYTES_MAX).ok_or_else(refuse)?;
        let context = ShareContext {
            block: block.id(),
            height,
            lane: LaneKind::Malformed.of(certificate.context.lane.key),
            group: ShareGroup::Whole,
        };
        if certificate.context != context {
            return Err(refuse());
        }
        let references: Vec<&EnvelopeHeader> = headers.iter().collect();
        // All of a certificate are sealed to one key; that of another does not verify.
        let seal = self.seal(certificate.context.lane.key)?;
        let verdicts = certificate
            .verify(&*seal, &references)
            .map_err(|_| refuse())?;
        let proven = headers.iter().zip(verdicts);
        let proven = proven.filter(|(_, verdict)| *verdict == Verdict::Malformed);
        Ok(proven.map(|(header, _)| header.id()).collect())
    }

    /// The envelopes of batches that are shown to have no bodies.
    fn inconsistent(
        &self,
        block: &Block,
        view: &DeliveryView,
    ) -> Result<Vec<EnvelopeId>, VerifyError> {
        let height = block.header.height;
        let refuse = || VerifyError::Malformed {
            height,
            what: "the evidence of an inconsistent batch",
        };
        let mut found = Vec::new();
        let mut coder = Coder::default();
        let committee = &self.keys(block.header.epoch)?.committee;
        for text in &view.inconsistent_evidence {
            let evidence: InconsistentBatch =
                decode(text, EVIDENCE_BYTES_MAX).ok_or_else(refuse)?;
            // The block's certificate covers the batch's.
            let shown = block.batches.contains(&evidence.batch)
                && evidence.holds(committee.threshold, &mut coder);
            if !shown {
                return Err(refuse());
            }
            found.extend(evidence.envelopes.iter().map(EnvelopeHeader::id));
        }
        Ok(found)
    }

    /// Each envelope's opening, checked against its header.
    fn openings(
        &self,
        height: Height,
        headers: &[EnvelopeHeader],
        envelopes: &[DeliveredEnvelope],
    ) -> Result<Vec<Option<Point>>, VerifyError> {
        let mut openings: Vec<Option<Point>> = Vec::with_capacity(headers.len());
        for envelope in envelopes {
            let parsed = envelope.opening.as_ref().map(|text| text.parse());
            openings.push(parsed.transpose().map_err(|_| VerifyError::Malformed {
                height,
                what: "an opening",
            })?);
        }
        let mut claims: BTreeMap<Epoch, Vec<(&EnvelopeHeader, Point)>> = BTreeMap::new();
        for (header, m) in headers.iter().zip(&openings) {
            if let Some(m) = m {
                let of_key = claims.entry(header.core.epoch).or_default();
                of_key.push((header, *m));
            }
        }
        for (epoch, claims) in claims {
            let verdicts = self.seal(epoch)?.verify_openings(&claims);
            let wrong = verdicts.iter().position(|holds| !holds);
            if let Some((header, _)) = wrong.and_then(|at| claims.get(at)) {
                return Err(VerifyError::Envelope {
                    height,
                    envelope: header.id(),
                    what: "the opening is not the header's",
                });
            }
        }
        Ok(openings)
    }

    /// What is inside, as far as opening and body are given. The digest of a plain body is in its
    /// header.
    fn contents(
        &self,
        header: EnvelopeHeader,
        envelope: &DeliveredEnvelope,
        m: Option<Point>,
    ) -> Result<Contents, &'static str> {
        let sealed = header.is_sealed();
        let mut contents = Contents {
            plaintext: (!sealed).then_some(header.body_digest),
            transactions: None,
        };
        let Some(body) = &envelope.body else {
            return Ok(contents);
        };
        if body.len() > 2 * limits::PLAIN_BODY_BYTES_MAX {
            return Err("the body is longer than any");
        }
        let body = hex::decode(body).map_err(|_| "the body is not hexadecimal")?;
        let envelope = Envelope { header, body };
        if !body_matches(&envelope) {
            return Err("the body is not the header's");
        }
        // One without an opening may name any key.
        let seal = m.and_then(|_| self.seal(envelope.header.core.epoch).ok());
        let plaintext = m
            .zip(seal)
            .and_then(|(m, seal)| seal.decrypt(&envelope, &m));
        if let Some(plaintext) = plaintext.filter(|_| sealed) {
            contents.plaintext = Some(Domain::EnvelopeBody.digest(&plaintext));
            contents.transactions = decode_transactions(&plaintext).ok();
        }
        Ok(contents)
    }
}

/// The index after a delivery's last transaction.
pub(super) fn next_index(delivery: &VerifiedDelivery) -> TxIndex {
    TxIndex(delivery.first_index.0 + delivery.transactions.len() as u64)
}
