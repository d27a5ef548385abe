//! The scheduler: one queue of events in simulated time, and what they do.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use conclave_consensus as agreement;
use conclave_crypto::{Committee, EdSecret};
use conclave_ledger::Ledger;
use conclave_node::{Effect, Event};
use conclave_sequencer::Done;
use conclave_types::{
    Allocation, Amount, BlockTime, ChainId, ConsensusParameters, Envelope, Genesis, Height,
    MarketParameters, RollupId, SystemOp, limits,
};
use rand::Rng;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::clients::Payer;
use super::committee::Keys;
use super::node::Node;
use super::plan::{Conduct, MS, Plan, SECOND};
use super::provers::Prover;
use super::trace::{Summary, Trace};
use super::{Options, Outcome, REAL_EVERY};
use crate::byzantine::{Byzantine, Member};
use crate::checkers::{Checkers, Violation};
use crate::model::{HashChain, Payments, Proofs, Sealer};

/// The wall clock at the start of every simulation.
const START_MS: u64 = 1_700_000_000_000;
/// When those who leave say so, in the first epoch.
const LEAVE_US: u64 = 500 * MS;

pub(super) enum SimEvent {
    /// To one node's incarnation; 0 stands for whichever is up.
    Node {
        node: usize,
        incarnation: u32,
        event: Box<Event>,
    },
    DiskDone {
        node: usize,
        incarnation: u32,
    },
    Tick {
        node: usize,
        incarnation: u32,
    },
    Crash {
        node: usize,
    },
    Restart {
        node: usize,
    },
    Submit {
        draw: u64,
    },
    Act,
}

struct Scheduled {
    at_us: u64,
    number: u64,
    event: SimEvent,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_us, self.number).cmp(&(other.at_us, other.number))
    }
}

/// One stream of randomness for each thing that draws, so that a plan with one fault less leaves
/// the rest of the history as alike as it can be.
pub(super) struct Streams {
    pub(super) network: ChaCha20Rng,
    pub(super) disks: ChaCha20Rng,
    pub(super) work: ChaCha20Rng,
    pub(super) clients: ChaCha20Rng,
    pub(super) liar: ChaCha20Rng,
}

impl Streams {
    fn new(seed: u64) -> Self {
        let stream = |number| {
            let mut random = ChaCha20Rng::seed_from_u64(seed);
            random.set_stream(number);
            random
        };
        Self {
            network: stream(2),
            disks: stream(3),
            work: stream(4),
            clients: stream(5),
            liar: stream(6),
        }
    }
}

pub(crate) struct World {
    seed: u64,
    pub(super) plan: Plan,
    pub(super) random: Streams,
    pub(super) genesis: Genesis,
    committee: Committee,
    pub(super) chain: ChainId,
    pub(super) sealer: Sealer,
    pub(super) proofs: Box<dyn Proofs>,
    /// The committee's, by index; then the liar's second instance, if it has one.
    pub(super) nodes: Vec<Node>,
    queue: BinaryHeap<Reverse<Scheduled>>,
    numbers: u64,
    pub(super) now_us: u64,
    pub(super) operator: Payer,
    pub(super) payers: Vec<Payer>,
    pub(super) provers: Vec<Prover>,
    pub(super) tickets: u64,
    /// What is waiting for an answer.
    pub(super) submitted: BTreeMap<u64, Envelope>,
    /// When a rollup's registration, and its funding, was last asked for.
    pub(super) asked: BTreeMap<RollupId, u64>,
    pub(super) funded: BTreeMap<RollupId, u64>,
    pub(super) checkers: Checkers,
    pub(super) trace: Trace,
}

impl World {
    pub(crate) fn new(options: Options, plan: Plan) -> Self {
        let seed = options.seed;
        let real = seed.is_multiple_of(REAL_EVERY);
        let mut key_random = ChaCha20Rng::seed_from_u64(seed);
        key_random.set_stream(1);
        let payer = |number| Payer::new(seed, number);
        let operator = payer(1);
        let payers: Vec<Payer> = (10..14).map(payer).collect();
        let provers: Vec<Payer> = (20..23).map(payer).collect();
        let funded = [&operator].into_iter().chain(&payers).chain(&provers);
        let allocations = funded.map(|payer| Allocation {
            account: payer.account(),
            balance: Amount(1_000_000_000),
            fees: Amount(100_000_000),
        });
        let keys = Keys::new(seed, plan.nodes, real, &mut key_random);
        let reporters = keys.validators.iter().map(|validator| Allocation {
            account: validator.account,
            balance: Amount::ZERO,
            fees: Amount(1_000_000),
        });
        let genesis = Genesis {
            name: format!("simulation-{seed}"),
            time: BlockTime(START_MS - 1_000),
            validators: keys.validators.clone(),
            sealing: keys.sealing.clone(),
            allocations: allocations.chain(reporters).collect(),
            consensus: ConsensusParameters {
                // Real keys take a real part in their generation, which real processes show.
                epoch_blocks: if real { 0 } else { plan.epoch_blocks },
                keygen_phase_blocks: limits::KEYGEN_PHASE_BLOCKS_MIN,
                ..ConsensusParameters::default()
            },
            fees: Default::default(),
            market: MarketParameters::default(),
        };
        let committee = Committee::from_genesis(&genesis).expect("a valid genesis");
        let proofs: Box<dyn Proofs> = match real {
            true => Box::new(Payments::new(seed, genesis.chain_id())),
            false => Box::new(HashChain),
        };
        let verifier = proofs.verifier();
        let (sealer, identities) = keys.into_identities(seed, &genesis, &committee, &verifier);
        let mut random = Streams::new(seed);
        let mut nodes: Vec<Node> = identities.into_iter().map(Node::new).collect();
        #[cfg(feature = "broken-rules")]
        nodes
            .iter_mut()
            .for_each(|node| node.broken = options.broken);
        if let Some(liar) = &plan.liar {
            if plan.has_twin() {
                nodes.push(Node::new(nodes[liar.node].identity.clone()));
            }
            let places = (0..nodes.len()).filter(|p| *p == liar.node || *p >= plan.nodes);
            for place in places.collect::<Vec<_>>() {
                let byzantine = Byzantine::new(&liar.lies, &mut random.liar);
                nodes[place].byzantine = Some(byzantine);
            }
        }
        let conducts = [plan.first_prover, Conduct::Honest, Conduct::Honest];
        let provers = provers.into_iter().zip(conducts);
        Self {
            seed,
            chain: genesis.chain_id(),
            checkers: Checkers::new(&genesis, &plan, proofs.as_ref()),
            provers: provers
                .map(|(payer, conduct)| Prover::new(payer, conduct))
                .collect(),
            plan,
            random,
            committee,
            sealer,
            proofs,
            nodes,
            queue: BinaryHeap::new(),
            numbers: 0,
            now_us: 0,
            operator,
            payers,
            tickets: 0,
            submitted: BTreeMap::new(),
            asked: BTreeMap::new(),
            funded: BTreeMap::new(),
            trace: Trace::new(options.log),
            genesis,
        }
    }

    pub(crate) fn outcome(self, violation: Option<Violation>) -> Outcome {
        let (acknowledged, delivered, settled_ranges) = self.checkers.counts();
        let (digest, log) = self.trace.finish();
        Outcome {
            seed: self.seed,
            digest,
            violation,
            log,
            blocks: self.checkers.blocks(),
            acknowledged,
            delivered,
            settled_ranges,
            coverage: self.checkers.coverage,
        }
    }

    /// Runs until everything acknowledged is delivered and settled, or time is up.
    pub(crate) fn run(&mut self) -> Result<(), Violation> {
        for node in 0..self.nodes.len() {
            self.restart(node)?;
        }
        for crash in self.plan.crashes.clone() {
            self.schedule(crash.at_us, SimEvent::Crash { node: crash.node });
            self.schedule(crash.back_us, SimEvent::Restart { node: crash.node });
        }
        for submission in self.plan.submissions.clone() {
            let draw = submission.draw;
            self.schedule(submission.at_us, SimEvent::Submit { draw });
        }
        for leaver in self.plan.leavers.clone() {
            self.leave(leaver);
        }
        self.schedule(100 * MS, SimEvent::Act);
        while let Some(Reverse(next)) = self.queue.pop() {
            self.now_us = next.at_us;
            if self.now_us > self.plan.end_us {
                break;
            }
            self.step(next.event)?;
            if self.now_us > self.plan.heal_us + 2 * SECOND && self.is_done() {
                return self.checkers.finish(&self.ledgers());
            }
        }
        Err(self.checkers.stuck(&self.ledgers()))
    }

    /// A member says that it leaves, to an honest one that stays: what it sends itself may not arrive.
    fn leave(&mut self, leaver: usize) {
        let identity = &self.nodes[leaver].identity;
        let validator = identity.index;
        let mut payer = Payer::operator(&identity.receipts);
        let leave = SystemOp::LeaveValidator { validator };
        let envelope = Box::new(payer.operation(self.chain, Height(0), &leave));
        let mut places = 0..self.plan.nodes;
        let stays = |place: &usize| self.is_honest(*place) && !self.plan.leavers.contains(place);
        let to = places.find(stays).expect("not all leave");
        self.tickets += 1;
        let ticket = self.tickets;
        self.later(LEAVE_US, to, 0, Event::Submit { ticket, envelope });
    }

    fn is_done(&self) -> bool {
        let mut honest = (0..self.nodes.len()).filter(|place| self.is_honest(*place));
        let up = honest.all(|place| self.nodes[place].up.is_some());
        up && self.checkers.is_done(&self.ledgers())
    }

    /// Those of the honest nodes that are up.
    fn ledgers(&self) -> Vec<Arc<Ledger>> {
        let honest = (0..self.nodes.len()).filter(|place| self.is_honest(*place));
        honest
            .filter_map(|place| Some(self.nodes[place].up.as_ref()?.ledger.clone()))
            .collect()
    }

    pub(super) fn is_honest(&self, place: usize) -> bool {
        self.nodes[place].byzantine.is_none()
    }

    pub(super) fn schedule(&mut self, at_us: u64, event: SimEvent) {
        self.numbers += 1;
        let at_us = at_us.max(self.now_us);
        self.queue.push(Reverse(Scheduled {
            at_us,
            number: self.numbers,
            event,
        }));
    }

    /// What a node's clock shows.
    pub(super) fn clock_ms(&self, node: usize) -> u64 {
        START_MS + self.now_us / MS + self.ahead_ms(node)
    }

    fn ahead_ms(&self, node: usize) -> u64 {
        self.plan.ahead_ms[usize::from(self.nodes[node].identity.index.0)]
    }

    fn step(&mut self, event: SimEvent) -> Result<(), Violation> {
        match event {
            SimEvent::Node {
                node,
                incarnation,
                event,
            } => self.give(node, incarnation, *event),
            SimEvent::DiskDone { node, incarnation } => self.disk_done(node, incarnation),
            SimEvent::Tick { node, incarnation } => {
                let now_ms = self.clock_ms(node);
                let up = self.nodes[node].up.as_ref();
                match up.is_some_and(|up| now_ms >= up.wake_ms) {
                    true => self.give(node, incarnation, Event::Tick),
                    false => Ok(()),
                }
            }
            SimEvent::Crash { node } => self.crash(node),
            SimEvent::Restart { node } => self.restart(node),
            SimEvent::Submit { draw } => self.submit(draw),
            SimEvent::Act => self.act(),
        }
    }

    pub(super) fn give(
        &mut self,
        node: usize,
        incarnation: u32,
        event: Event,
    ) -> Result<(), Violation> {
        let now_ms = self.clock_ms(node);
        let this = &mut self.nodes[node];
        let current = incarnation == 0 || incarnation == this.incarnation;
        let Some(up) = this.up.as_mut().filter(|_| current) else {
            return Ok(());
        };
        self.trace
            .note(self.now_us, format_args!("{node} <- {}", Summary(&event)));
        self.checkers.coverage.event(&event);
        if this.byzantine.is_none() {
            self.checkers.inclusion.sees(self.now_us, node, &event);
        }
        let effects = match &mut this.byzantine {
            None => up.replica.handle(now_ms, event),
            Some(byzantine) => {
                let transport = EdSecret::from_seed(&this.identity.receipts);
                let mut member = Member {
                    chain: self.chain,
                    committee: &self.committee,
                    index: this.identity.index,
                    signatures: this.identity.signatures.as_ref(),
                    transport: &transport,
                    now_ms,
                    random: &mut self.random.liar,
                };
                let replica = &mut up.replica;
                byzantine.handle(&mut member, event, |event| replica.handle(now_ms, event))
            }
        };
        for effect in effects {
            self.perform(node, effect)?;
        }
        Ok(())
    }

    pub(super) fn perform(&mut self, node: usize, effect: Effect) -> Result<(), Violation> {
        let incarnation = self.nodes[node].incarnation;
        let honest = self.is_honest(node);
        let Some(up) = self.nodes[node].up.as_mut() else {
            return Ok(());
        };
        if honest {
            self.checkers.coverage.effect(&effect);
        }
        match effect {
            Effect::Durable { records, then } => self.write(node, records, then)?,
            Effect::Send { to, message } => self.send(node, Some(to), message)?,
            Effect::Broadcast(message) => self.send(node, None, message)?,
            Effect::Answer { ticket, answer } => {
                if let Some(envelope) = self.submitted.remove(&ticket) {
                    let acknowledged = answer.is_ok();
                    let id = envelope.header.id();
                    let line = format_args!("{node} answers {id}: acknowledged={acknowledged}");
                    self.trace.note(self.now_us, line);
                    // A liar's receipt is worth its bond, not an order.
                    if let Ok(receipt) = answer
                        && honest
                    {
                        self.checkers.acknowledged(&envelope);
                        // One whose node may be cut off or crash cannot be kept in time.
                        if self.now_us >= self.plan.heal_us {
                            self.checkers.deadline.promised(&envelope, &receipt);
                        }
                    }
                }
            }
            Effect::Work(work) => {
                let done: Done = work.run(&mut up.tools);
                let at = self.now_us + self.random.work.gen_range(100..3 * MS);
                self.later(at, node, incarnation, Event::Done(Box::new(done)));
            }
            Effect::Fetch(fetch) => self.fetch(node, &fetch),
            Effect::FetchBlock { block, from } => {
                let found = self.reachable(node, from);
                if let Some(found) = found.and_then(|peer| peer.disk.block(&block)) {
                    let block = Box::new(found.as_ref().clone());
                    let input = agreement::Input::Block { from, block };
                    self.reply(node, Event::Agreement(Box::new(input)));
                }
            }
            Effect::Sync { from, .. } => {
                let next = up.replica.sequencer().committed().next();
                let answer = self.peers(node, from).into_iter().find_map(|from| {
                    let (blocks, certificate) =
                        self.reachable(node, from)?.disk.blocks_from(next)?;
                    Some(agreement::Input::Synced {
                        from,
                        blocks,
                        certificate,
                    })
                });
                if let Some(input) = answer {
                    self.reply(node, Event::Agreement(Box::new(input)));
                }
            }
            Effect::Committed {
                blocks,
                certificate,
            } => {
                let last = blocks.last().map_or(Height(0), |block| block.header.height);
                self.trace
                    .note(self.now_us, format_args!("{node} committed {last}"));
                if honest {
                    let now_ms = START_MS + self.now_us / MS;
                    self.checkers
                        .committed(now_ms, node, &blocks, &certificate)?;
                }
            }
            Effect::Executed(published) => {
                up.ledger = published.ledger.clone();
                let root = published.executed.state_root;
                let line = format_args!("{node} executed {} {root}", published.height);
                self.trace.note(self.now_us, line);
                if honest {
                    self.checkers.executed(node, &published)?;
                }
                if let Some(op) = self.nodes[node].speak() {
                    let incarnation = self.nodes[node].incarnation;
                    let event = Event::Operate(Box::new(op));
                    let event = SimEvent::Node {
                        node,
                        incarnation,
                        event: Box::new(event),
                    };
                    self.schedule(self.now_us, event);
                }
            }
            Effect::Misbehaviour {
                validator,
                what,
                evidence,
            } => {
                let proven = matches!(evidence.as_deref(), Some(agreement::Evidence::Proof(_)));
                if honest && proven {
                    self.checkers.proven(node, validator);
                }
                let accused = usize::from(validator.0);
                if honest && self.plan.liar() != Some(accused) {
                    let what = format!("node {node} accuses honest node {accused}: {what}");
                    return Err(Violation::new("honesty", what));
                }
            }
            Effect::Stop { reason } => {
                if honest {
                    let what = format!("node {node} stopped: {reason}");
                    return Err(Violation::new("running", what));
                }
                self.crash(node)?;
            }
            Effect::WakeAt(at_ms) => {
                up.wake_ms = at_ms;
                let at_us = at_ms.saturating_sub(START_MS + self.ahead_ms(node));
                let at_us = at_us.saturating_mul(MS);
                self.schedule(at_us, SimEvent::Tick { node, incarnation });
            }
            Effect::EpochBegan(change) => {
                let epoch = change.setup.epoch;
                self.trace
                    .note(self.now_us, format_args!("{node} begins epoch {epoch}"));
                if honest {
                    self.checkers.began(node, &change)?;
                }
            }
            Effect::Finalised { .. } | Effect::Batched(_) | Effect::Retired(_) => {}
        }
        Ok(())
    }
}
