//! What a quorum has reported for long is in the next block that becomes final, unless that is full
//! or opening lags.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use conclave_consensus::Message as Agreement;
use conclave_node::{Event, PeerMessage};
use conclave_sequencer::Message;
use conclave_types::{
    BatchId, Block, BlockId, Epoch, EpochSetup, Threshold, ValidatorIndex, limits,
};

use super::Violation;

/// A voter's patience at its longest is 9 s.
const OVERDUE_US: u64 = 10_000_000;

/// An author and its sequence number: what is ordered once.
type Slot = (ValidatorIndex, u64);

/// What one honest member has heard since it started.
#[derive(Default)]
struct Heard {
    by: BTreeMap<BatchId, BTreeSet<ValidatorIndex>>,
    /// Since when by a quorum.
    since_us: BTreeMap<BatchId, u64>,
}

/// Who counts in an epoch, and how much it takes.
struct Votes {
    weights: Vec<u16>,
    threshold: Threshold,
}

impl Votes {
    fn of<'a>(&self, members: impl IntoIterator<Item = &'a ValidatorIndex>) -> u16 {
        let weights = members
            .into_iter()
            .map(|member| self.weights[usize::from(member.0)]);
        weights.sum()
    }
}

pub(crate) struct InclusionChecker {
    votes: BTreeMap<Epoch, Votes>,
    heard: Vec<Heard>,
    /// With the epoch whose blocks alone can hold it: the author repacks it for the next.
    slots: BTreeMap<BatchId, (Epoch, Slot)>,
    /// Every block that was ever proposed: its parent and what it holds.
    blocks: BTreeMap<BlockId, (BlockId, Vec<Slot>)>,
    /// Those that must not become final, and why.
    censoring: BTreeMap<BlockId, String>,
}

impl InclusionChecker {
    pub(crate) fn new(setup: &EpochSetup, nodes: usize) -> Self {
        let mut checker = Self {
            votes: BTreeMap::new(),
            heard: (0..nodes).map(|_| Heard::default()).collect(),
            slots: BTreeMap::new(),
            blocks: BTreeMap::new(),
            censoring: BTreeMap::new(),
        };
        checker.began(setup);
        checker
    }

    pub(crate) fn began(&mut self, setup: &EpochSetup) {
        let votes = Votes {
            weights: setup.weights(),
            threshold: setup.threshold().expect("a valid committee"),
        };
        self.votes.insert(setup.epoch, votes);
    }

    pub(crate) fn restarted(&mut self, node: usize) {
        if let Some(heard) = self.heard.get_mut(node) {
            *heard = Heard::default();
        }
    }

    /// A member sends something. What it reports itself it holds, and counts from then on.
    pub(crate) fn sent(&mut self, now_us: u64, from: ValidatorIndex, message: &PeerMessage) {
        match message {
            PeerMessage::Sequencing(Message::Certified(reference)) => {
                let header = &reference.header;
                let slot = (header.author, header.sequence);
                self.slots.insert(header.id(), (header.epoch, slot));
            }
            PeerMessage::Sequencing(Message::Waiting(waiting)) => {
                for id in waiting {
                    self.hear(now_us, usize::from(from.0), from, *id);
                }
            }
            PeerMessage::Agreement(Agreement::Proposal(proposal)) => {
                self.proposed(now_us, &proposal.block);
            }
            _ => {}
        }
    }

    /// An honest member gets a message. A report of what it does not report itself it may not have
    /// understood.
    pub(crate) fn sees(&mut self, now_us: u64, node: usize, event: &Event) {
        let Event::Peer { from, message } = event else {
            return;
        };
        if let PeerMessage::Sequencing(Message::Waiting(waiting)) = message {
            let own = ValidatorIndex(node as u16);
            for id in waiting {
                let heard = self.heard.get(node);
                let by = heard.and_then(|heard| heard.by.get(id));
                if by.is_some_and(|by| by.contains(&own)) {
                    self.hear(now_us, node, *from, *id);
                }
            }
        }
    }

    fn hear(&mut self, now_us: u64, node: usize, from: ValidatorIndex, id: BatchId) {
        let slot = self.slots.get(&id);
        let votes = slot.and_then(|(epoch, _)| self.votes.get(epoch));
        if let (Some(heard), Some(votes)) = (self.heard.get_mut(node), votes) {
            let by = heard.by.entry(id).or_default();
            by.insert(from);
            if votes.of(&*by) >= votes.threshold.quorum() {
                heard.since_us.entry(id).or_insert(now_us);
            }
        }
    }

    fn proposed(&mut self, now_us: u64, block: &Block) {
        let (id, header) = (block.id(), &block.header);
        let batches = block.batches.iter().map(|batch| &batch.header);
        let slots = batches.map(|header| (header.author, header.sequence));
        let entry = (header.parent, slots.collect());
        if self.blocks.insert(id, entry).is_some() {
            return;
        }
        let lags = header.height.0 > header.ledger_height.0 + limits::LEDGER_LAG_BLOCKS_MAX;
        if lags || block.batches.len() >= limits::BLOCK_BATCHES_MAX {
            return;
        }
        let Some(votes) = self.votes.get(&header.epoch) else {
            return;
        };
        let mut patient: BTreeMap<BatchId, Vec<ValidatorIndex>> = BTreeMap::new();
        for (member, heard) in (0..).map(ValidatorIndex).zip(&self.heard) {
            for (batch, since_us) in &heard.since_us {
                if since_us + OVERDUE_US <= now_us {
                    patient.entry(*batch).or_default().push(member);
                }
            }
        }
        patient.retain(|_, members| votes.of(&*members) >= votes.threshold.one_honest());
        if patient.is_empty() {
            return;
        }
        let held = self.held(id);
        let missing = patient.keys().find(|batch| {
            let slot = self.slots.get(batch);
            slot.is_some_and(|(epoch, slot)| *epoch == header.epoch && !held.contains(slot))
        });
        if let Some(batch) = missing {
            let what = format!(
                "block {id} of view {} by {} leaves out batch {batch}, reported for long",
                header.view, header.proposer
            );
            self.censoring.insert(id, what);
        }
    }

    /// What a block and all its ancestors hold.
    fn held(&self, mut block: BlockId) -> BTreeSet<Slot> {
        let mut held = BTreeSet::new();
        while let Some((parent, slots)) = self.blocks.get(&block) {
            held.extend(slots.iter().copied());
            block = *parent;
        }
        held
    }

    pub(crate) fn committed(&self, blocks: &[Arc<Block>]) -> Result<(), Violation> {
        let censoring = blocks.iter().find_map(|b| self.censoring.get(&b.id()));
        match censoring {
            Some(what) => Err(Violation::new("inclusion", what.clone())),
            None => Ok(()),
        }
    }
}
