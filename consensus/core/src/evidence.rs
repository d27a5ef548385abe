//! What a misbehaving peer is accused of.

use conclave_light::CertificateError;
use conclave_types::{BlockId, BlsSignature, Height, View, VoteKind};

/// One verified vote, as evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ballot {
    pub height: Height,
    pub block: BlockId,
    pub signature: BlsSignature,
}

/// Why a peer is accused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// Two verified votes of one validator in one view: proof for everyone. A leader's two
    /// proposals show as two prepare votes.
    Equivocation {
        kind: VoteKind,
        view: View,
        first: Ballot,
        second: Ballot,
    },
    /// Two verified timeouts of one view that name different certificates: proof for everyone.
    TimeoutEquivocation {
        view: View,
        first: (View, BlsSignature),
        second: (View, BlsSignature),
    },
    /// Only this node can vouch for it.
    Fault(Fault),
}

/// Something that an honest peer never sends. It is no proof for others, because the transport's
/// authentication cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A message that names another signer than its sender.
    #[error("sent a message signed in another validator's name")]
    Impersonation,
    /// A vote or timeout whose signature does not verify.
    #[error("sent a wrong signature for view {view}")]
    Signature { view: View },
    /// A certificate that does not verify.
    #[error("sent a wrong certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// A proposal or timeout that contradicts itself.
    #[error("sent a malformed message for view {view}: {reason}")]
    Malformed { view: View, reason: &'static str },
    /// Blocks that do not chain to their certificate.
    #[error("sent blocks that do not match their certificate")]
    Sync,
}
