//! Certificates: 2f+1 signatures in one.

use bincode::{Decode, Encode};

use crate::{BlockId, BlsSignature, EdSignature, Epoch, Height, Origin, ValidatorIndex, View};

/// A set of validators, as a bitmap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Encode, Decode)]
pub struct Signers([u64; 4]);

impl Signers {
    /// Adds a validator; `false` if it was there. An index of 256 or more is never added.
    pub fn insert(&mut self, index: ValidatorIndex) -> bool {
        let (word, bit) = (usize::from(index.0 / 64), index.0 % 64);
        let Some(word) = self.0.get_mut(word) else {
            return false;
        };
        let fresh = *word & (1 << bit) == 0;
        *word |= 1 << bit;
        fresh
    }

    /// Whether the validator is in the set.
    pub fn contains(&self, index: ValidatorIndex) -> bool {
        self.0
            .get(usize::from(index.0 / 64))
            .is_some_and(|word| word & (1 << (index.0 % 64)) != 0)
    }

    /// The validators, ascending.
    pub fn iter(&self) -> impl Iterator<Item = ValidatorIndex> + '_ {
        (0..256)
            .map(ValidatorIndex)
            .filter(|index| self.contains(*index))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }
}

/// One signature that stands for those of a set of validators.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct AggregateSignature {
    pub signers: Signers,
    pub signature: BlsSignature,
}

/// Signatures of several validators over one message, side by side.
///
/// An availability certificate is checked by every validator for every batch, so it is made of what
/// is cheapest to check: a quorum of four in a tenth of the time that one pairing takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct SignatureSet {
    pub signers: Signers,
    /// One for each signer, ascending, with its transport key.
    pub signatures: Vec<EdSignature>,
}

/// 2f+1 prepare votes for one block in one view.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct QuorumCertificate {
    pub epoch: Epoch,
    pub view: View,
    pub height: Height,
    pub block: BlockId,
    pub aggregate: AggregateSignature,
}

/// 2f+1 commit votes for one block in one view: the block and its ancestors are final.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct CommitCertificate {
    pub epoch: Epoch,
    pub view: View,
    pub height: Height,
    pub block: BlockId,
    pub aggregate: AggregateSignature,
}

/// 2f+1 timeouts of one view, with the highest quorum certificate among them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct TimeoutCertificate {
    pub epoch: Epoch,
    pub view: View,
    pub high_qc: QuorumCertificate,
    /// Who signed with which highest view, ascending by view, each signer once.
    pub groups: Vec<(View, Signers)>,
    /// The aggregate over the groups' different messages.
    pub signature: BlsSignature,
}

/// The certificate that entered a view.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Entry {
    /// The quorum certificate of the view before.
    Quorum(QuorumCertificate),
    /// The timeout certificate of the view before.
    Timeout(TimeoutCertificate),
}

impl QuorumCertificate {
    /// The certificate of the block that an epoch begins with, true by definition for whoever knows
    /// that the block is final, and signed by nobody.
    pub fn origin(origin: &Origin) -> Self {
        Self {
            epoch: origin.epoch,
            view: View(0),
            height: origin.height,
            block: origin.block,
            aggregate: AggregateSignature {
                signers: Signers::default(),
                signature: BlsSignature([0; 48]),
            },
        }
    }
}

impl Entry {
    /// The view that this certificate enters.
    pub fn enters(&self) -> View {
        match self {
            Self::Quorum(qc) => qc.view.next(),
            Self::Timeout(tc) => tc.view.next(),
        }
    }
}
