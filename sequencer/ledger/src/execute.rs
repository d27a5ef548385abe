//! Executing a block: one numbered story.

use std::collections::BTreeMap;

use conclave_market::{ContentSource, Verifier};
use conclave_types::{
    AuctionId, BlockTime, EnvelopeHeader, EnvelopeId, Height, ReleaseRule, RollupId, SystemOp,
    ValidatorIndex,
};

use crate::agenda::{Due, Proposers};
use crate::block::{ClosedBid, Content, Entry, ExecutableBlock, Executed, Outcome};
use crate::broken::Broken;
use crate::delivery::Deliveries;
use crate::error::{ExecuteError, OpError};
use crate::events::LedgerEvent;
use crate::fees::{Disposition, FeeChange, OrderedEnvelope};
use crate::ledger::Ledger;
use crate::misbehaviour::VoteKeys;
use crate::proofs::Contents;
use crate::system::decode_operation;

/// What the parts of one execution share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) height: Height,
    pub(crate) time: BlockTime,
    pub(crate) contents: Contents,
    /// The openings of the closing auctions' bids.
    pub(crate) bids: BTreeMap<EnvelopeId, Content>,
    pub(crate) events: Vec<LedgerEvent>,
    pub(crate) fee_changes: Vec<FeeChange>,
}

impl Ledger {
    /// The auctions that close in a block of this time, height and proposer on top of what is
    /// executed, in the order in which they clear. Their held bids must be opened for it.
    pub fn closing(
        &self,
        time: BlockTime,
        height: Height,
        proposer: ValidatorIndex,
    ) -> Vec<AuctionId> {
        assert_eq!(height, self.state.meta.height.next(), "not the next block");
        let closing = self.due(time, proposer).into_iter();
        closing
            .filter_map(|due| match due {
                Due::Close(id) => Some(id),
                Due::Deadline(_) | Due::Change(_) => None,
            })
            .collect()
    }

    /// The held bids of an auction, in the order they came.
    pub fn held_bids(&self, auction: AuctionId) -> Vec<&EnvelopeHeader> {
        let held = self.state.bids.range((auction, 0)..=(auction, u32::MAX));
        held.map(|(_, header)| header).collect()
    }

    /// The earliest block time at which a timer or an intent by age may be due; a leader need not
    /// wait for payload then.
    pub fn next_due(&self) -> Option<BlockTime> {
        let timers = self.agenda.next().into_iter();
        timers.chain(self.next_intent_by_age()).min()
    }

    /// Executes the next block. On an error nothing has changed, and the same block can be
    /// executed once what is missing is there.
    pub fn execute(
        &mut self,
        mut block: ExecutableBlock,
        source: &dyn ContentSource,
        verifier: &dyn Verifier,
        votes: &VoteKeys,
    ) -> Result<Executed, ExecuteError> {
        assert_eq!(block.height, self.state.meta.height.next(), "out of order");
        assert!(block.time > self.state.meta.time, "block time went back");
        assert!(block.ledger_height < block.height, "a root from the future");

        // 0. What execution needs is here. What is due was asked for before the block was executed, by
        // the committee of the block before.
        let due = self.due(block.time, block.proposer);
        let mut operations = decode_operations(&block.entries);
        let bids = std::mem::take(&mut block.bids);
        let mut context = self.prepare(&block, bids, &due, &operations, source)?;

        self.enter_epoch(&mut context, &block);

        // 1. Fees, from headers only.
        let dispositions = self.order(&block);

        // 2. Closings, missed deadlines, delayed changes.
        self.state.proposers.insert(block.proposer, block.height);
        for due in due {
            match due {
                Due::Close(id) => self.close_auction(&mut context, id),
                Due::Deadline(id) => self.miss_deadline(&mut context, id),
                Due::Change(id) => self.apply_change(&mut context, id),
            }
        }

        // 3. Fees are shared out; those of inconsistent batches go back, and their authors pay.
        for (entry, disposition) in block.entries.iter().zip(&dispositions) {
            let core = &entry.header.core;
            match (disposition.fee(), &entry.content) {
                (Some(fee), Content::Inconsistent) => {
                    let refund = FeeChange::Deposit {
                        account: core.payer,
                        amount: fee,
                    };
                    context.fee_changes.push(refund);
                }
                (Some(fee), _) => self.distribute(core.rollup, fee, block.proposer, entry.author),
                (None, _) => {}
            }
            if entry.content == Content::Inconsistent {
                self.inconsistent(&mut context, entry.author);
            }
        }

        // 4. Envelopes act, in their order.
        let mut deliveries = Deliveries::default();
        let mut outcomes = Vec::with_capacity(block.entries.len());
        for (index, entry) in block.entries.iter().enumerate() {
            let operation = operations.remove(&index);
            let disposition = dispositions[index];
            let outcome = self.act(
                &mut context,
                entry,
                disposition,
                operation,
                (verifier, votes),
            );
            let plaintext = match (&entry.content, outcome) {
                (_, Outcome::Refused(_) | Outcome::Void | Outcome::Held) => None,
                (Content::Plain(bytes), _) => Some(bytes.as_slice()),
                (Content::Opened { plaintext, .. }, _) => Some(plaintext.as_slice()),
                _ => None,
            };
            outcomes.push(self.deliver(
                &mut deliveries,
                (block.height, block.time),
                entry.header.core.rollup,
                entry.header.id(),
                outcome,
                plaintext,
            ));
        }
        let deliveries = self.seal_deliveries(deliveries);

        // 5. Intents.
        self.raise_intents(&mut context);

        // 6. The next epoch's key, and what past epochs kept locked.
        self.advance_key_generation(&mut context);
        self.close_epochs(&mut context, block.proposer);

        self.finish(&block, context.fee_changes.clone());
        Ok(Executed {
            height: block.height,
            dispositions,
            outcomes,
            deliveries,
            fee_changes: context.fee_changes,
            events: context.events,
            state_root: self.root,
        })
    }

    fn due(&self, time: BlockTime, present: ValidatorIndex) -> Vec<Due> {
        let state = &self.state;
        self.agenda.due(time, &Proposers { state, present })
    }

    /// Gathers the closing bids' openings and the contents of the ranges that are proven, without
    /// changing anything.
    fn prepare(
        &self,
        block: &ExecutableBlock,
        bids: Vec<ClosedBid>,
        due: &[Due],
        operations: &BTreeMap<usize, Result<SystemOp, OpError>>,
        source: &dyn ContentSource,
    ) -> Result<Context, ExecuteError> {
        let bids = bids.into_iter().map(|bid| (bid.envelope, bid.content));
        let bids: BTreeMap<EnvelopeId, Content> = bids.collect();
        for due in due {
            let Due::Close(id) = due else { continue };
            for header in self.held_bids(*id) {
                let envelope = header.id();
                match bids.get(&envelope) {
                    Some(
                        Content::Opened { .. }
                        | Content::Malformed
                        | Content::UndecryptableBody { .. },
                    ) => {}
                    _ => return Err(ExecuteError::MissingBid { envelope }),
                }
            }
        }
        let mut contents = Contents::new();
        for (index, operation) in operations {
            if let Ok(SystemOp::SubmitProof(submission)) = operation {
                let author = block.entries[*index].header.core.payer;
                self.load_contents(author, submission, source, &mut contents)?;
            }
        }
        Ok(Context {
            height: block.height,
            time: block.time,
            contents,
            bids,
            events: Vec::new(),
            fee_changes: Vec::new(),
        })
    }

    /// The order phase on the embedded fee ledger.
    fn order(&mut self, block: &ExecutableBlock) -> Vec<Disposition> {
        let envelopes: Vec<OrderedEnvelope<'_>> = block
            .entries
            .iter()
            .map(|entry| OrderedEnvelope {
                header: &entry.header,
                author: entry.author,
            })
            .collect();
        let ordered = self.state.fees.apply(&block.ordered(), &envelopes);
        for (account, amount) in ordered.withdrawn {
            self.state.credit(account, amount);
        }
        self.state.insure(ordered.surcharges);
        ordered.dispositions
    }

    /// What becomes of one envelope, apart from its place in the stream.
    fn act(
        &mut self,
        context: &mut Context,
        entry: &Entry,
        disposition: Disposition,
        operation: Option<Result<SystemOp, OpError>>,
        (verifier, votes): (&dyn Verifier, &VoteKeys),
    ) -> Outcome {
        let core = &entry.header.core;
        if disposition.fee().is_some() && entry.content == Content::Inconsistent {
            return Outcome::Inconsistent;
        }
        match disposition {
            Disposition::Accepted { .. } => {}
            Disposition::Void { .. } => return Outcome::Void,
            refused => return Outcome::Refused(refused),
        }
        if let ReleaseRule::AtClose(_) = core.release {
            return self.hold_bid(context, &entry.header);
        }
        let plain = match &entry.content {
            Content::Malformed => {
                self.surcharge(context, core.payer);
                return Outcome::Malformed;
            }
            Content::UndecryptableBody { .. } => return Outcome::UndecryptableBody,
            Content::Plain(_) => true,
            Content::Opened { .. } => false,
            // The node takes the dispositions from a fee ledger that agrees with ours, and what is
            // inconsistent ended above.
            Content::Held | Content::NotOpened | Content::Inconsistent => {
                unreachable!("an accepted envelope came without its contents")
            }
        };
        if core.rollup != RollupId::SYSTEM {
            let rollup = self.state.rollups.get(&core.rollup);
            return match rollup.is_some_and(|rollup| rollup.takes_contents(context.height)) {
                // `deliver` numbers the transactions.
                true => Outcome::Delivered {
                    first: conclave_types::TxIndex(0),
                    transactions: 0,
                },
                false => Outcome::Void,
            };
        }
        let operation = operation.unwrap_or(Err(OpError::Undecodable));
        let done = operation.and_then(|operation| {
            self.operate(context, core.payer, plain, operation, verifier, votes)
        });
        match done {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::Failed(error),
        }
    }

    /// Closes the books of the block.
    fn finish(&mut self, block: &ExecutableBlock, fee_changes: Vec<FeeChange>) {
        self.state.fees.queue(block.height, fee_changes);
        self.state.meta.height = block.height;
        self.state.meta.time = block.time;
        for id in self.agenda.prune() {
            self.state.auctions.remove(&id);
        }
        self.state.flush(&mut self.tree);
        assert!(
            self.state.money() == u128::from(self.state.meta.supply.0)
                || self.broken.off(Broken::Conservation),
            "money is not conserved"
        );
        self.root = self.tree.root();
    }
}

/// The system operations of a block, by position, decoded once.
fn decode_operations(entries: &[Entry]) -> BTreeMap<usize, Result<SystemOp, OpError>> {
    let system = entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.header.core.rollup == RollupId::SYSTEM);
    system
        .filter_map(|(index, entry)| {
            let operation = match &entry.content {
                Content::Plain(bytes) => decode_operation(bytes),
                Content::Opened { plaintext, .. } => decode_operation(plaintext),
                _ => return None,
            };
            Some((index, operation))
        })
        .collect()
}
