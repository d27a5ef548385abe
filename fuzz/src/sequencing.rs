//! Four sequencers with real seals, of which the fourth is Byzantine, and clients that submit
//! anything.
//!
//! The input is a list of moves: envelopes are submitted, messages arrive, change on their way from
//! the Byzantine validator, or are made up, and agreement orders what a proposer offers and the
//! honest ones accept. Agreement itself is taken for granted here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use conclave_crypto::Shard;
use conclave_sequencer::{Action, Fetch, Input, Message, Write};
use conclave_types::{
    AggregateSignature, BatchId, Block, BlockHeader, BlockId, BlockTime, BlsSignature,
    CommitCertificate, Digest, Epoch, Height, Manifest, ValidatorIndex, View, codec,
};

use crate::choices::Choices;
use crate::committee::{SIZE, set};

mod clients;
mod member;

use clients::Clients;
use member::{Member, world};

/// The honest ones; the one after them is Byzantine.
const HONEST: u16 = SIZE - 1;
/// Moves of one input at most.
const MOVES_MAX: usize = 200;
/// Messages on their way at most; the oldest are lost.
const IN_FLIGHT_MAX: usize = 256;
/// Longest message, in bytes, that is changed on its way.
const CHANGED_BYTES_MAX: usize = 1 << 16;

/// Plays one input.
pub(crate) fn run(data: &[u8]) {
    play(data);
}

/// Plays it, and tells how many blocks with envelopes were executed.
pub(crate) fn play(data: &[u8]) -> usize {
    let mut choices = Choices::new(data);
    let mut network = Network::new();
    for _ in 0..MOVES_MAX {
        if choices.is_empty() {
            break;
        }
        network.step(&mut choices);
    }
    network.full.len()
}

/// A block on its way to being final, and whose check is in.
struct Proposed {
    block: Arc<Block>,
    accepted: Vec<usize>,
}

struct Network {
    members: Vec<Member>,
    clients: Clients,
    now: u64,
    view: u64,
    in_flight: VecDeque<(ValidatorIndex, u16, Message)>,
    /// What the Byzantine validator can repeat or change.
    heard: Vec<Message>,
    manifests: BTreeMap<BatchId, Arc<Manifest>>,
    /// What each validator stored of a batch.
    shards: BTreeMap<BatchId, BTreeMap<ValidatorIndex, Vec<Shard>>>,
    proposed: Option<Proposed>,
    tip: BlockHeader,
    /// The one ledger root of each executed height.
    roots: BTreeMap<Height, Digest>,
    /// Executed blocks that held envelopes.
    full: BTreeSet<Height>,
}

impl Network {
    fn new() -> Self {
        let world = world();
        let members = (0..SIZE).map(|index| Member::new(world, index));
        let members: Vec<Member> = members.collect();
        let chain = world.genesis.chain_id();
        let root = members[0].sequencer.ledger().root();
        let tip = BlockHeader {
            chain,
            epoch: Epoch(0),
            view: View(0),
            height: Height(0),
            parent: BlockId::genesis(chain),
            parent_view: View(0),
            proposer: ValidatorIndex(0),
            time: BlockTime(0),
            payload: Digest::ZERO,
            ledger_height: Height(0),
            ledger_root: root,
            next_epoch: None,
        };
        Self {
            members,
            clients: Clients::default(),
            now: 1,
            view: 1,
            in_flight: VecDeque::new(),
            heard: Vec::new(),
            manifests: BTreeMap::new(),
            shards: BTreeMap::new(),
            proposed: None,
            tip,
            roots: BTreeMap::from([(Height(0), root)]),
            full: BTreeSet::new(),
        }
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        match choices.u8() % 16 {
            0..=2 => {
                for _ in 0..=choices.below(32) {
                    self.arrive();
                }
            }
            3..=4 => {
                for _ in 0..=choices.below(8) {
                    self.work();
                }
            }
            5..=7 => {
                let (at, ticket) = (choices.below(self.members.len()), self.now);
                if let Some(envelope) = self.clients.envelope(self.tip.height, choices) {
                    let envelope = Box::new(envelope);
                    self.give(at, Input::Submit { ticket, envelope });
                }
            }
            8..=9 => self.propose(choices),
            10 => {
                self.now += 1 + u64::from(choices.u8()) * 4;
                for place in 0..self.members.len() {
                    self.give(place, Input::Tick);
                }
            }
            11 => drop(self.in_flight.pop_front()),
            12 => {
                if let Some(message) = choices.value() {
                    self.lie(message, choices);
                }
            }
            13 => {
                let manifest = choices.value::<Manifest>();
                let known = choices.below(self.manifests.len());
                let known = self.manifests.values().nth(known).cloned();
                if let Some(manifest) = manifest.map(Arc::new).or(known) {
                    let at = choices.below(self.members.len());
                    self.give(at, Input::Manifest(manifest));
                }
            }
            _ => {
                if let Some(message) = self.changed(choices) {
                    self.lie(message, choices);
                }
            }
        }
    }

    /// Something that was heard, with some bytes changed.
    fn changed(&mut self, choices: &mut Choices<'_>) -> Option<Message> {
        let heard = choices.one_of(&self.heard)?;
        let mut bytes = codec::encode(heard);
        if bytes.len() > CHANGED_BYTES_MAX {
            return Some(heard.clone());
        }
        for _ in 0..choices.below(4) {
            let at = choices.below(bytes.len());
            bytes[at] = match choices.u8() % 4 {
                0 => 0,
                1 => 0xff,
                2 => bytes[at] ^ (1 << (choices.u8() % 8)),
                _ => choices.u8(),
            };
        }
        codec::decode(&bytes, CHANGED_BYTES_MAX).ok()
    }

    fn lie(&mut self, message: Message, choices: &mut Choices<'_>) {
        let to = choices.below(usize::from(HONEST));
        let from = ValidatorIndex(HONEST);
        self.give(to, Input::Message { from, message });
    }

    fn arrive(&mut self) {
        if let Some((from, to, message)) = self.in_flight.pop_front() {
            self.give(usize::from(to), Input::Message { from, message });
        }
    }

    fn work(&mut self) {
        for place in 0..self.members.len() {
            if let Some(done) = self.members[place].work() {
                self.give(place, Input::Done(Box::new(done)));
            }
        }
    }

    /// Agreement asks a leader for a payload; an earlier proposal that is not final is lost.
    fn propose(&mut self, choices: &mut Choices<'_>) {
        let leader = choices.below(self.members.len());
        self.view += 1;
        self.proposed = None;
        let input = Input::PayloadWanted {
            view: View(self.view),
            parent_time: self.tip.time,
            ancestors: Vec::new(),
            due: choices.flag(),
        };
        self.give(leader, input);
    }

    fn give(&mut self, place: usize, input: Input) {
        for action in self.members[place].sequencer.handle(self.now, input) {
            self.act(place, action);
        }
    }

    fn act(&mut self, place: usize, action: Action) {
        let own = ValidatorIndex(place as u16);
        let honest = own.0 < HONEST;
        match action {
            Action::Durable { writes, then } => {
                for write in writes {
                    self.write(place, &write);
                }
                for action in then {
                    self.act(place, action);
                }
            }
            Action::Send { to, message } if to == own => {
                self.give(place, Input::Message { from: own, message });
            }
            Action::Send { to, message } => self.post(own, to.0, &message),
            Action::Broadcast(message) => {
                for to in (0..SIZE).filter(|to| *to != own.0) {
                    self.post(own, to, &message);
                }
            }
            Action::Payload {
                view,
                batches,
                time,
                ledger_height,
                ledger_root,
                next_epoch,
            } => {
                let header = BlockHeader {
                    view,
                    height: Height(self.tip.height.0 + 1),
                    parent: self.parent(),
                    parent_view: self.tip.view,
                    proposer: own,
                    time: BlockTime(time.0.max(self.tip.time.0 + 1)),
                    payload: Block::payload_digest(&batches),
                    ledger_height,
                    ledger_root,
                    next_epoch,
                    ..self.tip
                };
                let block = Arc::new(Block { header, batches });
                let accepted = Vec::new();
                self.proposed = Some(Proposed {
                    block: block.clone(),
                    accepted,
                });
                for place in 0..usize::from(HONEST) {
                    let (block, ancestors) = (block.clone(), Vec::new());
                    self.give(place, Input::Check { block, ancestors });
                }
            }
            Action::Checked { block, valid } => self.checked(place, block, valid),
            Action::Work(work) => self.members[place].take_on(work),
            Action::Fetch(Fetch::Openings { height, lane }) => {
                self.give(place, Input::NotReopened { height, lane });
            }
            Action::Fetch(Fetch::Manifest { id, .. }) => {
                if let Some(manifest) = self.manifests.get(&id).cloned() {
                    self.give(place, Input::Manifest(manifest));
                }
            }
            Action::Fetch(Fetch::Body {
                id,
                holders,
                needed,
                ..
            }) => {
                let held = self.shards.get(&id).into_iter().flatten();
                let held = held.filter(|(holder, _)| holders.contains(**holder));
                let shards: Vec<_> = held.map(|(at, held)| (*at, held.clone())).collect();
                if shards.len() >= usize::from(needed) {
                    self.give(place, Input::Shards { id, shards });
                }
            }
            Action::Executed(published) => {
                let (height, root) = (published.height, published.ledger.root());
                let first = *self.roots.entry(height).or_insert(root);
                assert_eq!(first, root, "two ledgers after block {height}");
                let totals = published.ledger.totals();
                assert_eq!(totals.supply, self.members[place].supply, "supply changed");
                self.members[place].executed(height);
                if published.envelopes > 0 {
                    self.full.insert(height);
                }
            }
            Action::Stop { reason } => panic!("validator {place} stops: {reason}"),
            Action::Misbehaviour {
                validator, what, ..
            } => {
                assert!(!honest || validator.0 == HONEST, "an honest one: {what}");
            }
            Action::Fetch(Fetch::Shares { .. })
            | Action::Batched(_)
            | Action::Retired(_)
            | Action::Answer { .. }
            | Action::PayloadPending(_)
            | Action::Finalised { .. }
            | Action::WakeAt(_) => {}
        }
    }

    fn parent(&self) -> BlockId {
        match self.tip.height.0 {
            0 => self.tip.parent,
            _ => self.tip.id(),
        }
    }

    fn write(&mut self, place: usize, write: &Write) {
        match write {
            Write::Dispersal(id, dispersal) => {
                self.manifests.insert(*id, dispersal.manifest.clone());
                let held = self.shards.entry(*id).or_default();
                held.insert(ValidatorIndex(place as u16), dispersal.shards.clone());
            }
            Write::Delivery {
                rollup,
                height,
                record,
            } => self.members[place].deliver(*rollup, *height, record),
            _ => {}
        }
    }

    fn post(&mut self, from: ValidatorIndex, to: u16, message: &Message) {
        if self.in_flight.len() == IN_FLIGHT_MAX {
            self.in_flight.pop_front();
        }
        if self.heard.len() < IN_FLIGHT_MAX && !self.heard.contains(message) {
            self.heard.push(message.clone());
        }
        self.in_flight.push_back((from, to, message.clone()));
    }

    /// A block that every honest validator accepts becomes final at once.
    fn checked(&mut self, place: usize, id: BlockId, valid: bool) {
        let Some(proposed) = &mut self.proposed else {
            return;
        };
        if proposed.block.id() != id || !valid || proposed.accepted.contains(&place) {
            return;
        }
        proposed.accepted.push(place);
        if proposed.accepted.len() < usize::from(HONEST) {
            return;
        }
        let block = proposed.block.clone();
        self.proposed = None;
        self.tip = block.header.clone();
        let certificate = CommitCertificate {
            epoch: Epoch(0),
            view: block.header.view,
            height: block.header.height,
            block: id,
            aggregate: AggregateSignature {
                signers: set(0..HONEST),
                signature: BlsSignature([0; 48]),
            },
        };
        for place in 0..self.members.len() {
            let (blocks, certificate) = (vec![block.clone()], certificate.clone());
            let input = Input::Committed {
                blocks,
                certificate,
            };
            self.give(place, input);
        }
    }
}
