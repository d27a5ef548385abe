//! Opening certificates: 2f+1 key shares' proven parts of the same S = x·C, from which anyone
//! reaches the same verdict on an envelope that the openings themselves cannot show, a malformed
//! one.

use bincode::{Decode, Encode};
use conclave_types::{EnvelopeHeader, ShareBundle, ShareContext};

use crate::scheme::{OpenResult, SealScheme, Verdict};

/// The parts that justify the verdicts on a list of envelopes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct OpeningCertificate {
    /// What all parts are about.
    pub context: ShareContext,
    /// One bundle per signer, ascending, over the same envelopes.
    pub parts: Vec<ShareBundle>,
}

/// What shows that some of a block's envelopes are malformed: their headers, in order, and the
/// certificate over exactly these.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct MalformedEvidence {
    pub headers: Vec<EnvelopeHeader>,
    pub certificate: OpeningCertificate,
}

/// An opening certificate that justifies nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Less than 2f+1 key shares are proven.
    #[error(
        "[CV-SEAL-020] the opening certificate holds fewer than 2f+1 proven key shares; fetch it from another validator"
    )]
    TooFew,
    /// The parts are not in ascending order of distinct signers.
    #[error(
        "[CV-SEAL-021] the opening certificate's parts are not in ascending order of signers; fetch it from another validator"
    )]
    Order,
    /// A part is false or of another context.
    #[error(
        "[CV-SEAL-022] the opening certificate holds a part that is not proven; fetch it from another validator"
    )]
    Part,
}

impl OpeningCertificate {
    /// Puts bundles over `headers` together; `None` while they hold less than 2f+1 true key
    /// shares. Bundles already known as lies are left out.
    pub fn assemble(
        scheme: &(impl SealScheme + ?Sized),
        context: ShareContext,
        headers: &[&EnvelopeHeader],
        bundles: &[ShareBundle],
    ) -> Option<Self> {
        let result = scheme.open(context, headers, bundles);
        result.verdicts.as_ref()?;
        let lied = |bundle: &ShareBundle| {
            let mut liars = result.liars.iter();
            liars.any(|liar| liar.validator == bundle.signer)
        };
        let mut parts: Vec<ShareBundle> = bundles
            .iter()
            .filter(|bundle| bundle.context == context)
            .filter(|bundle| !lied(bundle))
            .cloned()
            .collect();
        parts.sort_by_key(|bundle| bundle.signer);
        parts.dedup_by_key(|bundle| bundle.signer);
        Some(Self { context, parts })
    }

    /// The verdicts that the certificate justifies.
    ///
    /// Opening never trusts a bundle: an M that checks proves itself, and `Malformed` is only said
    /// from 2f+1 proven key shares. So opening from the parts is the verification.
    pub fn verify(
        &self,
        scheme: &(impl SealScheme + ?Sized),
        headers: &[&EnvelopeHeader],
    ) -> Result<Vec<Verdict>, CertificateError> {
        if !self.parts.is_sorted_by(|a, b| a.signer < b.signer) {
            return Err(CertificateError::Order);
        }
        let foreign = |part: &ShareBundle| part.context != self.context;
        if self.parts.iter().any(foreign) {
            return Err(CertificateError::Part);
        }
        let OpenResult { verdicts, .. } = scheme.open(self.context, headers, &self.parts);
        verdicts.ok_or(CertificateError::TooFew)
    }
}
