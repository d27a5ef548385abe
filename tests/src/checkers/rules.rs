//! The rules of agreement, judged by what honest members say and what they had on disk when they
//! said it. Votes are counted here anew; certificates in messages are not believed.

use std::collections::BTreeMap;

use conclave_consensus::{Message, SafetyState};
use conclave_types::{
    BlockId, BlockTime, CommitCertificate, Epoch, EpochSetup, Genesis, PrepareVote, Proposal,
    Signers, Timeout, ValidatorIndex, View,
};

use super::Violation;

/// Views back that votes are remembered for.
const VIEWS: u64 = 512;
/// How far ahead of a right clock a final block's time may be: what voters accept, and what their
/// own clocks may be ahead.
const TIME_AHEAD_MS_MAX: u64 = 250 + 100;

/// What one honest member has said; a restart does not excuse it from any of it.
#[derive(Default)]
struct Said {
    prepared: BTreeMap<View, BlockId>,
    committed: BTreeMap<View, BlockId>,
    gave_up: Option<View>,
    /// The highest certificate that it must have had.
    high: View,
    /// The highest certificate on its disk.
    locked: View,
}

/// How a proposal was justified.
struct Justification {
    quorum: View,
    /// The view of its timeout certificate and of the highest certificate in that.
    timeouts: Option<(View, View)>,
}

/// The rules in every epoch that has begun: nothing that is said in one counts in another.
pub(crate) struct RulesChecker {
    liar: Option<ValidatorIndex>,
    epochs: BTreeMap<Epoch, EpochRules>,
}

impl RulesChecker {
    pub(crate) fn new(genesis: &Genesis, liar: Option<usize>) -> Self {
        let mut checker = Self {
            liar: liar.map(|index| ValidatorIndex(index as u16)),
            epochs: BTreeMap::new(),
        };
        checker.began(&genesis.first_epoch());
        checker
    }

    /// An honest member goes on in an epoch.
    pub(crate) fn began(&mut self, setup: &EpochSetup) {
        let (weights, liar) = (setup.weights(), self.liar);
        let rules = || EpochRules::new(weights, liar);
        self.epochs.entry(setup.epoch).or_insert_with(rules);
    }

    /// A member says something; `disk` is what it would start from if it crashed now. What is said of
    /// an epoch that has not begun for anyone is a lie.
    pub(crate) fn sent(
        &mut self,
        from: ValidatorIndex,
        disk: Option<&SafetyState>,
        message: &Message,
    ) -> Result<(), Violation> {
        let epoch = message.epoch();
        let disk = disk.filter(|disk| disk.epoch() == epoch);
        match self.epochs.get_mut(&epoch) {
            Some(rules) => rules.sent(from, disk, message),
            None => Ok(()),
        }
    }

    /// What an honest member has written.
    pub(crate) fn durable(
        &mut self,
        node: ValidatorIndex,
        state: &SafetyState,
    ) -> Result<(), Violation> {
        match self.epochs.get_mut(&state.epoch()) {
            Some(rules) => rules.durable(node, state),
            None => Err(Violation::new("rule 7", "a state of no epoch".into())),
        }
    }

    /// An honest member holds blocks to be final.
    pub(crate) fn committed(
        &self,
        now_ms: u64,
        node: usize,
        certificate: &CommitCertificate,
        time: BlockTime,
    ) -> Result<(), Violation> {
        match self.epochs.get(&certificate.epoch) {
            Some(rules) => rules.committed(now_ms, node, certificate, time),
            None => Err(Violation::new("rule 5", "final in no epoch".into())),
        }
    }
}

struct EpochRules {
    weights: Vec<u16>,
    liar: Option<ValidatorIndex>,
    said: Vec<Said>,
    prepares: BTreeMap<(View, BlockId), Signers>,
    commits: BTreeMap<(View, BlockId), Signers>,
    timeouts: BTreeMap<View, Signers>,
    justified: BTreeMap<(View, BlockId), Vec<Justification>>,
}

impl EpochRules {
    fn new(weights: Vec<u16>, liar: Option<ValidatorIndex>) -> Self {
        Self {
            said: weights.iter().map(|_| Said::default()).collect(),
            weights,
            liar,
            prepares: BTreeMap::new(),
            commits: BTreeMap::new(),
            timeouts: BTreeMap::new(),
            justified: BTreeMap::new(),
        }
    }

    fn sent(
        &mut self,
        from: ValidatorIndex,
        disk: Option<&SafetyState>,
        message: &Message,
    ) -> Result<(), Violation> {
        match message {
            Message::Proposal(proposal) => {
                let (view, block) = (proposal.view(), proposal.block.id());
                self.note(view, block, proposal);
                self.prepare(from, view, block, disk)
            }
            Message::PrepareVote(PrepareVote { view, block, .. }) => {
                self.prepare(from, *view, *block, disk)
            }
            Message::CommitVote(vote) => self.commit(from, vote.view, vote.block, disk),
            Message::Timeout(timeout) => self.timeout(from, timeout, disk),
            _ => Ok(()),
        }
    }

    /// Votes count from when they are durable: what a member made of its own before it crashed
    /// may reach others though the vote itself never left.
    ///
    /// The lock shows here only: a view that was given up gets no commit vote, so nothing that is
    /// sent tells that its certificate was seen.
    fn durable(&mut self, node: ValidatorIndex, state: &SafetyState) -> Result<(), Violation> {
        if let Some(vote) = &state.prepare_vote {
            let signers = self.prepares.entry((vote.view, vote.block)).or_default();
            signers.insert(node);
        }
        if let Some(vote) = &state.commit_vote {
            let signers = self.commits.entry((vote.view, vote.block)).or_default();
            signers.insert(node);
        }
        if let Some(timeout) = &state.timeout {
            self.timeouts.entry(timeout.view).or_default().insert(node);
        }
        let locked = &mut self.said[usize::from(node.0)].locked;
        let (before, view) = (*locked, state.high_qc.view);
        *locked = view;
        if view < before {
            let what = format!(
                "node {}'s lock went back from view {before} to {view}",
                node.0
            );
            return Err(Violation::new("rule 3", what));
        }
        Ok(())
    }

    fn note(&mut self, view: View, block: BlockId, proposal: &Proposal) {
        let timeouts = proposal.timeout.as_ref();
        let ways = self.justified.entry((view, block)).or_default();
        ways.push(Justification {
            quorum: proposal.justify.view,
            timeouts: timeouts.map(|tc| (tc.view, tc.high_qc.view)),
        });
    }

    fn prepare(
        &mut self,
        from: ValidatorIndex,
        view: View,
        block: BlockId,
        disk: Option<&SafetyState>,
    ) -> Result<(), Violation> {
        self.prepares.entry((view, block)).or_default().insert(from);
        if self.liar == Some(from) {
            return Ok(());
        }
        let said = &self.said[usize::from(from.0)];
        let known = said.prepared.get(&view);
        if known == Some(&block) {
            return Ok(());
        }
        let broken = |rule, what: &str| {
            let what = format!("node {} voted for {block} in view {view} {what}", from.0);
            Err(Violation::new(rule, what))
        };
        if known.is_some() {
            return broken("rule 2", "and for another block");
        }
        if said
            .prepared
            .last_key_value()
            .is_some_and(|(last, _)| *last > view)
        {
            return broken("rule 2", "after a later view");
        }
        if said.gave_up >= Some(view) {
            return broken("rule 2", "which it had given up");
        }
        if !self.is_justified(view, block) {
            return broken("rule 2", "which is not justified");
        }
        if !self.is_entered(view) {
            return broken("rule 1", "which no certificate enters");
        }
        let written = disk.and_then(|disk| disk.prepare_vote.as_ref());
        if written.is_none_or(|vote| vote.view < view) {
            return broken("rule 7", "before that was durable");
        }
        self.said[usize::from(from.0)].prepared.insert(view, block);
        self.forget(View(view.0.saturating_sub(VIEWS)));
        Ok(())
    }

    /// Before a view that an honest member voted in; a liar may name any.
    fn forget(&mut self, old: View) {
        self.justified.retain(|(view, _), _| *view >= old);
        self.prepares.retain(|(view, _), _| *view >= old);
        self.commits.retain(|(view, _), _| *view >= old);
        self.timeouts.retain(|view, _| *view >= old);
    }

    fn commit(
        &mut self,
        from: ValidatorIndex,
        view: View,
        block: BlockId,
        disk: Option<&SafetyState>,
    ) -> Result<(), Violation> {
        self.commits.entry((view, block)).or_default().insert(from);
        if self.liar == Some(from) {
            return Ok(());
        }
        let said = &self.said[usize::from(from.0)];
        let known = said.committed.get(&view);
        if known == Some(&block) {
            return Ok(());
        }
        let broken = |rule, what: &str| {
            let what = format!("node {} commit-voted {block} of view {view} {what}", from.0);
            Err(Violation::new(rule, what))
        };
        if known.is_some() {
            return broken("rule 4", "and another block");
        }
        if said.gave_up >= Some(view) {
            return broken("rule 4", "after it gave up that view or a later one");
        }
        if !self.has_quorum(self.prepares.get(&(view, block))) {
            return broken("rule 4", "which has no quorum of votes");
        }
        let written = disk.and_then(|disk| disk.commit_vote.as_ref());
        if written.is_none_or(|vote| vote.view < view) {
            return broken("rule 7", "before that was durable");
        }
        let said = &mut self.said[usize::from(from.0)];
        said.committed.insert(view, block);
        said.high = said.high.max(view);
        Ok(())
    }

    fn timeout(
        &mut self,
        from: ValidatorIndex,
        timeout: &Timeout,
        disk: Option<&SafetyState>,
    ) -> Result<(), Violation> {
        let view = timeout.view;
        self.timeouts.entry(view).or_default().insert(from);
        let said = &self.said[usize::from(from.0)];
        if self.liar == Some(from) || said.gave_up >= Some(view) {
            return Ok(());
        }
        let broken = |rule, what: &str| {
            let what = format!("node {} gave up view {view} {what}", from.0);
            Err(Violation::new(rule, what))
        };
        if said
            .committed
            .last_key_value()
            .is_some_and(|(last, _)| *last >= view)
        {
            return broken("rule 4", "after a commit vote for it or a later one");
        }
        if timeout.high_qc.view < said.high {
            return broken(
                "rule 3",
                "with a lower certificate than it had shown before",
            );
        }
        if !self.is_entered(view) {
            return broken("rule 1", "which no certificate enters");
        }
        if timeout.entry.enters() != view {
            return broken("rule 6", "without the certificate that entered it");
        }
        let written = disk.and_then(|disk| disk.timeout.as_ref());
        if written.is_none_or(|timeout| timeout.view < view) {
            return broken("rule 7", "before that was durable");
        }
        let said = &mut self.said[usize::from(from.0)];
        said.gave_up = Some(view);
        said.high = said.high.max(timeout.high_qc.view);
        Ok(())
    }

    fn committed(
        &self,
        now_ms: u64,
        node: usize,
        certificate: &CommitCertificate,
        time: BlockTime,
    ) -> Result<(), Violation> {
        let (view, block) = (certificate.view, certificate.block);
        // Its own vote may still be on its way to the disk; so is the block then.
        let signers = self.commits.get(&(view, block)).copied();
        let mut signers = signers.unwrap_or_default();
        signers.insert(ValidatorIndex(node as u16));
        if !self.has_quorum(Some(&signers)) {
            let what = format!("node {node} holds {block} to be final without a quorum of votes");
            return Err(Violation::new("rule 5", what));
        }
        if time.0 > now_ms + TIME_AHEAD_MS_MAX {
            let ahead = time.0 - now_ms;
            let what = format!("node {node} holds {block} to be final, {ahead} ms of the future");
            return Err(Violation::new("block time", what));
        }
        Ok(())
    }

    /// Whether these and the liar, whose word anyone may have, are a quorum.
    fn has_quorum(&self, signers: Option<&Signers>) -> bool {
        let mut signers = signers.copied().unwrap_or_default();
        if let Some(liar) = self.liar {
            signers.insert(liar);
        }
        let weight = |index: ValidatorIndex| u32::from(self.weights[usize::from(index.0)]);
        let signed: u32 = signers.iter().map(weight).sum();
        let total: u32 = self.weights.iter().map(|weight| u32::from(*weight)).sum();
        3 * signed > 2 * total
    }

    /// Whether votes or timeouts for the view before could have made a certificate.
    fn is_entered(&self, view: View) -> bool {
        let before = View(view.0.saturating_sub(1));
        let of_view = self.prepares.range((before, BlockId::default())..);
        let mut blocks = of_view.take_while(|((view, _), _)| *view == before);
        before == View(0)
            || self.has_quorum(self.timeouts.get(&before))
            || blocks.any(|(_, signers)| self.has_quorum(Some(signers)))
    }

    fn is_justified(&self, view: View, block: BlockId) -> bool {
        let follows = |before: View| before.0 + 1 == view.0;
        // A leader that crashed before its proposal left votes for it after its restart; nobody
        // else can have seen such a block.
        let Some(ways) = self.justified.get(&(view, block)) else {
            return true;
        };
        ways.iter().any(|way| match way.timeouts {
            None => follows(way.quorum),
            Some((timed_out, high)) => {
                follows(timed_out) && way.quorum >= high && way.quorum < view
            }
        })
    }
}
