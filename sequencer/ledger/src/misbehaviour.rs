//! What evidence of misbehaviour does to a validator's bond.

use std::sync::Arc;

use conclave_crypto::{BlsCommittee, BlsKey, Committee, ShareProofs, Signatures};
use conclave_seal::Tdh2;
use conclave_types::{
    AccountId, ChainId, EpochSetup, Misbehaviour, Offence, ValidatorIndex, ValidatorInfo,
};

use crate::error::OpError;
use crate::events::LedgerEvent;
use crate::execute::Context;
use crate::ledger::Ledger;
use crate::money::{minus, share};

/// Checks what members of any epoch's committee sign. The simulator has its own.
pub trait Committees: Send + Sync {
    /// The signatures of an epoch's committee, for verifying only.
    fn signatures(&self, setup: &EpochSetup) -> Arc<dyn Signatures>;

    /// The proofs of shares of an epoch's sealing key; `None` if it is no key.
    fn shares(&self, setup: &EpochSetup) -> Option<Arc<dyn ShareProofs>>;

    /// Whether a newcomer's BLS key is sound and its possession is proven.
    fn is_possessed(&self, info: &ValidatorInfo) -> bool;
}

/// The real committees.
#[derive(Debug, Clone, Copy, Default)]
pub struct BlsCommittees;

/// How the ledger checks votes and the keys of those who will vote.
#[derive(Clone)]
pub struct VoteKeys {
    pub chain: ChainId,
    pub committees: Arc<dyn Committees>,
}

impl Committees for BlsCommittees {
    fn signatures(&self, setup: &EpochSetup) -> Arc<dyn Signatures> {
        // Possession was proven at genesis or registration. Keys are decoded when they are asked for:
        // evidence is about one.
        Arc::new(BlsCommittee::registered(&setup.validators))
    }

    fn shares(&self, setup: &EpochSetup) -> Option<Arc<dyn ShareProofs>> {
        // Nothing is decided by batches here, so no weights are drawn.
        let key = Tdh2::new(&setup.sealing, &setup.weights(), None, [0; 32]).ok()?;
        Some(Arc::new(key))
    }

    fn is_possessed(&self, info: &ValidatorInfo) -> bool {
        BlsKey::decode_with_possession(&info.bls_key, &info.bls_possession).is_some()
    }
}

impl Ledger {
    /// Takes the whole bond of a validator that is proven to have broken a rule: a part
    /// to the first who reports it, the rest to the insurance pool. Whatever else is reported
    /// of it later changes nothing.
    pub(crate) fn report_misbehaviour(
        &mut self,
        context: &mut Context,
        reporter: AccountId,
        evidence: &Misbehaviour,
        votes: &VoteKeys,
    ) -> Result<(), OpError> {
        let validator = evidence.validator;
        let standing = self.state.validators.get(&validator);
        // Signatures are checked once per validator that is guilty.
        if standing.is_some_and(|record| record.bond.forfeited.is_some()) {
            return Err(OpError::BondForfeited);
        }
        let setup = self.state.setups.get(&evidence.epoch);
        let setup = setup.ok_or(OpError::EpochClosed)?;
        if !proves(setup, evidence, votes) {
            // Checking signatures costs every validator more than the fee of an envelope pays for.
            self.surcharge(context, reporter);
            return Err(OpError::EvidenceInvalid);
        }
        let forfeited = self.forfeit(context.height, validator);
        let forfeited = forfeited.ok_or(OpError::EvidenceInvalid)?;
        let percent = self.state.parameters.consensus.reporter_percent.min(100);
        let to_reporter = share(forfeited, percent);
        let to_pool = minus(forfeited, to_reporter);
        self.state.credit(reporter, to_reporter);
        self.state.insure(to_pool);
        context.events.push(LedgerEvent::ValidatorSlashed {
            validator,
            reporter,
            evidence: Box::new(evidence.clone()),
            to_reporter,
            to_pool,
        });
        Ok(())
    }

    /// Takes the whole bond of the author of an inconsistent batch, to the insurance pool. That
    /// every validator comes to this verdict by itself is the evidence.
    pub(crate) fn inconsistent(&mut self, context: &mut Context, author: ValidatorIndex) {
        if let Some(to_pool) = self.forfeit(context.height, author) {
            self.state.insure(to_pool);
            let validator = author;
            context
                .events
                .push(LedgerEvent::BatchInconsistent { validator, to_pool });
        }
    }
}

/// Whether the evidence is against somebody who had a vote in that committee, and holds. A slot
/// without weight may have become another's.
fn proves(setup: &EpochSetup, evidence: &Misbehaviour, votes: &VoteKeys) -> bool {
    let Ok(committee) = Committee::of_epoch(setup) else {
        return false;
    };
    let verifier = conclave_light::Verifier {
        chain: votes.chain,
        committee: &committee,
        signatures: &*votes.committees.signatures(setup),
        origin: None,
    };
    let verdict = match &evidence.offence {
        Offence::WrongShares(_) => votes
            .committees
            .shares(setup)
            .map(|shares| conclave_light::verify_misbehaviour(&verifier, &*shares, evidence)),
        _ => Some(conclave_light::verify_contradiction(&verifier, evidence)),
    };
    committee.weight(evidence.validator) > 0 && matches!(verdict, Some(Ok(_)))
}
