//! Evidence against validators, on its way to the ledger.
//!
//! Every validator that saw two contradicting messages reports them, and the ledger takes the first
//! report. What is here is tried again until the ledger shows the bond forfeited; a restart forgets
//! evidence that no envelope was admitted for, and the other validators have it too.

use std::collections::BTreeMap;

use conclave_ledger::Ledger;
use conclave_types::{Height, Misbehaviour, SystemOp, ValidatorIndex};

use crate::operator::RETRY_BLOCKS;

struct Report {
    evidence: Misbehaviour,
    /// The height after which to report again.
    again_after: Option<Height>,
}

/// The evidence that the ledger has not acted on yet, one piece per validator.
#[derive(Default)]
pub(crate) struct Reports {
    open: BTreeMap<ValidatorIndex, Report>,
}

impl Reports {
    /// Takes evidence; the first about each validator is enough to take its bond.
    pub(crate) fn add(&mut self, evidence: Misbehaviour) {
        self.open.entry(evidence.validator).or_insert(Report {
            evidence,
            again_after: None,
        });
    }

    /// What to report now, after forgetting what the ledger has acted on. A report that was not
    /// ordered, or was refused, for want of fees say, is made again after a while.
    pub(crate) fn due(&mut self, ledger: &Ledger) -> Vec<SystemOp> {
        self.open.retain(|validator, _| {
            let bond = ledger.validator_bond(*validator);
            bond.is_some_and(|bond| bond.forfeited.is_none())
        });
        let height = ledger.height();
        let due = self
            .open
            .values_mut()
            .filter(|report| report.again_after.is_none_or(|after| height > after));
        due.map(|report| {
            report.again_after = Some(Height(height.0 + RETRY_BLOCKS));
            SystemOp::ReportMisbehaviour(report.evidence.clone())
        })
        .collect()
    }
}
