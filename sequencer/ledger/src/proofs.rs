//! Proofs: recorded once, settled when the policy is met, and paid.

use std::collections::BTreeMap;

use conclave_market::{
    Auction, Award, ContentSource, ContentsDigest, OrderedTransaction, Phase, ProofRejected,
    RecordedProof, Settlement, Stage, SubmitError, Verifier, check_proof, check_shape, may_submit,
    split_payment,
};
use conclave_types::{
    AccountId, Amount, AuctionId, ProofPolicy, ProofSubmission, Settled, StateRoot, Statement,
};

use crate::broken::Broken;
use crate::error::{ExecuteError, OpError};
use crate::events::LedgerEvent;
use crate::execute::Context;
use crate::ledger::Ledger;
use crate::money::{minus, plus};

/// The contents of every range that a proof in the block is for.
pub(crate) type Contents = BTreeMap<AuctionId, Vec<OrderedTransaction>>;

impl Ledger {
    /// Loads the contents that this submission would be verified against, and compares them with
    /// the intent's commitment.
    ///
    /// A range may be megabytes, so they are loaded only for an author whose turn it is before the
    /// block: otherwise a handful of cheap submissions could name every range there is.
    pub(crate) fn load_contents(
        &self,
        author: AccountId,
        submission: &ProofSubmission,
        source: &dyn ContentSource,
        contents: &mut Contents,
    ) -> Result<(), ExecuteError> {
        let id = submission.auction;
        let admitted = match self.admit_proof(author, submission) {
            // The predecessor may be settled earlier in the same block.
            Ok(_) | Err(SubmitError::PredecessorUnsettled) => true,
            Err(_) => false,
        };
        let Some(auction) = self.state.auctions.get(&id).filter(|_| admitted) else {
            return Ok(());
        };
        if contents.contains_key(&id) {
            return Ok(());
        }
        let range = auction.intent.range;
        let transactions = source
            .transactions(&range)
            .ok_or(ExecuteError::MissingContents { range })?;
        let commitment = transactions
            .iter()
            .fold(ContentsDigest::EMPTY, |digest, transaction| {
                digest.with(transaction.height, &transaction.bytes)
            });
        let exact = transactions.len() as u64 == range.count();
        if !exact || commitment.0 != auction.intent.contents {
            return Err(ExecuteError::CorruptContents { range });
        }
        contents.insert(id, transactions);
        Ok(())
    }

    /// Takes a proof from its maker.
    pub(crate) fn submit_proof(
        &mut self,
        context: &mut Context,
        author: AccountId,
        submission: &ProofSubmission,
        verifier: &dyn Verifier,
    ) -> Result<(), OpError> {
        let id = submission.auction;
        let (old_root, deposit) = self
            .admit_proof(author, submission)
            .map_err(OpError::Submit)?;
        let Some(auction) = self.state.auctions.get(&id).cloned() else {
            return Err(OpError::Submit(SubmitError::UnknownAuction));
        };
        let statement = Statement {
            chain: self.state.parameters.chain,
            program: auction.intent.program,
            prover: author,
            range: auction.intent.range,
            old_root,
            new_root: submission.new_root,
        };
        let Some(contents) = context.contents.get(&id) else {
            return Err(OpError::Submit(SubmitError::TooEarly));
        };
        let checked = check_proof(verifier, &statement, submission, contents);
        if let Err(rejected) = checked
            && !self.broken.off(Broken::Proofs)
        {
            return Err(self.reject_proof(context, author, id, deposit, rejected));
        }
        context.events.push(LedgerEvent::ProofAccepted {
            auction: id,
            system: submission.system,
            prover: author,
            new_root: submission.new_root,
        });
        self.record_proof(context, auction, author, submission);
        Ok(())
    }

    /// Everything that is decided before the proof is looked at: the root it must start from, and
    /// the deposit it puts at stake.
    fn admit_proof(
        &self,
        author: AccountId,
        submission: &ProofSubmission,
    ) -> Result<(StateRoot, Amount), SubmitError> {
        let auction = self
            .state
            .auctions
            .get(&submission.auction)
            .ok_or(SubmitError::UnknownAuction)?;
        let needs_deposit = may_submit(auction, author)?;
        if self.state.frozen.contains(&auction.intent.program) {
            return Err(SubmitError::Frozen);
        }
        let (systems, _) = self.policy(auction);
        if !systems.contains(&submission.system) {
            return Err(SubmitError::WrongSystem);
        }
        check_shape(submission, &auction.intent.range)?;
        let old_root = self.start_root(auction, submission)?;
        let deposit = match needs_deposit {
            true => self.state.parameters.market.open_deposit,
            false => Amount::ZERO,
        };
        if self.state.balance(&author) < deposit {
            return Err(SubmitError::Deposit);
        }
        Ok((old_root, deposit))
    }

    /// The root that the range starts from, if a proof with this result says anything new.
    fn start_root(
        &self,
        auction: &Auction,
        submission: &ProofSubmission,
    ) -> Result<StateRoot, SubmitError> {
        match &auction.phase {
            Phase::Settled(settlement) if settlement.new_root == submission.new_root => {
                Err(SubmitError::AlreadyProven)
            }
            Phase::Settled(settlement) => Ok(settlement.old_root),
            Phase::Awarded(award) => {
                let known = award.proofs.iter().any(|proof| {
                    proof.system == submission.system && proof.new_root == submission.new_root
                });
                let settled = self.state.settled.get(&auction.rollup());
                match settled.filter(|settled| settled.next == auction.intent.range.from) {
                    None => Err(SubmitError::PredecessorUnsettled),
                    Some(_) if known => Err(SubmitError::AlreadyProven),
                    Some(settled) => Ok(settled.root),
                }
            }
            _ => Err(SubmitError::NotAwarded),
        }
    }

    /// An invalid proof costs every validator its verification. In an open or settled job it costs
    /// its author the deposit; whoever's turn it is loses the turn as at a missed deadline, since
    /// otherwise the winner could keep the validators verifying until its deadline for nothing.
    fn reject_proof(
        &mut self,
        context: &mut Context,
        author: AccountId,
        id: AuctionId,
        deposit: Amount,
        rejected: ProofRejected,
    ) -> OpError {
        assert!(self.state.debit(author, deposit), "the deposit was checked");
        self.state.insure(deposit);
        context.events.push(LedgerEvent::ProofRejected {
            auction: id,
            prover: author,
            code: rejected.code.to_owned(),
            reason: rejected.reason,
        });
        let auction = self.state.auctions.get(&id);
        if auction.is_some_and(|auction| may_submit(auction, author) == Ok(false)) {
            self.end_turn(context, id);
        }
        OpError::ProofInvalid
    }

    /// Records a valid proof. A different result than another valid proof's freezes the program;
    /// enough equal ones settle the range.
    fn record_proof(
        &mut self,
        context: &mut Context,
        mut auction: Auction,
        author: AccountId,
        submission: &ProofSubmission,
    ) {
        let program = auction.intent.program;
        let (_, required) = self.policy(&auction);
        let id = auction.id;
        let Some(award) = auction.award_mut() else {
            // The range is settled with another result.
            self.freeze(context, id, program);
            return;
        };
        let conflict = award
            .proofs
            .iter()
            .any(|proof| proof.new_root != submission.new_root);
        award.proofs.push(RecordedProof {
            system: submission.system,
            prover: author,
            new_root: submission.new_root,
            height: context.height,
            late: award.stage == Stage::Open,
        });
        let complete = award.proofs.len() >= usize::from(required);
        if !conflict && complete {
            let award = award.clone();
            self.settle(context, auction, &award, submission.new_root);
            return;
        }
        self.state.auctions.insert(id, auction);
        if conflict {
            self.freeze(context, id, program);
        }
    }

    /// Moves the settled root, pays, frees the winner's bond, and starts the successor's deadline.
    fn settle(
        &mut self,
        context: &mut Context,
        mut auction: Auction,
        award: &Award,
        new_root: StateRoot,
    ) {
        let (id, range) = (auction.id, auction.intent.range);
        let market = &self.state.parameters.market;
        let payments = split_payment(award, auction.intent.reference, market);
        let settled = Settled {
            root: new_root,
            next: range.to,
            height: range.to_height,
        };
        let before = self.state.settled.get(&range.rollup).copied();
        assert!(
            before.is_some_and(|before| before.next == range.from),
            "a range settles right after its predecessor"
        );
        self.state.settled.insert(range.rollup, settled);
        context.events.push(LedgerEvent::RangeSettled {
            auction: id,
            range,
            new_root,
        });

        self.agenda.untrack(&auction);
        let mut paid = Amount::ZERO;
        for payment in &payments {
            self.state.credit(payment.prover, payment.amount);
            if !self.broken.off(Broken::Conservation) {
                paid = plus(paid, payment.amount);
            }
            context.events.push(LedgerEvent::Paid {
                auction: id,
                payment: *payment,
            });
        }
        self.return_escrow(&auction, award, paid);
        self.free_winner(award);

        auction.phase = Phase::Settled(Settlement {
            height: context.height,
            time: context.time,
            old_root: before.map_or(new_root, |before| before.root),
            new_root,
            proofs: award.proofs.clone(),
            payments,
        });
        self.store(auction);
        let mut next = None;
        if let Some(rollup) = self.state.rollups.get_mut(&range.rollup) {
            rollup.outstanding.retain(|other| *other != id);
            next = rollup.outstanding.first().copied();
        }
        if let Some(next) = next {
            self.start_deadline(context, next);
        }
    }

    /// Delivery is paid from the rollup's price first; what is left of it goes back to the rollup,
    /// what is left of the slashed bond's part to the pool.
    fn return_escrow(&mut self, auction: &Auction, award: &Award, paid: Amount) {
        let price = minus(award.escrow, award.premium);
        let from_price = paid.min(price);
        let from_premium = minus(paid, from_price);
        self.credit_rollup(auction.rollup(), minus(price, from_price));
        self.state.insure(minus(award.premium, from_premium));
    }

    fn policy(&self, auction: &Auction) -> (&[conclave_types::ProofSystem], u8) {
        let rollup = self.state.rollups.get(&auction.rollup());
        match rollup.map(|rollup| &rollup.config.policy) {
            Some(ProofPolicy::Any { systems, required }) => (systems, *required),
            _ => (&[], 1),
        }
    }
}
