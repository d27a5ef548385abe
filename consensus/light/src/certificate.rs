//! What makes a certificate valid.

use conclave_crypto::{Committee, Signatures};
use conclave_types::{
    AggregateSignature, BatchRef, ChainId, CommitCertificate, Digest, Epoch, Origin,
    QuorumCertificate, Signers, Stored, Timeout, TimeoutCertificate, View, VoteKind,
};

/// Everything that certificates are checked against.
#[derive(Clone, Copy)]
pub struct Verifier<'a> {
    pub chain: ChainId,
    pub committee: &'a Committee,
    pub signatures: &'a dyn Signatures,
    /// Where the committee's epoch begins, for those who know that this block is final: its
    /// certificate needs no signatures.
    pub origin: Option<Origin>,
}

/// A certificate that proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Another committee's.
    #[error(
        "[CV-LIGHT-001] the certificate is of epoch {found}, the committee of epoch {expected}; verify it with the committee of its own epoch"
    )]
    Epoch { found: Epoch, expected: Epoch },
    /// The signers are not members, or weigh less than 2f+1.
    #[error(
        "[CV-LIGHT-002] the signers of the {what} are no quorum of the committee; ask another peer"
    )]
    Quorum { what: &'static str },
    /// The aggregate is not the sum of the signers' signatures.
    #[error("[CV-LIGHT-003] the signature of the {what} does not verify; ask another peer")]
    Signature { what: &'static str },
    /// The groups of a timeout certificate are not ascending, overlap, or name impossible views.
    #[error(
        "[CV-LIGHT-004] the timeout certificate of view {view} has malformed groups of signers; ask another peer"
    )]
    Groups { view: View },
    /// The highest quorum certificate is not the one the signers named.
    #[error(
        "[CV-LIGHT-005] the timeout certificate of view {view} embeds a quorum certificate of view {found}, its signers saw {expected}; ask another peer"
    )]
    HighQc {
        view: View,
        found: View,
        expected: View,
    },
}

impl Verifier<'_> {
    /// 2f+1 prepare votes, or the certificate of the epoch's origin.
    pub fn quorum(&self, qc: &QuorumCertificate) -> Result<(), CertificateError> {
        let origin = self.origin.as_ref().map(QuorumCertificate::origin);
        if origin.as_ref() == Some(qc) {
            return Ok(());
        }
        self.epoch(qc.epoch)?;
        let message = VoteKind::Prepare.message(self.chain, qc.epoch, qc.view, qc.height, qc.block);
        self.aggregate("quorum certificate", message, &qc.aggregate)
    }

    /// 2f+1 commit votes: the block and all its ancestors are final.
    pub fn commit(&self, cc: &CommitCertificate) -> Result<(), CertificateError> {
        self.epoch(cc.epoch)?;
        let message = VoteKind::Commit.message(self.chain, cc.epoch, cc.view, cc.height, cc.block);
        self.aggregate("commit certificate", message, &cc.aggregate)
    }

    /// 2f+1 timeouts, and the highest quorum certificate they named.
    pub fn timeout(&self, tc: &TimeoutCertificate) -> Result<(), CertificateError> {
        self.timeout_signatures(tc)?;
        self.quorum(&tc.high_qc)
    }

    /// Everything about a timeout certificate but the embedded quorum certificate's signature,
    /// for those who have verified that before.
    pub fn timeout_signatures(&self, tc: &TimeoutCertificate) -> Result<(), CertificateError> {
        const WHAT: &str = "timeout certificate";
        self.epoch(tc.epoch)?;
        let expected = highest_view(tc).ok_or(CertificateError::Groups { view: tc.view })?;
        if tc.high_qc.view != expected {
            return Err(CertificateError::HighQc {
                view: tc.view,
                found: tc.high_qc.view,
                expected,
            });
        }
        let all = disjoint_union(tc).ok_or(CertificateError::Groups { view: tc.view })?;
        if !self.committee.has_quorum(&all) {
            return Err(CertificateError::Quorum { what: WHAT });
        }
        let message = |view| Timeout::message(self.chain, tc.epoch, tc.view, view);
        let groups: Vec<(Digest, Signers)> = tc
            .groups
            .iter()
            .map(|(view, signers)| (message(*view), *signers))
            .collect();
        match self.signatures.verify_aggregate(&groups, &tc.signature) {
            true => Ok(()),
            false => Err(CertificateError::Signature { what: WHAT }),
        }
    }

    /// 2f+1 "stored" signatures: the batch is available.
    pub fn stored(&self, batch: &BatchRef) -> Result<(), CertificateError> {
        const WHAT: &str = "availability certificate";
        self.epoch(batch.header.epoch)?;
        if !self.committee.has_quorum(&batch.stored.signers) {
            return Err(CertificateError::Quorum { what: WHAT });
        }
        let message = Stored::message(self.chain, batch.header.id());
        match self.committee.all_signed(&message, &batch.stored) {
            true => Ok(()),
            false => Err(CertificateError::Signature { what: WHAT }),
        }
    }

    fn epoch(&self, found: Epoch) -> Result<(), CertificateError> {
        let expected = self.committee.epoch;
        match found == expected {
            true => Ok(()),
            false => Err(CertificateError::Epoch { found, expected }),
        }
    }

    fn aggregate(
        &self,
        what: &'static str,
        message: Digest,
        aggregate: &AggregateSignature,
    ) -> Result<(), CertificateError> {
        if !self.committee.has_quorum(&aggregate.signers) {
            return Err(CertificateError::Quorum { what });
        }
        let groups = [(message, aggregate.signers)];
        match self
            .signatures
            .verify_aggregate(&groups, &aggregate.signature)
        {
            true => Ok(()),
            false => Err(CertificateError::Signature { what }),
        }
    }
}

/// The last of the groups' views, if they ascend and all lie before the certificate's own: whoever
/// saw the quorum certificate of a view has left it and does not time out in it.
fn highest_view(tc: &TimeoutCertificate) -> Option<View> {
    let ascending = tc.groups.windows(2).all(|pair| pair[0].0 < pair[1].0);
    let highest = tc.groups.last()?.0;
    (ascending && highest < tc.view).then_some(highest)
}

fn disjoint_union(tc: &TimeoutCertificate) -> Option<Signers> {
    let mut all = Signers::default();
    for (_, signers) in &tc.groups {
        if signers.count() == 0 || !signers.iter().all(|signer| all.insert(signer)) {
            return None;
        }
    }
    Some(all)
}
