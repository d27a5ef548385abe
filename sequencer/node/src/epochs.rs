//! What a replica needs to pass from one epoch's agreement to the next.
//!
//! ```text
//! last block final ─▶ old engine is over ─▶ its ledger names the setup ─▶ new engine at the origin
//! ```
//!
//! Messages of an earlier epoch come from those who lack the commit certificate that ended it, and are
//! answered with it. Messages of a later one show that this node is behind: a few of the next epoch are
//! kept, since validators do not pass the boundary in the same moment, and whoever goes on hearing them
//! asks for blocks. Neither is a fault of the sender.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use conclave_consensus::{Engine, Input, Message, Recovered, SafetyState};
use conclave_crypto::Committee;
use conclave_ledger::Ledger;
use conclave_sequencer as sequencing;
use conclave_types::{
    Block, BlockHeader, CommitCertificate, Epoch, EpochChange, EpochSetup, Genesis, Height, Origin,
    ValidatorIndex, View,
};

/// Messages of the next epoch kept of one peer besides a proposal, the newest. Whatever is lost is
/// repeated, or the view is.
const EARLY_MESSAGES: usize = 4;
/// Peers of which a proposal of the next epoch is kept: few may lead its first views, and a proposal
/// may be large.
const EARLY_PROPOSALS: usize = 8;
/// Ranges of final blocks of later epochs that wait for the epochs before them: as many as are fetched
/// at a time.
const EARLY_RANGES: usize = 8;
/// How long messages of a later epoch go on before blocks are asked for, and between two questions:
/// whoever passes the boundary a moment later needs nothing.
const BEHIND_AFTER_MS: u64 = 250;
/// In a safety state: its validator may have signed in the epoch before it lost an earlier state, and
/// must ask the others where they stand before it signs anything.
pub const IN_DOUBT: View = View(u64::MAX);

/// Makes the engine of an epoch from its setup and its origin: with this node's secret if its slot has
/// a vote. An error says why it cannot be, and stops the node.
pub type EngineFactory =
    Box<dyn Fn(&EpochSetup, Origin, Recovered) -> Result<Engine, String> + Send>;

/// The setup of an epoch, from a ledger that has executed the block that its key came out of.
pub type SetupOf = Box<dyn Fn(&Ledger, Epoch) -> Option<EpochSetup> + Send>;

/// The epochs before and after the engine's.
pub struct Succession {
    make: EngineFactory,
    setup_of: SetupOf,
    /// What ended the epoch before; none in the first.
    before: Option<CommitCertificate>,
    /// The stored state of a later epoch than the engine's, in a node that joined with the blocks of an
    /// earlier one: it is not to be overwritten before its epoch begins here.
    held: Option<SafetyState>,
    proposals: BTreeMap<ValidatorIndex, Message>,
    early: BTreeMap<ValidatorIndex, VecDeque<Message>>,
    ranges: VecDeque<Input>,
    ask_at: Option<u64>,
    /// The newest epoch whose setup a ledger had.
    prepared: Option<Epoch>,
}

impl Succession {
    /// After a resumption, or at the genesis.
    pub fn new(make: EngineFactory, setup_of: SetupOf, resumed: &Resumed) -> Self {
        Self {
            make,
            setup_of,
            before: resumed.before.clone(),
            held: resumed.held.clone(),
            proposals: BTreeMap::new(),
            early: BTreeMap::new(),
            ranges: VecDeque::new(),
            ask_at: None,
            prepared: None,
        }
    }

    /// The engine of an epoch.
    pub fn engine(
        &self,
        setup: &EpochSetup,
        origin: Origin,
        recovered: Recovered,
    ) -> Result<Engine, String> {
        (self.make)(setup, origin, recovered)
    }

    /// Has the next epoch's key taken up as soon as a ledger has it: before anything can be sealed to
    /// it that counts.
    pub(crate) fn prepare(&mut self, ledger: &Ledger) {
        let next = ledger.epoch().next();
        if self.prepared != Some(next) && (self.setup_of)(ledger, next).is_some() {
            self.prepared = Some(next);
        }
    }

    /// The setup that an epoch's last block names, once the ledger has it.
    pub(crate) fn named_by(&self, last: &BlockHeader, ledger: &Ledger) -> Option<EpochSetup> {
        let setup = (self.setup_of)(ledger, last.epoch.next());
        setup.filter(|setup| Some(setup.digest()) == last.next_epoch)
    }

    /// What shows that the epoch before is over.
    pub(crate) fn before(&self) -> Option<&CommitCertificate> {
        self.before.as_ref()
    }

    /// Whether an engine's state may be written: not over one of a later epoch.
    pub(crate) fn may_write(&self, state: &SafetyState) -> bool {
        let held = self.held.as_ref();
        held.is_none_or(|held| held.epoch() <= state.epoch())
    }

    /// Keeps a message of the next epoch for when that begins here.
    pub(crate) fn keep(&mut self, from: ValidatorIndex, message: Message) {
        if matches!(message, Message::Proposal(_)) {
            let known = self.proposals.contains_key(&from);
            if known || self.proposals.len() < EARLY_PROPOSALS {
                self.proposals.insert(from, message);
            }
            return;
        }
        let kept = self.early.entry(from).or_default();
        if kept.len() == EARLY_MESSAGES {
            kept.pop_front();
        }
        kept.push_back(message);
    }

    /// Keeps a verified range of final blocks of a later epoch.
    pub(crate) fn keep_range(&mut self, range: Input) {
        if self.ranges.len() < EARLY_RANGES {
            self.ranges.push_back(range);
        }
    }

    /// Whether to ask for blocks now: messages of a later epoch have been coming for a while.
    pub(crate) fn is_behind(&mut self, now: u64) -> bool {
        let due = self.ask_at.is_some_and(|at| at <= now);
        if due || self.ask_at.is_none() {
            self.ask_at = Some(now + BEHIND_AFTER_MS);
        }
        due
    }

    /// The state that the epoch after this engine's begins with here.
    pub(crate) fn first_state(&mut self, engine: &Engine, change: &EpochChange) -> SafetyState {
        let mut state = SafetyState::origin(&change.origin());
        let next = self.held.take_if(|held| held.epoch() <= change.setup.epoch);
        if let Some(held) = next {
            return held;
        }
        if self.held.is_some() || engine.safety().may_have_left(&change.last) {
            state.abstain_through = IN_DOUBT;
        }
        state
    }

    /// The next epoch has begun; gives what was kept for it.
    pub(crate) fn pass(&mut self, change: &EpochChange) -> Vec<Input> {
        self.before = Some(change.certificate.clone());
        self.ask_at = None;
        let proposals = std::mem::take(&mut self.proposals).into_iter();
        let proposals = proposals.map(|(from, message)| message.into_input(from));
        let early = std::mem::take(&mut self.early).into_iter();
        let early = early.flat_map(|(from, kept)| {
            let inputs = kept.into_iter();
            inputs.map(move |message| message.into_input(from))
        });
        // Ranges of still later epochs are kept again.
        let inputs = proposals.chain(early);
        inputs.chain(self.ranges.drain(..)).collect()
    }
}

/// The state of a validator that takes up a later epoch by a snapshot, with all of its own state of an
/// earlier one, which `ended` ended: where it has forgotten nothing, it has signed nothing since.
pub(crate) fn passed_over(
    state: &SafetyState,
    ended: &EpochChange,
    begun: &EpochChange,
) -> SafetyState {
    let mut next = SafetyState::origin(&begun.origin());
    if state.may_have_left(&ended.last) {
        next.abstain_through = IN_DOUBT;
    }
    next
}

/// What a node goes on from.
pub struct Resumed {
    /// Of the epoch of its last final block, or of the next if that was the epoch's last.
    pub setup: EpochSetup,
    pub origin: Origin,
    pub recovered: Recovered,
    before: Option<CommitCertificate>,
    held: Option<SafetyState>,
}

/// The committees that a sequencer starts with on top of an executed height, and the first height of
/// the newest of them. `changes` are all hand-overs, ascending.
pub fn serving(
    genesis: &Genesis,
    changes: &[EpochChange],
    executed: Height,
) -> Result<(Vec<Arc<Committee>>, Height), String> {
    let begun = changes
        .iter()
        .take_while(|change| change.last.height <= executed);
    let first = begun
        .clone()
        .last()
        .map_or(Height(1), |change| change.last.height.next());
    let genesis = genesis.first_epoch();
    let setups = std::iter::once(&genesis).chain(begun.map(|change| &change.setup));
    let committees = setups.map(|setup| Committee::of_epoch(setup).map(Arc::new));
    let committees = committees.collect::<Result<_, _>>();
    Ok((committees.map_err(|error| error.to_string())?, first))
}

/// What a sequencer is told of blocks that were final before a restart: each block, and each new epoch
/// in its place.
pub fn replayed(
    blocks: Vec<(Arc<Block>, CommitCertificate)>,
    changes: &[EpochChange],
) -> Vec<sequencing::Input> {
    let mut inputs = Vec::with_capacity(blocks.len());
    for (block, certificate) in blocks {
        let height = block.header.height;
        inputs.push(sequencing::Input::Committed {
            blocks: vec![block],
            certificate,
        });
        let change = changes.iter().find(|change| change.last.height == height);
        let setup = change.map(|change| Arc::new(change.setup.clone()));
        inputs.extend(setup.map(sequencing::Input::Epoch));
    }
    inputs
}

/// What is stored of agreement.
pub struct StoredAgreement {
    /// The hand-overs, ascending from that to epoch 1.
    pub changes: Vec<EpochChange>,
    pub safety: SafetyState,
    /// The last final headers, ascending.
    pub committed: Vec<BlockHeader>,
    /// Of the last of them.
    pub certificate: Option<CommitCertificate>,
    /// Blocks above them.
    pub blocks: Vec<Block>,
}

/// Puts together what an engine starts from. `first` is the genesis' setup with where it begins.
pub fn resume(first: (EpochSetup, Origin), stored: StoredAgreement) -> Result<Resumed, String> {
    let StoredAgreement {
        changes,
        safety,
        committed,
        certificate,
        blocks,
    } = stored;
    let begun = |last: &BlockHeader| {
        let change = changes.iter().find(|change| change.last == *last);
        change.map_or(last.epoch, |change| change.setup.epoch)
    };
    let epoch = committed.last().map_or(Epoch(0), begun);
    let change = match epoch.0 {
        0 => None,
        _ => {
            let found = changes.iter().find(|change| change.setup.epoch == epoch);
            Some(found.ok_or_else(|| format!("the setup of epoch {epoch} is missing"))?)
        }
    };
    let (setup, origin) = match change {
        None => first,
        Some(change) => (change.setup.clone(), change.origin()),
    };
    if safety.epoch() < epoch {
        return Err(format!(
            "the safety state is of epoch {}, the blocks of epoch {epoch}",
            safety.epoch()
        ));
    }
    let (safety, held) = match safety.epoch() == epoch {
        true => (safety, None),
        false => {
            let mut state = SafetyState::origin(&origin);
            state.abstain_through = IN_DOUBT;
            (state, Some(safety))
        }
    };
    Ok(Resumed {
        before: change.map(|change| change.certificate.clone()),
        held,
        recovered: Recovered {
            safety,
            committed,
            certificate,
            blocks,
        },
        setup,
        origin,
    })
}
