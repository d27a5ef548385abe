//! The registry of validators: who is in which slot, what it has at stake, and what it asks for.

use bincode::{Decode, Encode};
use conclave_crypto::ed;
use conclave_types::{
    AccountId, Amount, BlsPublicKey, BlsSignature, Epoch, Height, ValidatorIndex, ValidatorInfo,
    ValidatorUpdate, limits,
};
use serde::Serialize;

use crate::broken::Broken;
use crate::error::OpError;
use crate::events::LedgerEvent;
use crate::execute::Context;
use crate::ledger::Ledger;
use crate::misbehaviour::VoteKeys;
use crate::money::{minus, plus};
use crate::table::Value;

/// What a validator has at stake.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct ValidatorBond {
    /// Zero once it is forfeited.
    pub amount: Amount,
    /// The height at which it was.
    pub forfeited: Option<Height>,
}

/// Whether a slot is somebody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It votes, or waits for a member set that takes it.
    Serving,
    /// It asked to leave, or lost its bond. The slot stays its own while it can be held to account.
    Leaving,
    /// The next who registers takes the slot.
    Vacant,
}

/// One slot of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ValidatorRecord {
    /// As the validator wants to be from the next epoch that takes it: who it is at present is in
    /// the epoch's setup. Its weight is 0 once it leaves or lost its bond. A vacant slot keeps who
    /// was there last, so that every committee has real keys in every slot.
    pub info: ValidatorInfo,
    pub standing: Standing,
    pub bond: ValidatorBond,
    /// Orders the wishes for another weight: lower ones are taken first.
    pub request: u64,
    /// More weight than now is taken in from this epoch on: the wish fell short in a key generation.
    pub not_before: Epoch,
}

/// What is wrong with a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ValidatorField {
    /// 0, or more than the largest committee.
    Weight,
    /// Empty or too long.
    Name,
    /// Malformed, or without a proof of possession.
    BlsKey,
    /// No point of the curve, or one of small order.
    TransportKey,
    /// Empty or too long.
    Address,
    /// Too long.
    Api,
    /// The name or a key is, or recently was, another validator's.
    Taken,
}

impl Value for ValidatorRecord {
    fn money(&self) -> u128 {
        self.bond.amount.0.into()
    }
}

impl Ledger {
    /// A validator's bond; `None` for a slot that never was anybody's.
    pub fn validator_bond(&self, validator: ValidatorIndex) -> Option<ValidatorBond> {
        let record = self.state.validators.get(&validator);
        record.map(|record| record.bond)
    }

    /// One slot of the registry.
    pub fn validator(&self, validator: ValidatorIndex) -> Option<&ValidatorRecord> {
        self.state.validators.get(&validator)
    }

    /// All slots, ascending.
    pub fn validators(&self) -> impl Iterator<Item = (ValidatorIndex, &ValidatorRecord)> {
        let all = self.state.validators.iter();
        all.map(|(validator, record)| (*validator, record))
    }

    /// The account that speaks for a validator: its operator's.
    pub(crate) fn operated(
        &self,
        author: AccountId,
        validator: ValidatorIndex,
    ) -> Result<&ValidatorRecord, OpError> {
        let record = self.state.validators.get(&validator);
        record
            .filter(|record| record.info.account == author)
            .filter(|record| record.standing == Standing::Serving)
            .ok_or(OpError::NotOperator)
    }

    pub(crate) fn register_validator(
        &mut self,
        context: &mut Context,
        author: AccountId,
        info: ValidatorInfo,
        votes: &VoteKeys,
    ) -> Result<(), OpError> {
        if info.account != author {
            return Err(OpError::NotOperator);
        }
        let slot = self.free_slot(&info).ok_or(OpError::ValidatorsFull)?;
        self.check_info(slot, &info, votes)?;
        let record = ValidatorRecord {
            standing: Standing::Serving,
            bond: ValidatorBond::default(),
            request: self.next_request(),
            not_before: self.state.meta.epoch,
            info,
        };
        self.lock(author, slot, record)?;
        let validator = slot;
        let event = LedgerEvent::ValidatorRegistered { validator };
        context.events.push(event);
        Ok(())
    }

    pub(crate) fn update_validator(
        &mut self,
        context: &mut Context,
        author: AccountId,
        update: ValidatorUpdate,
        votes: &VoteKeys,
    ) -> Result<(), OpError> {
        let validator = update.validator;
        let mut record = self.operated(author, validator)?.clone();
        let info = &mut record.info;
        let reweighed = update.weight.is_some_and(|weight| weight != info.weight);
        info.weight = update.weight.unwrap_or(info.weight);
        if let Some((key, possession)) = update.bls {
            (info.bls_key, info.bls_possession) = (key, possession);
        }
        info.transport_key = update.transport_key.unwrap_or(info.transport_key);
        info.address = update.address.unwrap_or_else(|| info.address.clone());
        info.api = update.api.unwrap_or_else(|| info.api.clone());
        self.check_info(validator, &record.info, votes)?;
        if reweighed {
            record.request = self.next_request();
        }
        self.lock(author, validator, record)?;
        let event = LedgerEvent::ValidatorUpdated { validator };
        context.events.push(event);
        Ok(())
    }

    pub(crate) fn leave_validator(
        &mut self,
        context: &mut Context,
        author: AccountId,
        validator: ValidatorIndex,
    ) -> Result<(), OpError> {
        self.operated(author, validator)?;
        let request = self.next_request();
        if let Some(record) = self.state.validators.get_mut(&validator) {
            record.info.weight = 0;
            record.standing = Standing::Leaving;
            record.request = request;
        }
        let event = LedgerEvent::ValidatorLeaving { validator };
        context.events.push(event);
        // Whoever never voted has nothing to answer for.
        self.settle_bond(context, validator);
        Ok(())
    }

    /// Takes a validator's bond; `None` for a stranger, or when it was taken before. It leaves the
    /// committee ahead of all who asked to.
    pub(crate) fn forfeit(&mut self, height: Height, validator: ValidatorIndex) -> Option<Amount> {
        let record = self.state.validators.get_mut(&validator)?;
        let spared = record.standing == Standing::Vacant || self.broken.off(Broken::Forfeit);
        if record.bond.forfeited.is_some() || spared {
            return None;
        }
        record.info.weight = 0;
        record.standing = Standing::Leaving;
        record.bond.forfeited = Some(height);
        Some(std::mem::replace(&mut record.bond.amount, Amount::ZERO))
    }

    /// Gives back what every validator has locked beyond what it answers for.
    pub(crate) fn settle_bonds(&mut self, context: &mut Context) {
        let slots: Vec<ValidatorIndex> = self.validators().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.settle_bond(context, slot);
        }
    }

    fn settle_bond(&mut self, context: &mut Context, validator: ValidatorIndex) {
        let weight = self.answerable(validator);
        let bond = self.state.parameters.consensus.bond(weight);
        let Some(record) = self.state.validators.get_mut(&validator) else {
            return;
        };
        if weight == 0 {
            record.standing = Standing::Vacant;
        }
        // Less than the present bond was locked if it was cut at genesis, or is forfeited.
        let bond = bond.unwrap_or(record.bond.amount).min(record.bond.amount);
        let released = minus(record.bond.amount, bond);
        record.bond.amount = bond;
        let account = record.info.account;
        self.state.credit(account, released);
        if released > Amount::ZERO {
            context.events.push(LedgerEvent::BondReleased {
                validator,
                account,
                amount: released,
            });
        }
    }

    /// The highest weight that a validator answers for: which it asks for, may get from the running
    /// key generation, or has in an epoch whose committee can still be accused.
    fn answerable(&self, validator: ValidatorIndex) -> u16 {
        let slot = usize::from(validator.0);
        let kept = self.state.setups.iter();
        let kept = kept.map(|(_, setup)| setup.validators.get(slot).map_or(0, |v| v.weight));
        let record = self.state.validators.get(&validator);
        let wanted = record.map_or(0, |record| record.info.weight);
        let candidate = self.state.candidates.get(&validator);
        let candidate = candidate.filter(|_| self.is_generating());
        let candidate = candidate.map_or(0, |candidate| candidate.info.weight);
        kept.fold(wanted.max(candidate), u16::max)
    }

    /// Puts a record into its slot with the bond that it then needs, or changes nothing.
    fn lock(
        &mut self,
        author: AccountId,
        slot: ValidatorIndex,
        mut record: ValidatorRecord,
    ) -> Result<(), OpError> {
        let weight = record.info.weight.max(self.answerable(slot));
        let needed = self.state.parameters.consensus.bond(weight);
        let needed = needed.unwrap_or(Amount(u64::MAX));
        let wanted = needed.checked_sub(record.bond.amount);
        let wanted = wanted.unwrap_or(Amount::ZERO);
        if !self.state.debit(author, wanted) {
            return Err(OpError::Balance {
                balance: self.state.balance(&author),
                wanted,
            });
        }
        record.bond.amount = plus(record.bond.amount, wanted);
        self.state.validators.insert(slot, record);
        Ok(())
    }

    /// Where a newcomer goes: back to a vacant slot that its keys were in, or the lowest vacant one,
    /// or a new one.
    fn free_slot(&self, info: &ValidatorInfo) -> Option<ValidatorIndex> {
        let vacant = || {
            self.validators()
                .filter(|(_, record)| record.standing == Standing::Vacant)
        };
        let own = vacant().find(|(_, record)| shares_key(&record.info, info));
        let slots = self.validators().count();
        let new = (slots < limits::VALIDATORS_MAX).then_some(ValidatorIndex(slots as u16));
        let slot = own.or_else(|| vacant().next()).map(|(slot, _)| slot);
        slot.or(new)
    }

    fn check_info(
        &self,
        slot: ValidatorIndex,
        info: &ValidatorInfo,
        votes: &VoteKeys,
    ) -> Result<(), OpError> {
        let refuse = |field| Err(OpError::Validator { field });
        if info.weight == 0 || usize::from(info.weight) > limits::VALIDATORS_MAX {
            return refuse(ValidatorField::Weight);
        }
        if info.name.is_empty() || info.name.len() > limits::NAME_BYTES_MAX {
            return refuse(ValidatorField::Name);
        }
        if info.address.is_empty() || info.address.len() > limits::ADDRESS_BYTES_MAX {
            return refuse(ValidatorField::Address);
        }
        if info.api.len() > limits::ADDRESS_BYTES_MAX {
            return refuse(ValidatorField::Api);
        }
        if self.is_taken(slot, info) {
            return refuse(ValidatorField::Taken);
        }
        if !ed::is_key(&info.transport_key.0) {
            return refuse(ValidatorField::TransportKey);
        }
        // Two pairings, so last; a key that was checked before is not checked again.
        let known = self.state.validators.get(&slot);
        let known = known.is_some_and(|known| bls(&known.info) == bls(info));
        match known || votes.committees.is_possessed(info) {
            true => Ok(()),
            false => refuse(ValidatorField::BlsKey),
        }
    }

    /// Whether the name or a key belongs to another slot: now, in a committee that is kept, or in
    /// one that is being made.
    fn is_taken(&self, slot: ValidatorIndex, info: &ValidatorInfo) -> bool {
        let others = |(other, member): (ValidatorIndex, &ValidatorInfo)| {
            other != slot && shares_key(member, info)
        };
        let named = |(other, record): (ValidatorIndex, &ValidatorRecord)| {
            let serves = record.standing != Standing::Vacant;
            other != slot && serves && record.info.name == info.name
        };
        let registered = self.validators().map(|(slot, record)| (slot, &record.info));
        let candidates = self.state.candidates.iter();
        let candidates = candidates.map(|(slot, candidate)| (*slot, &candidate.info));
        let kept = self.state.setups.iter().flat_map(|(_, setup)| {
            let slots = (0..).map(ValidatorIndex);
            slots.zip(&setup.validators)
        });
        self.validators().any(named) || registered.chain(candidates).chain(kept).any(others)
    }

    fn next_request(&mut self) -> u64 {
        let request = self.state.meta.next_request;
        self.state.meta.next_request = request + 1;
        request
    }
}

fn shares_key(one: &ValidatorInfo, other: &ValidatorInfo) -> bool {
    one.bls_key == other.bls_key || one.transport_key == other.transport_key
}

fn bls(info: &ValidatorInfo) -> (BlsPublicKey, BlsSignature) {
    (info.bls_key, info.bls_possession)
}
