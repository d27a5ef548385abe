//! What validators sign one at a time, and the exact message under each signature.

use bincode::{Decode, Encode};

use crate::{
    BatchId, BlockId, BlsSignature, ChainId, Digest, Domain, EdSignature, Entry, Epoch, Height,
    QuorumCertificate, ValidatorIndex, View, codec,
};

/// The phase of a vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum VoteKind {
    /// First phase.
    Prepare,
    /// Second phase.
    Commit,
}

macro_rules! vote {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
        pub struct $name {
            pub epoch: Epoch,
            pub view: View,
            pub height: Height,
            pub block: BlockId,
            pub signer: ValidatorIndex,
            pub signature: BlsSignature,
        }
    };
}

vote! {
    /// First phase of HotStuff-2: "I would extend this block".
    PrepareVote
}
vote! {
    /// Second phase: "I saw this block's quorum certificate and have not given up its view".
    CommitVote
}

/// A signed refusal to go on in a view.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Timeout {
    pub epoch: Epoch,
    pub view: View,
    /// The sender's highest quorum certificate; its view is signed.
    pub high_qc: QuorumCertificate,
    /// What brought the sender into the view, so that a receiver behind it can follow.
    pub entry: Entry,
    pub signer: ValidatorIndex,
    pub signature: BlsSignature,
}

/// "This batch is durable here, and its envelopes are well formed."
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Stored {
    pub batch: BatchId,
    pub signer: ValidatorIndex,
    /// With the signer's transport key.
    pub signature: EdSignature,
}

impl VoteKind {
    /// The message under a vote's signature.
    pub fn message(
        self,
        chain: ChainId,
        epoch: Epoch,
        view: View,
        height: Height,
        block: BlockId,
    ) -> Digest {
        let domain = match self {
            Self::Prepare => Domain::PrepareVote,
            Self::Commit => Domain::CommitVote,
        };
        domain
            .hasher()
            .part(chain.as_bytes())
            .part(&codec::encode(&(epoch, view, height, block)))
            .digest()
    }
}

impl Timeout {
    /// The message under a timeout's signature: the view and the view of the highest certificate.
    pub fn message(chain: ChainId, epoch: Epoch, view: View, high_qc_view: View) -> Digest {
        Domain::Timeout
            .hasher()
            .part(chain.as_bytes())
            .part(&codec::encode(&(epoch, view, high_qc_view)))
            .digest()
    }
}

impl Stored {
    /// The message under a "stored" signature.
    pub fn message(chain: ChainId, batch: BatchId) -> Digest {
        Domain::Stored
            .hasher()
            .part(chain.as_bytes())
            .part(batch.as_bytes())
            .digest()
    }
}
