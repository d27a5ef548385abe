//! Every history of five steps of a small committee: the production engine under a model checker.
//! Five steps are enough for a block to become final, or for a view to be lost and the next one to
//! begin; longer histories, drawn at random, are those of `network`.
//!
//! A step of a history is one of
//! - a validator takes everything that was sent to it, or everything but what one of the others
//!   sent, so messages are delayed as long as you like, and what is never taken is lost;
//! - a validator's timer ends;
//! - once in a history, a validator crashes and starts again from what it wrote;
//! - in the model where the leader of view 1 is Byzantine: one of its messages, which
//!   contradict each other, reaches one of the others.
//!
//! In the third model every block is the last of its epoch, so it is proposed again until it is final.
//!
//! Two histories that differ only in the order of independent steps are one state. Everything that
//! was proposed can be fetched. Checked in every state: no two validators finalise different
//! blocks at one height, and no honest validator has signed two messages that contradict each
//! other.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher as StdHasher};
use std::sync::Arc;

use conclave_types::*;
use stateright::{Checker, Model, Property};

use super::fixture::*;
use crate::*;

const VALIDATORS: usize = 4;
/// Leads view 1.
const EQUIVOCATOR: usize = 1;

struct Committee {
    byzantine: bool,
    /// The first block is the last of its epoch.
    ends: bool,
    restarts: usize,
    /// The length of the histories.
    steps: usize,
}

/// One validator and everything that it wrote, sent and signed.
#[derive(Clone)]
struct Local {
    engine: Engine,
    ends: bool,
    now: u64,
    wake: u64,
    /// Of everything that happened to it, in order: equal histories are equal states.
    history: Digest,
    safety: Option<SafetyState>,
    blocks: BTreeMap<BlockId, Block>,
    chain: Vec<(BlockHeader, CommitCertificate)>,
    sent: Vec<(Option<ValidatorIndex>, Message)>,
    /// How much it has taken of what each of the others sent.
    taken: [usize; VALIDATORS],
    /// Which of the Byzantine leader's messages it got.
    injected: u32,
    prepared: BTreeMap<View, BlockId>,
    voted: BTreeMap<View, BlockId>,
    given_up: BTreeMap<View, View>,
    contradicted: bool,
    /// It proposed an epoch's last block again.
    repeated: bool,
}

#[derive(Clone)]
struct State {
    validators: [Option<Arc<Local>>; VALIDATORS],
    restarts: usize,
    /// How long the history is.
    steps: usize,
    /// Everything that was ever proposed.
    proposed: Arc<BTreeMap<BlockId, Block>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Take { by: usize, but: Option<usize> },
    TimerEnds(usize),
    Restart(usize),
    Inject { to: usize, message: usize },
}

impl Local {
    fn engine(index: usize, recovered: Option<Recovered>) -> Engine {
        let signatures = Arc::new(Quick(ValidatorIndex(index as u16)));
        Engine::new(config(&[1; 4], index as u16), signatures, recovered)
    }

    fn start(index: usize, ends: bool, proposed: &mut BTreeMap<BlockId, Block>) -> Self {
        let mut local = Self {
            engine: Self::engine(index, None),
            ends,
            now: 0,
            wake: u64::MAX,
            history: Digest::ZERO,
            safety: None,
            blocks: BTreeMap::new(),
            chain: Vec::new(),
            sent: Vec::new(),
            taken: [0; VALIDATORS],
            injected: 0,
            prepared: BTreeMap::new(),
            voted: BTreeMap::new(),
            given_up: BTreeMap::new(),
            contradicted: false,
            repeated: false,
        };
        local.run(vec![Input::Start, Input::PayloadPending(true)], proposed);
        local
    }

    fn remember(&mut self, what: &[u8]) {
        let hasher = Domain::Simulation.hasher().part(&self.history.0);
        self.history = hasher.part(what).digest();
    }

    /// Handles inputs, and what the host answers to their actions.
    fn run(&mut self, inputs: Vec<Input>, proposed: &mut BTreeMap<BlockId, Block>) {
        let mut inputs = std::collections::VecDeque::from(inputs);
        while let Some(input) = inputs.pop_front() {
            let step = self.engine.handle(Now(self.now), input);
            for write in step.writes {
                match write {
                    Write::Safety(state) => self.safety = Some(*state),
                    Write::Block(block) => {
                        self.blocks.insert(block.id(), Block::clone(&block));
                    }
                }
            }
            for action in step.actions {
                inputs.extend(self.act(action, proposed));
            }
        }
    }

    fn act(&mut self, action: Action, proposed: &mut BTreeMap<BlockId, Block>) -> Option<Input> {
        match action {
            Action::Send { to, message } => self.send(Some(to), message, proposed),
            Action::Broadcast(message) => self.send(None, message, proposed),
            Action::RequestPayload { view, .. } => {
                return Some(Input::Payload {
                    view,
                    batches: vec![batch(view.0)],
                    time: BlockTime(view.0),
                    ledger_height: Height(0),
                    ledger_root: Digest::ZERO,
                    next_epoch: self.ends.then_some(Digest([7; 32])),
                });
            }
            Action::CheckProposal { block, .. } => {
                let block = block.id();
                return Some(Input::ProposalChecked { block, valid: true });
            }
            Action::FetchBlock { block, from } => {
                let block = Box::new(proposed.get(&block)?.clone());
                return Some(Input::Block { from, block });
            }
            Action::Committed {
                blocks,
                certificate,
            } => {
                for block in blocks {
                    self.chain.push((block.header.clone(), certificate.clone()));
                }
            }
            Action::WakeAt(at) => self.wake = at,
            Action::Behind { .. } | Action::Misbehaviour { .. } | Action::Fork { .. } => {}
        }
        None
    }

    /// Notes what it signed, by the rules' own words.
    fn send(
        &mut self,
        to: Option<ValidatorIndex>,
        message: Message,
        proposed: &mut BTreeMap<BlockId, Block>,
    ) {
        match &message {
            Message::Proposal(proposal) => {
                let block = &proposal.block;
                proposed.insert(block.id(), block.clone());
                self.repeated |= proposal.is_repeated();
                self.prepare(proposal.view(), block.id());
            }
            Message::PrepareVote(vote) => self.prepare(vote.view, vote.block),
            Message::CommitVote(vote) => {
                let late = self.given_up.range(vote.view..).next().is_some();
                let first = *self.voted.entry(vote.view).or_insert_with(|| {
                    self.contradicted |= late;
                    vote.block
                });
                self.contradicted |= first != vote.block;
            }
            Message::Timeout(timeout) => {
                let (view, high) = (timeout.view, timeout.high_qc.view);
                let late = self.voted.range(view..).next().is_some();
                let first = *self.given_up.entry(view).or_insert_with(|| {
                    self.contradicted |= late;
                    high
                });
                self.contradicted |= first != high;
            }
            Message::QuorumCertificate(_)
            | Message::TimeoutCertificate(_)
            | Message::CommitCertificate(_) => {}
        }
        self.sent.push((to, message));
    }

    fn prepare(&mut self, view: View, block: BlockId) {
        let late = self.given_up.range(view..).next().is_some();
        let first = *self.prepared.entry(view).or_insert_with(|| {
            self.contradicted |= late;
            block
        });
        self.contradicted |= first != block;
    }
}

/// What a Byzantine leader of view 1 signs: two proposals, and votes and a timeout besides.
fn contradictions() -> Vec<Message> {
    let one = with_batches(block(1, EQUIVOCATOR as u16, &genesis_qc()), vec![batch(8)]);
    let other = with_batches(block(1, EQUIVOCATOR as u16, &genesis_qc()), vec![batch(9)]);
    let signer = ValidatorIndex(EQUIVOCATOR as u16);
    let mut messages = Vec::new();
    for block in [&one, &other] {
        let header = &block.header;
        messages.push(Message::Proposal(Box::new(Proposal {
            block: block.clone(),
            justify: genesis_qc(),
            timeout: None,
            signature: sign(VoteKind::Prepare, header, signer.0),
        })));
        messages.push(Message::CommitVote(CommitVote {
            epoch: Epoch(0),
            view: header.view,
            height: header.height,
            block: header.id(),
            signer,
            signature: sign(VoteKind::Commit, header, signer.0),
        }));
    }
    let entry = Entry::Quorum(genesis_qc());
    messages.push(Message::Timeout(Box::new(timeout(
        &entry,
        &genesis_qc(),
        signer.0,
    ))));
    messages
}

impl State {
    fn locals(&self) -> impl Iterator<Item = &Local> {
        self.validators.iter().flatten().map(|local| &**local)
    }

    /// What was sent to a validator and not taken, by sender.
    fn waiting(&self, to: usize, from: usize) -> Vec<Message> {
        let (Some(receiver), Some(sender)) = (&self.validators[to], &self.validators[from]) else {
            return Vec::new();
        };
        let own = ValidatorIndex(to as u16);
        let fresh = sender.sent[receiver.taken[from]..].iter();
        let addressed = fresh.filter(|(to, _)| to.is_none_or(|to| to == own));
        addressed.map(|(_, message)| message.clone()).collect()
    }

    fn agree(&self) -> bool {
        let mut agreed: BTreeMap<Height, BlockId> = BTreeMap::new();
        self.locals()
            .flat_map(|local| &local.chain)
            .all(|(header, _)| *agreed.entry(header.height).or_insert(header.id()) == header.id())
    }

    /// Something happens to one validator.
    fn with(
        &self,
        place: usize,
        what: &[u8],
        run: impl FnOnce(&mut Local, &mut BTreeMap<BlockId, Block>),
    ) -> Option<Self> {
        let mut state = self.clone();
        state.steps += 1;
        let local = Arc::make_mut(state.validators[place].as_mut()?);
        local.remember(what);
        let known = state.proposed.len();
        let mut proposed = BTreeMap::clone(&state.proposed);
        run(local, &mut proposed);
        if proposed.len() > known {
            state.proposed = Arc::new(proposed);
        }
        Some(state)
    }
}

impl Hash for State {
    fn hash<H: StdHasher>(&self, state: &mut H) {
        self.restarts.hash(state);
        for local in &self.validators {
            local.as_ref().map(|local| local.history).hash(state);
        }
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        let histories = |state: &Self| state.locals().map(|l| l.history).collect::<Vec<_>>();
        self.restarts == other.restarts && histories(self) == histories(other)
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for local in self.locals() {
            let (view, high) = (local.engine.view(), local.engine.high_qc().view);
            let height = local.engine.committed().0;
            writeln!(f, "view {view} high {high} final {height}")?;
        }
        Ok(())
    }
}

impl Model for Committee {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        let mut proposed = BTreeMap::new();
        let byzantine = |place| self.byzantine && place == EQUIVOCATOR;
        let validators = std::array::from_fn(|place| {
            (!byzantine(place)).then(|| Arc::new(Local::start(place, self.ends, &mut proposed)))
        });
        if self.byzantine {
            for message in contradictions() {
                if let Message::Proposal(proposal) = message {
                    proposed.insert(proposal.block.id(), proposal.block);
                }
            }
        }
        vec![State {
            validators,
            restarts: 0,
            steps: 0,
            proposed: Arc::new(proposed),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Event>) {
        if state.steps == self.steps {
            return;
        }
        for by in 0..VALIDATORS {
            let Some(local) = &state.validators[by] else {
                continue;
            };
            let full: Vec<usize> = (0..VALIDATORS)
                .filter(|from| *from != by && !state.waiting(by, *from).is_empty())
                .collect();
            if !full.is_empty() {
                actions.push(Event::Take { by, but: None });
            }
            if full.len() > 1 {
                let late = full.iter().map(|from| Some(*from));
                actions.extend(late.map(|but| Event::Take { by, but }));
            }
            actions.push(Event::TimerEnds(by));
            if state.restarts < self.restarts {
                actions.push(Event::Restart(by));
            }
            if self.byzantine {
                let left = (0..contradictions().len()).filter(|m| local.injected & (1 << m) == 0);
                actions.extend(left.map(|message| Event::Inject { to: by, message }));
            }
        }
    }

    fn next_state(&self, state: &State, event: Event) -> Option<State> {
        match event {
            Event::Take { by, but } => {
                let mut inputs = Vec::new();
                let mut taken = state.validators[by].as_ref()?.taken;
                let mut what = Vec::new();
                for from in (0..VALIDATORS).filter(|from| *from != by && Some(*from) != but) {
                    let sender = ValidatorIndex(from as u16);
                    for message in state.waiting(by, from) {
                        what.extend(codec::encode(&(from as u16, &message)));
                        inputs.push(message.into_input(sender));
                    }
                    taken[from] = state.validators[from].as_ref().map_or(0, |s| s.sent.len());
                }
                state.with(by, &what, |local, proposed| {
                    local.taken = taken;
                    local.run(inputs, proposed);
                })
            }
            Event::TimerEnds(place) => state.with(place, b"timer", |local, proposed| {
                local.now = local.now.max(local.wake);
                local.run(vec![Input::Tick], proposed);
            }),
            Event::Restart(place) => {
                let mut next = state.with(place, b"restart", |local, proposed| {
                    let recovered = Recovered {
                        safety: local
                            .safety
                            .clone()
                            .unwrap_or_else(|| SafetyState::origin(&origin())),
                        committed: local.chain.iter().map(|(h, _)| h.clone()).collect(),
                        certificate: local.chain.last().map(|(_, cc)| cc.clone()),
                        blocks: local.blocks.values().cloned().collect(),
                    };
                    local.engine = Local::engine(place, Some(recovered));
                    local.run(vec![Input::Start, Input::PayloadPending(true)], proposed);
                })?;
                next.restarts += 1;
                Some(next)
            }
            Event::Inject { to, message } => {
                let what = [&b"inject"[..], &[message as u8]].concat();
                let from = ValidatorIndex(EQUIVOCATOR as u16);
                let input = contradictions().swap_remove(message).into_input(from);
                state.with(to, &what, |local, proposed| {
                    local.injected |= 1 << message;
                    local.run(vec![input], proposed);
                })
            }
        }
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(
                "nothing extends an epoch's last block",
                |_, state: &State| {
                    let ended = |local: &Local| {
                        let headers = local.chain.iter().map(|(header, _)| header);
                        headers
                            .rev()
                            .skip(1)
                            .all(|header| header.next_epoch.is_none())
                    };
                    state.locals().all(ended)
                },
            ),
            Property::always("agreement", |_, state: &State| state.agree()),
            Property::always("nobody contradicts itself", |_, state: &State| {
                !state.locals().any(|local| local.contradicted)
            }),
            // What the histories reach at all.
            Property::sometimes("a block is final", |_, state: &State| {
                state.locals().any(|local| !local.chain.is_empty())
            }),
            Property::sometimes("a view is lost", |_, state: &State| {
                let lost =
                    |local: &Local| local.engine.view().0 > local.engine.high_qc().view.0 + 1;
                state.locals().any(lost)
            }),
        ];
        if self.ends {
            let again = |_: &Self, state: &State| state.locals().any(|local| local.repeated);
            let what = "a last block is proposed again";
            properties.push(Property::sometimes(what, again));
        }
        properties
    }
}

fn check(committee: Committee) {
    let checker = committee.checker().spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn four_honest_validators_one_of_which_restarts() {
    check(Committee {
        byzantine: false,
        ends: false,
        restarts: 1,
        steps: 5,
    });
}

#[test]
fn three_honest_validators_and_a_leader_that_contradicts_itself() {
    check(Committee {
        byzantine: true,
        ends: false,
        restarts: 0,
        steps: 5,
    });
}

#[test]
fn four_honest_validators_at_the_end_of_an_epoch() {
    check(Committee {
        byzantine: false,
        ends: true,
        restarts: 0,
        steps: 5,
    });
}
