//! The Byzantine validator: it hears everything, signs anything in its own name, and puts
//! certificates together from what it heard.

use std::collections::BTreeMap;

use conclave_consensus::Message;
use conclave_types::{
    AggregateSignature, BatchRef, Block, BlockHeader, BlockId, BlockTime, BlsSignature, ChainId,
    CommitCertificate, CommitVote, Digest, Entry, Epoch, Height, Origin, PrepareVote, Proposal,
    QuorumCertificate, Timeout, TimeoutCertificate, ValidatorIndex, View, VoteKind,
};

use super::HONEST;
use crate::choices::Choices;
use crate::committee::{Model, set, sum};

const OWN: ValidatorIndex = ValidatorIndex(HONEST);
/// Of each kind it remembers the newest.
const REMEMBERED_MAX: usize = 32;

/// Votes for one block in one view, by signer.
type Votes = BTreeMap<u16, BlsSignature>;

pub(super) struct Byzantine {
    chain: ChainId,
    blocks: Vec<Block>,
    quorums: Vec<QuorumCertificate>,
    timeouts: Vec<TimeoutCertificate>,
    commits: Vec<CommitCertificate>,
    prepare_votes: BTreeMap<(View, Height, BlockId), Votes>,
    commit_votes: BTreeMap<(View, Height, BlockId), Votes>,
    /// By view: signer, the certificate it named, and its signature.
    refusals: BTreeMap<View, BTreeMap<u16, (QuorumCertificate, BlsSignature)>>,
}

fn remember<T: PartialEq + Clone>(list: &mut Vec<T>, item: &T) {
    if !list.contains(item) {
        if list.len() == REMEMBERED_MAX {
            list.remove(0);
        }
        list.push(item.clone());
    }
}

/// One of the newest; mostly the last.
fn recent<T: Clone>(list: &[T], choices: &mut Choices<'_>) -> Option<T> {
    let back = choices.below(256);
    let back = if back < 128 { back % 3 } else { back };
    let index = list.len().checked_sub(1 + back % list.len().max(1))?;
    list.get(index).cloned()
}

impl Byzantine {
    pub(super) fn new(chain: ChainId, origin: &Origin) -> Self {
        Self {
            chain,
            blocks: Vec::new(),
            quorums: vec![QuorumCertificate::origin(origin)],
            timeouts: Vec::new(),
            commits: Vec::new(),
            prepare_votes: BTreeMap::new(),
            commit_votes: BTreeMap::new(),
            refusals: BTreeMap::new(),
        }
    }

    pub(super) fn hear(&mut self, message: &Message) {
        match message {
            Message::Proposal(proposal) => {
                remember(&mut self.blocks, &proposal.block);
                remember(&mut self.quorums, &proposal.justify);
                if let Some(timeout) = &proposal.timeout {
                    remember(&mut self.timeouts, timeout);
                }
            }
            Message::PrepareVote(vote) => {
                let key = (vote.view, vote.height, vote.block);
                let votes = self.prepare_votes.entry(key).or_default();
                votes.insert(vote.signer.0, vote.signature);
            }
            Message::CommitVote(vote) => {
                let key = (vote.view, vote.height, vote.block);
                let votes = self.commit_votes.entry(key).or_default();
                votes.insert(vote.signer.0, vote.signature);
            }
            Message::Timeout(timeout) => {
                remember(&mut self.quorums, &timeout.high_qc);
                let refusal = (timeout.high_qc.clone(), timeout.signature);
                let view = self.refusals.entry(timeout.view).or_default();
                view.insert(timeout.signer.0, refusal);
            }
            Message::QuorumCertificate(qc) => remember(&mut self.quorums, qc),
            Message::TimeoutCertificate(tc) => remember(&mut self.timeouts, tc.as_ref()),
            Message::CommitCertificate(cc) => remember(&mut self.commits, cc),
        }
    }

    pub(super) fn block(&self, id: BlockId) -> Option<Block> {
        self.blocks.iter().find(|block| block.id() == id).cloned()
    }

    pub(super) fn blocks(&self, choices: &mut Choices<'_>) -> Vec<Block> {
        let skipped = choices.below(self.blocks.len() + 1);
        let taken = choices.below(8);
        self.blocks
            .iter()
            .skip(skipped)
            .take(taken)
            .cloned()
            .collect()
    }

    pub(super) fn certificate(&self, choices: &mut Choices<'_>) -> Option<CommitCertificate> {
        recent(&self.commits, choices)
    }

    /// Its next message, in a network whose newest view is this.
    pub(super) fn say(&mut self, view: View, choices: &mut Choices<'_>) -> Option<Message> {
        let message = match choices.u8() % 10 {
            0 => Message::Proposal(Box::new(self.propose(view, choices)?)),
            1 => Message::PrepareVote(self.prepare(view, choices)),
            2 => Message::CommitVote(self.commit(view, choices)),
            3 => Message::Timeout(Box::new(self.refuse(view, choices)?)),
            4 => self.assemble(VoteKind::Prepare, choices)?,
            5 => self.assemble(VoteKind::Commit, choices)?,
            6 => Message::TimeoutCertificate(Box::new(self.assemble_timeout(choices)?)),
            7 => Message::QuorumCertificate(spoil_quorum(recent(&self.quorums, choices)?, choices)),
            8 => Message::CommitCertificate(spoil_commit(recent(&self.commits, choices)?, choices)),
            _ => choices.value()?,
        };
        // What it said itself it may use again.
        self.hear(&message);
        Some(message)
    }

    fn sign(&self, message: &Digest, choices: &mut Choices<'_>) -> BlsSignature {
        match choices.u8() {
            255 => BlsSignature([choices.u8(); 48]),
            _ => Model::signature(OWN, message),
        }
    }

    /// View, height and id of some block.
    fn some_block(&self, view: View, choices: &mut Choices<'_>) -> (View, Height, BlockId) {
        match recent(&self.blocks, choices) {
            Some(block) if choices.u8() < 200 => {
                let header = &block.header;
                (header.view, header.height, block.id())
            }
            _ => {
                let (view, height) = (choices.near(view.0), choices.near(view.0));
                (
                    View(view),
                    Height(height),
                    BlockId(Digest([choices.u8(); 32])),
                )
            }
        }
    }

    fn prepare(&self, view: View, choices: &mut Choices<'_>) -> PrepareVote {
        let (view, height, block) = self.some_block(view, choices);
        let message = VoteKind::Prepare.message(self.chain, Epoch(0), view, height, block);
        PrepareVote {
            epoch: Epoch(0),
            view,
            height,
            block,
            signer: OWN,
            signature: self.sign(&message, choices),
        }
    }

    fn commit(&self, view: View, choices: &mut Choices<'_>) -> CommitVote {
        let (view, height, block) = self.some_block(view, choices);
        let message = VoteKind::Commit.message(self.chain, Epoch(0), view, height, block);
        CommitVote {
            epoch: Epoch(0),
            view,
            height,
            block,
            signer: OWN,
            signature: self.sign(&message, choices),
        }
    }

    fn refuse(&self, view: View, choices: &mut Choices<'_>) -> Option<Timeout> {
        let high_qc = spoil_quorum(recent(&self.quorums, choices)?, choices);
        let entry = match recent(&self.timeouts, choices) {
            Some(tc) if choices.flag() => Entry::Timeout(tc),
            _ => Entry::Quorum(spoil_quorum(recent(&self.quorums, choices)?, choices)),
        };
        let entered = match &entry {
            Entry::Quorum(qc) => qc.view.0.wrapping_add(1),
            Entry::Timeout(tc) => tc.view.0.wrapping_add(1),
        };
        let view = match choices.flag() {
            true => View(entered),
            false => View(choices.near(view.0)),
        };
        let message = Timeout::message(self.chain, Epoch(0), view, high_qc.view);
        Some(Timeout {
            epoch: Epoch(0),
            view,
            high_qc,
            entry,
            signer: OWN,
            signature: self.sign(&message, choices),
        })
    }

    fn propose(&self, view: View, choices: &mut Choices<'_>) -> Option<Proposal> {
        let justify = spoil_quorum(recent(&self.quorums, choices)?, choices);
        let timeout = match choices.u8() % 3 {
            0 => recent(&self.timeouts, choices),
            _ => None,
        };
        let after = timeout.as_ref().map_or(justify.view, |tc| tc.view);
        let view = match choices.u8() % 4 {
            0 => View(choices.near(view.0)),
            _ => View(after.0.wrapping_add(1)),
        };
        let batches: Vec<BatchRef> = match choices.u8() % 8 {
            0 => choices.value::<BatchRef>().into_iter().collect(),
            _ => Vec::new(),
        };
        let header = BlockHeader {
            chain: self.chain,
            epoch: Epoch(0),
            view,
            height: Height(near(justify.height.0.wrapping_add(1), choices)),
            parent: justify.block,
            parent_view: View(near(justify.view.0, choices)),
            proposer: OWN,
            time: BlockTime(match choices.u8() % 4 {
                0 => choices.u64(),
                _ => view.0.saturating_add(u64::from(choices.u8())),
            }),
            payload: Block::payload_digest(&batches),
            ledger_height: Height(0),
            ledger_root: Digest::ZERO,
            next_epoch: None,
        };
        let message =
            VoteKind::Prepare.message(self.chain, Epoch(0), view, header.height, header.id());
        Some(Proposal {
            block: Block { header, batches },
            justify,
            timeout,
            signature: self.sign(&message, choices),
        })
    }

    /// A certificate from the votes that it heard and its own; without enough of them it lies.
    fn assemble(&self, kind: VoteKind, choices: &mut Choices<'_>) -> Option<Message> {
        let votes = match kind {
            VoteKind::Prepare => &self.prepare_votes,
            VoteKind::Commit => &self.commit_votes,
        };
        let keys: Vec<_> = votes.keys().copied().collect();
        let (view, height, block) = recent(&keys, choices)?;
        let mut votes = votes.get(&(view, height, block))?.clone();
        let message = kind.message(self.chain, Epoch(0), view, height, block);
        votes.insert(OWN.0, Model::signature(OWN, &message));
        if choices.u8().is_multiple_of(4) {
            votes.remove(&u16::from(choices.u8() % 4));
        }
        let mut signers = set(votes.keys().copied());
        if choices.u8().is_multiple_of(8) {
            signers.insert(ValidatorIndex(choices.u8().into()));
        }
        let aggregate = AggregateSignature {
            signers,
            signature: sum(votes.into_values()),
        };
        let epoch = Epoch(0);
        Some(match kind {
            VoteKind::Prepare => Message::QuorumCertificate(QuorumCertificate {
                epoch,
                view,
                height,
                block,
                aggregate,
            }),
            VoteKind::Commit => Message::CommitCertificate(CommitCertificate {
                epoch,
                view,
                height,
                block,
                aggregate,
            }),
        })
    }

    fn assemble_timeout(&self, choices: &mut Choices<'_>) -> Option<TimeoutCertificate> {
        let views: Vec<_> = self.refusals.keys().copied().collect();
        let view = recent(&views, choices)?;
        let mut refusals = self.refusals.get(&view)?.clone();
        if choices.flag() {
            let own = recent(&self.quorums, choices)?;
            let message = Timeout::message(self.chain, Epoch(0), view, own.view);
            refusals.insert(OWN.0, (own, Model::signature(OWN, &message)));
        }
        if choices.u8().is_multiple_of(4) {
            refusals.remove(&u16::from(choices.u8() % 4));
        }
        let mut groups: BTreeMap<View, Vec<u16>> = BTreeMap::new();
        for (signer, (qc, _)) in &refusals {
            groups.entry(qc.view).or_default().push(*signer);
        }
        let high_qc = refusals
            .values()
            .map(|(qc, _)| qc)
            .max_by_key(|qc| qc.view)?;
        let high_qc = match choices.u8() % 8 {
            0 => recent(&self.quorums, choices)?,
            _ => high_qc.clone(),
        };
        Some(TimeoutCertificate {
            epoch: Epoch(0),
            view: View(near(view.0, choices)),
            high_qc,
            groups: groups
                .into_iter()
                .map(|(view, signers)| (view, set(signers)))
                .collect(),
            signature: sum(refusals.into_values().map(|(_, signature)| signature)),
        })
    }
}

/// Mostly the number itself.
fn near(number: u64, choices: &mut Choices<'_>) -> u64 {
    match choices.u8() {
        240.. => choices.near(number),
        _ => number,
    }
}

fn spoil_quorum(mut qc: QuorumCertificate, choices: &mut Choices<'_>) -> QuorumCertificate {
    match choices.u8() {
        248 => qc.view = View(choices.near(qc.view.0)),
        249 => qc.height = Height(choices.near(qc.height.0)),
        250 => qc.block = BlockId(Digest([choices.u8(); 32])),
        251 => qc.aggregate.signers = set([u16::from(choices.u8())]),
        252 => qc.aggregate.signature = BlsSignature([choices.u8(); 48]),
        253 => qc.epoch = Epoch(choices.near(0)),
        _ => {}
    }
    qc
}

fn spoil_commit(mut cc: CommitCertificate, choices: &mut Choices<'_>) -> CommitCertificate {
    match choices.u8() % 16 {
        0 => cc.view = View(choices.near(cc.view.0)),
        1 => cc.height = Height(choices.near(cc.height.0)),
        2 => cc.block = BlockId(Digest([choices.u8(); 32])),
        3 => cc.aggregate.signers = set([u16::from(choices.u8())]),
        4 => cc.aggregate.signature = BlsSignature([choices.u8(); 48]),
        _ => {}
    }
    cc
}
