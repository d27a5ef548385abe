//! What a validator signs when it acknowledges a submission.

use bincode::{Decode, Encode};

use crate::{ChainId, Digest, Domain, EdSignature, EnvelopeId, Height, ValidatorIndex, codec};

/// "This envelope is durable here, and I see to it that it is ordered by this height or reported
/// expired."
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Receipt {
    pub chain: ChainId,
    pub envelope: EnvelopeId,
    pub validator: ValidatorIndex,
    /// The validator's committed height at admission.
    pub height: Height,
    /// The height by which it is to be ordered.
    pub deadline: Height,
    /// By the validator's transport key, over [`Receipt::message`].
    pub signature: EdSignature,
}

impl Receipt {
    /// The message under the signature.
    pub fn message(&self) -> Digest {
        let fields = (
            self.chain,
            self.envelope,
            self.validator,
            self.height,
            self.deadline,
        );
        Domain::Receipt.digest(&codec::encode(&fields))
    }
}
