//! Four validators with quick signatures, hand-made certificates, and steps as readable lines.

use std::sync::Arc;

use conclave_crypto::{Committee, Signatures};
use conclave_types::*;

use crate::*;

/// Signatures that only know who signed what: a hash, added up by exclusive or.
pub(super) struct Quick(pub(super) ValidatorIndex);

impl Quick {
    fn hash(signer: ValidatorIndex, message: &Digest) -> [u8; 48] {
        let hasher = Domain::Simulation.hasher();
        let wide = hasher.part(&signer.0.to_le_bytes()).part(&message.0).wide();
        wide[..48].try_into().expect("48 of 64")
    }
}

impl Signatures for Quick {
    fn sign(&self, message: &Digest) -> BlsSignature {
        BlsSignature(Self::hash(self.0, message))
    }

    fn verify(&self, signer: ValidatorIndex, message: &Digest, signature: &BlsSignature) -> bool {
        signature.0 == Self::hash(signer, message)
    }

    fn aggregate(&self, signatures: &[BlsSignature]) -> Option<BlsSignature> {
        let mut sum = [0; 48];
        for signature in signatures {
            for (byte, part) in sum.iter_mut().zip(signature.0) {
                *byte ^= part;
            }
        }
        (!signatures.is_empty()).then_some(BlsSignature(sum))
    }

    fn verify_aggregate(&self, groups: &[(Digest, Signers)], signature: &BlsSignature) -> bool {
        let parts = groups.iter().flat_map(|(message, signers)| {
            signers
                .iter()
                .map(|signer| BlsSignature(Self::hash(signer, message)))
        });
        self.aggregate(&parts.collect::<Vec<_>>()).as_ref() == Some(signature)
    }
}

pub(super) fn genesis_of(weights: &[u16]) -> Genesis {
    let validators = weights
        .iter()
        .enumerate()
        .map(|(index, weight)| ValidatorInfo {
            name: format!("v{index}"),
            weight: *weight,
            bls_key: BlsPublicKey([index as u8; 96]),
            bls_possession: BlsSignature([0; 48]),
            transport_key: TransportKey([index as u8; 32]),
            account: AccountId(Digest::ZERO),
            address: String::new(),
            api: String::new(),
        });
    Genesis {
        name: "test".into(),
        time: BlockTime(0),
        validators: validators.collect(),
        sealing: SealingKey {
            key: Point([0; 32]),
            shares: vec![Point([0; 32]); weights.iter().map(|w| usize::from(*w)).sum()],
            transcript: Digest::ZERO,
        },
        allocations: vec![],
        consensus: Default::default(),
        fees: Default::default(),
        market: Default::default(),
    }
}

pub(super) fn committee(weights: &[u16]) -> (ChainId, Committee) {
    let genesis = genesis_of(weights);
    let committee = Committee::from_genesis(&genesis).expect("3f+1");
    (genesis.chain_id(), committee)
}

/// Δ 500 ms, at most 8 s; heartbeat 1 s.
pub(super) fn config(weights: &[u16], index: u16) -> EngineConfig {
    let (chain, committee) = committee(weights);
    EngineConfig {
        chain,
        committee,
        index: ValidatorIndex(index),
        parameters: ConsensusParameters::default(),
        origin: Origin::genesis(chain, BlockTime(0)),
    }
}

pub(super) fn chain() -> ChainId {
    committee(&[1; 4]).0
}

pub(super) fn set(signers: &[u16]) -> Signers {
    let mut set = Signers::default();
    for signer in signers {
        set.insert(ValidatorIndex(*signer));
    }
    set
}

fn sum(parts: impl Iterator<Item = (u16, Digest)>) -> BlsSignature {
    let parts: Vec<_> = parts
        .map(|(signer, m)| Quick(ValidatorIndex(signer)).sign(&m))
        .collect();
    Quick(ValidatorIndex(0))
        .aggregate(&parts)
        .expect("not empty")
}

pub(super) fn sign(kind: VoteKind, header: &BlockHeader, signer: u16) -> BlsSignature {
    sign_in(header.view, kind, header, signer)
}

fn sign_in(view: View, kind: VoteKind, header: &BlockHeader, signer: u16) -> BlsSignature {
    let message = kind.message(chain(), header.epoch, view, header.height, header.id());
    Quick(ValidatorIndex(signer)).sign(&message)
}

pub(super) fn origin() -> Origin {
    Origin::genesis(chain(), BlockTime(0))
}

pub(super) fn genesis_qc() -> QuorumCertificate {
    QuorumCertificate::origin(&origin())
}

/// The certificate of one view, which for an epoch's last block may be later than its own.
fn aggregate(kind: VoteKind, block: &Block, view: View, signers: &[u16]) -> AggregateSignature {
    let header = &block.header;
    let message = kind.message(chain(), header.epoch, view, header.height, header.id());
    AggregateSignature {
        signers: set(signers),
        signature: sum(signers.iter().map(|signer| (*signer, message))),
    }
}

pub(super) fn qc_in(view: u64, block: &Block, signers: &[u16]) -> QuorumCertificate {
    QuorumCertificate {
        epoch: block.header.epoch,
        view: View(view),
        height: block.header.height,
        block: block.id(),
        aggregate: aggregate(VoteKind::Prepare, block, View(view), signers),
    }
}

pub(super) fn qc_by(block: &Block, signers: &[u16]) -> QuorumCertificate {
    qc_in(block.header.view.0, block, signers)
}

pub(super) fn qc(block: &Block) -> QuorumCertificate {
    qc_by(block, &[1, 2, 3])
}

pub(super) fn cc_in(view: u64, block: &Block) -> CommitCertificate {
    CommitCertificate {
        epoch: block.header.epoch,
        view: View(view),
        height: block.header.height,
        block: block.id(),
        aggregate: aggregate(VoteKind::Commit, block, View(view), &[1, 2, 3]),
    }
}

pub(super) fn cc(block: &Block) -> CommitCertificate {
    cc_in(block.header.view.0, block)
}

/// By 1, 2 and 3, all of them with this highest certificate.
pub(super) fn tc(view: u64, high_qc: &QuorumCertificate) -> TimeoutCertificate {
    let message = Timeout::message(chain(), high_qc.epoch, View(view), high_qc.view);
    TimeoutCertificate {
        epoch: high_qc.epoch,
        view: View(view),
        high_qc: high_qc.clone(),
        groups: vec![(high_qc.view, set(&[1, 2, 3]))],
        signature: sum([1, 2, 3].into_iter().map(|signer| (signer, message))),
    }
}

pub(super) fn timeout(entry: &Entry, high_qc: &QuorumCertificate, signer: u16) -> Timeout {
    let view = entry.enters();
    let message = Timeout::message(chain(), high_qc.epoch, view, high_qc.view);
    let signer = ValidatorIndex(signer);
    Timeout {
        epoch: high_qc.epoch,
        view,
        high_qc: high_qc.clone(),
        entry: entry.clone(),
        signer,
        signature: Quick(signer).sign(&message),
    }
}

/// An empty block of `view` on what `justify` certifies. Its time is its view.
pub(super) fn block(view: u64, proposer: u16, justify: &QuorumCertificate) -> Block {
    Block {
        header: BlockHeader {
            chain: chain(),
            epoch: justify.epoch,
            view: View(view),
            height: justify.height.next(),
            parent: justify.block,
            parent_view: justify.view,
            proposer: ValidatorIndex(proposer),
            time: BlockTime(view),
            payload: Block::payload_digest(&[]),
            ledger_height: Height(0),
            ledger_root: Digest::ZERO,
            next_epoch: None,
        },
        batches: vec![],
    }
}

/// The same as its epoch's last block.
pub(super) fn last(mut block: Block) -> Block {
    block.header.next_epoch = Some(Digest([7; 32]));
    block
}

/// A batch that nobody checks the certificate of.
pub(super) fn batch(sequence: u64) -> BatchRef {
    BatchRef {
        header: BatchHeader {
            chain: chain(),
            epoch: Epoch(0),
            author: ValidatorIndex(0),
            sequence,
            shards: Digest::ZERO,
            contents: vec![],
        },
        stored: SignatureSet {
            signers: Signers::default(),
            signatures: vec![],
        },
    }
}

pub(super) fn with_batches(mut block: Block, batches: Vec<BatchRef>) -> Block {
    block.header.payload = Block::payload_digest(&batches);
    block.batches = batches;
    block
}

/// Blocks of views `1..=count`, each on the quorum certificate of the one before.
pub(super) fn chain_of(count: u64) -> Vec<Block> {
    let mut justify = genesis_qc();
    (1..=count)
        .map(|view| {
            let block = block(view, (view % 4) as u16, &justify);
            justify = qc(&block);
            block
        })
        .collect()
}

/// Validator 0 under test.
pub(super) struct Node {
    pub(super) engine: Engine,
    pub(super) now: u64,
}

impl Node {
    pub(super) fn new() -> Self {
        Self::recovered(None)
    }

    pub(super) fn recovered(recovered: Option<Recovered>) -> Self {
        Self::configured(config(&[1; 4], 0), recovered)
    }

    pub(super) fn configured(config: EngineConfig, recovered: Option<Recovered>) -> Self {
        let signatures = Arc::new(Quick(config.index));
        Self {
            engine: Engine::new(config, signatures, recovered),
            now: 0,
        }
    }

    /// After the start, in view 1.
    pub(super) fn started() -> Self {
        let mut node = Self::new();
        node.input(Input::Start);
        node
    }

    pub(super) fn step(&mut self, input: Input) -> Step {
        self.engine.handle(Now(self.now), input)
    }

    pub(super) fn input(&mut self, input: Input) -> Vec<String> {
        show(&self.step(input))
    }

    pub(super) fn tick(&mut self, now: u64) -> Vec<String> {
        self.now = now;
        self.input(Input::Tick)
    }

    pub(super) fn propose(
        &mut self,
        block: &Block,
        justify: &QuorumCertificate,
        timeout: Option<TimeoutCertificate>,
    ) -> Vec<String> {
        let from = block.header.proposer;
        let proposal = Box::new(Proposal {
            block: block.clone(),
            justify: justify.clone(),
            timeout,
            signature: sign(VoteKind::Prepare, &block.header, from.0),
        });
        self.input(Input::Proposal { from, proposal })
    }

    /// The epoch's last block once more, by the leader of the view after the certificates'.
    pub(super) fn propose_again(
        &mut self,
        from: u16,
        block: &Block,
        justify: &QuorumCertificate,
        timeout: Option<TimeoutCertificate>,
    ) -> Vec<String> {
        let mut proposal = Box::new(Proposal {
            block: block.clone(),
            justify: justify.clone(),
            timeout,
            signature: BlsSignature([0; 48]),
        });
        proposal.signature = sign_in(proposal.view(), VoteKind::Prepare, &block.header, from);
        let from = ValidatorIndex(from);
        self.input(Input::Proposal { from, proposal })
    }

    pub(super) fn checked(&mut self, block: &Block) -> Vec<String> {
        let block = block.id();
        self.input(Input::ProposalChecked { block, valid: true })
    }

    pub(super) fn prepare_vote(&mut self, block: &Block, signer: u16) -> Vec<String> {
        self.prepare_vote_in(block.header.view.0, block, signer)
    }

    pub(super) fn prepare_vote_in(&mut self, view: u64, block: &Block, signer: u16) -> Vec<String> {
        let signature = sign_in(View(view), VoteKind::Prepare, &block.header, signer);
        self.give_prepare(View(view), block, signer, signature)
    }

    pub(super) fn prepare_vote_with(
        &mut self,
        block: &Block,
        signer: u16,
        signature: BlsSignature,
    ) -> Vec<String> {
        self.give_prepare(block.header.view, block, signer, signature)
    }

    fn give_prepare(
        &mut self,
        view: View,
        block: &Block,
        signer: u16,
        signature: BlsSignature,
    ) -> Vec<String> {
        let from = ValidatorIndex(signer);
        let vote = PrepareVote {
            epoch: block.header.epoch,
            view,
            height: block.header.height,
            block: block.id(),
            signer: from,
            signature,
        };
        self.input(Input::PrepareVote { from, vote })
    }

    pub(super) fn commit_vote(&mut self, block: &Block, signer: u16) -> Vec<String> {
        self.commit_vote_in(block.header.view.0, block, signer)
    }

    pub(super) fn commit_vote_in(&mut self, view: u64, block: &Block, signer: u16) -> Vec<String> {
        let from = ValidatorIndex(signer);
        let vote = CommitVote {
            epoch: block.header.epoch,
            view: View(view),
            height: block.header.height,
            block: block.id(),
            signer: from,
            signature: sign_in(View(view), VoteKind::Commit, &block.header, signer),
        };
        self.input(Input::CommitVote { from, vote })
    }

    pub(super) fn timeout(&mut self, timeout: Timeout) -> Vec<String> {
        let from = timeout.signer;
        self.input(Input::Timeout {
            from,
            timeout: Box::new(timeout),
        })
    }

    pub(super) fn quorum(&mut self, certificate: QuorumCertificate) -> Vec<String> {
        self.input(Input::QuorumCertificate {
            from: ValidatorIndex(1),
            certificate,
        })
    }

    pub(super) fn timeout_certificate(&mut self, tc: TimeoutCertificate) -> Vec<String> {
        self.input(Input::TimeoutCertificate {
            from: ValidatorIndex(1),
            certificate: Box::new(tc),
        })
    }

    pub(super) fn commit_certificate(&mut self, certificate: CommitCertificate) -> Vec<String> {
        self.input(Input::CommitCertificate {
            from: ValidatorIndex(1),
            certificate,
        })
    }

    /// Goes through one view as a follower up to the quorum certificate.
    pub(super) fn follow(&mut self, block: &Block, justify: &QuorumCertificate) {
        self.propose(block, justify, None);
        self.checked(block);
        self.prepare_vote(block, 1);
        self.prepare_vote(block, 2);
        self.prepare_vote(block, 3);
        assert_eq!(self.engine.view(), block.header.view.next());
    }
}

/// One line per write and action, the writes first.
pub(super) fn show(step: &Step) -> Vec<String> {
    let writes = step.writes.iter().map(|write| match write {
        Write::Block(block) => format!("write block {}", block.header.view),
        Write::Safety(state) => {
            let view = |view: Option<View>| view.map_or("-".into(), |view| view.to_string());
            format!(
                "write view {} high {} prepare {} commit {} timeout {}",
                state.view(),
                state.high_qc.view,
                view(state.prepare_vote.as_ref().map(|vote| vote.view)),
                view(state.commit_vote.as_ref().map(|vote| vote.view)),
                view(state.timeout.as_ref().map(|timeout| timeout.view)),
            )
        }
    });
    writes.chain(step.actions.iter().map(show_action)).collect()
}

fn show_action(action: &Action) -> String {
    match action {
        Action::Send { to, message } => format!("to {to}: {}", show_message(message)),
        Action::Broadcast(message) => format!("all: {}", show_message(message)),
        Action::RequestPayload {
            view,
            ancestors,
            due,
            ..
        } => {
            format!(
                "request payload {view} after {} uncommitted due {due}",
                ancestors.len()
            )
        }
        Action::CheckProposal { block, ancestors } => {
            format!(
                "check {} after {} uncommitted",
                block.header.view,
                ancestors.len()
            )
        }
        Action::Committed {
            blocks,
            certificate,
        } => {
            let views: Vec<_> = blocks.iter().map(|block| block.header.view.0).collect();
            format!("committed {views:?} by {}", certificate.view)
        }
        Action::FetchBlock { from, .. } => format!("fetch from {from}"),
        Action::Behind { height, from } => format!("behind {height} from {from}"),
        Action::WakeAt(at) => format!("wake {at}"),
        Action::Misbehaviour {
            validator,
            evidence,
        } => match &**evidence {
            Evidence::Proof(proof) => {
                let what = match &proof.offence {
                    Offence::DoubleVote { kind, view, .. } => {
                        format!("two {kind:?} votes in {view}")
                    }
                    Offence::DoubleTimeout { view, .. } => format!("two timeouts of {view}"),
                    Offence::WrongShares(_) => "wrong shares".into(),
                    Offence::CommitAfterTimeout {
                        timeout_view,
                        commit_view,
                        ..
                    } => format!("commit {commit_view} after timeout {timeout_view}"),
                };
                format!("accuse {validator}: {what}")
            }
            Evidence::Fault(fault) => format!("accuse {validator}: {fault}"),
        },
        Action::Fork { certificate, .. } => format!("fork at {}", certificate.height),
    }
}

fn show_message(message: &Message) -> String {
    match message {
        Message::Proposal(proposal) => {
            let by = if proposal.timeout.is_some() {
                "TC"
            } else {
                "QC"
            };
            let (header, view) = (&proposal.block.header, proposal.view());
            match proposal.is_repeated() {
                true => format!("proposal {} again in {view} by {by}", header.view),
                false => format!("proposal {view} on {} by {by}", header.parent_view),
            }
        }
        Message::PrepareVote(vote) => format!("prepare {}", vote.view),
        Message::CommitVote(vote) => format!("commit {}", vote.view),
        Message::Timeout(timeout) => {
            format!("timeout {} with QC {}", timeout.view, timeout.high_qc.view)
        }
        Message::QuorumCertificate(qc) => format!("QC {}", qc.view),
        Message::TimeoutCertificate(tc) => format!("TC {}", tc.view),
        Message::CommitCertificate(cc) => format!("CC {}", cc.view),
    }
}
