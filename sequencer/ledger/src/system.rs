//! System operations: accounts, rollups, provers and bonds; those of validators are next door.

use conclave_market::{BondError, Prover, Timer, Verifier};
use conclave_types::{
    AccountId, Amount, ProofPolicy, RollupConfig, RollupId, Settled, Stream, SystemOp, TxIndex,
    codec, limits,
};

use crate::agenda::Due;
use crate::error::OpError;
use crate::events::LedgerEvent;
use crate::execute::Context;
use crate::fees::FeeChange;
use crate::ledger::Ledger;
use crate::misbehaviour::VoteKeys;
use crate::money::plus;
use crate::rollup::{Change, ConfigField, PendingChange, Rollup, check_config};

/// The operation that a plaintext or plain body of the system rollup holds.
pub(crate) fn decode_operation(bytes: &[u8]) -> Result<SystemOp, OpError> {
    codec::decode(bytes, limits::PLAIN_BODY_BYTES_MAX).map_err(|_| OpError::Undecodable)
}

impl Ledger {
    /// Carries out one operation of `author`, or changes nothing.
    pub(crate) fn operate(
        &mut self,
        context: &mut Context,
        author: AccountId,
        plain: bool,
        operation: SystemOp,
        verifier: &dyn Verifier,
        votes: &VoteKeys,
    ) -> Result<(), OpError> {
        match operation {
            SystemOp::Transfer { to, amount } => {
                self.pay(author, amount)?;
                self.state.credit(to, amount);
                Ok(())
            }
            SystemOp::DepositFees { account, amount } => {
                self.pay(author, amount)?;
                let deposit = FeeChange::Deposit { account, amount };
                context.fee_changes.push(deposit);
                Ok(())
            }
            SystemOp::WithdrawFees {
                amount: Amount::ZERO,
            } => Err(OpError::Zero),
            SystemOp::WithdrawFees { amount } => {
                let account = author;
                let withdraw = FeeChange::Withdraw { account, amount };
                context.fee_changes.push(withdraw);
                Ok(())
            }
            SystemOp::RegisterRollup { rollup, config } => {
                self.register_rollup(context, rollup, config, verifier)
            }
            SystemOp::UpdateRollup { rollup, config } => {
                self.check_update(author, rollup, &config, verifier)?;
                self.schedule(context, rollup, Change::Update(config));
                Ok(())
            }
            SystemOp::LeaveRollup { rollup } => {
                self.owned(author, rollup)?;
                self.schedule(context, rollup, Change::Leave);
                Ok(())
            }
            SystemOp::FundRollup { rollup, amount } => {
                self.active(rollup)?;
                self.pay(author, amount)?;
                self.credit_rollup(rollup, amount);
                Ok(())
            }
            SystemOp::RegisterProver { slots } => {
                let prover = self
                    .state
                    .provers
                    .get_or_insert(author, || Prover::new(slots));
                prover.slots = slots;
                Ok(())
            }
            SystemOp::PostBond { amount } => self.post_bond(author, amount),
            SystemOp::WithdrawBond { amount } => {
                self.own_prover(author)?
                    .withdraw(amount)
                    .map_err(bond_error)?;
                self.state.credit(author, amount);
                Ok(())
            }
            SystemOp::Rearm => {
                self.own_prover(author)?.armed = true;
                Ok(())
            }
            SystemOp::Bid(_) => Err(OpError::BidNotSealed),
            SystemOp::SubmitProof(_) if !plain => Err(OpError::ProofNotPlain),
            SystemOp::SubmitProof(submission) => {
                self.submit_proof(context, author, &submission, verifier)
            }
            SystemOp::ReportMisbehaviour(evidence) => {
                self.report_misbehaviour(context, author, &evidence, votes)
            }
            SystemOp::RegisterValidator(info) => {
                self.register_validator(context, author, info, votes)
            }
            SystemOp::UpdateValidator(update) => {
                self.update_validator(context, author, update, votes)
            }
            SystemOp::LeaveValidator { validator } => {
                self.leave_validator(context, author, validator)
            }
            SystemOp::KeyGeneration(post) => self.post_key_generation(author, *post),
        }
    }

    /// Applies a rollup's change whose delay is over.
    pub(crate) fn apply_change(&mut self, context: &mut Context, id: RollupId) {
        let Some(rollup) = self.state.rollups.get_mut(&id) else {
            return;
        };
        let Some(pending) = rollup.pending.take() else {
            return;
        };
        self.agenda.stop(pending.at, Due::Change(id));
        match pending.change {
            // The program was frozen while the change waited.
            Change::Update(config) if self.state.frozen.contains(&config.program) => {}
            Change::Update(config) => {
                rollup.config = config;
                context
                    .events
                    .push(LedgerEvent::RollupUpdated { rollup: id });
            }
            Change::Leave => self.leave(context, id),
        }
    }

    /// Takes a positive amount from the author's balance.
    fn pay(&mut self, author: AccountId, amount: Amount) -> Result<(), OpError> {
        if amount == Amount::ZERO {
            return Err(OpError::Zero);
        }
        match self.state.debit(author, amount) {
            true => Ok(()),
            false => Err(OpError::Balance {
                balance: self.state.balance(&author),
                wanted: amount,
            }),
        }
    }

    fn register_rollup(
        &mut self,
        context: &mut Context,
        id: RollupId,
        config: RollupConfig,
        verifier: &dyn Verifier,
    ) -> Result<(), OpError> {
        if id == RollupId::SYSTEM || self.state.rollups.contains(&id) {
            return Err(OpError::RollupTaken);
        }
        check_config(&config)?;
        self.check_program(&config, verifier)?;
        let settled = Settled {
            root: config.genesis_root,
            next: TxIndex(0),
            height: context.height,
        };
        let rollup = Rollup {
            config,
            registered: context.height,
            left: None,
            fund: Amount::ZERO,
            outstanding: Vec::new(),
            pending: None,
        };
        self.state.rollups.insert(id, rollup);
        self.state.settled.insert(id, settled);
        let stream = Stream {
            registered: context.height,
            ..Stream::default()
        };
        self.state.streams.insert(id, stream);
        context
            .events
            .push(LedgerEvent::RollupRegistered { rollup: id });
        Ok(())
    }

    fn check_update(
        &self,
        author: AccountId,
        id: RollupId,
        config: &RollupConfig,
        verifier: &dyn Verifier,
    ) -> Result<(), OpError> {
        let rollup = self.owned(author, id)?;
        check_config(config)?;
        let proven = matches!(config.policy, ProofPolicy::Any { .. });
        if proven != rollup.is_proven() || config.genesis_root != rollup.config.genesis_root {
            return Err(OpError::Config {
                field: ConfigField::Fixed,
            });
        }
        self.check_program(config, verifier)
    }

    fn check_program(&self, config: &RollupConfig, verifier: &dyn Verifier) -> Result<(), OpError> {
        let provable =
            verifier.knows(&config.program) && !self.state.frozen.contains(&config.program);
        match config.policy {
            ProofPolicy::Any { .. } if !provable => Err(OpError::Config {
                field: ConfigField::Program,
            }),
            _ => Ok(()),
        }
    }

    /// A later change replaces one that still waits, and starts the delay again.
    fn schedule(&mut self, context: &Context, id: RollupId, change: Change) {
        let delay_ms = self.state.parameters.market.config_delay_ms;
        let at = Timer::after(context.height, context.time, delay_ms);
        let Some(rollup) = self.state.rollups.get_mut(&id) else {
            return;
        };
        if let Some(replaced) = rollup.pending.replace(PendingChange { at, change }) {
            self.agenda.stop(replaced.at, Due::Change(id));
        }
        self.agenda.start(at, Due::Change(id));
    }

    /// Ends a rollup. Awarded ranges that follow on from the settled one may still be proven and
    /// paid; everything else is cancelled, and what the fund holds goes to the owner.
    fn leave(&mut self, context: &mut Context, id: RollupId) {
        let mut next = self.state.settled.get(&id).map(|settled| settled.next);
        for auction in self.outstanding(id) {
            let awarded = self.state.auctions.get(&auction);
            let range = awarded
                .filter(|auction| auction.award().is_some())
                .map(|auction| auction.intent.range);
            match range {
                Some(range) if Some(range.from) == next => next = Some(range.to),
                _ => self.cancel(context, auction),
            }
        }
        let all = (id, TxIndex(0))..=(id, TxIndex(u64::MAX));
        let chunks: Vec<_> = self.state.backlog.range(all).map(|(key, _)| *key).collect();
        for key in chunks {
            self.state.backlog.remove(&key);
        }
        if let Some(rollup) = self.state.rollups.get_mut(&id) {
            rollup.left = Some(context.height);
            let fund = std::mem::take(&mut rollup.fund);
            self.credit_rollup(id, fund);
        }
        context.events.push(LedgerEvent::RollupLeft { rollup: id });
    }

    fn post_bond(&mut self, author: AccountId, amount: Amount) -> Result<(), OpError> {
        let mut prover = self.own_prover(author)?.clone();
        prover.post(amount).map_err(bond_error)?;
        self.pay(author, amount)?;
        self.state.provers.insert(author, prover);
        Ok(())
    }

    fn own_prover(&mut self, author: AccountId) -> Result<&mut Prover, OpError> {
        self.state
            .provers
            .get_mut(&author)
            .ok_or(OpError::NotAProver)
    }

    fn active(&self, id: RollupId) -> Result<&Rollup, OpError> {
        let rollup = self.state.rollups.get(&id);
        rollup
            .filter(|rollup| rollup.is_active())
            .ok_or(OpError::UnknownRollup)
    }

    fn owned(&self, author: AccountId, id: RollupId) -> Result<&Rollup, OpError> {
        let rollup = self.active(id)?;
        match rollup.config.owner == author {
            true => Ok(rollup),
            false => Err(OpError::NotOwner),
        }
    }

    /// Charges for a malformed seal as soon as a header covers this block.
    pub(crate) fn surcharge(&self, context: &mut Context, account: AccountId) {
        let amount = self.state.fees.parameters.malformed_surcharge;
        let surcharge = FeeChange::Surcharge { account, amount };
        context.fee_changes.push(surcharge);
    }

    /// Shares out an envelope's fee: to the rollup, of the rest to the proposer, and what remains
    /// to the author of the batch.
    pub(crate) fn distribute(
        &mut self,
        rollup: RollupId,
        fee: Amount,
        proposer: conclave_types::ValidatorIndex,
        batcher: conclave_types::ValidatorIndex,
    ) {
        let percent = self
            .active(rollup)
            .map_or(0, |r| r.config.fee_share_percent);
        let to_rollup = crate::money::share(fee, percent);
        let rest = crate::money::minus(fee, to_rollup);
        let proposer_percent = self.state.fees.parameters.proposer_percent.min(100);
        let to_proposer = crate::money::share(rest, proposer_percent);
        let to_batcher = crate::money::minus(rest, to_proposer);
        if to_rollup > Amount::ZERO {
            self.credit_rollup(rollup, to_rollup);
        }
        self.credit_validator(proposer, to_proposer);
        self.credit_validator(batcher, to_batcher);
    }

    fn credit_validator(&mut self, index: conclave_types::ValidatorIndex, amount: Amount) {
        let committee = &self.state.setup().validators;
        match committee.get(usize::from(index.0)).map(|m| m.account) {
            Some(account) => self.state.credit(account, amount),
            None => self.state.meta.insurance = plus(self.state.meta.insurance, amount),
        }
    }
}

fn bond_error(error: BondError) -> OpError {
    match error {
        BondError::NotFree { free, .. } => OpError::Bond { free },
        BondError::Overflow => OpError::Bond {
            free: Amount(u64::MAX),
        },
    }
}
