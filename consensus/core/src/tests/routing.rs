//! Large committees: votes through collectors, messages linear in the committee, and collectors
//! that are down cost a delay only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use conclave_types::*;

use super::fixture::*;
use crate::*;

/// Between any two validators.
const DELAY_MS: u64 = 10;

/// A calm network with equal delays in which everybody always has something to order.
struct Large {
    engines: Vec<Engine>,
    down: BTreeSet<usize>,
    /// Drops what is sent to those who collect votes, as it is sent for the first time.
    deaf: BTreeSet<usize>,
    queue: BTreeMap<(u64, u64), (usize, Input)>,
    order: u64,
    now: u64,
    /// Votes and certificates sent, by view.
    messages: BTreeMap<View, usize>,
    timeouts: usize,
    proposed: BTreeMap<BlockId, u64>,
    /// Per block: when each committed it.
    committed: BTreeMap<BlockId, Vec<u64>>,
    wake: Vec<u64>,
}

impl Large {
    fn new(validators: usize, down: &[usize], deaf: &[usize]) -> Self {
        let weights = vec![1; validators];
        let engine = |index| {
            let signatures = Arc::new(Quick(ValidatorIndex(index)));
            Engine::new(config(&weights, index), signatures, None)
        };
        let mut large = Self {
            engines: (0..validators as u16).map(engine).collect(),
            down: down.iter().copied().collect(),
            deaf: deaf.iter().copied().collect(),
            queue: BTreeMap::new(),
            order: 0,
            now: 0,
            messages: BTreeMap::new(),
            timeouts: 0,
            proposed: BTreeMap::new(),
            committed: BTreeMap::new(),
            wake: vec![u64::MAX; validators],
        };
        for place in 0..validators {
            large.at(0, place, Input::Start);
            large.at(0, place, Input::PayloadPending(true));
        }
        large
    }

    fn at(&mut self, at: u64, place: usize, input: Input) {
        self.order += 1;
        self.queue.insert((at, self.order), (place, input));
    }

    fn run(&mut self, until: u64) {
        while let Some(next) = self
            .queue
            .first_entry()
            .filter(|next| next.key().0 <= until)
        {
            let ((at, _), (place, input)) = next.remove_entry();
            self.now = at;
            let stale = matches!(input, Input::Tick) && self.wake[place] != at;
            if self.down.contains(&place) || stale {
                continue;
            }
            let step = self.engines[place].handle(Now(at), input);
            for action in step.actions {
                self.act(place, action);
            }
        }
    }

    fn act(&mut self, place: usize, action: Action) {
        match action {
            Action::Send { to, message } => self.send(place, usize::from(to.0), message, true),
            Action::Broadcast(message) => {
                for to in (0..self.engines.len()).filter(|to| *to != place) {
                    self.send(place, to, message.clone(), false);
                }
            }
            Action::RequestPayload { view, .. } => {
                let payload = Input::Payload {
                    view,
                    batches: vec![batch(view.0)],
                    time: BlockTime(self.now),
                    ledger_height: Height(0),
                    ledger_root: Digest::ZERO,
                    next_epoch: None,
                };
                self.at(self.now, place, payload);
            }
            Action::CheckProposal { block, .. } => {
                let block = block.id();
                self.at(
                    self.now,
                    place,
                    Input::ProposalChecked { block, valid: true },
                );
            }
            Action::Committed { blocks, .. } => {
                for block in blocks {
                    self.committed.entry(block.id()).or_default().push(self.now);
                }
            }
            Action::WakeAt(at) => {
                self.wake[place] = at.max(self.now);
                self.at(self.wake[place], place, Input::Tick);
            }
            Action::FetchBlock { block, from } => {
                let found = self.engines[usize::from(from.0)].block(&block);
                if let Some(found) = found.map(|block| Block::clone(block)) {
                    let block = Box::new(found);
                    self.at(self.now + 2 * DELAY_MS, place, Input::Block { from, block });
                }
            }
            Action::Misbehaviour { evidence, .. } => panic!("{evidence:?}"),
            Action::Behind { .. } | Action::Fork { .. } => panic!("in a calm network"),
        }
    }

    fn send(&mut self, place: usize, to: usize, message: Message, direct: bool) {
        let view = match &message {
            Message::Proposal(proposal) => {
                let id = proposal.block.id();
                self.proposed.entry(id).or_insert(self.now);
                proposal.block.header.view
            }
            Message::PrepareVote(vote) => vote.view,
            Message::CommitVote(vote) => vote.view,
            Message::QuorumCertificate(qc) => qc.view,
            Message::CommitCertificate(cc) => cc.view,
            Message::Timeout(timeout) => {
                self.timeouts += 1;
                timeout.view
            }
            Message::TimeoutCertificate(tc) => tc.view,
        };
        *self.messages.entry(view).or_default() += 1;
        let vote = matches!(message, Message::PrepareVote(_) | Message::CommitVote(_));
        if vote && direct && self.deaf.contains(&to) {
            return;
        }
        let from = ValidatorIndex(place as u16);
        self.at(self.now + DELAY_MS, to, message.into_input(from));
    }

    fn views(&self) -> u64 {
        let up = (0..self.engines.len()).filter(|place| !self.down.contains(place));
        up.map(|place| self.engines[place].view().0)
            .min()
            .expect("somebody is up")
    }

    fn height(&self) -> u64 {
        let up = (0..self.engines.len()).filter(|place| !self.down.contains(place));
        up.map(|place| self.engines[place].committed().0.0)
            .min()
            .expect("somebody is up")
    }

    /// Delays from a proposal until everybody has committed it, of blocks early enough for that.
    fn finality(&self) -> BTreeSet<u64> {
        let all = self.engines.len() - self.down.len();
        let finished = self
            .committed
            .iter()
            .filter(|(_, times)| times.len() == all);
        finished
            .map(|(id, times)| (times.iter().max().expect("all") - self.proposed[id]) / DELAY_MS)
            .collect()
    }
}

#[test]
fn a_small_committee_is_final_after_three_delays_by_votes_to_everyone() {
    let mut small = Large::new(13, &[], &[]);
    small.run(4_000);
    assert_eq!(small.finality(), BTreeSet::from([3]));
    assert_eq!(small.timeouts, 0);
    assert!(small.height() >= 190, "{}", small.height());
}

#[test]
fn a_large_committee_is_final_after_five_delays_with_messages_linear_in_its_size() {
    for validators in [16, 31] {
        let mut large = Large::new(validators, &[], &[]);
        large.run(4_000);
        assert_eq!(large.finality(), BTreeSet::from([5]), "{validators}");
        assert_eq!(large.timeouts, 0);
        assert!(large.height() >= 125, "{}", large.height());
        // Per view: a proposal; votes of two phases to two collectors; from each of these a
        // certificate of either phase.
        let most = large.messages.values().max().expect("views");
        assert!(*most <= 9 * validators, "{validators}: {most}");
    }
}

/// One collector of a view that is up is enough, whichever it is; a leader that is down is passed
/// over after its first view.
#[test]
fn validators_that_are_down_cost_the_views_they_lead_and_no_more() {
    for validators in [16, 31] {
        let faults = (validators - 1) / 3;
        let down: Vec<usize> = (0..faults).map(|i| 3 * i + 1).collect();
        let mut large = Large::new(validators, &down, &[]);
        large.run(20_000);
        let lost = large.views() - large.height();
        // Each waits 32, 64 and 128 blocks between its attempts.
        assert!(lost as usize <= 4 * faults + 2, "{validators}: {lost} lost");
        assert!(large.height() >= 100, "{validators}: {}", large.height());
        // Only views that were lost cost the square.
        let costly = |count: &&usize| **count > 9 * validators;
        let costly = large.messages.values().filter(costly).count() as u64;
        assert!(costly <= 2 * lost + 2, "{validators}: {costly} of {lost}");
    }
}

/// Collectors that swallow votes: neither phase of any view gets its certificate from them. Votes
/// go to everyone after a while, so every view is slow and none is lost.
#[test]
fn votes_that_no_collector_answers_go_to_everyone() {
    let all: Vec<usize> = (0..16).collect();
    let mut large = Large::new(16, &[], &all);
    large.run(10_000);
    assert_eq!(large.timeouts, 0);
    assert!(large.views() - large.height() <= 4);
    assert!(large.height() >= 20, "{}", large.height());
}
