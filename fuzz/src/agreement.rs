//! Three honest engines, and everything that a Byzantine fourth and the network can do to them.
//!
//! The input is a list of moves: messages arrive, are lost or overtake each other, time passes,
//! engines crash before or after a write and come back from their disks, and the Byzantine
//! validator says whatever it can sign or has heard. [`Judge`] looks at what the honest ones send
//! and commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use conclave_consensus::{
    ANCESTRY_BLOCKS, Action, Engine, EngineConfig, Input, Message, Now, Recovered, SafetyState,
    Write,
};
use conclave_types::{
    Block, BlockId, BlockTime, CommitCertificate, Digest, Genesis, Height, Point, SealingKey,
    ValidatorIndex, View,
};

use crate::choices::Choices;
use crate::committee::{Model, SIZE, committee, genesis};

mod byzantine;
mod judge;

use byzantine::Byzantine;
use judge::Judge;

/// The honest validators; the one after them is Byzantine.
const HONEST: u16 = SIZE - 1;
/// Moves of one input at most.
const MOVES_MAX: usize = 600;
/// Messages on their way at most; the oldest are lost.
const IN_FLIGHT_MAX: usize = 256;

/// Plays one input.
pub(crate) fn run(data: &[u8]) {
    play(data);
}

/// Plays it, and tells how many heights were committed.
pub(crate) fn play(data: &[u8]) -> usize {
    let mut choices = Choices::new(data);
    let mut network = Network::new();
    for _ in 0..MOVES_MAX {
        if choices.is_empty() {
            break;
        }
        network.step(&mut choices);
    }
    network.judge.heights()
}

/// What an honest validator has written.
#[derive(Default)]
struct Disk {
    safety: Option<SafetyState>,
    blocks: BTreeMap<BlockId, Block>,
    chain: Vec<(Block, Option<CommitCertificate>)>,
}

struct Node {
    engine: Engine,
    disk: Disk,
    wake_ms: u64,
    /// Its next step is lost in a crash before it is written.
    crashes: bool,
}

struct Network {
    genesis: Genesis,
    nodes: Vec<Node>,
    now: u64,
    in_flight: Vec<(ValidatorIndex, u16, Message)>,
    byzantine: Byzantine,
    judge: Judge,
}

impl Network {
    fn new() -> Self {
        let genesis = genesis(SealingKey {
            key: Point([0; 32]),
            shares: vec![Point([0; 32]); usize::from(SIZE)],
            transcript: Digest::ZERO,
        });
        let nodes = (0..HONEST).map(|index| Node {
            engine: start(&genesis, index, &Disk::default()),
            disk: Disk::default(),
            wake_ms: 0,
            crashes: false,
        });
        let mut network = Self {
            nodes: nodes.collect(),
            now: 1,
            in_flight: Vec::new(),
            byzantine: Byzantine::new(genesis.chain_id(), &genesis.origin()),
            judge: Judge::new(BlockId::genesis(genesis.chain_id())),
            genesis,
        };
        for node in 0..network.nodes.len() {
            network.give(node, Input::Start);
        }
        network
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        match choices.u8() % 16 {
            0..=3 => {
                for _ in 0..=choices.below(64) {
                    self.arrive(0);
                }
            }
            4 => {
                let which = choices.below(self.in_flight.len());
                self.arrive(which);
            }
            5 => {
                let which = choices.below(self.in_flight.len());
                if which < self.in_flight.len() {
                    self.in_flight.remove(which);
                }
            }
            6 => {
                // The next timer of all, and what else is due by then.
                let next = self.nodes.iter().map(|node| node.wake_ms).min();
                self.now = self.now.max(next.unwrap_or_default());
                self.wake();
            }
            7 => {
                self.now += u64::from(choices.u8()) * 8;
                self.wake();
            }
            8 => {
                let node = choices.below(self.nodes.len());
                self.restart(node);
            }
            9 => {
                let node = choices.below(self.nodes.len());
                self.nodes[node].crashes = true;
            }
            10 => {
                let node = choices.below(self.nodes.len());
                self.give(node, Input::PayloadPending(choices.flag()));
            }
            11 => self.answer_falsely(choices),
            _ => {
                let view = self.nodes.iter().map(|node| node.engine.view().0).max();
                let view = View(view.unwrap_or_default());
                let Some(message) = self.byzantine.say(view, choices) else {
                    return;
                };
                let to = choices.u8();
                for node in (0..HONEST).filter(|node| to == 0 || to & (1 << node) != 0) {
                    self.post(ValidatorIndex(HONEST), node, message.clone());
                }
            }
        }
    }

    fn wake(&mut self) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].wake_ms <= self.now {
                self.give(node, Input::Tick);
            }
        }
    }

    fn arrive(&mut self, which: usize) {
        if which < self.in_flight.len() {
            let (from, to, message) = self.in_flight.remove(which);
            self.give(usize::from(to), message.into_input(from));
        }
    }

    fn post(&mut self, from: ValidatorIndex, to: u16, message: Message) {
        if self.in_flight.len() == IN_FLIGHT_MAX {
            self.in_flight.remove(0);
        }
        self.in_flight.push((from, to, message));
    }

    fn give(&mut self, place: usize, input: Input) {
        let node = &mut self.nodes[place];
        let step = node.engine.handle(Now(self.now), input);
        if std::mem::take(&mut node.crashes) {
            return self.restart(place);
        }
        for write in step.writes {
            match write {
                Write::Safety(state) => node.disk.safety = Some(*state),
                Write::Block(block) => {
                    node.disk.blocks.insert(block.id(), Block::clone(&block));
                }
            }
        }
        for action in step.actions {
            self.act(place, action);
        }
    }

    fn restart(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        node.engine = start(&self.genesis, place as u16, &node.disk);
        node.wake_ms = 0;
        self.give(place, Input::Start);
    }

    fn act(&mut self, place: usize, action: Action) {
        let own = ValidatorIndex(place as u16);
        match action {
            Action::Send { to, message } => self.send(own, [to.0], &message),
            Action::Broadcast(message) => self.send(own, 0..SIZE, &message),
            Action::RequestPayload { view, due, .. } => {
                let payload = Input::Payload {
                    view,
                    batches: Vec::new(),
                    time: BlockTime(self.now),
                    ledger_height: Height(0),
                    ledger_root: Digest::ZERO,
                    next_epoch: None,
                };
                match due {
                    true => self.give(place, payload),
                    false => self.give(place, Input::PayloadPending(false)),
                }
            }
            Action::CheckProposal { block, .. } => {
                let (block, valid) = (block.id(), true);
                self.give(place, Input::ProposalChecked { block, valid });
            }
            Action::Committed {
                blocks,
                certificate,
            } => self.commit(place, &blocks, &certificate),
            Action::FetchBlock { block, from } => {
                if let Some(block) = self.find(from, block) {
                    let block = Box::new(block);
                    self.give(place, Input::Block { from, block });
                }
            }
            Action::Behind { from, .. } => self.sync(place, from),
            Action::WakeAt(at) => self.nodes[place].wake_ms = at,
            Action::Misbehaviour { validator, .. } => self.judge.accused(validator),
            Action::Fork { .. } => panic!("an engine saw two blocks final at one height"),
        }
    }

    fn send(&mut self, from: ValidatorIndex, to: impl IntoIterator<Item = u16>, message: &Message) {
        self.judge.sent(from, message);
        self.byzantine.hear(message);
        for to in to.into_iter().filter(|to| *to < HONEST && *to != from.0) {
            self.post(from, to, message.clone());
        }
    }

    fn commit(&mut self, place: usize, blocks: &[Arc<Block>], certificate: &CommitCertificate) {
        self.judge.committed(place, blocks, certificate);
        let disk = &mut self.nodes[place].disk;
        for block in blocks {
            let height = block.header.height;
            disk.blocks.retain(|_, other| other.header.height > height);
            disk.chain.push((Block::clone(block), None));
        }
        if let Some((_, last)) = disk.chain.last_mut() {
            *last = Some(certificate.clone());
        }
    }

    /// What the asked peer has; the Byzantine one has whatever it made or heard.
    fn find(&self, at: ValidatorIndex, id: BlockId) -> Option<Block> {
        let Some(node) = self.nodes.get(usize::from(at.0)) else {
            return self.byzantine.block(id);
        };
        let final_ones = node.disk.chain.iter().map(|(block, _)| block);
        let stored = node.disk.blocks.values().chain(final_ones);
        let known = node.engine.block(&id).map(|block| Block::clone(block));
        known.or_else(|| stored.into_iter().find(|block| block.id() == id).cloned())
    }

    fn sync(&mut self, place: usize, from: ValidatorIndex) {
        let start = self.nodes[place].disk.chain.len();
        let Some(peer) = self.nodes.get(usize::from(from.0)) else {
            return;
        };
        let rest = peer.disk.chain.get(start..).unwrap_or_default();
        let Some(end) = rest
            .iter()
            .rposition(|(_, certificate)| certificate.is_some())
        else {
            return;
        };
        let blocks = rest[..=end].iter().map(|(block, _)| block.clone());
        let blocks = blocks.collect();
        if let Some(certificate) = rest[end].1.clone() {
            let input = Input::Synced {
                from,
                blocks,
                certificate,
            };
            self.give(place, input);
        }
    }

    /// Answers of the Byzantine validator to questions that may not have been asked.
    fn answer_falsely(&mut self, choices: &mut Choices<'_>) {
        let from = ValidatorIndex(HONEST);
        let place = choices.below(self.nodes.len());
        let blocks = self.byzantine.blocks(choices);
        let input = match (self.byzantine.certificate(choices), blocks) {
            (Some(certificate), blocks) if choices.flag() => Input::Synced {
                from,
                blocks,
                certificate,
            },
            (_, blocks) => match blocks.into_iter().next() {
                Some(block) => Input::Block {
                    from,
                    block: Box::new(block),
                },
                None => return,
            },
        };
        self.give(place, input);
    }
}

fn start(genesis: &Genesis, index: u16, disk: &Disk) -> Engine {
    let config = EngineConfig {
        chain: genesis.chain_id(),
        committee: committee(genesis),
        index: ValidatorIndex(index),
        parameters: genesis.consensus.clone(),
        origin: genesis.origin(),
    };
    let skipped = disk.chain.len().saturating_sub(ANCESTRY_BLOCKS);
    let newest = disk.chain.iter().skip(skipped);
    let safety = disk.safety.clone();
    let recovered = Recovered {
        safety: safety.unwrap_or_else(|| SafetyState::origin(&genesis.origin())),
        committed: newest.map(|(block, _)| block.header.clone()).collect(),
        certificate: disk
            .chain
            .last()
            .and_then(|(_, certificate)| certificate.clone()),
        blocks: disk.blocks.values().cloned().collect(),
    };
    let signatures = Arc::new(Model(ValidatorIndex(index)));
    Engine::new(config, signatures, Some(recovered))
}
