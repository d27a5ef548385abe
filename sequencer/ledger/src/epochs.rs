//! Epochs: which committee and key serve at which heights, and until when they answer for it.

use conclave_light::{EntryProof, EntryTable};
use conclave_market::Timer;
use conclave_types::{Digest, Epoch, EpochRecord, EpochSetup, Height, ValidatorIndex};

use crate::agenda::Proposers;
use crate::block::ExecutableBlock;
use crate::events::LedgerEvent;
use crate::execute::Context;
use crate::ledger::Ledger;
use crate::table::Value;

impl Value for EpochRecord {}
impl Value for EpochSetup {}

impl Ledger {
    /// The epoch of the last executed block.
    pub const fn epoch(&self) -> Epoch {
        self.state.meta.epoch
    }

    /// Where an epoch stands: any that has been, and the next once its key is ready.
    pub fn epoch_record(&self, epoch: Epoch) -> Option<&EpochRecord> {
        self.state.epochs.get(&epoch)
    }

    /// An epoch's committee and key: the present one's, the next one's once it is ready, and past
    /// ones' while evidence against them is taken.
    pub fn epoch_setup(&self, epoch: Epoch) -> Option<&EpochSetup> {
        self.state.setups.get(&epoch)
    }

    /// The committee and key of the last executed block.
    pub fn present_setup(&self) -> &EpochSetup {
        self.state.setup()
    }

    /// Where an epoch stands, with its proof against [`Ledger::root`].
    pub fn prove_epoch(&self, epoch: Epoch) -> Option<(EpochRecord, EntryProof)> {
        let record = *self.state.epochs.get(&epoch)?;
        Some((record, self.prove(EntryTable::Epochs, &epoch)?))
    }

    /// What the header of a block says of the next epoch: its setup's digest if the block is the
    /// last of its epoch, which it is if the key was ready at the height that its header names and
    /// the epoch has lasted long enough with it.
    ///
    /// The same for every ledger that has executed `named`, whatever it executed since.
    pub fn epoch_end(&self, named: Height, epoch: Epoch, height: Height) -> Option<Digest> {
        let next = self.state.epochs.get(&epoch.next())?;
        let first = self.state.epochs.get(&epoch)?.first?;
        let last = first
            .0
            .saturating_add(self.epoch_blocks()?)
            .checked_sub(1)?;
        (next.ready <= named && height.0 >= last).then_some(next.setup)
    }

    /// How long epochs last at least; `None` for a chain that has only one.
    pub(crate) fn epoch_blocks(&self) -> Option<u64> {
        let blocks = self.state.parameters.consensus.epoch_blocks;
        (blocks > 0).then_some(blocks)
    }

    /// Takes up the epoch of the next block.
    pub(crate) fn enter_epoch(&mut self, context: &mut Context, block: &ExecutableBlock) {
        let (before, epoch) = (self.state.meta.epoch, block.epoch);
        if epoch == before {
            return;
        }
        assert_eq!(epoch, before.next(), "an epoch was skipped");
        let (last, ended) = (self.state.meta.height, self.state.meta.time);
        if let Some(record) = self.state.epochs.get_mut(&before) {
            record.last = Some(last);
            record.ended = Some(ended);
        }
        let record = self.state.epochs.get_mut(&epoch);
        let record = record.unwrap_or_else(|| unreachable!("an epoch begins without its key"));
        record.first = Some(block.height);
        self.state.meta.epoch = epoch;
        context.events.push(LedgerEvent::EpochStarted { epoch });
    }

    /// Forgets the committees that nobody can be accused in any more, and gives back what only they
    /// kept locked.
    pub(crate) fn close_epochs(&mut self, context: &mut Context, proposer: ValidatorIndex) {
        let mut closed = false;
        while let Some(epoch) = self.closable(context, proposer) {
            self.state.setups.remove(&epoch);
            context.events.push(LedgerEvent::EpochClosed { epoch });
            closed = true;
        }
        if closed {
            self.settle_bonds(context);
        }
    }

    /// The oldest kept epoch, if it is over in every respect: it was unbonded long enough, and every
    /// envelope that was ordered under its key is executed.
    fn closable(&self, context: &Context, present: ValidatorIndex) -> Option<Epoch> {
        let (epoch, _) = self.state.setups.iter().next()?;
        let record = self.state.epochs.get(epoch)?;
        let (last, ended) = (record.last?, record.ended?);
        let timer = Timer::after(last, ended, self.unbonding_ms());
        let state = &self.state;
        let grace = state.parameters.consensus.grace_blocks;
        let resolved = context.height.0 >= last.0.saturating_add(grace)
            && timer.is_due(context.time, &Proposers { state, present })
            && state.bids.iter().all(|(_, bid)| bid.core.epoch > *epoch);
        resolved.then_some(*epoch)
    }

    /// How long a committee answers for its epoch: as the genesis says, and at least twice as long
    /// as any rollup gives its provers.
    fn unbonding_ms(&self) -> u64 {
        let rollups = self.state.rollups.iter();
        let rollups = rollups.filter(|(_, rollup)| rollup.left.is_none());
        let longest = rollups.map(|(_, rollup)| rollup.config.deadline_ms).max();
        let jobs = longest.unwrap_or(0).saturating_mul(2);
        jobs.max(self.state.parameters.consensus.unbonding_ms)
    }
}
