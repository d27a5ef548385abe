//! One block's envelopes for one rollup: all of them, and what they hold.

use std::collections::BTreeMap;

use conclave_light::verify_complete;
use conclave_seal::{
    MalformedEvidence, SealScheme, ShareContext, Verdict, body_matches, decode_transactions,
};
use conclave_types::{
    Block, Envelope, EnvelopeHeader, EnvelopeId, Height, Point, RollupId, ShareLane, TxIndex,
    limits,
};

use super::{Auditor, HEADER_BYTES_MAX, VerifyError, decode};
use crate::OrderedTransaction;
use crate::api::{DeliveredEnvelope, DeliveryView};

/// The outcome of an envelope whose transactions were delivered.
const OPENED: &str = "opened";
/// The outcomes of envelopes whose contents are nothing. Others, such as `void`, depend on the
/// ledger and not on the contents.
const UNREADABLE: [&str; 3] = ["malformed", "undecryptable", "undecodable"];
/// The outcome of an envelope whose seal holds no right M, which takes an opening certificate.
const MALFORMED: &str = "malformed";
/// Bytes of the evidence for a block's malformed envelopes.
const EVIDENCE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The outcome of an envelope ordered past its expiry.
const EXPIRED: &str = "expired";

/// What a verified block delivered to a rollup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedDelivery {
    /// The height that ordered it.
    pub height: Height,
    /// The index of the first transaction.
    pub first_index: TxIndex,
    /// The transactions of all opened envelopes, in order.
    pub transactions: Vec<OrderedTransaction>,
    /// How many envelopes ended how, in the node's words. `opened`, `malformed` and `expired` are proven.
    pub outcomes: BTreeMap<String, u64>,
}

impl Auditor {
    /// Verifies that a delivery lists every envelope that a final block orders for the rollup, and
    /// that opened ones hold the listed transactions. CPU-heavy.
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

        // 4. What each envelope holds.
        let mut verified = VerifiedDelivery {
            height,
            first_index: TxIndex(view.first_index),
            transactions: Vec::new(),
            outcomes: BTreeMap::new(),
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
            match (envelope.outcome.as_str(), contents) {
                (OPENED, Some(transactions)) => {
                    let listed = envelope.transactions.iter();
                    if !listed.eq(transactions
                        .iter()
                        .map(hex::encode)
                        .collect::<Vec<_>>()
                        .iter())
                    {
                        return Err(refuse("the listed transactions are not those inside"));
                    }
                    let ordered = transactions
                        .into_iter()
                        .map(|bytes| OrderedTransaction { height, bytes });
                    verified.transactions.extend(ordered);
                }
                // Operations of the system have one form of their own and no index.
                (OPENED, None) if rollup == RollupId::SYSTEM => {}
                (OPENED, None) => {
                    return Err(refuse("it is called opened and holds no transactions"));
                }
                (outcome, Some(_)) if UNREADABLE.contains(&outcome) => {
                    return Err(refuse("it is called unreadable and holds transactions"));
                }
                (MALFORMED, _) if !unopenable.contains(&id) => {
                    return Err(refuse("it is called malformed without a certificate"));
                }
                (EXPIRED, _) if !expired => {
                    return Err(refuse("it is called expired and was in time"));
                }
                _ if rollup != RollupId::SYSTEM && !envelope.transactions.is_empty() => {
                    return Err(refuse(
                        "transactions are listed for an envelope without effect",
                    ));
                }
                _ => {}
            }
            *verified
                .outcomes
                .entry(envelope.outcome.clone())
                .or_default() += 1;
        }
        Ok(verified)
    }

    /// The envelopes that an opening certificate shows to be malformed.
    fn malformed(
        &self,
        block: &Block,
        view: &DeliveryView,
    ) -> Result<Vec<EnvelopeId>, VerifyError> {
        let Some(text) = &view.malformed_evidence else {
            return Ok(Vec::new());
        };
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
            lane: ShareLane::Malformed,
        };
        if certificate.context != context {
            return Err(refuse());
        }
        let references: Vec<&EnvelopeHeader> = headers.iter().collect();
        let verdicts = certificate
            .verify(&self.seal, &references)
            .map_err(|_| refuse())?;
        let proven = headers.iter().zip(verdicts);
        let proven = proven.filter(|(_, verdict)| *verdict == Verdict::Malformed);
        Ok(proven.map(|(header, _)| header.id()).collect())
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
        let claims: Vec<(&EnvelopeHeader, Point)> = headers
            .iter()
            .zip(&openings)
            .filter_map(|(header, m)| Some((header, (*m)?)))
            .collect();
        let verdicts = self.seal.verify_openings(&claims);
        let wrong = verdicts.iter().position(|holds| !holds);
        if let Some((header, _)) = wrong.and_then(|at| claims.get(at)) {
            return Err(VerifyError::Envelope {
                height,
                envelope: header.id(),
                what: "the opening is not the header's",
            });
        }
        Ok(openings)
    }

    /// The transactions inside, when opening and body are given and hold any.
    fn contents(
        &self,
        header: EnvelopeHeader,
        envelope: &DeliveredEnvelope,
        m: Option<Point>,
    ) -> Result<Option<Vec<Vec<u8>>>, &'static str> {
        let Some(body) = &envelope.body else {
            return Ok(None);
        };
        if body.len() > 2 * limits::PLAIN_BODY_BYTES_MAX {
            return Err("the body is longer than any");
        }
        let body = hex::decode(body).map_err(|_| "the body is not hexadecimal")?;
        let sealed = header.is_sealed();
        let envelope = Envelope { header, body };
        if !body_matches(&envelope) {
            return Err("the body is not the header's");
        }
        let plaintext = match (sealed, m) {
            (false, _) => Some(envelope.body),
            (true, Some(m)) => self.seal.decrypt(&envelope, &m),
            (true, None) => None,
        };
        Ok(plaintext.and_then(|plaintext| decode_transactions(&plaintext).ok()))
    }
}

/// The index after a delivery's last transaction.
pub(super) fn next_index(delivery: &VerifiedDelivery) -> TxIndex {
    TxIndex(delivery.first_index.0 + delivery.transactions.len() as u64)
}
