//! The scheduler: one queue of events in simulated time, and everything they do.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use conclave_consensus as agreement;
use conclave_crypto::{BlsCommittee, BlsSecret, Committee, EdSecret, Signatures};
use conclave_ledger::Ledger;
use conclave_market::Verifier;
use conclave_node::{Effect, Event, PeerMessage, Record};
use conclave_seal::{Ceremony, KeyGeneration, KeyShares, SealScheme, Tdh2};
use conclave_sequencer::{self as sequencing, Done, Fetch};
use conclave_types::{
    Allocation, Amount, BlockTime, ChainId, ConsensusParameters, Digest, Envelope, Genesis, Height,
    MarketParameters, Point, RollupId, SealingKey, SystemOp, ValidatorIndex, ValidatorInfo,
};
use rand::Rng;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::clients::{PROVEN, Payer, UNPROVEN, config};
use super::node::{Identity, Node};
use super::plan::{Conduct, MS, Plan, SECOND};
use super::provers::Prover;
use super::{Options, Outcome, REAL_EVERY, Trace};
use crate::checkers::{Checkers, Violation};
use crate::model::{HashChain, ModelSeal, ModelSignatures, Payments, Proofs, Sealer};

/// The wall clock at the start of every simulation.
const START_MS: u64 = 1_700_000_000_000;
/// Between looks of provers and operators at the chain.
const ACT_EVERY_US: u64 = 150 * MS;

enum SimEvent {
    /// To one node's incarnation; 0 stands for whichever is up.
    Node {
        node: usize,
        incarnation: u32,
        event: Event,
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
    Submit,
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

pub(crate) struct World {
    seed: u64,
    plan: Plan,
    random: ChaCha20Rng,
    genesis: Genesis,
    chain: ChainId,
    sealer: Sealer,
    proofs: Box<dyn Proofs>,
    nodes: Vec<Node>,
    queue: BinaryHeap<Reverse<Scheduled>>,
    numbers: u64,
    now_us: u64,
    operator: Payer,
    payers: Vec<Payer>,
    provers: Vec<Prover>,
    tickets: u64,
    /// What is waiting for an answer.
    submitted: BTreeMap<u64, Envelope>,
    /// When a rollup's registration, and its funding, was last asked for.
    asked: BTreeMap<RollupId, u64>,
    funded: BTreeMap<RollupId, u64>,
    checkers: Checkers,
    trace: Trace,
}

impl World {
    pub(crate) fn new(options: Options) -> Self {
        let mut random = ChaCha20Rng::seed_from_u64(options.seed);
        let mut plan = Plan::draw(&mut random);
        let real = options.seed.is_multiple_of(REAL_EVERY);
        if real {
            plan.for_real_proofs();
        }
        let operator = Payer::new(options.seed, 1);
        let payers: Vec<Payer> = (10..14)
            .map(|number| Payer::new(options.seed, number))
            .collect();
        let provers: Vec<Payer> = (20..23)
            .map(|number| Payer::new(options.seed, number))
            .collect();
        let funded = [&operator].into_iter().chain(&payers).chain(&provers);
        let allocations = funded.map(|payer| Allocation {
            account: payer.account(),
            balance: Amount(1_000_000_000),
            fees: Amount(100_000_000),
        });
        let keys = Keys::new(options.seed, plan.nodes, real, &mut random);
        let genesis = Genesis {
            name: format!("simulation-{}", options.seed),
            time: BlockTime(START_MS - 1_000),
            validators: keys.validators.clone(),
            sealing: keys.sealing.clone(),
            allocations: allocations.collect(),
            consensus: ConsensusParameters::default(),
            fees: Default::default(),
            market: MarketParameters::default(),
        };
        let committee = Committee::from_genesis(&genesis).expect("a valid genesis");
        let proofs: Box<dyn Proofs> = match real {
            true => Box::new(Payments::new(options.seed, genesis.chain_id())),
            false => Box::new(HashChain),
        };
        let verifier = proofs.verifier();
        let (sealer, identities) =
            keys.into_identities(options.seed, &genesis, &committee, &verifier);
        let nodes: Vec<Node> = identities
            .into_iter()
            .map(|identity| Node {
                identity,
                disk: Default::default(),
                up: None,
                incarnation: 0,
            })
            .collect();
        let first_prover = plan.first_prover;
        let provers = provers.into_iter().enumerate();
        Self {
            seed: options.seed,
            chain: genesis.chain_id(),
            checkers: Checkers::new(&genesis, nodes.len(), proofs.as_ref()),
            plan,
            random,
            sealer,
            proofs,
            nodes,
            queue: BinaryHeap::new(),
            numbers: 0,
            now_us: 0,
            operator,
            payers,
            provers: provers
                .map(|(i, payer)| match i {
                    0 => Prover::new(payer, first_prover),
                    _ => Prover::new(payer, Conduct::Honest),
                })
                .collect(),
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
        Outcome {
            seed: self.seed,
            digest: self.trace.digest.unwrap_or_default(),
            violation,
            log: self.trace.lines,
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
        for _ in &self.plan.partitions {
            self.checkers.coverage.saw("partitions");
        }
        for crash in self.plan.crashes.clone() {
            self.schedule(crash.at_us, SimEvent::Crash { node: crash.node });
            self.schedule(crash.back_us, SimEvent::Restart { node: crash.node });
        }
        self.schedule(300 * MS, SimEvent::Submit);
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

    fn is_done(&self) -> bool {
        let up = self.nodes.iter().all(|node| node.up.is_some());
        up && self.checkers.is_done(&self.ledgers())
    }

    fn ledgers(&self) -> Vec<Arc<Ledger>> {
        self.nodes
            .iter()
            .filter_map(|node| Some(node.up.as_ref()?.ledger.clone()))
            .collect()
    }

    fn schedule(&mut self, at_us: u64, event: SimEvent) {
        self.numbers += 1;
        let at_us = at_us.max(self.now_us);
        self.queue.push(Reverse(Scheduled {
            at_us,
            number: self.numbers,
            event,
        }));
    }

    fn now_ms(&self) -> u64 {
        START_MS + self.now_us / MS
    }

    fn step(&mut self, event: SimEvent) -> Result<(), Violation> {
        match event {
            SimEvent::Node {
                node,
                incarnation,
                event,
            } => self.give(node, incarnation, event),
            SimEvent::DiskDone { node, incarnation } => self.disk_done(node, incarnation),
            SimEvent::Tick { node, incarnation } => {
                let now_ms = self.now_ms();
                let due = self.nodes[node]
                    .up
                    .as_ref()
                    .is_some_and(|up| now_ms >= up.wake_ms);
                if due {
                    return self.give(node, incarnation, Event::Tick);
                }
                Ok(())
            }
            SimEvent::Crash { node } => {
                self.crash(node);
                Ok(())
            }
            SimEvent::Restart { node } => self.restart(node),
            SimEvent::Submit => self.submit(),
            SimEvent::Act => self.act(),
        }
    }

    /// Everything not yet durable is lost, but for a prefix that the disk had just taken.
    fn crash(&mut self, node: usize) {
        let Some(mut up) = self.nodes[node].up.take() else {
            return;
        };
        let survives = self.random.gen_range(0..=up.writing.len());
        for (records, _) in up.writing.drain(..survives) {
            records
                .iter()
                .for_each(|record| self.nodes[node].disk.apply(record));
        }
        self.checkers.coverage.saw("crashes");
        self.trace.note(self.now_us, format_args!("crash {node}"));
    }

    fn restart(&mut self, node: usize) -> Result<(), Violation> {
        if self.nodes[node].up.is_some() {
            return Ok(());
        }
        let now_ms = self.now_ms();
        let replay = self.nodes[node].start(&self.genesis, now_ms);
        self.checkers.restarted(node);
        let incarnation = self.nodes[node].incarnation;
        if incarnation > 1 {
            self.checkers.coverage.saw("restarts");
        }
        self.trace.note(
            self.now_us,
            format_args!("start {node} with {} to replay", replay.len()),
        );
        for input in replay {
            self.give(node, incarnation, Event::Sequencing(input))?;
        }
        self.give(node, incarnation, Event::Start)
    }

    fn give(&mut self, node: usize, incarnation: u32, event: Event) -> Result<(), Violation> {
        let now_ms = self.now_ms();
        let this = &mut self.nodes[node];
        let current = incarnation == 0 || incarnation == this.incarnation;
        let Some(up) = this.up.as_mut().filter(|_| current) else {
            return Ok(());
        };
        self.trace
            .note(self.now_us, format_args!("{node} <- {}", summary(&event)));
        for effect in up.replica.handle(now_ms, event) {
            self.perform(node, effect)?;
        }
        Ok(())
    }

    fn perform(&mut self, node: usize, effect: Effect) -> Result<(), Violation> {
        let incarnation = self.nodes[node].incarnation;
        let Some(up) = self.nodes[node].up.as_mut() else {
            return Ok(());
        };
        match effect {
            Effect::Durable { records, then } => self.write(node, records, then)?,
            Effect::Send { to, message } => self.send(node, usize::from(to.0), message)?,
            Effect::Broadcast(message) => {
                for to in 0..self.nodes.len() {
                    if to != node {
                        self.send(node, to, message.clone())?;
                    }
                }
            }
            Effect::Answer { ticket, answer } => {
                if let Some(envelope) = self.submitted.remove(&ticket) {
                    let acknowledged = answer.is_ok();
                    let id = envelope.header.id();
                    let line = format_args!("{node} answers {id}: acknowledged={acknowledged}");
                    self.trace.note(self.now_us, line);
                    if acknowledged {
                        self.checkers.acknowledged(&envelope);
                    }
                }
            }
            Effect::Work(work) => {
                let done: Done = work.run(&up.tools);
                let at = self.now_us + self.random.gen_range(100..3 * MS);
                let event = Event::Done(Box::new(done));
                self.schedule(
                    at,
                    SimEvent::Node {
                        node,
                        incarnation,
                        event,
                    },
                );
            }
            Effect::Fetch(fetch) => self.fetch(node, &fetch),
            Effect::FetchBlock { block, from } => {
                let Some(found) = self
                    .reachable(node, from)
                    .and_then(|n| n.disk.block(&block))
                else {
                    return Ok(());
                };
                let block = Box::new(found.as_ref().clone());
                let input = agreement::Input::Block { from, block };
                self.reply(node, Event::Agreement(Box::new(input)));
            }
            Effect::Sync { from, .. } => {
                let next = up.replica.sequencer().committed().next();
                let mut peers: Vec<usize> = (0..self.nodes.len()).filter(|p| *p != node).collect();
                peers.sort_by_key(|peer| *peer != usize::from(from.0));
                for peer in peers {
                    let from = ValidatorIndex(peer as u16);
                    let found = self
                        .reachable(node, from)
                        .and_then(|n| n.disk.blocks_from(next));
                    if let Some((blocks, certificate)) = found {
                        let input = agreement::Input::Synced {
                            from,
                            blocks,
                            certificate,
                        };
                        self.reply(node, Event::Agreement(Box::new(input)));
                        break;
                    }
                }
            }
            Effect::Committed {
                blocks,
                certificate,
            } => {
                let last = blocks.last().map_or(Height(0), |block| block.header.height);
                self.trace
                    .note(self.now_us, format_args!("{node} committed {last}"));
                self.checkers.committed(node, &blocks, &certificate)?;
            }
            Effect::Executed(published) => {
                up.ledger = published.ledger.clone();
                let root = published.executed.state_root;
                let line = format_args!("{node} executed {} {root}", published.height);
                self.trace.note(self.now_us, line);
                self.checkers.executed(node, &published)?;
            }
            Effect::Misbehaviour {
                validator, what, ..
            } => {
                return Err(Violation::new(
                    "honesty",
                    format!("node {node} accuses honest node {}: {what}", validator.0),
                ));
            }
            Effect::Stop { reason } => {
                return Err(Violation::new(
                    "running",
                    format!("node {node} stopped: {reason}"),
                ));
            }
            Effect::WakeAt(at_ms) => {
                up.wake_ms = at_ms;
                let at = at_ms.saturating_sub(START_MS) * MS;
                self.schedule(at, SimEvent::Tick { node, incarnation });
            }
            Effect::Finalised { .. } => {}
        }
        Ok(())
    }

    // ---- disk -------------------------------------------------------------------------------

    fn write(
        &mut self,
        node: usize,
        records: Vec<Record>,
        then: Vec<Effect>,
    ) -> Result<(), Violation> {
        let latency = self
            .random
            .gen_range(self.plan.disk_us.0..=self.plan.disk_us.1);
        let incarnation = self.nodes[node].incarnation;
        let Some(up) = self.nodes[node].up.as_mut() else {
            return Ok(());
        };
        records.iter().for_each(|record| up.contents.add(record));
        if records.is_empty() && up.writing.is_empty() {
            for effect in then {
                self.perform(node, effect)?;
            }
            return Ok(());
        }
        up.disk_free_us = up.disk_free_us.max(self.now_us) + latency;
        // What waits for the disk shares one commit, as in the node's group commit.
        let at = match up.writing.is_empty() {
            true => up.disk_free_us,
            false => up.disk_free_us.min(self.now_us + 2 * latency),
        };
        up.writing.push_back((records, then));
        self.schedule(at, SimEvent::DiskDone { node, incarnation });
        Ok(())
    }

    fn disk_done(&mut self, node: usize, incarnation: u32) -> Result<(), Violation> {
        if incarnation != self.nodes[node].incarnation {
            return Ok(());
        }
        let Some(up) = self.nodes[node].up.as_mut() else {
            return Ok(());
        };
        let Some((records, then)) = up.writing.pop_front() else {
            return Ok(());
        };
        records
            .iter()
            .for_each(|record| self.nodes[node].disk.apply(record));
        for effect in then {
            self.perform(node, effect)?;
        }
        Ok(())
    }

    // ---- network ----------------------------------------------------------------------------

    fn delay(&mut self) -> u64 {
        self.random
            .gen_range(self.plan.delay_us.0..=self.plan.delay_us.1)
    }

    fn send(&mut self, from: usize, to: usize, message: PeerMessage) -> Result<(), Violation> {
        self.checkers.sent(from, &message)?;
        let origin = ValidatorIndex(from as u16);
        if from == to {
            let incarnation = self.nodes[from].incarnation;
            let event = Event::Peer {
                from: origin,
                message,
            };
            self.schedule(
                self.now_us,
                SimEvent::Node {
                    node: to,
                    incarnation,
                    event,
                },
            );
            return Ok(());
        }
        let lossy = self.now_us < self.plan.heal_us;
        let lost = self.random.gen_ratio(self.plan.drop_permille, 1000);
        if !self.plan.connected(self.now_us, from, to) || (lossy && lost) {
            return Ok(());
        }
        let twice = self.random.gen_ratio(self.plan.duplicate_permille, 1000);
        for _ in 0..if twice { 2 } else { 1 } {
            let at = self.now_us + self.delay();
            let event = Event::Peer {
                from: origin,
                message: message.clone(),
            };
            self.schedule(
                at,
                SimEvent::Node {
                    node: to,
                    incarnation: 0,
                    event,
                },
            );
        }
        Ok(())
    }

    fn reachable(&self, from: usize, to: ValidatorIndex) -> Option<&Node> {
        let to = usize::from(to.0);
        let node = self.nodes.get(to)?;
        (node.up.is_some() && self.plan.connected(self.now_us, from, to)).then_some(node)
    }

    /// What a peer's answer brings, a round trip later.
    fn reply(&mut self, node: usize, event: Event) {
        let at = self.now_us + self.delay() + self.delay();
        let incarnation = self.nodes[node].incarnation;
        self.schedule(
            at,
            SimEvent::Node {
                node,
                incarnation,
                event,
            },
        );
    }

    fn fetch(&mut self, node: usize, fetch: &Fetch) {
        match *fetch {
            Fetch::Batch { id, holders } => {
                let own = self.nodes[node].disk.batch(&id);
                let found = own.or_else(|| {
                    let mut holders = holders.iter();
                    holders.find_map(|holder| self.reachable(node, holder)?.disk.batch(&id))
                });
                if let Some(batch) = found {
                    self.reply(node, Event::Sequencing(sequencing::Input::Fetched(batch)));
                }
            }
            Fetch::Openings { height, lane } => {
                let record = self.nodes[node].disk.opening(height, lane);
                let input = match record.cloned() {
                    Some(record) => sequencing::Input::Reopened {
                        height,
                        lane,
                        record: Box::new(record),
                    },
                    None => sequencing::Input::NotReopened { height, lane },
                };
                let incarnation = self.nodes[node].incarnation;
                let event = Event::Sequencing(input);
                self.schedule(
                    self.now_us,
                    SimEvent::Node {
                        node,
                        incarnation,
                        event,
                    },
                );
            }
            Fetch::Shares { height, lane } => {
                for peer in (0..self.nodes.len()).filter(|peer| *peer != node) {
                    let from = ValidatorIndex(peer as u16);
                    let record = self.reachable(node, from);
                    let record = record.and_then(|node| node.disk.opening(height, lane));
                    if let Some(bundle) = record.and_then(|record| record.bundle.clone()) {
                        let message = sequencing::Message::Shares(bundle);
                        let message = PeerMessage::Sequencing(message);
                        self.reply(node, Event::Peer { from, message });
                    }
                }
            }
        }
    }

    // ---- clients ----------------------------------------------------------------------------

    fn post(&mut self, node: usize, envelope: Envelope) -> Result<(), Violation> {
        self.tickets += 1;
        let ticket = self.tickets;
        self.submitted.insert(ticket, envelope.clone());
        self.give(
            node,
            0,
            Event::Submit {
                ticket,
                envelope: Box::new(envelope),
            },
        )
    }

    fn post_anywhere(&mut self, envelope: Envelope) -> Result<(), Violation> {
        let node = self.random.gen_range(0..self.nodes.len());
        self.post(node, envelope)
    }

    fn submit(&mut self) -> Result<(), Violation> {
        if self.now_us < self.plan.heal_us {
            let payer = self.random.gen_range(0..self.payers.len());
            let height = self.checkers.height();
            let up = self.nodes.iter().filter_map(|node| node.up.as_ref());
            if let Some(newest) = up.max_by_key(|up| up.ledger.height()) {
                self.proofs
                    .observe(&newest.ledger, newest.contents.as_ref());
            }
            let envelope = self.payers[payer].transactions(
                self.chain,
                height,
                self.proofs.as_mut(),
                &self.sealer,
                &mut self.random,
            );
            if self.random.gen_bool(0.15) {
                self.post_anywhere(envelope.clone())?;
            }
            self.post_anywhere(envelope)?;
            self.schedule(self.now_us + self.plan.submit_every_us, SimEvent::Submit);
        }
        Ok(())
    }

    /// Operators register their rollups; provers bid and prove.
    fn act(&mut self) -> Result<(), Violation> {
        self.schedule(self.now_us + ACT_EVERY_US, SimEvent::Act);
        let newest = self.nodes.iter().filter_map(|node| node.up.as_ref());
        let Some(newest) = newest.max_by_key(|up| up.ledger.height()) else {
            return Ok(());
        };
        let (ledger, contents) = (newest.ledger.clone(), newest.contents.clone());
        let mut wanted = Vec::new();
        for rollup in [PROVEN[0], PROVEN[1], UNPROVEN] {
            let asked = self
                .asked
                .get(&rollup)
                .is_some_and(|at| self.now_us < at + 3 * SECOND);
            if ledger.rollup(rollup).is_none() && !asked {
                self.asked.insert(rollup, self.now_us);
                let config = config(rollup, self.operator.account(), self.proofs.as_ref());
                let register = SystemOp::RegisterRollup { rollup, config };
                let height = ledger.height();
                wanted.push(self.operator.operation(self.chain, height, &register));
            }
            let poor = ledger
                .rollup(rollup)
                .is_some_and(|rollup| rollup.fund.0 < 1_000_000);
            let asked = self
                .funded
                .get(&rollup)
                .is_some_and(|at| self.now_us < at + 3 * SECOND);
            if poor && !asked {
                self.funded.insert(rollup, self.now_us);
                let fund = SystemOp::FundRollup {
                    rollup,
                    amount: Amount(50_000_000),
                };
                wanted.push(self.operator.operation(self.chain, ledger.height(), &fund));
            }
        }
        for prover in &mut self.provers {
            wanted.extend(prover.act(
                self.now_us,
                self.chain,
                &ledger,
                contents.as_ref(),
                self.proofs.as_mut(),
                &self.sealer,
                &mut self.random,
            ));
        }
        for envelope in wanted {
            self.post_anywhere(envelope)?;
        }
        Ok(())
    }
}

/// One line for an event, without what would be too long.
fn summary(event: &Event) -> String {
    match event {
        Event::Peer { from, message } => {
            let kind = match message {
                PeerMessage::Agreement(agreement::Message::Proposal(proposal)) => {
                    let block = &proposal.block;
                    let batches = block.batches.iter().map(|batch| batch.header.id());
                    let batches: Vec<_> = batches.collect();
                    let header = &block.header;
                    format!(
                        "Proposal {:?} height {} view {} batches {batches:?}",
                        block.id(),
                        header.height,
                        header.view
                    )
                }
                PeerMessage::Agreement(message) => format!("{message:?}"),
                PeerMessage::Sequencing(sequencing::Message::Batch(batch)) => {
                    format!("Batch {}", batch.header.id())
                }
                PeerMessage::Sequencing(message) => format!("{message:?}"),
            };
            format!("{}: {}", from.0, kind.chars().take(120).collect::<String>())
        }
        Event::Done(done) => format!("{done:?}").chars().take(60).collect(),
        other => format!("{other:?}").chars().take(60).collect(),
    }
}

/// The committee's keys, of either kind.
struct Keys {
    validators: Vec<ValidatorInfo>,
    sealing: SealingKey,
    real: Option<(Vec<BlsSecret>, Vec<KeyShares>)>,
}

impl Keys {
    fn new(seed: u64, nodes: usize, real: bool, random: &mut ChaCha20Rng) -> Self {
        let bls: Vec<BlsSecret> = match real {
            true => (0..nodes).map(|_| BlsSecret::generate(random)).collect(),
            false => Vec::new(),
        };
        let validators = (0..nodes).map(|index| {
            let transport = EdSecret::from_seed(&receipts_seed(seed, index));
            let mut model_key = [0; 96];
            model_key[0] = index as u8;
            ValidatorInfo {
                name: format!("validator-{index}"),
                weight: 1,
                bls_key: bls
                    .get(index)
                    .map_or(conclave_types::BlsPublicKey(model_key), BlsSecret::public),
                bls_possession: bls.get(index).map_or(
                    conclave_types::BlsSignature([0; 48]),
                    BlsSecret::prove_possession,
                ),
                transport_key: transport.transport_key(),
                account: transport.account(),
                address: String::new(),
                api: String::new(),
            }
        });
        let validators = validators.collect();
        let (shares, sealing) = match real {
            true => generate(nodes, random),
            false => (
                Vec::new(),
                SealingKey {
                    key: Point([0; 32]),
                    shares: vec![Point([0; 32]); nodes],
                    transcript: Digest::ZERO,
                },
            ),
        };
        Self {
            validators,
            sealing,
            real: real.then_some((bls, shares)),
        }
    }

    fn into_identities(
        self,
        seed: u64,
        genesis: &Genesis,
        committee: &Committee,
        verifier: &Arc<dyn Verifier + Send + Sync>,
    ) -> (Sealer, Vec<Identity>) {
        let weights: Vec<u16> = committee
            .members()
            .iter()
            .map(|member| member.weight)
            .collect();
        let Some((bls, shares)) = self.real else {
            let identities = committee.indices().map(|index| Identity {
                index,
                signatures: Arc::new(ModelSignatures::new(seed, index)),
                seal: Arc::new(ModelSeal::new(seed, Some(index), committee.clone())),
                verifier: verifier.clone(),
                receipts: receipts_seed(seed, usize::from(index.0)),
            });
            let model = ModelSeal::new(seed, None, committee.clone());
            return (Sealer::Model(model), identities.collect());
        };
        let scheme = |own| Tdh2::new(&genesis.sealing, &weights, own, [7; 32]).expect("valid keys");
        let keys = committee.indices().zip(bls.into_iter().zip(shares));
        let identities = keys.map(|(index, (bls, shares))| {
            let signer = BlsCommittee::signer(genesis, bls).expect("valid keys");
            let signatures: Arc<dyn Signatures> = Arc::new(signer);
            let seal: Arc<dyn SealScheme> = Arc::new(scheme(Some((index, shares))));
            let receipts = receipts_seed(seed, usize::from(index.0));
            Identity {
                index,
                signatures,
                seal,
                verifier: verifier.clone(),
                receipts,
            }
        });
        let identities = identities.collect();
        (Sealer::Real(genesis.sealing.clone()), identities)
    }
}

fn receipts_seed(seed: u64, index: usize) -> [u8; 32] {
    let mut bytes = [0x40 + index as u8; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes
}

fn generate(nodes: usize, random: &mut ChaCha20Rng) -> (Vec<KeyShares>, SealingKey) {
    let ceremony = Ceremony {
        context: Digest([7; 32]),
        weights: vec![1; nodes],
    };
    let (mut parts, mut queue) = (Vec::new(), Vec::new());
    for index in 0..nodes as u16 {
        let index = ValidatorIndex(index);
        let (part, message) =
            KeyGeneration::start(ceremony.clone(), index, random).expect("a valid committee");
        parts.push(part);
        queue.push((index, message));
    }
    while let Some((from, message)) = queue.pop() {
        for (to, part) in parts.iter_mut().enumerate() {
            if to != usize::from(from.0) {
                let progress = part.handle(from, &message).expect("honest dealers");
                let reply = progress
                    .send
                    .map(|message| (ValidatorIndex(to as u16), message));
                queue.extend(reply);
            }
        }
    }
    let finished = parts
        .into_iter()
        .map(|part| part.finish().expect("all messages are in"));
    let (shares, mut keys): (Vec<_>, Vec<_>) = finished.unzip();
    (shares, keys.pop().expect("at least one validator"))
}
