//! Agreement and sequencing as one state machine: what a validator is, without its IO. The node
//! and the simulator both run this.
//!
//! ```text
//! Event ─▶ ┌ Engine (agreement) ◀──payload, checks, blocks──▶ Sequencer (envelopes) ┐ ─▶ Effects
//!          └──────────────────────────────────────────────────────────────────────┘
//! ```

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use bincode::{Decode, Encode};
use conclave_consensus::{self as agreement, Engine, Evidence, Now, Step};
use conclave_ledger::Ledger;
use conclave_sequencer::{self as sequencing, Done, Fetch, Published, Refusal, Sequencer, Work};
use conclave_types::{
    Block, BlockId, CommitCertificate, Envelope, EnvelopeId, Epoch, EpochChange, Height, Manifest,
    Misbehaviour, Receipt, SystemOp, ValidatorIndex,
};

use crate::epochs::{IN_DOUBT, Succession};
use crate::operator::{Account, OWN_TICKET, Operator};
use crate::reports::Reports;

/// What validators send to each other.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum PeerMessage {
    /// About agreement.
    Agreement(agreement::Message),
    /// About envelopes, batches and shares.
    Sequencing(sequencing::Message),
}

/// What happens to a validator.
#[derive(Debug)]
pub enum Event {
    /// Once, at the beginning.
    Start,
    /// A client's envelope.
    Submit {
        ticket: u64,
        envelope: Box<Envelope>,
    },
    /// From an authenticated peer, or from ourselves.
    Peer {
        from: ValidatorIndex,
        message: PeerMessage,
    },
    /// A piece of work was done.
    Done(Box<Done>),
    /// Anything else that the sequencer asked for.
    Sequencing(sequencing::Input),
    /// Anything else that agreement asked for.
    Agreement(Box<agreement::Input>),
    /// An operation of this validator's own, paid for by its account.
    Operate(Box<SystemOp>),
    /// The time of the last [`Effect::WakeAt`] has come.
    Tick,
}

/// A record that must be durable.
#[derive(Debug, Clone)]
pub enum Record {
    /// Of agreement.
    Agreement(agreement::Write),
    /// Of the sequencer.
    Sequencing(Box<sequencing::Write>),
    /// The next epoch begins; written with its first safety state.
    EpochChange(Box<EpochChange>),
}

/// What is to be done, in order.
#[derive(Debug)]
pub enum Effect {
    /// `then` may happen only once these records, and those of all earlier effects, are durable.
    /// When that fails the validator stops.
    Durable {
        records: Vec<Record>,
        then: Vec<Effect>,
    },
    /// To one validator, which may be this one.
    Send {
        to: ValidatorIndex,
        message: PeerMessage,
    },
    /// To all others.
    Broadcast(PeerMessage),
    /// The answer to a client.
    Answer {
        ticket: u64,
        answer: Result<Receipt, Refusal>,
    },
    /// To be run elsewhere; gives [`Event::Done`].
    Work(Work),
    /// Missing batches, openings or shares.
    Fetch(Fetch),
    /// A missing block; gives [`agreement::Input::Block`].
    FetchBlock {
        block: BlockId,
        from: ValidatorIndex,
    },
    /// Committed blocks after our own; gives [`agreement::Input::Synced`].
    Sync {
        height: Height,
        from: ValidatorIndex,
    },
    /// A batch of ours is on its way.
    Batched(Arc<Manifest>),
    /// Readers see the new ledger from now on.
    Executed(Box<Published>),
    /// Blocks became final.
    Committed {
        blocks: Vec<Arc<Block>>,
        certificate: CommitCertificate,
    },
    /// Nothing will have to be opened any more under the key of this epoch or of an earlier one: its
    /// shares are to be erased.
    Retired(Epoch),
    /// Agreement goes on with the next epoch's committee.
    EpochBegan(Box<EpochChange>),
    /// Own submissions became final, each with the milliseconds since its admission.
    Finalised {
        height: Height,
        envelopes: Vec<(EnvelopeId, u64)>,
    },
    /// A peer broke the protocol.
    Misbehaviour {
        validator: ValidatorIndex,
        what: String,
        evidence: Option<Box<Evidence>>,
    },
    /// The validator must stop.
    Stop { reason: String },
    /// Call with [`Event::Tick`] at this time.
    WakeAt(u64),
}

/// A validator without its IO.
pub struct Replica {
    engine: Engine,
    succession: Succession,
    /// What the sequencer said last of whether there is something to order.
    pending: bool,
    sequencer: Sequencer,
    engine_wake: u64,
    sequencer_wake: u64,
    announced_wake: u64,
    reports: Reports,
    /// Pays for what the validator itself puts on the ledger.
    account: Option<Account>,
    /// What creating the sequencer asked for; carried out at the start.
    initial: Vec<sequencing::Action>,
}

/// What one core wants of the other.
enum Inner {
    ToEngine(agreement::Input),
    ToSequencer(sequencing::Input),
}

impl Replica {
    /// Puts the two together; `succession` makes the engines of later epochs. `initial` is what
    /// creating the sequencer asked for. Evidence against validators, and this one's part in key
    /// generations, go to the ledger if there is an `operator` to pay for them.
    pub fn new(
        engine: Engine,
        succession: Succession,
        sequencer: Sequencer,
        initial: Vec<sequencing::Action>,
        operator: Option<Operator>,
    ) -> Self {
        Self {
            engine,
            succession,
            pending: false,
            sequencer,
            engine_wake: u64::MAX,
            sequencer_wake: u64::MAX,
            announced_wake: u64::MAX,
            reports: Reports::default(),
            account: operator.map(Account::new),
            initial,
        }
    }

    /// The sequencer, to be asked.
    pub fn sequencer(&self) -> &Sequencer {
        &self.sequencer
    }

    /// Agreement, to be asked.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The leader of the current view, when it is known.
    pub fn leader(&mut self) -> Option<ValidatorIndex> {
        self.engine.leader()
    }

    /// One step at a time in milliseconds that never goes back.
    pub fn handle(&mut self, now: u64, event: Event) -> Vec<Effect> {
        let mut inner = VecDeque::new();
        let mut effects = Vec::new();
        match event {
            Event::Start => {
                self.succession.prepare(self.sequencer.ledger());
                inner.push_back(Inner::ToEngine(agreement::Input::Start));
                let initial = std::mem::take(&mut self.initial);
                self.sequenced(initial, &mut effects, &mut inner);
            }
            Event::Submit { ticket, envelope } => {
                inner.push_back(Inner::ToSequencer(sequencing::Input::Submit {
                    ticket,
                    envelope,
                }));
            }
            Event::Peer {
                from,
                message: PeerMessage::Agreement(message),
            } => self.heard(now, from, message, &mut effects, &mut inner),
            Event::Peer {
                from,
                message: PeerMessage::Sequencing(message),
            } => {
                inner.push_back(Inner::ToSequencer(sequencing::Input::Message {
                    from,
                    message,
                }));
            }
            Event::Done(done) => {
                inner.push_back(Inner::ToSequencer(sequencing::Input::Done(done)));
            }
            Event::Sequencing(input) => inner.push_back(Inner::ToSequencer(input)),
            Event::Agreement(input) => self.hand_to_engine(*input, &mut inner),
            Event::Operate(op) => {
                let ledger = Arc::clone(self.sequencer.ledger());
                self.operate(&op, &ledger, &mut inner);
            }
            Event::Tick => {
                if now >= self.engine_wake {
                    self.engine_wake = u64::MAX;
                    inner.push_back(Inner::ToEngine(agreement::Input::Tick));
                }
                if now >= self.sequencer_wake {
                    self.sequencer_wake = u64::MAX;
                    inner.push_back(Inner::ToSequencer(sequencing::Input::Tick));
                }
                self.announced_wake = u64::MAX;
            }
        }
        loop {
            while let Some(next) = inner.pop_front() {
                match next {
                    Inner::ToEngine(input) => {
                        let step = self.engine.handle(Now(now), input);
                        self.agreed(step, &mut effects, &mut inner);
                    }
                    Inner::ToSequencer(input) => {
                        let actions = self.sequencer.handle(now, input);
                        self.sequenced(actions, &mut effects, &mut inner);
                    }
                }
            }
            // Only now: the last block is among what the sequencer has written.
            if !self.pass_epoch(&mut effects, &mut inner) {
                break;
            }
        }
        let wake = self.engine_wake.min(self.sequencer_wake);
        if wake < self.announced_wake {
            self.announced_wake = wake;
            effects.push(Effect::WakeAt(wake));
        }
        effects
    }

    /// A message about agreement: to the engine if it is of its epoch.
    fn heard(
        &mut self,
        now: u64,
        from: ValidatorIndex,
        message: agreement::Message,
        effects: &mut Vec<Effect>,
        inner: &mut VecDeque<Inner>,
    ) {
        let (epoch, current) = (message.epoch(), self.engine.epoch());
        match epoch.cmp(&current) {
            Ordering::Equal => inner.push_back(Inner::ToEngine(message.into_input(from))),
            Ordering::Less => {
                // A certificate of what is final asks for nothing: two that are done would never cease.
                let asks = !matches!(message, agreement::Message::CommitCertificate(_));
                if let Some(ended) = self.succession.before().cloned().filter(|_| asks) {
                    let answer = agreement::Message::CommitCertificate(ended);
                    // This node's own vote may be in it, and is not to be seen before it is durable.
                    effects.push(Effect::Durable {
                        records: Vec::new(),
                        then: vec![Effect::Send {
                            to: from,
                            message: PeerMessage::Agreement(answer),
                        }],
                    });
                }
            }
            Ordering::Greater => {
                if epoch == current.next() {
                    self.succession.keep(from, message);
                }
                if self.succession.is_behind(now) {
                    let height = self.engine.committed().0.next();
                    effects.push(Effect::Sync { height, from });
                }
            }
        }
    }

    /// Goes on with the next epoch's engine, once this one's is over and the ledger that its last
    /// block names has been executed.
    fn pass_epoch(&mut self, effects: &mut Vec<Effect>, inner: &mut VecDeque<Inner>) -> bool {
        let Some((last, certificate)) = self.engine.ending() else {
            return false;
        };
        // After a restart the engine knows what was final, and the sequencer is still being told.
        if self.sequencer.committed() < last.height {
            return false;
        }
        let Some(setup) = self.succession.named_by(last, self.sequencer.ledger()) else {
            return false;
        };
        let change = EpochChange {
            last: last.clone(),
            certificate: certificate.clone(),
            setup,
        };
        let safety = self.succession.first_state(&self.engine, &change);
        let origin = change.origin();
        let recovered = agreement::Recovered {
            safety: safety.clone(),
            committed: Vec::new(),
            certificate: None,
            blocks: Vec::new(),
        };
        match self.succession.engine(&change.setup, origin, recovered) {
            Ok(engine) => self.engine = engine,
            Err(reason) => {
                effects.push(Effect::Stop { reason });
                return false;
            }
        }
        self.engine_wake = u64::MAX;
        let mut records = vec![Record::EpochChange(Box::new(change.clone()))];
        let mut then = Vec::new();
        if self.succession.may_write(&safety) {
            if safety.abstain_through == IN_DOUBT {
                then.push(in_doubt(origin.epoch));
            }
            let write = agreement::Write::Safety(Box::new(safety));
            records.push(Record::Agreement(write));
        }
        effects.push(Effect::Durable { records, then });
        let early = self.succession.pass(&change);
        let setup = Arc::new(change.setup.clone());
        inner.push_back(Inner::ToSequencer(sequencing::Input::Epoch(setup)));
        effects.push(Effect::EpochBegan(Box::new(change)));
        inner.push_back(Inner::ToEngine(agreement::Input::Start));
        let pending = agreement::Input::PayloadPending(self.pending);
        inner.push_back(Inner::ToEngine(pending));
        for input in early {
            self.hand_to_engine(input, inner);
        }
        true
    }

    /// An input of agreement; verified blocks of a later epoch wait for the ones before them.
    fn hand_to_engine(&mut self, input: agreement::Input, inner: &mut VecDeque<Inner>) {
        match &input {
            agreement::Input::Synced { certificate, .. }
                if certificate.epoch > self.engine.epoch() =>
            {
                self.succession.keep_range(input);
            }
            _ => inner.push_back(Inner::ToEngine(input)),
        }
    }

    /// Routes a step of agreement. Whatever leaves this node leaves after the step's writes; what
    /// stays inside need not wait, since its own consequences queue behind them.
    fn agreed(&mut self, step: Step, effects: &mut Vec<Effect>, inner: &mut VecDeque<Inner>) {
        use agreement::Action;
        let mut then = Vec::new();
        for action in step.actions {
            match action {
                Action::Send { to, message } => {
                    then.push(Effect::Send {
                        to,
                        message: PeerMessage::Agreement(message),
                    });
                }
                Action::Broadcast(message) => {
                    then.push(Effect::Broadcast(PeerMessage::Agreement(message)));
                }
                Action::RequestPayload {
                    view,
                    parent_time,
                    ancestors,
                    due,
                    ..
                } => {
                    inner.push_back(Inner::ToSequencer(sequencing::Input::PayloadWanted {
                        view,
                        parent_time,
                        ancestors,
                        due,
                    }));
                }
                Action::CheckProposal { block, ancestors } => {
                    let check = sequencing::Input::Check { block, ancestors };
                    inner.push_back(Inner::ToSequencer(check));
                }
                Action::Committed {
                    blocks,
                    certificate,
                } => {
                    let (kept, shown) = (blocks.clone(), certificate.clone());
                    effects.push(Effect::Committed {
                        blocks: kept,
                        certificate: shown,
                    });
                    let committed = sequencing::Input::Committed {
                        blocks,
                        certificate,
                    };
                    inner.push_back(Inner::ToSequencer(committed));
                }
                Action::FetchBlock { block, from } => {
                    effects.push(Effect::FetchBlock { block, from });
                }
                Action::Behind { height, from } => effects.push(Effect::Sync { height, from }),
                Action::WakeAt(at) => self.engine_wake = at,
                Action::Misbehaviour {
                    validator,
                    evidence,
                } => {
                    if let Evidence::Proof(proof) = evidence.as_ref() {
                        self.convict(proof.clone(), inner);
                    }
                    let what = format!("{evidence:?}");
                    let evidence = Some(evidence);
                    effects.push(Effect::Misbehaviour {
                        validator,
                        what,
                        evidence,
                    });
                }
                Action::Fork {
                    committed,
                    certificate,
                } => {
                    let reason = format!(
                        "[CV-NODE-001] blocks {committed} and {} are both final at height {}: more \
                         than f validators are faulty; stop all nodes and compare their stores",
                        certificate.block, certificate.height
                    );
                    effects.push(Effect::Stop { reason });
                }
            }
        }
        if !step.writes.is_empty() || !then.is_empty() {
            let writes = step.writes.into_iter().filter(|write| match write {
                agreement::Write::Safety(state) => self.succession.may_write(state),
                agreement::Write::Block(_) => true,
            });
            let records = writes.map(Record::Agreement).collect();
            effects.push(Effect::Durable { records, then });
        }
    }

    /// Reports what shows a validator guilty, at once if it can be.
    fn convict(&mut self, proof: Misbehaviour, inner: &mut VecDeque<Inner>) {
        self.reports.add(proof);
        let ledger = Arc::clone(self.sequencer.ledger());
        self.report(&ledger, inner);
    }

    /// Submits the reports of misbehaviour that are due.
    fn report(&mut self, ledger: &Ledger, inner: &mut VecDeque<Inner>) {
        if self.account.is_none() {
            return;
        }
        for op in self.reports.due(ledger) {
            self.operate(&op, ledger, inner);
        }
    }

    /// Submits an operation of our own.
    fn operate(&mut self, op: &SystemOp, ledger: &Ledger, inner: &mut VecDeque<Inner>) {
        let account = self.account.as_mut();
        if let Some(envelope) = account.and_then(|account| account.envelope(op, ledger)) {
            inner.push_back(Inner::ToSequencer(sequencing::Input::Submit {
                ticket: OWN_TICKET,
                envelope: Box::new(envelope),
            }));
        }
    }

    fn sequenced(
        &mut self,
        actions: Vec<sequencing::Action>,
        effects: &mut Vec<Effect>,
        inner: &mut VecDeque<Inner>,
    ) {
        use sequencing::Action;
        for action in actions {
            match action {
                Action::Durable { writes, then } => {
                    let records = writes
                        .into_iter()
                        .map(|write| Record::Sequencing(Box::new(write)))
                        .collect();
                    let mut later = Vec::new();
                    self.sequenced(then, &mut later, inner);
                    effects.push(Effect::Durable {
                        records,
                        then: later,
                    });
                }
                Action::Send { to, message } => {
                    effects.push(Effect::Send {
                        to,
                        message: PeerMessage::Sequencing(message),
                    });
                }
                Action::Broadcast(message) => {
                    effects.push(Effect::Broadcast(PeerMessage::Sequencing(message)));
                }
                // Nobody waits for it: it is made again until the ledger shows its effect.
                Action::Answer {
                    ticket: OWN_TICKET, ..
                } => {}
                Action::Answer { ticket, answer } => {
                    effects.push(Effect::Answer { ticket, answer });
                }
                Action::Payload {
                    view,
                    batches,
                    time,
                    ledger_height,
                    ledger_root,
                    next_epoch,
                } => {
                    inner.push_back(Inner::ToEngine(agreement::Input::Payload {
                        view,
                        batches,
                        time,
                        ledger_height,
                        ledger_root,
                        next_epoch,
                    }));
                }
                Action::Checked { block, valid } => {
                    let checked = agreement::Input::ProposalChecked { block, valid };
                    inner.push_back(Inner::ToEngine(checked));
                }
                Action::PayloadPending(pending) => {
                    self.pending = pending;
                    inner.push_back(Inner::ToEngine(agreement::Input::PayloadPending(pending)));
                }
                Action::Work(work) => effects.push(Effect::Work(work)),
                Action::Batched(manifest) => effects.push(Effect::Batched(manifest)),
                Action::Fetch(fetch) => effects.push(Effect::Fetch(fetch)),
                Action::Executed(published) => {
                    self.succession.prepare(&published.ledger);
                    self.report(&published.ledger, inner);
                    effects.push(Effect::Executed(published));
                }
                Action::Retired(epoch) => effects.push(Effect::Retired(epoch)),
                Action::Finalised { height, envelopes } => {
                    effects.push(Effect::Finalised { height, envelopes });
                }
                Action::Misbehaviour {
                    validator,
                    what,
                    evidence,
                } => {
                    let proof = evidence.map(|evidence| *evidence);
                    if let Some(proof) = &proof {
                        self.convict(proof.clone(), inner);
                    }
                    effects.push(Effect::Misbehaviour {
                        validator,
                        what: what.to_owned(),
                        evidence: proof.map(|proof| Box::new(Evidence::Proof(proof))),
                    });
                }
                Action::Stop { reason } => effects.push(Effect::Stop { reason }),
                Action::WakeAt(at) => self.sequencer_wake = at,
            }
        }
    }
}

/// The validator lost its state in the last views of an epoch: it cannot know whether it had left it.
fn in_doubt(epoch: Epoch) -> Effect {
    let reason = format!(
        "[CV-NODE-013] this validator lost its safety state at the end of an epoch and may have signed \
         in epoch {epoch} before; start it again: it then asks the others where they stand"
    );
    Effect::Stop { reason }
}
