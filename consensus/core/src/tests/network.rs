//! Small networks under drops, delays, crashes around every write, and equivocating twins:
//! agreement always, liveness once the network heals. Same seed, same history.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use conclave_types::*;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

use super::fixture::*;
use crate::*;

mod epochs;
mod scenarios;

use epochs::committee_of;

const HEAL_MS: u64 = 20_000;
const END_MS: u64 = 60_000;

enum Event {
    Message {
        to: usize,
        from: ValidatorIndex,
        message: Message,
    },
    /// For one incarnation of a node only: its timers, and answers of its host.
    Input {
        to: usize,
        life: u32,
        input: Input,
    },
    /// The ledger has come to the setup that an epoch's last block names.
    Pass {
        to: usize,
        life: u32,
    },
    /// A peer asks for a block by id.
    AskBlock {
        to: usize,
        asker: usize,
        block: BlockId,
    },
    /// A peer asks for committed blocks from this height on.
    AskSync {
        to: usize,
        asker: usize,
        from: Height,
    },
    Batch {
        to: usize,
        sequence: u64,
    },
    Crash(usize),
    /// The same, and the disk is gone.
    Wipe(usize),
    Restart(usize),
    /// A peer without a safety state asks all others where they stand, and then each.
    AskStandings {
        asker: usize,
        life: u32,
    },
    AskStanding {
        to: usize,
        asker: usize,
    },
    Standing {
        to: usize,
        life: u32,
        from: ValidatorIndex,
        standing: Option<Box<Standing>>,
        /// The hand-overs that the asked one knows.
        changes: BTreeMap<Epoch, EpochChange>,
    },
}

#[derive(Default)]
struct Disk {
    safety: Option<SafetyState>,
    changes: BTreeMap<Epoch, EpochChange>,
    blocks: BTreeMap<BlockId, Block>,
    chain: Vec<(Block, Option<CommitCertificate>)>,
}

struct Peer {
    index: ValidatorIndex,
    honest: bool,
    engine: Option<Engine>,
    life: u32,
    disk: Disk,
    batches: BTreeSet<u64>,
    in_flight: BTreeMap<u64, Height>,
    pending: bool,
    target: Height,
    /// What others said of the next epoch already.
    early: Vec<(ValidatorIndex, Message)>,
    /// What others have said of where they stand, while this one has no safety state.
    answers: BTreeMap<ValidatorIndex, Option<Standing>>,
}

/// Who goes down at a time.
#[derive(Clone, Copy)]
enum Outage {
    All,
    AllBut(usize),
    /// One after the other, so many milliseconds apart: the first is back before the last is down,
    /// or not.
    Staggered(u64),
}

struct Options {
    twins: bool,
    drop_percent: u64,
    delay_ms: u64,
    /// Steps in ten thousand that end in a crash, half before the write and half after.
    crashes: u64,
    /// Who but the twins crashes at these times.
    outages: Vec<(u64, Outage)>,
    /// Who loses the disk at these times.
    wipes: Vec<(u64, usize)>,
    /// Gets no block of any kind until the network heals.
    blind: Option<usize>,
    /// Which rule is off.
    #[cfg(feature = "broken-rules")]
    broken: Option<Broken>,
}

struct World {
    options: Options,
    /// How many blocks an epoch has; 0 for ever.
    epoch_blocks: u64,
    seed: u64,
    random: ChaCha20Rng,
    now: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), Event>,
    peers: Vec<Peer>,
    agreed: BTreeMap<Height, BlockId>,
    ordered: BTreeSet<u64>,
    history: Hasher,
    accused: BTreeSet<ValidatorIndex>,
    wiped: usize,
    /// The newest epoch that began.
    epochs: u64,
    /// How often a validator could not know whether it had left an epoch before it lost its disk.
    doubts: usize,
}

impl World {
    fn new(seed: u64, options: Options) -> Self {
        let peers = (0..4 + usize::from(options.twins)).map(|place| Peer {
            index: ValidatorIndex(place.min(3) as u16),
            honest: !options.twins || place < 3,
            engine: None,
            life: 0,
            disk: Disk::default(),
            batches: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            pending: false,
            target: Height(0),
            early: Vec::new(),
            answers: BTreeMap::new(),
        });
        let mut world = Self {
            peers: peers.collect(),
            options,
            epoch_blocks: [0, 3, 8][seed as usize / 2 % 3],
            seed,
            random: ChaCha20Rng::seed_from_u64(seed),
            now: 0,
            order: 0,
            queue: BTreeMap::new(),
            agreed: BTreeMap::new(),
            ordered: BTreeSet::new(),
            history: Domain::Simulation.hasher(),
            accused: BTreeSet::new(),
            wiped: 0,
            epochs: 0,
            doubts: 0,
        };
        for peer in 0..world.peers.len() {
            let at = world.below(500);
            world.at(at, Event::Restart(peer));
        }
        for sequence in 0..20 {
            let at = world.below(END_MS - 20_000);
            for to in 0..world.peers.len() {
                let late = world.below(300);
                world.at(at + late, Event::Batch { to, sequence });
            }
        }
        for (at, outage) in world.options.outages.clone() {
            for peer in 0..4 {
                match outage {
                    Outage::AllBut(spared) if spared == peer => {}
                    Outage::All | Outage::AllBut(_) => world.at(at, Event::Crash(peer)),
                    Outage::Staggered(apart) => {
                        world.at(at + apart * peer as u64, Event::Crash(peer));
                    }
                }
            }
        }
        for (at, peer) in world.options.wipes.clone() {
            world.at(at, Event::Wipe(peer));
        }
        world
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.next_u64() % bound.max(1)
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.now < HEAL_MS && self.below(100) < percent
    }

    fn at(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.queue.insert((at, self.order), event);
    }

    fn soon(&mut self, event: Event) {
        let delay = if self.now < HEAL_MS {
            self.options.delay_ms
        } else {
            20
        };
        let delay = 1 + self.below(delay);
        self.at(self.now + delay, event);
    }

    fn run(&mut self) -> Digest {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if at > END_MS {
                break;
            }
            self.now = at;
            self.happen(event);
        }
        self.check_liveness();
        std::mem::replace(&mut self.history, Domain::Simulation.hasher()).digest()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Message { to, from, message } => self.hear(to, from, message),
            Event::Pass { to, life } => {
                if self.peers[to].life == life {
                    self.pass(to);
                }
            }
            Event::Input { to, life, input } => {
                if self.peers[to].life == life {
                    self.input(to, input);
                }
            }
            Event::AskBlock { to, asker, block } => self.serve_block(to, asker, &block),
            Event::AskSync { to, asker, from } => self.serve_sync(to, asker, from),
            Event::Batch { to, sequence } => {
                // Late ones may have been ordered already.
                let mut chain = self.peers[to].disk.chain.iter();
                if !chain.any(|(block, _)| sequences(block).any(|s| s == sequence)) {
                    self.peers[to].batches.insert(sequence);
                    self.update_pending(to);
                }
            }
            Event::Crash(peer) => self.crash(peer),
            Event::Wipe(peer) => self.wipe(peer),
            Event::Restart(peer) => self.restart(peer),
            Event::AskStandings { asker, life } => self.ask_standings(asker, life),
            Event::AskStanding { to, asker } => {
                let peer = &self.peers[to];
                let (from, life) = (peer.index, self.peers[asker].life);
                let standing = peer.disk.safety.as_ref().map(Standing::of).map(Box::new);
                // One that has a state and is down says nothing.
                if peer.engine.is_none() && standing.is_some() {
                    return;
                }
                let changes = peer.disk.changes.clone();
                self.soon(Event::Standing {
                    to: asker,
                    life,
                    from,
                    standing,
                    changes,
                });
            }
            Event::Standing {
                to,
                life,
                from,
                standing,
                changes,
            } => {
                if self.peers[to].life == life {
                    self.learn_epochs(to, changes);
                    let standing = standing.map(|standing| *standing);
                    self.peers[to].answers.insert(from, standing);
                    self.try_begin(to);
                }
            }
        }
    }

    fn crash(&mut self, peer: usize) {
        if self.peers[peer].engine.take().is_some() {
            self.peers[peer].early.clear();
            self.peers[peer].life += 1;
            let down = 1 + self.below(2_000);
            self.at(self.now + down, Event::Restart(peer));
        }
    }

    /// Takes a disk, unless that would be the second one of which the loss is not made up for: one
    /// that cannot sign yet, or may still come into doubt at the end of its epoch, counts among those
    /// that may fail.
    fn wipe(&mut self, place: usize) {
        let signs = |peer: &Peer| {
            let state = peer.disk.safety.as_ref();
            state.is_some_and(|state| {
                let bound = state.abstain_through;
                let tip = peer.disk.chain.last().map(|(block, _)| &block.header);
                let of_state = tip.filter(|tip| tip.epoch == state.epoch());
                let settled = bound == View(0) || of_state.is_some_and(|tip| tip.view > bound);
                settled
                    && peer.disk.epoch() == state.epoch()
                    && state.view() > bound
                    && state.high_qc.view >= bound
            })
        };
        if self.peers.iter().all(signs) {
            self.wiped += 1;
            self.crash(place);
            self.peers[place].disk = Disk::default();
        } else if self.now < HEAL_MS {
            self.at(self.now + 500, Event::Wipe(place));
        }
    }

    fn restart(&mut self, place: usize) {
        let peer = &mut self.peers[place];
        peer.answers.clear();
        let asks = !self.options.wipes.is_empty() && peer.honest;
        match peer.disk.safety.is_some() || !asks {
            true => self.resume(place),
            false => self.ask_standings(place, self.peers[place].life),
        }
    }

    /// Asks all others where they stand, again and again until that is enough to begin from.
    fn ask_standings(&mut self, asker: usize, life: u32) {
        if self.peers[asker].life != life || self.peers[asker].engine.is_some() {
            return;
        }
        for to in (0..4).filter(|to| *to != asker) {
            self.soon(Event::AskStanding { to, asker });
        }
        self.at(self.now + 500, Event::AskStandings { asker, life });
    }

    /// Starts a node without a safety state if enough others have said where they stand.
    fn try_begin(&mut self, place: usize) {
        let peer = &mut self.peers[place];
        let newest = peer.disk.changes.keys().next_back().copied();
        let newest = newest.unwrap_or_default();
        let (origin, committee) = (peer.disk.origin(newest), committee_of(newest));
        let mut answers = peer.answers.clone();
        // One of a later epoch cannot be judged yet.
        answers.retain(|_, standing| standing.as_ref().is_none_or(|s| s.epoch() <= newest));
        if peer.engine.is_none()
            && let Some(state) = rejoin(&origin, &committee, peer.index, &answers, false)
        {
            peer.disk.safety = Some(state);
            self.resume(place);
        }
    }

    fn resume(&mut self, place: usize) {
        let peer = &mut self.peers[place];
        let skip = peer.disk.chain.len().saturating_sub(ANCESTRY_BLOCKS);
        let epoch = peer.disk.epoch();
        let recovered = Some(Recovered {
            // A node can have synced blocks without ever having signed anything.
            safety: peer.disk.state_in(epoch),
            committed: peer.disk.chain[skip..]
                .iter()
                .map(|(block, _)| block.header.clone())
                .collect(),
            certificate: peer.disk.chain.last().and_then(|(_, cc)| cc.clone()),
            blocks: peer.disk.blocks.values().cloned().collect(),
        });
        let signatures = Arc::new(Quick(peer.index));
        let config = EngineConfig {
            committee: committee_of(epoch),
            origin: peer.disk.origin(epoch),
            ..config(&[1; 4], peer.index.0)
        };
        let engine = Engine::new(config, signatures, recovered);
        #[cfg(feature = "broken-rules")]
        let engine = without(engine, self.options.broken);
        // The setup of the next epoch may have been in reach before a crash.
        let over = engine.is_over();
        peer.engine = Some(engine);
        peer.life += 1;
        let life = peer.life;
        peer.pending = false;
        peer.in_flight.clear();
        peer.target = Height(0);
        if over {
            self.soon(Event::Pass { to: place, life });
        }
        self.input(place, Input::Start);
        self.update_pending(place);
    }

    fn input(&mut self, place: usize, input: Input) {
        let now = Now(self.now);
        let Some(engine) = &mut self.peers[place].engine else {
            return;
        };
        let step = engine.handle(now, input);
        let crash = self.now < HEAL_MS && self.below(10_000) < self.options.crashes;
        if crash && self.below(2) == 0 {
            return self.crash(place);
        }
        let disk = &mut self.peers[place].disk;
        for write in step.writes {
            match write {
                Write::Safety(state) if disk.takes(&state) => disk.safety = Some(*state),
                Write::Safety(_) => {}
                Write::Block(block) => {
                    disk.blocks.insert(block.id(), Block::clone(&block));
                }
            }
        }
        if crash {
            return self.crash(place);
        }
        for action in step.actions {
            self.act(place, action);
        }
    }

    fn act(&mut self, place: usize, action: Action) {
        let life = self.peers[place].life;
        match action {
            Action::Send { to, message } => self.send(place, to, &message),
            Action::Broadcast(message) => {
                for to in (0..4).map(ValidatorIndex) {
                    if to != self.peers[place].index {
                        self.send(place, to, &message);
                    }
                }
            }
            Action::RequestPayload {
                view,
                ancestors,
                due,
                ..
            } => {
                let input = self.payload(place, view, &ancestors, due);
                self.soon(Event::Input {
                    to: place,
                    life,
                    input,
                });
            }
            Action::CheckProposal { block, ancestors } => {
                let valid = self.check(place, &block, &ancestors);
                let input = Input::ProposalChecked {
                    block: block.id(),
                    valid,
                };
                self.soon(Event::Input {
                    to: place,
                    life,
                    input,
                });
                self.note_in_flight(place, &block);
            }
            Action::Committed {
                blocks,
                certificate,
            } => self.commit(place, &blocks, certificate),
            Action::FetchBlock { block, from } => {
                let to = self.place_of(from);
                self.soon(Event::AskBlock {
                    to,
                    asker: place,
                    block,
                });
            }
            Action::Behind { height, from } => {
                self.peers[place].target = height;
                let (to, from) = (self.place_of(from), self.height(place).next());
                self.soon(Event::AskSync {
                    to,
                    asker: place,
                    from,
                });
            }
            Action::WakeAt(at) => {
                let input = Input::Tick;
                self.at(
                    at.max(self.now + 1),
                    Event::Input {
                        to: place,
                        life,
                        input,
                    },
                );
            }
            Action::Misbehaviour {
                validator,
                evidence,
            } => {
                assert_eq!(
                    validator,
                    ValidatorIndex(3),
                    "seed {}: {evidence:?}",
                    self.seed
                );
                assert!(self.options.twins, "seed {}: {evidence:?}", self.seed);
                self.accused.insert(validator);
            }
            Action::Fork { .. } => panic!("seed {}: fork", self.seed),
        }
    }

    /// Twins share one identity: a message to it reaches one of them.
    fn place_of(&mut self, index: ValidatorIndex) -> usize {
        let twin = index.0 == 3 && self.options.twins && self.below(2) == 1;
        usize::from(index.0) + usize::from(twin)
    }

    fn send(&mut self, place: usize, to: ValidatorIndex, message: &Message) {
        let to = self.place_of(to);
        let (from, drop) = (self.peers[place].index, self.options.drop_percent);
        let blind = self.options.blind == Some(to) && self.now < HEAL_MS;
        if self.percent(drop) || blind && matches!(message, Message::Proposal(_)) {
            return;
        }
        self.soon(Event::Message {
            to,
            from,
            message: message.clone(),
        });
    }

    fn height(&self, place: usize) -> Height {
        Height(self.peers[place].disk.chain.len() as u64)
    }

    fn serve_block(&mut self, to: usize, asker: usize, id: &BlockId) {
        let peer = &self.peers[to];
        let Some(engine) = &peer.engine else {
            return;
        };
        let committed = || {
            peer.disk
                .chain
                .iter()
                .map(|(b, _)| b)
                .find(|b| b.id() == *id)
        };
        let block = engine.block(id).map(|block| Block::clone(block));
        let block = block.or_else(|| peer.disk.blocks.get(id).or_else(committed).cloned());
        let (from, life) = (peer.index, self.peers[asker].life);
        let blind = self.options.blind == Some(asker) && self.now < HEAL_MS;
        if let Some(block) = block.filter(|_| !blind) {
            let input = Input::Block {
                from,
                block: Box::new(block),
            };
            self.soon(Event::Input {
                to: asker,
                life,
                input,
            });
        }
    }

    fn serve_sync(&mut self, to: usize, asker: usize, from: Height) {
        let (peer, life) = (&self.peers[to], self.peers[asker].life);
        let start = (from.0 as usize).saturating_sub(1);
        let rest = peer.disk.chain.get(start..).unwrap_or(&[]);
        // One committee vouches for all of an answer.
        let epoch = rest.first().map(|(block, _)| block.header.epoch);
        let rest = rest.iter().take(20);
        let rest = rest.take_while(|(block, _)| Some(block.header.epoch) == epoch);
        let rest: Vec<_> = rest.collect();
        let end = rest.iter().rposition(|(_, cc)| cc.is_some());
        if let Some(end) = end.filter(|_| peer.engine.is_some()) {
            let input = Input::Synced {
                from: peer.index,
                blocks: rest[..=end]
                    .iter()
                    .map(|(block, _)| block.clone())
                    .collect(),
                certificate: rest[end].1.clone().expect("found by it"),
            };
            self.soon(Event::Input {
                to: asker,
                life,
                input,
            });
        }
        if self.height(asker) < self.peers[asker].target && self.peers[asker].engine.is_some() {
            let next = ValidatorIndex(self.below(4) as u16);
            let to = self.place_of(next);
            let from = Height(self.height(asker).0 + 1);
            self.at(self.now + 200, Event::AskSync { to, asker, from });
        }
    }

    fn payload(&mut self, place: usize, view: View, ancestors: &[Arc<Block>], due: bool) -> Input {
        let used: BTreeSet<u64> = ancestors
            .iter()
            .flat_map(|block| sequences(block))
            .collect();
        let peer = &self.peers[place];
        let batches: Vec<_> = peer.batches.difference(&used).map(|s| batch(*s)).collect();
        if batches.is_empty() && !due {
            self.peers[place].pending = false;
            return Input::PayloadPending(false);
        }
        let height = Height(self.height(place).0 + ancestors.len() as u64 + 1);
        for batch in &batches {
            self.peers[place]
                .in_flight
                .insert(batch.header.sequence, height);
        }
        Input::Payload {
            view,
            batches,
            time: BlockTime(self.now),
            ledger_height: Height(0),
            ledger_root: Digest::ZERO,
            next_epoch: self.next_epoch(place, height),
        }
    }

    fn check(&self, place: usize, block: &Block, ancestors: &[Arc<Block>]) -> bool {
        let disk = &self.peers[place].disk;
        let before = ancestors.iter().map(|block| &**block);
        let before = before.chain(disk.chain.iter().map(|(block, _)| block));
        let used: BTreeSet<u64> = before.flat_map(sequences).collect();
        let next_epoch = self.next_epoch(place, block.header.height);
        block.header.next_epoch == next_epoch
            && sequences(block).all(|sequence| !used.contains(&sequence))
    }

    fn note_in_flight(&mut self, place: usize, block: &Block) {
        for sequence in sequences(block) {
            self.peers[place]
                .in_flight
                .insert(sequence, block.header.height);
        }
        self.update_pending(place);
    }

    fn update_pending(&mut self, place: usize) {
        let peer = &mut self.peers[place];
        let pending = peer.batches.iter().any(|s| !peer.in_flight.contains_key(s));
        if pending != peer.pending && peer.engine.is_some() {
            peer.pending = pending;
            self.input(place, Input::PayloadPending(pending));
        }
    }

    fn commit(&mut self, place: usize, blocks: &[Arc<Block>], certificate: CommitCertificate) {
        let seed = self.seed;
        for block in blocks {
            let height = block.header.height;
            assert_eq!(height, self.height(place).next(), "seed {seed}: contiguous");
            // Nothing extends an epoch's last block but the first of the next epoch.
            if let Some((parent, _)) = self.peers[place].disk.chain.last() {
                let ended = u64::from(parent.header.next_epoch.is_some());
                let epoch = Epoch(parent.header.epoch.0 + ended);
                assert_eq!(block.header.epoch, epoch, "seed {seed}: epoch at {height}");
            }
            if self.peers[place].honest {
                let first = *self.agreed.entry(height).or_insert_with(|| {
                    for sequence in sequences(block) {
                        assert!(self.ordered.insert(sequence), "seed {seed}: ordered twice");
                    }
                    block.id()
                });
                assert_eq!(first, block.id(), "seed {seed}: agreement at {height}");
            }
            let peer = &mut self.peers[place];
            for sequence in sequences(block) {
                peer.batches.remove(&sequence);
            }
            peer.in_flight.retain(|_, at| *at > height);
            peer.disk
                .blocks
                .retain(|_, other| other.header.height > height);
            peer.disk.chain.push((Block::clone(block), None));
        }
        let note = [&self.now.to_le_bytes()[..], &certificate.block.0.0].concat();
        let history = std::mem::replace(&mut self.history, Domain::Simulation.hasher());
        self.history = history.part(&note);
        if let Some((_, cc)) = self.peers[place].disk.chain.last_mut() {
            *cc = Some(certificate);
        }
        let life = self.peers[place].life;
        if blocks.iter().any(|block| block.header.next_epoch.is_some()) {
            self.soon(Event::Pass { to: place, life });
        }
        self.update_pending(place);
    }

    /// In the healed network a block is committed at least every heartbeat and a lost view or two,
    /// everyone follows, and every batch is ordered.
    fn check_liveness(&self) {
        let seed = self.seed;
        assert_eq!(
            self.ordered.len(),
            20,
            "seed {seed}: every batch is ordered"
        );
        let highest = self.agreed.len();
        for peer in self.peers.iter().filter(|peer| peer.honest) {
            let chain = &peer.disk.chain;
            assert!(
                chain.len() + 3 >= highest,
                "seed {seed}: {} of {highest}",
                chain.len()
            );
            let fresh = chain
                .iter()
                .filter(|(b, _)| b.header.time > BlockTime(HEAL_MS))
                .count();
            assert!(
                fresh >= 15,
                "seed {seed}: only {fresh} blocks since the network healed"
            );
        }
    }
}

fn sequences(block: &Block) -> impl Iterator<Item = u64> + '_ {
    block.batches.iter().map(|batch| batch.header.sequence)
}

#[cfg(feature = "broken-rules")]
fn without(mut engine: Engine, broken: Option<Broken>) -> Engine {
    if let Some(rule) = broken {
        engine.break_rule(rule);
    }
    engine
}
