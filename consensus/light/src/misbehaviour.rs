//! Whether evidence against a validator proves anything.

use conclave_crypto::ShareProofs;
use conclave_types::{
    Ballot, BlsSignature, Digest, Epoch, Misbehaviour, Offence, Refusal, Timeout, ValidatorIndex,
    View, VoteKind,
};

use crate::Verifier;

/// Evidence that proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MisbehaviourError {
    /// Of another committee.
    #[error(
        "[CV-LIGHT-040] the evidence is of epoch {found}, the committee of epoch {expected}; report it to the chain and epoch it happened in"
    )]
    Epoch { found: Epoch, expected: Epoch },
    /// Against someone who has no vote.
    #[error("[CV-LIGHT-041] validator {validator} is not in the committee; check the evidence")]
    Stranger { validator: ValidatorIndex },
    /// One message twice, messages that an honest validator may sign both, or in the wrong order.
    #[error(
        "[CV-LIGHT-042] the messages contradict neither each other nor themselves; report only what an honest validator cannot sign"
    )]
    NoContradiction,
    /// A signature is not the accused validator's over that message on this chain, or the shares
    /// that it signed are right.
    #[error(
        "[CV-LIGHT-043] the accused validator did not sign this, or what it signed is right; report only what was signed on this chain and is wrong"
    )]
    Signature,
}

/// The validator that the evidence proves guilty.
///
/// A pure function of the chain, the committee's keys and the evidence, so every node comes to the
/// same verdict. It takes two signature checks at most, and for wrong shares the check of one proof
/// after one signature.
pub fn verify_misbehaviour(
    verifier: &Verifier<'_>,
    proofs: &dyn ShareProofs,
    evidence: &Misbehaviour,
) -> Result<ValidatorIndex, MisbehaviourError> {
    let Offence::WrongShares(wrong) = &evidence.offence else {
        return verify_contradiction(verifier, evidence);
    };
    check_form(verifier, evidence)?;
    let (chain, committee, validator) = (verifier.chain, verifier.committee, evidence.validator);
    match conclave_crypto::are_wrong(chain, committee, proofs, validator, wrong) {
        true => Ok(validator),
        false => Err(MisbehaviourError::Signature),
    }
}

/// The validator that two signed messages of agreement prove guilty; evidence of another kind is
/// none here.
pub fn verify_contradiction(
    verifier: &Verifier<'_>,
    evidence: &Misbehaviour,
) -> Result<ValidatorIndex, MisbehaviourError> {
    check_form(verifier, evidence)?;
    let messages = messages(verifier, evidence).ok_or(MisbehaviourError::NoContradiction)?;
    let validator = evidence.validator;
    let signed = messages
        .iter()
        .all(|(message, signature)| verifier.signatures.verify(validator, message, signature));
    match signed {
        true => Ok(validator),
        false => Err(MisbehaviourError::Signature),
    }
}

/// What shows without a key.
fn check_form(verifier: &Verifier<'_>, evidence: &Misbehaviour) -> Result<(), MisbehaviourError> {
    let (found, validator) = (evidence.epoch, evidence.validator);
    let expected = verifier.committee.epoch;
    if found != expected {
        return Err(MisbehaviourError::Epoch { found, expected });
    }
    if verifier.committee.weight(validator) == 0 {
        return Err(MisbehaviourError::Stranger { validator });
    }
    let of_key = match &evidence.offence {
        // Key shares are those of the epoch whose committee is asked.
        Offence::WrongShares(wrong) => wrong.context.lane.key == found,
        _ => true,
    };
    match of_key && evidence.offence.is_contradiction() {
        true => Ok(()),
        false => Err(MisbehaviourError::NoContradiction),
    }
}

/// The two messages of agreement with their signatures.
fn messages(
    verifier: &Verifier<'_>,
    evidence: &Misbehaviour,
) -> Option<[(Digest, BlsSignature); 2]> {
    let (chain, epoch) = (verifier.chain, evidence.epoch);
    let vote = |kind: VoteKind, view: View, ballot: Ballot| {
        let message = kind.message(chain, epoch, view, ballot.height, ballot.block);
        (message, ballot.signature)
    };
    let timeout = |view: View, refusal: Refusal| {
        let message = Timeout::message(chain, epoch, view, refusal.high_qc_view);
        (message, refusal.signature)
    };
    Some(match &evidence.offence {
        Offence::DoubleVote {
            kind,
            view,
            first,
            second,
        } => [vote(*kind, *view, *first), vote(*kind, *view, *second)],
        Offence::DoubleTimeout {
            view,
            first,
            second,
        } => [timeout(*view, *first), timeout(*view, *second)],
        Offence::CommitAfterTimeout {
            timeout_view,
            timeout: refusal,
            commit_view,
            commit,
        } => [
            timeout(*timeout_view, *refusal),
            vote(VoteKind::Commit, *commit_view, *commit),
        ],
        Offence::WrongShares(_) => return None,
    })
}
