//! Verifies certificates, each once, and draws the consequences.

use std::collections::BTreeMap;

use conclave_light::CertificateError;
use conclave_types::{
    CommitCertificate, Entry, QuorumCertificate, TimeoutCertificate, ValidatorIndex, View,
};

use crate::engine::Engine;
use crate::{Fault, Message, SafetyState};

/// Views whose verified quorum certificate is remembered.
const REMEMBERED_VIEWS: usize = 128;

/// What was verified before.
#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Certificates {
    quorum: BTreeMap<View, QuorumCertificate>,
    /// The newest timeout certificate.
    timeout: Option<TimeoutCertificate>,
}

impl Certificates {
    /// Takes over what this node verified before it wrote it down.
    pub(crate) fn trust(&mut self, state: &SafetyState) {
        self.remember(&state.high_qc);
        match &state.entry {
            Entry::Quorum(qc) => self.remember(qc),
            Entry::Timeout(tc) => {
                self.remember(&tc.high_qc);
                self.timeout = Some(tc.clone());
            }
        }
    }

    /// The verified certificate of the same block. Every node makes its own from the first votes
    /// that it gets; one is as good as another, so the peer's is replaced instead of verified.
    fn known(&self, qc: &QuorumCertificate) -> Option<&QuorumCertificate> {
        self.quorum.get(&qc.view).filter(|known| {
            (known.epoch, known.height, known.block) == (qc.epoch, qc.height, qc.block)
        })
    }

    /// The verified timeout certificate with the same timeouts.
    fn known_timeout(&self, tc: &TimeoutCertificate) -> Option<&TimeoutCertificate> {
        self.timeout.as_ref().filter(|known| {
            (known.epoch, known.view, &known.groups, known.signature)
                == (tc.epoch, tc.view, &tc.groups, tc.signature)
        })
    }

    fn remember(&mut self, qc: &QuorumCertificate) {
        self.quorum.entry(qc.view).or_insert_with(|| qc.clone());
        while self.quorum.len() > REMEMBERED_VIEWS {
            self.quorum.pop_first();
        }
    }
}

impl Engine {
    /// A peer's quorum certificate, if it verifies or is known already; accuses the peer if it is
    /// wrong.
    pub(crate) fn check_quorum(
        &mut self,
        from: ValidatorIndex,
        qc: &QuorumCertificate,
    ) -> Option<QuorumCertificate> {
        if let Some(known) = self.certificates.known(qc) {
            return Some(known.clone());
        }
        let verdict = self.verifier().quorum(qc);
        self.note_verdict(from, verdict).then(|| {
            self.certificates.remember(qc);
            qc.clone()
        })
    }

    /// A peer's timeout certificate, if it and the one in it verify.
    pub(crate) fn check_timeout(
        &mut self,
        from: ValidatorIndex,
        tc: &TimeoutCertificate,
    ) -> Option<TimeoutCertificate> {
        if let Some(known) = self.certificates.known_timeout(tc) {
            return Some(known.clone());
        }
        let verdict = self.verifier().timeout_signatures(tc);
        if !self.note_verdict(from, verdict) {
            return None;
        }
        // The timeouts cover the embedded certificate's view only, so a copy of our own fits.
        let tc = TimeoutCertificate {
            high_qc: self.check_quorum(from, &tc.high_qc)?,
            ..tc.clone()
        };
        self.certificates.timeout = Some(tc.clone());
        Some(tc)
    }

    /// Verifies a peer's commit certificate.
    pub(crate) fn check_commit(&mut self, from: ValidatorIndex, cc: &CommitCertificate) -> bool {
        let verdict = self.verifier().commit(cc);
        self.note_verdict(from, verdict)
    }

    /// Rules 1, 3 and 4 on a verified quorum certificate: lock it, enter the next view, vote to
    /// commit.
    pub(crate) fn learn_quorum(&mut self, qc: &QuorumCertificate) {
        self.certificates.remember(qc);
        self.safety.observe(qc);
        self.enter(Entry::Quorum(qc.clone()));
        let covered = self.committed.as_ref().is_some_and(|cc| cc.view >= qc.view);
        if covered {
            return;
        }
        if let Some(vote) = self.safety.commit(qc) {
            self.send_commit_vote(vote);
        }
    }

    /// Rule 1 on a verified timeout certificate.
    pub(crate) fn learn_timeout(&mut self, tc: TimeoutCertificate) {
        self.learn_quorum(&tc.high_qc);
        self.enter(Entry::Timeout(tc));
    }

    pub(crate) fn on_quorum(&mut self, from: ValidatorIndex, qc: &QuorumCertificate) {
        if qc.view > self.high_qc().view
            && let Some(qc) = self.check_quorum(from, qc)
        {
            self.learn_quorum(&qc);
        }
    }

    pub(crate) fn on_timeout_certificate(&mut self, from: ValidatorIndex, tc: &TimeoutCertificate) {
        let news = tc.view >= self.view() || tc.high_qc.view > self.high_qc().view;
        if news && let Some(tc) = self.check_timeout(from, tc) {
            self.learn_timeout(tc);
        }
    }

    /// The certificate that entered the current view, as a message.
    pub(crate) fn newest_certificate(&self) -> Message {
        match &self.safety.state().entry {
            Entry::Quorum(qc) => Message::QuorumCertificate(qc.clone()),
            Entry::Timeout(tc) => Message::TimeoutCertificate(Box::new(tc.clone())),
        }
    }

    fn note_verdict(
        &mut self,
        from: ValidatorIndex,
        verdict: Result<(), CertificateError>,
    ) -> bool {
        match verdict {
            Ok(()) => true,
            Err(error) => {
                self.fault(from, Fault::Certificate(error));
                false
            }
        }
    }
}
