//! Evidence against validators, on its way to the ledger.
//!
//! Every validator that saw two contradicting messages reports them, and the ledger takes the first
//! report. What is here is tried again until the ledger shows the bond forfeited; a restart forgets
//! evidence that no envelope was admitted for, and the other validators have it too.

use std::collections::BTreeMap;

use conclave_ledger::Ledger;
use conclave_types::{
    AccountId, Bucket, ChainId, Digest, EdSignature, Envelope, EnvelopeCore, Epoch, Height,
    Misbehaviour, ReleaseRule, RollupId, Sequence, SystemOp, ValidatorIndex, codec,
};

/// The ticket of reports among submissions; clients' tickets count up from zero.
pub(crate) const REPORT_TICKET: u64 = u64::MAX;

/// Blocks until a report that was not ordered is made again, and until one that was refused, for
/// want of fees say, is tried again.
const RETRY_BLOCKS: u64 = 64;

/// The account that reports evidence and pays the fees, the validator's own.
pub struct Reporter {
    pub chain: ChainId,
    pub epoch: Epoch,
    pub account: AccountId,
    /// Signs with the account's key.
    pub sign: Box<dyn Fn(&Digest) -> EdSignature + Send>,
}

struct Report {
    evidence: Misbehaviour,
    /// The height after which to report again.
    again_after: Option<Height>,
}

/// The evidence that the ledger has not acted on yet, one piece per validator.
#[derive(Default)]
pub(crate) struct Reports {
    reporter: Option<Reporter>,
    open: BTreeMap<ValidatorIndex, Report>,
    /// The newest sequence number used here.
    sequence: u64,
}

impl Reports {
    pub(crate) fn new(reporter: Option<Reporter>) -> Self {
        Self {
            reporter,
            ..Self::default()
        }
    }

    /// Takes evidence; the first about each validator is enough to take its bond.
    pub(crate) fn add(&mut self, evidence: Misbehaviour) {
        self.open.entry(evidence.validator).or_insert(Report {
            evidence,
            again_after: None,
        });
    }

    /// The envelopes to submit now, after forgetting what the ledger has acted on.
    pub(crate) fn due(&mut self, ledger: &Ledger) -> Vec<Envelope> {
        self.open.retain(|validator, _| {
            let bond = ledger.validator_bond(*validator);
            bond.is_some_and(|bond| bond.forfeited.is_none())
        });
        let Some(reporter) = &self.reporter else {
            return Vec::new();
        };
        let height = ledger.height();
        let newest = ledger.account(&reporter.account).sequence;
        self.sequence = self.sequence.max(newest.map_or(0, |sequence| sequence.0));
        let mut envelopes = Vec::new();
        for report in self.open.values_mut() {
            if report.again_after.is_some_and(|after| height <= after) {
                continue;
            }
            let expiry = Height(height.0 + RETRY_BLOCKS);
            report.again_after = Some(expiry);
            self.sequence += 1;
            envelopes.extend(reporter.envelope(&report.evidence, self.sequence, expiry));
        }
        envelopes
    }
}

impl Reporter {
    fn envelope(&self, evidence: &Misbehaviour, sequence: u64, expiry: Height) -> Option<Envelope> {
        let core = EnvelopeCore {
            chain: self.chain,
            epoch: self.epoch,
            rollup: RollupId::SYSTEM,
            payer: self.account,
            sequence: Sequence(sequence),
            expiry,
            release: ReleaseRule::OnCommit,
            bucket: Bucket(0),
        };
        let body = codec::encode(&SystemOp::ReportMisbehaviour(evidence.clone()));
        conclave_seal::plain(core, body, |digest| (self.sign)(digest)).ok()
    }
}
