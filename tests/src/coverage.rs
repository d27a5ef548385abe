//! Which branches of the protocol a run reached. Seeds that never meet a case say nothing of it.

use std::fmt;

use conclave_consensus::{Evidence, Fault, Input as AgreementInput, Message as AgreementMessage};
use conclave_node::{Effect, Event, PeerMessage};
use conclave_seal::Verdict;
use conclave_sequencer::{Done, Fetch, Input, Message};
use conclave_types::{LaneKind, Offence, ShareGroup, ValidatorIndex, VoteKind};

macro_rules! branches {
    ($($name:ident = $text:literal;)*) => {
        /// A case that a run of many seeds should have met.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "the text of each says it")]
        pub enum Branch { $($name,)* }

        impl Branch {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

branches! {
    Crash = "nodes crashed";
    Restart = "nodes restarted";
    Partition = "partitions";
    Liar = "members lied";
    ViewTimedOut = "timeouts sent";
    TimeoutCertified = "timeout certificates made";
    StaleTimeoutByQuorum = "stale timeouts answered with a quorum certificate";
    StaleTimeoutByTimeouts = "stale timeouts answered with a timeout certificate";
    StaleCommitVote = "stale commit votes answered with a commit certificate";
    ProposalEmpty = "empty blocks proposed";
    ProposalFull = "blocks with payload proposed";
    ProposalAfterTimeout = "blocks proposed after a lost view";
    BlockWanted = "blocks asked for one by one";
    BlockFetched = "blocks fetched one by one";
    SyncWanted = "blocks asked for by height";
    Synced = "blocks fetched by height";
    CommittedMany = "several blocks final at once";
    DoublePrepare = "accused of two votes in the first phase";
    DoubleCommit = "accused of two votes in the second phase";
    DoubleTimeout = "accused of two timeouts of one view";
    LateCommit = "accused of a commit vote for a view it gave up";
    Impersonation = "accused of speaking for another";
    WrongSignature = "accused of a wrong signature";
    WrongCertificate = "accused of a wrong certificate";
    MalformedProposal = "accused of a malformed proposal or timeout";
    NotLeader = "accused of leading a view of another's";
    WrongBatch = "accused about a batch or its certificate";
    WrongShare = "accused about shares that are no evidence";
    WrongShareProven = "accused of signed wrong shares";
    BodyReread = "bodies found in the own store";
    BodyRebuilt = "bodies rebuilt from shards";
    BatchWanted = "batches asked for";
    BatchFetched = "batches fetched";
    SharesWanted = "shares asked for";
    LaneReopened = "lanes opened again after a restart";
    LaneNotReopened = "lanes that a restart found unopened";
    OpenedOnCommit = "lanes opened on commit";
    OpenedAtClose = "lanes opened at a close";
    OpenedMalformed = "lanes of malformed envelopes opened";
    OpeningsPublished = "openings published by who combined them";
    OpeningsTaken = "openings of others found right";
    OpeningsRefused = "openings of others found wrong";
    OpeningsDoubted = "envelopes called malformed by who combined them";
    OpenerReplaced = "shares sent to the next opener in turn";
    OpenersPassed = "shares of a group sent to all";
    OpenedTooFew = "openings tried with too few right shares";
    EpochBegan = "epochs begun";
    MembersLeft = "epochs begun without members who left";
    SubmissionRefused = "submissions refused";
    EnvelopeTwice = "envelopes ordered twice";
    EnvelopeExpired = "envelopes expired";
    EnvelopeMalformed = "envelopes malformed";
    TransactionApplied = "transactions applied";
    TransactionExcluded = "transactions excluded";
    PaymentApplied = "payments applied";
    PaymentRefused = "payments that change nothing";
    PaymentExcluded = "payments excluded";
    AuctionWithoutBids = "auctions without bids";
    DeadlineMissed = "deadlines missed";
    BondSlashed = "provers' bonds slashed";
    ValidatorSlashed = "validators' bonds slashed";
    BatchInconsistent = "inconsistent batches, their authors slashed";
    StandbyCalled = "standbys called";
    JobOpened = "jobs opened to all";
    ProofRejected = "proofs rejected";
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// How often each branch was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage([u64; Branch::ALL.len()]);

impl Default for Coverage {
    fn default() -> Self {
        Self([0; Branch::ALL.len()])
    }
}

impl Coverage {
    pub(crate) fn saw(&mut self, branch: Branch) {
        self.0[branch as usize] += 1;
    }

    /// Adds what another run reached.
    pub fn add(&mut self, other: &Self) {
        for (times, more) in self.0.iter_mut().zip(&other.0) {
            *times += more;
        }
    }

    /// How often this branch was reached.
    pub fn times(&self, branch: Branch) -> u64 {
        self.0[branch as usize]
    }

    /// The branches that were not reached.
    pub fn missing(&self) -> Vec<Branch> {
        let all = Branch::ALL.iter().copied();
        all.filter(|branch| self.times(*branch) == 0).collect()
    }

    /// What an event that a node is given shows.
    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::Agreement(input) => match input.as_ref() {
                AgreementInput::Block { .. } => self.saw(Branch::BlockFetched),
                AgreementInput::Synced { .. } => self.saw(Branch::Synced),
                _ => {}
            },
            Event::Sequencing(Input::Manifest(_)) => self.saw(Branch::BatchFetched),
            Event::Sequencing(Input::Body(_)) => self.saw(Branch::BodyReread),
            Event::Sequencing(Input::Shards { .. }) => self.saw(Branch::BodyRebuilt),
            Event::Sequencing(Input::Reopened { .. }) => self.saw(Branch::LaneReopened),
            Event::Sequencing(Input::NotReopened { .. }) => self.saw(Branch::LaneNotReopened),
            Event::Done(done) => self.done(done),
            _ => {}
        }
    }

    fn done(&mut self, done: &Done) {
        match done {
            Done::Opened {
                context, result, ..
            } => self.saw(match (&result.verdicts, context.lane.kind) {
                (None, _) => Branch::OpenedTooFew,
                (Some(_), LaneKind::OnCommit) => Branch::OpenedOnCommit,
                (Some(_), LaneKind::AtClose) => Branch::OpenedAtClose,
                (Some(_), LaneKind::Malformed) => Branch::OpenedMalformed,
            }),
            Done::OpeningsChecked { checked, .. } => {
                for (_, right) in checked {
                    self.saw(match right {
                        true => Branch::OpeningsTaken,
                        false => Branch::OpeningsRefused,
                    });
                }
            }
            _ => {}
        }
    }

    /// What leaves an honest node of shares and openings, to one or to all.
    fn opening(&mut self, to: Option<ValidatorIndex>, message: &Message) {
        match (message, to) {
            (Message::Openings(said), None) => {
                let doubted = said.verdicts.contains(&Verdict::Malformed);
                self.saw(match doubted {
                    true => Branch::OpeningsDoubted,
                    false => Branch::OpeningsPublished,
                });
            }
            (Message::Shares(bundle), None) if bundle.context.group != ShareGroup::Whole => {
                self.saw(Branch::OpenersPassed);
            }
            (Message::Shares(bundle), Some(to)) => {
                // The first two are the opener and the next validator, round the end too.
                let ShareGroup::Of(opener) = bundle.context.group else {
                    return;
                };
                if to != opener && to.0 != opener.0 + 1 && to.0 != 0 {
                    self.saw(Branch::OpenerReplaced);
                }
            }
            _ => {}
        }
    }

    /// What an honest node's effect shows.
    pub(crate) fn effect(&mut self, effect: &Effect) {
        match effect {
            Effect::Broadcast(PeerMessage::Agreement(message)) => match message {
                AgreementMessage::Timeout(_) => self.saw(Branch::ViewTimedOut),
                AgreementMessage::TimeoutCertificate(_) => self.saw(Branch::TimeoutCertified),
                AgreementMessage::Proposal(proposal) => {
                    self.saw(match proposal.block.batches.is_empty() {
                        true => Branch::ProposalEmpty,
                        false => Branch::ProposalFull,
                    });
                    if proposal.timeout.is_some() {
                        self.saw(Branch::ProposalAfterTimeout);
                    }
                }
                _ => {}
            },
            Effect::Broadcast(PeerMessage::Sequencing(message)) => self.opening(None, message),
            Effect::Send { to, message } => match message {
                PeerMessage::Sequencing(message) => self.opening(Some(*to), message),
                PeerMessage::Agreement(AgreementMessage::QuorumCertificate(_)) => {
                    self.saw(Branch::StaleTimeoutByQuorum);
                }
                PeerMessage::Agreement(AgreementMessage::TimeoutCertificate(_)) => {
                    self.saw(Branch::StaleTimeoutByTimeouts);
                }
                PeerMessage::Agreement(AgreementMessage::CommitCertificate(_)) => {
                    self.saw(Branch::StaleCommitVote);
                }
                _ => {}
            },
            Effect::Answer { answer: Err(_), .. } => self.saw(Branch::SubmissionRefused),
            Effect::FetchBlock { .. } => self.saw(Branch::BlockWanted),
            Effect::Sync { .. } => self.saw(Branch::SyncWanted),
            Effect::Fetch(Fetch::Manifest { .. }) => self.saw(Branch::BatchWanted),
            Effect::Fetch(Fetch::Shares { .. }) => self.saw(Branch::SharesWanted),
            Effect::Committed { blocks, .. } if blocks.len() > 1 => {
                self.saw(Branch::CommittedMany);
            }
            Effect::EpochBegan(change) => {
                self.saw(Branch::EpochBegan);
                if change.setup.weights().contains(&0) {
                    self.saw(Branch::MembersLeft);
                }
            }
            Effect::Misbehaviour { what, evidence, .. } => {
                self.saw(accusation(what, evidence.as_deref()));
            }
            _ => {}
        }
    }
}

fn accusation(what: &str, evidence: Option<&Evidence>) -> Branch {
    match evidence {
        Some(Evidence::Proof(proof)) => match &proof.offence {
            Offence::DoubleVote {
                kind: VoteKind::Prepare,
                ..
            } => Branch::DoublePrepare,
            Offence::DoubleVote { .. } => Branch::DoubleCommit,
            Offence::DoubleTimeout { .. } => Branch::DoubleTimeout,
            Offence::CommitAfterTimeout { .. } => Branch::LateCommit,
            Offence::WrongShares(_) => Branch::WrongShareProven,
        },
        Some(Evidence::Fault(Fault::Impersonation)) => Branch::Impersonation,
        Some(Evidence::Fault(Fault::Signature { .. })) => Branch::WrongSignature,
        Some(Evidence::Fault(Fault::Certificate(_) | Fault::Sync)) => Branch::WrongCertificate,
        Some(Evidence::Fault(Fault::NotLeader { .. })) => Branch::NotLeader,
        Some(Evidence::Fault(Fault::Malformed { .. })) => Branch::MalformedProposal,
        None if what.contains("share") => Branch::WrongShare,
        None if what.contains("name") => Branch::Impersonation,
        None => Branch::WrongBatch,
    }
}
