//! What a lying author, a slow opening and a restart must not do to a validator.

mod censorship;
mod fairness;
mod scale;

use std::sync::Arc;

use conclave_crypto::{Coder, Committee, EdSecret, Shard, batch_contents};
use conclave_ledger::Ledger;
use conclave_seal::{OpenResult, Verdict};
use conclave_types::*;

use crate::availability::Availability;
use crate::dispersal;
use crate::opening::Openings;
use crate::proposer::{PendingCheck, slot};
use crate::{
    Action, Config, Dispersal, Done, Fetch, Input, LedgerReference, Message, OpeningRecord,
    Recovered, Sequencer, Work, Write,
};

/// A validator's transport key.
fn key(index: u16) -> EdSecret {
    EdSecret::from_seed(&[index as u8; 32])
}

fn genesis() -> Genesis {
    genesis_of(&[1; 4])
}

fn genesis_of(weights: &[u16]) -> Genesis {
    let validators = (0..)
        .zip(weights)
        .map(|(index, weight): (u8, _)| ValidatorInfo {
            name: format!("v{index}"),
            weight: *weight,
            bls_key: BlsPublicKey([index; 96]),
            bls_possession: BlsSignature([0; 48]),
            transport_key: key(index.into()).transport_key(),
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

mod epochs;

const ALL_BUT_OWN: [u16; 3] = [1, 2, 3];

fn signers() -> Signers {
    let mut signers = Signers::default();
    for index in ALL_BUT_OWN {
        signers.insert(ValidatorIndex(index));
    }
    signers
}

/// A batch of validator 1 with one plain envelope.
pub(crate) fn batch(sequence: u64, body: &[u8]) -> Arc<Batch> {
    let chain = genesis().chain_id();
    let payer = key(200);
    let mut envelope = Envelope {
        header: EnvelopeHeader {
            core: EnvelopeCore {
                chain,
                epoch: Epoch(0),
                rollup: RollupId::SYSTEM,
                payer: payer.account(),
                sequence: Sequence(1),
                expiry: Height(1_000),
                release: ReleaseRule::OnCommit,
                bucket: Bucket(0),
                fee_max: Amount(u64::MAX),
            },
            body_bytes: body.len() as u32,
            body_digest: Domain::EnvelopeBody.digest(body),
            payload: Payload::Plain,
            signature: EdSignature([0; 64]),
        },
        body: body.to_vec(),
    };
    envelope.header.signature = payer.sign(&envelope.header.signing_digest());
    let envelopes = vec![envelope];
    let codeword = Coder::default().disperse(committee().threshold, &envelopes);
    let header = BatchHeader {
        chain,
        epoch: Epoch(0),
        author: ValidatorIndex(1),
        sequence,
        contents: batch_contents(&[envelopes[0].header.clone()]),
        shards: codeword.expect("small").root(),
    };
    Arc::new(Batch { header, envelopes })
}

fn committee() -> Committee {
    committee_of(&[1; 4])
}

pub(crate) fn committee_of(weights: &[u16]) -> Committee {
    Committee::from_genesis(&genesis_of(weights)).expect("3f+1")
}

/// Four with a vote; validator 4 has none any more.
pub(crate) fn committee_with_a_leaver() -> Committee {
    let mut setup = genesis_of(&[1; 5]).first_epoch();
    setup.validators[4].weight = 0;
    setup.sealing.shares.pop();
    Committee::of_epoch(&setup).expect("3f+1")
}

/// What each validator is sent of a batch.
fn dispersals(batch: &Batch) -> Vec<Arc<Dispersal>> {
    let batch = Box::new(batch.clone());
    dispersal::encode(&mut Coder::default(), &committee(), batch).1
}

fn certified(batch: &Batch) -> BatchRef {
    let message = Stored::message(batch.header.chain, batch.header.id());
    BatchRef {
        header: batch.header.clone(),
        stored: SignatureSet {
            signers: signers(),
            signatures: ALL_BUT_OWN.map(|index| key(index).sign(&message)).to_vec(),
        },
    }
}

/// A block on top of the genesis ledger; nothing of what lies between is looked at.
fn block(height: u64, batches: Vec<BatchRef>, root: Digest) -> Arc<Block> {
    let chain = genesis().chain_id();
    let header = BlockHeader {
        chain,
        epoch: Epoch(0),
        view: View(height),
        height: Height(height),
        parent: BlockId::genesis(chain),
        parent_view: View(height - 1),
        proposer: ValidatorIndex(1),
        time: BlockTime(height),
        payload: Block::payload_digest(&batches),
        ledger_height: Height(0),
        ledger_root: root,
        next_epoch: None,
    };
    Arc::new(Block { header, batches })
}

fn certificate(block: &Block) -> CommitCertificate {
    CommitCertificate {
        epoch: Epoch(0),
        view: block.header.view,
        height: block.header.height,
        block: block.id(),
        aggregate: AggregateSignature {
            signers: signers(),
            signature: BlsSignature([0; 48]),
        },
    }
}

struct Node {
    sequencer: Sequencer,
    root: Digest,
}

impl Node {
    fn new() -> Self {
        Self::recovered(vec![])
    }

    fn recovered(ordered: Vec<(ValidatorIndex, Vec<u64>)>) -> Self {
        Self::restarted(|recovered| recovered.ordered = ordered).0
    }

    /// With more than nothing in the store.
    fn restarted(stored: impl FnOnce(&mut Recovered)) -> (Self, Vec<Action>) {
        let genesis = genesis();
        let ledger = Arc::new(Ledger::genesis(&genesis));
        let root = ledger.root();
        let config = Config {
            chain: genesis.chain_id(),
            index: ValidatorIndex(0),
            committees: vec![Arc::new(committee())],
            epoch_first: Height(1),
            grace_blocks: genesis.consensus.grace_blocks,
            order_deadline_blocks: 100,
            view_timeout_ms: 500,
            view_timeout_ms_max: 8_000,
            sign: Box::new(|message| key(0).sign(message)),
        };
        let mut recovered = Recovered {
            ledger,
            height: Height(0),
            held: vec![],
            mempool: vec![],
            ordered: vec![],
            batches: vec![],
            certificates: vec![],
            roots: vec![],
            tip: LedgerReference {
                height: Height(0),
                root,
            },
            committed: Height(0),
        };
        stored(&mut recovered);
        let (sequencer, actions) = Sequencer::new(config, recovered, 0);
        (Self { sequencer, root }, actions)
    }

    fn give(&mut self, message: Message) -> Vec<Action> {
        let from = ValidatorIndex(1);
        self.sequencer.handle(1, Input::Message { from, message })
    }

    fn commit(&mut self, block: Arc<Block>) -> Vec<Action> {
        let certificate = certificate(&block);
        let blocks = vec![block];
        let input = Input::Committed {
            blocks,
            certificate,
        };
        self.sequencer.handle(1, input)
    }

    fn dispersed(&mut self, batch: &Batch) -> Vec<Action> {
        self.give(Message::Dispersal(dispersals(batch)[0].clone()))
    }

    fn checked(&mut self, batch: &Batch) -> Vec<Action> {
        let done = Done::DispersalChecked {
            from: ValidatorIndex(1),
            points: vec![None; batch.envelopes.len()],
            dispersal: dispersals(batch)[0].clone(),
            valid: true,
        };
        self.sequencer.handle(1, Input::Done(Box::new(done)))
    }

    /// Shards come from validators, and are put together as the node's workers do.
    fn rebuilt(&mut self, id: BatchId, shards: Vec<(ValidatorIndex, Vec<Shard>)>) -> Vec<Action> {
        let input = Input::Shards { id, shards };
        let work = self.sequencer.handle(1, input);
        let Some(Action::Work(Work::Rebuild {
            manifest, shards, ..
        })) = work.into_iter().next()
        else {
            return Vec::new();
        };
        let coder = &mut Coder::default();
        let rebuilt = dispersal::rebuild(coder, &committee(), &manifest, shards);
        let done = Done::Rebuilt(Box::new(rebuilt));
        self.sequencer.handle(1, Input::Done(Box::new(done)))
    }

    fn payload(&mut self) -> Vec<Action> {
        self.payload_after(vec![])
    }

    fn payload_after(&mut self, ancestors: Vec<Arc<Block>>) -> Vec<Action> {
        let wanted = Input::PayloadWanted {
            view: View(100),
            parent_time: BlockTime(0),
            ancestors,
            due: false,
        };
        self.sequencer.handle(1, wanted)
    }
}

/// The batches of which these actions write shards, and whether each stays among the unordered.
fn stored(actions: &[Action]) -> Vec<(BatchId, bool)> {
    let mut stored: Vec<(BatchId, bool)> = Vec::new();
    for action in actions {
        let Action::Durable { writes, .. } = action else {
            continue;
        };
        for write in writes {
            match write {
                Write::Dispersal(id, _) => stored.push((*id, true)),
                Write::Ordered(id) => {
                    for (batch, unordered) in &mut stored {
                        *unordered &= batch != id;
                    }
                }
                _ => {}
            }
        }
    }
    stored
}

/// The whole batches that these actions write.
fn whole(actions: &[Action]) -> Vec<Arc<Batch>> {
    let writes = actions.iter().filter_map(|action| match action {
        Action::Durable { writes, .. } => Some(writes),
        _ => None,
    });
    let batches = writes.flatten().filter_map(|write| match write {
        Write::Batch(_, batch) => Some(batch.clone()),
        _ => None,
    });
    batches.collect()
}

/// Who is asked for shards of a batch.
fn asked(actions: &[Action], batch: &Batch) -> Option<Signers> {
    actions.iter().find_map(|action| match action {
        Action::Fetch(Fetch::Body { id, holders, .. }) if *id == batch.header.id() => {
            Some(*holders)
        }
        _ => None,
    })
}

/// The shards that a validator holds, as it answers.
fn from(index: u16, batch: &Batch) -> (ValidatorIndex, Vec<Shard>) {
    let held = dispersals(batch)[usize::from(index)].shards.clone();
    (ValidatorIndex(index), held)
}

/// A batch's id is its header's. An author that sends its header again with other envelopes and
/// shards must not get what is stored under that id replaced.
#[test]
fn a_batch_sent_again_without_its_shards_changes_nothing_in_the_store() {
    let mut node = Node::new();
    let good = batch(1, b"good");
    node.dispersed(&good);
    assert_eq!(stored(&node.checked(&good)), [(good.header.id(), true)]);
    let manifest = Manifest {
        header: good.header.clone(),
        envelopes: vec![],
    };
    let hollow = Dispersal {
        manifest: Arc::new(manifest),
        shards: vec![],
    };
    let again = node.give(Message::Dispersal(Arc::new(hollow)));
    assert_eq!(stored(&again), []);
    let signed = again.iter().any(|action| match action {
        Action::Durable { then, .. } => !then.is_empty(),
        _ => false,
    });
    assert!(signed, "the signature may have been lost: {again:?}");
}

/// Validators sign any number of an author's batches, so one that lies gets two certified under
/// one sequence number. The second one can never be ordered, and must not stay in the proposals of
/// honest leaders, which all voters would refuse for ever.
#[test]
fn of_two_batches_with_one_sequence_number_the_second_is_forgotten() {
    let mut node = Node::new();
    let (first, second) = (batch(1, b"first"), batch(1, b"second"));
    for batch in [&first, &second] {
        node.give(Message::Certified(certified(batch)));
    }
    let payload = node.payload();
    let Some(Action::Payload { batches, .. }) = payload.first() else {
        panic!("{payload:?}");
    };
    assert_eq!(batches, &[certified(&first)], "one of them at a time");

    let both = vec![certified(&first), certified(&second)];
    let check = PendingCheck {
        block: block(1, both, node.root),
        ancestors: vec![],
        at_ms: 0,
    };
    let parent = LedgerReference {
        height: Height(0),
        root: node.root,
    };
    assert!(!check.is_well_formed(parent), "never both in one block");

    node.checked(&first);
    node.commit(block(1, vec![certified(&first)], node.root));
    let payload = node.payload();
    assert!(
        matches!(payload.first(), Some(Action::PayloadPending(false))),
        "{payload:?}"
    );
}

/// The author may send a certificate again long after its batch was ordered, when it is behind. A
/// validator that forgot the batch in a restart would propose it, and all others refuse.
#[test]
fn a_restart_does_not_forget_what_was_ordered() {
    let old = batch(7, b"old");
    let mut node = Node::recovered(vec![(ValidatorIndex(1), vec![7])]);
    node.give(Message::Certified(certified(&old)));
    let payload = node.payload();
    assert!(
        matches!(payload.first(), Some(Action::PayloadPending(false))),
        "{payload:?}"
    );
}

#[test]
fn a_wrong_signature_is_named_and_does_not_spoil_the_others() {
    let genesis = genesis();
    let (chain, committee) = (
        genesis.chain_id(),
        Committee::from_genesis(&genesis).expect("3f+1"),
    );
    let batch = batch(1, b"batch");
    let id = batch.header.id();
    let message = Stored::message(chain, id);
    let mut availability = Availability::default();
    availability.collect(id, dispersals(&batch), 0);
    let mut add = |index: u16, key: &EdSecret| {
        let stored = Stored {
            batch: id,
            signer: ValidatorIndex(index),
            signature: key.sign(&message),
        };
        availability.stored(chain, &committee, &stored)
    };
    assert_eq!(add(0, &key(0)), (None, vec![]));
    assert_eq!(add(1, &key(9)), (None, vec![]), "not looked at yet");
    assert_eq!(add(2, &key(2)), (None, vec![ValidatorIndex(1)]));
    let (certificate, liars) = add(3, &key(3));
    let stored = certificate.expect("0, 2 and 3 signed").stored;
    assert_eq!(liars, []);
    assert!(committee.has_quorum(&stored.signers) && committee.all_signed(&message, &stored));
}

/// A validator that had left, and one that had not come in yet, said "stored" like everybody else.
/// Neither is known to a certificate, so the quorum that they were counted in was none: the batch
/// never got one, and two of them stopped their author until the epoch was over.
#[test]
fn who_weighs_nothing_does_not_spoil_a_certificate() {
    let (chain, committee) = (genesis().chain_id(), committee_with_a_leaver());
    let batch = batch(1, b"batch");
    let id = batch.header.id();
    let message = Stored::message(chain, id);
    let mut availability = Availability::default();
    availability.collect(id, dispersals(&batch), 0);
    let mut add = |index: u16| {
        let stored = Stored {
            batch: id,
            signer: ValidatorIndex(index),
            signature: key(index).sign(&message),
        };
        availability.stored(chain, &committee, &stored).0
    };
    assert_eq!([4, 0, 1].map(&mut add), [None, None, None]);
    let stored = add(2).expect("0, 1 and 2 signed").stored;
    assert!(committee.has_quorum(&stored.signers) && committee.all_signed(&message, &stored));
}

/// Nor may its report turn voters' patience off, or be waited for.
#[test]
fn who_weighs_nothing_does_not_spoil_what_is_overdue() {
    let committee = committee_with_a_leaver();
    let batch = certified(&batch(1, b"batch"));
    let id = batch.header.id();
    let mut availability = Availability::default();
    assert!(availability.certificates.add(id, batch, 0));
    let certificates = &mut availability.certificates;
    for by in [4, 0, 1] {
        certificates.reported(id, ValidatorIndex(by), 5, &committee);
    }
    assert_eq!(certificates.overdue(1_000, 0).count(), 0, "two of four");
    assert_eq!(
        certificates.silent(id, &committee),
        [2, 3].map(ValidatorIndex)
    );
    certificates.reported(id, ValidatorIndex(2), 5, &committee);
    assert_eq!(certificates.overdue(1_000, 0).count(), 1);
}

/// One block for all batches that become certified at about the same time; but nobody who leaves a
/// batch without a certificate holds the others up for long.
#[test]
fn a_certified_batch_waits_a_moment_for_others_on_their_way() {
    let mut node = Node::new();
    let pending = |actions: Vec<Action>| {
        let mut announced = actions.into_iter().filter_map(|action| match action {
            Action::PayloadPending(pending) => Some(pending),
            _ => None,
        });
        announced.next()
    };
    let (first, second) = (batch(1, b"first"), batch(2, b"second"));
    let certificate = |batch| Message::Certified(certified(batch));
    assert_eq!(pending(node.give(certificate(&first))), Some(true), "alone");

    let mut node = Node::new();
    node.dispersed(&second);
    assert_eq!(pending(node.give(certificate(&first))), None);
    assert_eq!(pending(node.give(certificate(&second))), Some(true));

    let mut node = Node::new();
    node.dispersed(&second);
    let held = node.give(certificate(&first));
    let wake = held.iter().find_map(|action| match action {
        Action::WakeAt(at) => Some(*at),
        _ => None,
    });
    let late = node.sequencer.handle(wake.expect("a tick"), Input::Tick);
    assert_eq!(pending(late), Some(true));
}

#[test]
fn ordering_a_batch_ends_all_others_of_its_slot() {
    let mut availability = Availability::default();
    let (first, second, other) = (batch(1, b"first"), batch(1, b"second"), batch(2, b"other"));
    for batch in [&first, &second, &other] {
        availability.certify(batch.header.id(), certified(batch), 0);
    }
    let mut ended = availability.order(&certified(&first));
    ended.sort();
    let mut expected = [first.header.id(), second.header.id()];
    expected.sort();
    assert_eq!(ended, expected);
    assert_eq!(availability.orderable(&[], 32), [certified(&other)]);
    assert_eq!(availability.orderable_since(&[]), Some(0));
    assert_eq!(availability.orderable_since(&[slot(&other.header)]), None);
}

/// Agreement asks for a payload whenever one is announced, within the same step: an announcement
/// that the next question takes back would go round for ever.
#[test]
fn a_payload_held_back_because_opening_lags_is_not_announced_again() {
    let mut node = Node::new();
    let waiting = batch(1, b"waiting");
    node.give(Message::Certified(certified(&waiting)));
    let mut held_back = 0;
    for height in 1..=2 * limits::LEDGER_LAG_BLOCKS_MAX {
        node.commit(block(height, vec![], node.root));
        let ancestors = [1, 2].map(|ahead| block(height + ahead, vec![], node.root));
        let answer = node.payload_after(ancestors.to_vec());
        if let Some(Action::PayloadPending(false)) = answer.first() {
            held_back += 1;
            let announced = |a: &Action| matches!(a, Action::PayloadPending(true));
            assert!(!answer.iter().any(announced), "height {height}: {answer:?}");
        }
    }
    assert!(held_back > 0);
}

/// What came late is kept for readers and for peers, but no longer waits for an order.
#[test]
fn a_batch_fetched_for_a_final_block_is_written_and_not_as_an_unordered_one() {
    let mut node = Node::new();
    let late = batch(1, b"late");
    node.commit(block(1, vec![certified(&late)], node.root));
    // Its id does not bind the payers' signatures, and readers of the contents are shown them.
    let mut forged = late.manifest();
    forged.envelopes[0].signature = EdSignature([1; 64]);
    let forged = Input::Manifest(Arc::new(forged));
    assert_eq!(asked(&node.sequencer.handle(1, forged), &late), None);
    let manifest = Arc::new(late.manifest());
    let fetched = node.sequencer.handle(1, Input::Manifest(manifest));
    assert_eq!(asked(&fetched, &late), Some(signers()));
    let shards = vec![from(2, &late), from(3, &late)];
    let rebuilt = node.rebuilt(late.header.id(), shards);
    assert_eq!(whole(&rebuilt), std::slice::from_ref(&late));
    // A check that was under way when the block became final ends after it.
    assert_eq!(stored(&node.checked(&late)), [(late.header.id(), false)]);
}

/// Bodies are rebuilt while agreement orders the batch, so that execution finds them.
#[test]
fn bodies_are_asked_for_as_soon_as_the_batch_is_certified() {
    let mut node = Node::new();
    let (one, other) = (batch(1, b"one"), batch(2, b"other"));
    node.dispersed(&one);
    assert_eq!(asked(&node.checked(&one), &one), None);
    let certified_now = node.give(Message::Certified(certified(&one)));
    assert_eq!(asked(&certified_now, &one), Some(signers()));
    // The others were quicker than our own check.
    node.dispersed(&other);
    let certified_now = node.give(Message::Certified(certified(&other)));
    assert_eq!(
        asked(&certified_now, &other),
        None,
        "its manifest is not checked"
    );
    assert_eq!(asked(&node.checked(&other), &other), Some(signers()));
}

/// A holder that answers with something else costs one more question, and is never asked again. So
/// does one that passes on another holder's shards: proven as they are, they are never enough.
#[test]
fn a_holder_that_sends_a_false_shard_is_named_and_others_are_asked() {
    let wanted = batch(1, b"wanted");
    let mut changed = from(1, &wanted);
    changed.1[0].bytes[0] ^= 1;
    let borrowed = (ValidatorIndex(1), from(2, &wanted).1);
    for lie in [changed, borrowed] {
        let mut node = Node::new();
        let id = wanted.header.id();
        node.dispersed(&wanted);
        node.checked(&wanted);
        node.give(Message::Certified(certified(&wanted)));
        node.commit(block(1, vec![certified(&wanted)], node.root));
        let rebuilt = node.rebuilt(id, vec![lie, from(2, &wanted)]);
        let liars: Vec<u16> = rebuilt
            .iter()
            .filter_map(|action| match action {
                Action::Misbehaviour { validator, .. } => Some(validator.0),
                _ => None,
            })
            .collect();
        assert_eq!((liars, whole(&rebuilt)), (vec![1], vec![]));
        let tick = node.sequencer.handle(200, Input::Tick);
        let mut others = Signers::default();
        others.insert(ValidatorIndex(2));
        others.insert(ValidatorIndex(3));
        assert_eq!(asked(&tick, &wanted), Some(others));
        let rebuilt = node.rebuilt(id, vec![from(2, &wanted), from(3, &wanted)]);
        assert_eq!(whole(&rebuilt), std::slice::from_ref(&wanted));
    }
}

/// A dispersal is signed for only with all of our shards, each proven.
#[test]
fn a_dispersal_without_our_proven_shards_is_not_complete() {
    let (committee, own) = (committee(), ValidatorIndex(0));
    let good = dispersals(&batch(1, b"batch"));
    assert!(dispersal::is_complete(&committee, own, &good[0]));
    assert!(
        !dispersal::is_complete(&committee, own, &good[1]),
        "another's"
    );
    let mut none = good[0].as_ref().clone();
    none.shards.clear();
    assert!(!dispersal::is_complete(&committee, own, &none));
    let mut spoilt = good[0].as_ref().clone();
    spoilt.shards[0].bytes[0] ^= 1;
    assert!(!dispersal::is_complete(&committee, own, &spoilt));
}

fn bundle(context: ShareContext, signer: u16) -> ShareBundle {
    ShareBundle {
        context,
        signer: ValidatorIndex(signer),
        lists: vec![],
        shares: vec![vec![Point([0; 32])]],
        proofs: vec![],
        signature: EdSignature([0; 64]),
    }
}

/// After a restart a lane is read from the store while the peers' shares may open it once more.
#[test]
fn a_lane_that_is_opened_twice_keeps_its_envelopes() {
    let mut openings = Openings::default();
    let context = ShareContext {
        block: BlockId(Digest::ZERO),
        height: Height(1),
        lane: LaneKind::OnCommit.of(Epoch(0)),
        group: ShareGroup::Whole,
    };
    let envelope = Arc::new(batch(1, b"sealed").envelopes[0].header.clone());
    openings.start(context, vec![envelope], Arc::new(committee()), 0);
    let key = (context.height, context.lane);
    openings.own(key, vec![bundle(context, 0)]);
    for _ in 0..2 {
        let result = OpenResult {
            verdicts: Some(vec![Verdict::Malformed]),
            liars: vec![],
        };
        openings.finish(context, result, None, 0);
    }
    let opened = openings.opened(key).expect("opened");
    assert_eq!(opened.envelopes.len(), opened.verdicts.len());
}

/// One peer cannot fill the memory with shares of blocks to come, and what is kept is what is
/// needed first.
#[test]
fn shares_that_come_early_are_bounded_by_peer() {
    let mut openings = Openings::default();
    let context = ShareContext {
        block: BlockId(Digest::ZERO),
        height: Height(0),
        lane: LaneKind::OnCommit.of(Epoch(0)),
        group: ShareGroup::Whole,
    };
    let mut bundle = bundle(context, 1);
    for height in (1..=100).rev() {
        bundle.context.height = Height(height);
        openings.add(bundle.clone(), Height(0));
    }
    let heights = openings.early_heights(ValidatorIndex(1));
    assert_eq!(heights, (1..=32).collect::<Vec<_>>());
}

/// The certificate in hand may rest on our own vote, which may not have reached the disk: a crash
/// now, and the block may never be final.
#[test]
fn shares_leave_only_after_all_writes_so_far() {
    let mut node = Node::new();
    node.commit(block(1, vec![], node.root));
    let context = ShareContext {
        block: BlockId(Digest::ZERO),
        height: Height(1),
        lane: LaneKind::OnCommit.of(Epoch(0)),
        group: ShareGroup::Whole,
    };
    let envelope = Arc::new(batch(1, b"sealed").envelopes[0].header.clone());
    let openings = node.sequencer.openings();
    openings.start(context, vec![envelope], Arc::new(committee()), 0);
    let bundles = vec![bundle(context, 0)];
    let done = Done::Bundled { context, bundles };
    let actions = node.sequencer.handle(1, Input::Done(Box::new(done)));
    let shares = |a: &Action| matches!(a, Action::Broadcast(Message::Shares(_)));
    assert!(!actions.iter().any(shares));
    let behind = actions.iter().any(|action| match action {
        Action::Durable { then, .. } => then.iter().any(shares),
        _ => false,
    });
    assert!(behind, "{actions:?}");
}

/// Three bundles without a share were a quorum: the lane was tried on nothing, and the real shares of
/// those who had sent them, as a validator did that got its key shares late, were refused from then on.
#[test]
fn bundles_without_a_share_count_for_nothing() {
    let mut node = Node::new();
    let context = lane_of_a_sealed_envelope(&mut node);
    let is_open = |action: &Action| matches!(action, Action::Work(Work::Open { .. }));
    let mut send = |bundle: ShareBundle| {
        let from = bundle.signer;
        let message = Message::Shares(bundle);
        let input = Input::Message { from, message };
        node.sequencer.handle(1, input)
    };
    for signer in 1..4 {
        let mut empty = bundle(context, signer);
        empty.shares = [vec![], vec![vec![]]][usize::from(signer) % 2].clone();
        let actions = send(empty);
        assert!(!actions.iter().any(is_open), "{actions:?}");
        assert!(actions.iter().any(|action| matches!(
            action,
            Action::Misbehaviour { validator, evidence: None, .. } if validator.0 == signer
        )));
    }
    let real = (1..4).flat_map(|signer| send(bundle(context, signer)));
    assert_eq!(real.filter(is_open).count(), 1);
}

/// Nor does one of ours leave, or count after a restart that finds it in the store.
#[test]
fn a_bundle_of_ours_without_a_share_is_none() {
    let mut node = Node::new();
    let context = lane_of_a_sealed_envelope(&mut node);
    let mut empty = bundle(context, 0);
    empty.shares.clear();
    let done = Done::Bundled {
        context,
        bundles: vec![empty.clone()],
    };
    let actions = node.sequencer.handle(1, Input::Done(Box::new(done)));
    assert!(actions.is_empty(), "{actions:?}");

    let record = OpeningRecord {
        verdicts: vec![Verdict::Opened(Point([1; 32]))],
        bundles: vec![empty],
        evidence: None,
    };
    let actions = node.sequencer.handle(
        1,
        Input::Reopened {
            height: context.height,
            lane: context.lane,
            record: Box::new(record),
        },
    );
    let again = |action: &Action| matches!(action, Action::Work(Work::Bundle { .. }));
    assert!(actions.iter().any(again), "{actions:?}");
}

/// The lane of block 1, which holds one sealed envelope.
fn lane_of_a_sealed_envelope(node: &mut Node) -> ShareContext {
    let block = block(1, vec![], node.root);
    let context = ShareContext {
        block: block.id(),
        height: Height(1),
        lane: LaneKind::OnCommit.of(Epoch(0)),
        group: ShareGroup::Whole,
    };
    node.commit(block);
    let envelope = Arc::new(batch(1, b"sealed").envelopes[0].header.clone());
    let openings = node.sequencer.openings();
    openings.start(context, vec![envelope], Arc::new(committee()), 0);
    context
}
