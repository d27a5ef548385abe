//! What can go wrong in a key generation, and whose fault it is.

use conclave_types::codec::CodecError;
use conclave_types::{ThresholdError, ValidatorIndex};

use crate::key::KeyError;

/// A key generation that cannot go on, or a message that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyGenerationError {
    /// The weights do not add up to 3f+1.
    #[error(transparent)]
    Threshold(#[from] ThresholdError),
    /// A weight is 0, or the generated key is inconsistent.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The committee cannot share a key, or the caller is not in it.
    #[error("[CV-SEAL-030] no key generation for this committee: {reason}; edit the genesis draft")]
    Committee { reason: &'static str },
    /// A message from oneself or from nobody of the committee.
    #[error("[CV-SEAL-031] a message from validator {from}, who is not another member; ignore it")]
    Sender { from: ValidatorIndex },
    /// Bytes that are no message of a key generation.
    #[error(
        "[CV-SEAL-032] validator {culprit} sent bytes that are no key generation message ({error}); run the same version everywhere"
    )]
    Encoding {
        culprit: ValidatorIndex,
        error: CodecError,
    },
    /// A message that no honest validator sends.
    #[error(
        "[CV-SEAL-033] validator {culprit} {what}; find out why, and start again without it if need be"
    )]
    Dishonest {
        culprit: ValidatorIndex,
        what: &'static str,
    },
    /// A validator dealt on another set of first messages.
    #[error(
        "[CV-SEAL-034] validator {validator} received other commitments than this one: somebody tells different things to different validators, or one of the two is in another ceremony; start again"
    )]
    Disagreement { validator: ValidatorIndex },
    /// `finish` before all messages arrived.
    #[error(
        "[CV-SEAL-035] messages of {missing} validators are missing; wait for them or start again without them"
    )]
    Incomplete { missing: usize },
    /// An earlier error ended this ceremony.
    #[error("[CV-SEAL-036] this key generation has failed before; start again")]
    Failed,
}
