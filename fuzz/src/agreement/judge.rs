//! What must hold of honest validators, judged from outside by what they send and commit. Shares
//! no code with the engine.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use conclave_consensus::Message;
use conclave_types::{Block, BlockId, CommitCertificate, Height, ValidatorIndex, View};

use super::HONEST;

/// What one validator has signed, by view.
#[derive(Default)]
struct Signed {
    proposals: BTreeMap<View, BlockId>,
    prepares: BTreeMap<View, BlockId>,
    commits: BTreeMap<View, BlockId>,
    /// With the view of the highest certificate that they name.
    timeouts: BTreeMap<View, View>,
}

impl Signed {
    fn prepare(&mut self, view: View, block: BlockId) {
        if once(&mut self.prepares, view, block, "prepare votes") {
            let given_up = self.timeouts.range(view..).next();
            assert!(given_up.is_none(), "prepared after a timeout");
            let last = self.prepares.last_key_value();
            assert_eq!(
                last.map(|(view, _)| *view),
                Some(view),
                "prepared in an earlier view"
            );
        }
    }
}

pub(super) struct Judge {
    signed: BTreeMap<ValidatorIndex, Signed>,
    /// The one block of each height, whoever committed it first.
    chain: BTreeMap<Height, BlockId>,
    /// What each validator committed last.
    tips: [(Height, BlockId); HONEST as usize],
}

impl Judge {
    pub(super) fn new(genesis: BlockId) -> Self {
        Self {
            signed: BTreeMap::new(),
            chain: BTreeMap::new(),
            tips: [(Height(0), genesis); HONEST as usize],
        }
    }

    pub(super) fn heights(&self) -> usize {
        self.chain.len()
    }

    /// An honest validator lets a message go.
    pub(super) fn sent(&mut self, from: ValidatorIndex, message: &Message) {
        let signed = self.signed.entry(from).or_default();
        match message {
            Message::Proposal(proposal) => {
                let (view, id) = (proposal.block.header.view, proposal.block.id());
                once(&mut signed.proposals, view, id, "proposals");
                // Its signature is the leader's prepare vote.
                signed.prepare(view, id);
            }
            Message::PrepareVote(vote) => {
                assert_eq!(vote.signer, from, "a vote in another's name");
                signed.prepare(vote.view, vote.block);
            }
            Message::CommitVote(vote) => {
                assert_eq!(vote.signer, from, "a vote in another's name");
                let fresh = once(&mut signed.commits, vote.view, vote.block, "commit votes");
                let given_up = signed.timeouts.range(vote.view..).next();
                assert!(!fresh || given_up.is_none(), "committed after a timeout");
            }
            Message::Timeout(timeout) => {
                assert_eq!(timeout.signer, from, "a timeout in another's name");
                let (view, high) = (timeout.view, timeout.high_qc.view);
                let fresh = once(&mut signed.timeouts, view, high, "timeouts");
                let committed = signed.commits.range(view..).next();
                assert!(!fresh || committed.is_none(), "timed out after a commit");
            }
            Message::QuorumCertificate(_)
            | Message::TimeoutCertificate(_)
            | Message::CommitCertificate(_) => {}
        }
    }

    /// An honest validator holds these blocks for final.
    pub(super) fn committed(
        &mut self,
        place: usize,
        blocks: &[Arc<Block>],
        certificate: &CommitCertificate,
    ) {
        for block in blocks {
            let (header, id) = (&block.header, block.id());
            let (height, parent) = self.tips[place];
            assert_eq!(header.height.0, height.0 + 1, "committed with a gap");
            assert_eq!(header.parent, parent, "committed beside its chain");
            let first = *self.chain.entry(header.height).or_insert(id);
            assert_eq!(first, id, "two blocks are final at {}", header.height);
            self.tips[place] = (header.height, id);
        }
        assert_eq!(certificate.block, self.tips[place].1, "another certificate");
    }

    pub(super) fn accused(&self, validator: ValidatorIndex) {
        assert_eq!(validator.0, HONEST, "an honest validator is accused");
    }
}

/// Notes what was signed for a view; `false` if that was sent before. There is only one.
fn once<T: Copy + PartialEq>(
    signed: &mut BTreeMap<View, T>,
    view: View,
    what: T,
    name: &str,
) -> bool {
    match signed.entry(view) {
        Entry::Vacant(entry) => {
            entry.insert(what);
            true
        }
        Entry::Occupied(entry) => {
            assert!(*entry.get() == what, "two {name} in view {view}");
            false
        }
    }
}
