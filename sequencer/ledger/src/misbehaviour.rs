//! Validators' bonds, and what evidence of misbehaviour does to them.

use std::sync::Arc;

use bincode::{Decode, Encode};
use conclave_crypto::{Committee, ShareProofs, Signatures};
use conclave_types::{AccountId, Amount, ChainId, Height, Misbehaviour, ValidatorIndex};

use crate::error::OpError;
use crate::events::LedgerEvent;
use crate::execute::Context;
use crate::ledger::Ledger;
use crate::money::{minus, share};
use crate::table::Value;

/// Whose votes and shares evidence is about, and how their signatures and proofs are checked.
#[derive(Clone)]
pub struct VoteKeys {
    pub chain: ChainId,
    pub committee: Arc<Committee>,
    pub signatures: Arc<dyn Signatures>,
    pub shares: Arc<dyn ShareProofs>,
}

/// What a validator has at stake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct ValidatorBond {
    /// Zero once it is forfeited.
    pub amount: Amount,
    /// The height at which it was.
    pub forfeited: Option<Height>,
}

impl Value for ValidatorBond {
    fn money(&self) -> u128 {
        self.amount.0.into()
    }
}

impl Ledger {
    /// A validator's bond; `None` for a stranger.
    pub fn validator_bond(&self, validator: ValidatorIndex) -> Option<ValidatorBond> {
        self.state.validators.get(&validator).copied()
    }

    /// Takes the whole bond of a validator that is proven to have broken a rule: a
    /// part to the first who reports it, the rest to the insurance pool. Whatever else is reported
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
        if standing.is_some_and(|bond| bond.forfeited.is_some()) {
            return Err(OpError::BondForfeited);
        }
        let verifier = conclave_light::Verifier {
            chain: votes.chain,
            committee: &votes.committee,
            signatures: &*votes.signatures,
        };
        if conclave_light::verify_misbehaviour(&verifier, &*votes.shares, evidence).is_err() {
            // Checking evidence costs every validator more than the fee of an envelope pays for.
            self.surcharge(context, reporter);
            return Err(OpError::EvidenceInvalid);
        }
        let forfeited = self.forfeit(context.height, validator);
        let forfeited = forfeited.ok_or(OpError::EvidenceInvalid)?;
        let to_reporter = share(forfeited, self.state.parameters.reporter_percent);
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

    /// Takes a validator's bond; `None` for a stranger, or when it was taken before.
    fn forfeit(&mut self, height: Height, validator: ValidatorIndex) -> Option<Amount> {
        let bond = self.state.validators.get_mut(&validator)?;
        if bond.forfeited.is_some() {
            return None;
        }
        bond.forfeited = Some(height);
        Some(std::mem::replace(&mut bond.amount, Amount::ZERO))
    }
}
