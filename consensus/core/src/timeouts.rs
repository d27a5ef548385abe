//! Collects the timeouts of the current view until 2f+1 make a certificate, checking signatures as
//! late as [`crate::tally`] does.

use std::collections::BTreeMap;

use conclave_light::Verifier;
use conclave_types::{
    BlsSignature, Misbehaviour, Offence, QuorumCertificate, Signers, Timeout, TimeoutCertificate,
    ValidatorIndex, View,
};

use crate::broken::{Broken, Switch};
use crate::tally::{Check, Outcome};
use crate::{Evidence, Fault};

#[cfg_attr(test, derive(Clone))]
struct Refusal {
    high: View,
    signature: BlsSignature,
    check: Check,
    /// A second, different timeout came; the next ones are not worth checking.
    accused: bool,
}

#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Timeouts {
    refusals: BTreeMap<ValidatorIndex, Refusal>,
    /// The verified certificates that they name.
    high_qcs: BTreeMap<View, QuorumCertificate>,
    pub(crate) broken: Switch,
}

impl Timeouts {
    /// Counts one timeout of the current view, whose `high_qc` is verified.
    pub(crate) fn add(
        &mut self,
        verifier: &Verifier<'_>,
        suspects: &mut Signers,
        timeout: &Timeout,
        own: bool,
    ) -> Outcome<TimeoutCertificate> {
        let mut outcome = Outcome::nothing();
        let (view, signer, high) = (timeout.view, timeout.signer, timeout.high_qc.view);
        let message = |high| Timeout::message(verifier.chain, timeout.epoch, view, high);
        let holds = |signer, high, signature: &BlsSignature| {
            verifier
                .signatures
                .verify(signer, &message(high), signature)
        };
        let fault = |liar| (liar, Evidence::Fault(Fault::Signature { view }));
        match self.refusals.get_mut(&signer) {
            None => {
                let good =
                    own || !suspects.contains(signer) || holds(signer, high, &timeout.signature);
                if !good {
                    outcome.accused.push(fault(signer));
                }
                let check = match (own, good) {
                    (true, _) => Check::Good,
                    (false, true) => Check::Open,
                    (false, false) => Check::Void,
                };
                let refusal = Refusal {
                    high,
                    signature: timeout.signature,
                    check,
                    accused: false,
                };
                self.refusals.insert(signer, refusal);
                self.high_qcs
                    .entry(high)
                    .or_insert_with(|| timeout.high_qc.clone());
            }
            Some(first) => {
                let same = first.high == high && first.signature == timeout.signature;
                if same || first.accused || first.check == Check::Void {
                    return outcome;
                }
                first.accused = true;
                let both = holds(signer, high, &timeout.signature)
                    && (first.check == Check::Good || holds(signer, first.high, &first.signature));
                let named = |high_qc_view, signature| conclave_types::Refusal {
                    high_qc_view,
                    signature,
                };
                let offence = Offence::double_timeout(
                    view,
                    named(first.high, first.signature),
                    named(high, timeout.signature),
                );
                // Two signatures of one message are one message with a wrong signature.
                let evidence = match both && offence.is_contradiction() {
                    true => Evidence::Proof(Misbehaviour {
                        epoch: timeout.epoch,
                        validator: signer,
                        offence,
                    }),
                    false => fault(signer).1,
                };
                outcome.accused.push((signer, evidence));
                return outcome;
            }
        }
        if !self.have_quorum(verifier) {
            return outcome;
        }
        outcome.certificate = self.certificate(verifier, timeout);
        if outcome
            .certificate
            .as_ref()
            .is_some_and(|tc| verifier.timeout_signatures(tc).is_ok())
        {
            return outcome;
        }
        for (signer, refusal) in &mut self.refusals {
            if refusal.check == Check::Open {
                refusal.check = match holds(*signer, refusal.high, &refusal.signature) {
                    true => Check::Good,
                    false => Check::Void,
                };
                if refusal.check == Check::Void {
                    suspects.insert(*signer);
                    outcome.accused.push(fault(*signer));
                }
            }
        }
        outcome.certificate = match self.have_quorum(verifier) {
            true => self.certificate(verifier, timeout),
            false => None,
        };
        outcome
    }

    /// Forgets the timeouts of the view that was left.
    pub(crate) fn clear(&mut self) {
        self.refusals.clear();
        self.high_qcs.clear();
    }

    fn have_quorum(&self, verifier: &Verifier<'_>) -> bool {
        let mut signers = Signers::default();
        for (signer, refusal) in &self.refusals {
            if refusal.check != Check::Void {
                signers.insert(*signer);
            }
        }
        match self.broken.off(Broken::Rule1Entry) {
            true => verifier.committee.has_one_honest(&signers),
            false => verifier.committee.has_quorum(&signers),
        }
    }

    fn certificate(&self, verifier: &Verifier<'_>, like: &Timeout) -> Option<TimeoutCertificate> {
        let mut groups: BTreeMap<View, Signers> = BTreeMap::new();
        let mut signatures = Vec::new();
        for (signer, refusal) in &self.refusals {
            if refusal.check != Check::Void {
                groups.entry(refusal.high).or_default().insert(*signer);
                signatures.push(refusal.signature);
            }
        }
        let (highest, _) = groups.last_key_value()?;
        Some(TimeoutCertificate {
            epoch: like.epoch,
            view: like.view,
            high_qc: self.high_qcs.get(highest)?.clone(),
            groups: groups.into_iter().collect(),
            signature: verifier.signatures.aggregate(&signatures)?,
        })
    }
}
