//! What changes, and what must not get lost, between two epochs.

use conclave_ledger::Executed;
use conclave_types::{Amount, EpochSetup};

use super::*;
use crate::epochs::Epochs;
use crate::execution::{self, ExecuteResult};

fn second() -> EpochSetup {
    EpochSetup {
        epoch: Epoch(1),
        ..genesis().first_epoch()
    }
}

fn config(first: u64, grace_blocks: u64, epochs: &[u64]) -> Config {
    let of = |epoch: &u64| {
        let setup = EpochSetup {
            epoch: Epoch(*epoch),
            ..genesis().first_epoch()
        };
        Arc::new(Committee::of_epoch(&setup).expect("3f+1"))
    };
    Config {
        chain: genesis().chain_id(),
        index: ValidatorIndex(0),
        committees: epochs.iter().map(of).collect(),
        epoch_first: Height(first),
        grace_blocks,
        order_deadline_blocks: 100,
        view_timeout_ms: 500,
        view_timeout_ms_max: 8_000,
        sign: Box::new(|message| key(0).sign(message)),
    }
}

/// A sequencer of epoch 1 whose grace is over, with what it had acknowledged.
fn past_the_grace(mempool: Vec<Envelope>) -> (Sequencer, Vec<Action>) {
    let ledger = Arc::new(Ledger::genesis(&genesis()));
    let tip = LedgerReference {
        height: Height(0),
        root: ledger.root(),
    };
    let recovered = Recovered {
        ledger,
        height: Height(0),
        held: vec![],
        mempool,
        ordered: vec![],
        batches: vec![],
        certificates: vec![],
        roots: vec![],
        tip,
        committed: Height(0),
    };
    // Small batches leave after a pace.
    Sequencer::new(config(1, 0, &[0, 1]), recovered, 1_000)
}

/// A node that was stopped between destroying the shares of a key and writing the block after whose
/// execution they were of no use could not open what that block holds any more, when it executed it
/// again.
#[test]
fn a_key_is_retired_only_once_the_block_that_ends_its_use_is_durable() {
    let (mut sequencer, _) = past_the_grace(vec![]);
    let root = sequencer.ledger().root();
    let last = block(1, vec![], root);
    let input = Input::Committed {
        certificate: certificate(&last),
        blocks: vec![last],
    };
    let actions = sequencer.handle(1_001, input);
    let executes = |action: &Action| matches!(action, Action::Work(Work::Execute(_)));
    assert!(actions.iter().any(executes), "{actions:?}");

    let done = execution::Done {
        ledger: sequencer.ledger().clone(),
        executed: Executed {
            height: Height(1),
            dispositions: vec![],
            outcomes: vec![],
            deliveries: vec![],
            fee_changes: vec![],
            events: vec![],
            state_root: root,
        },
        root,
        writes: vec![Write::Discharge(EnvelopeId(Digest::ZERO))],
        held: Default::default(),
        envelopes: 0,
        transactions: 0,
    };
    let executed = Done::Executed(Box::new(ExecuteResult {
        height: Height(1),
        outcome: Ok(Box::new(done)),
    }));
    let actions = sequencer.handle(1_002, Input::Done(Box::new(executed)));
    let retires = |action: &Action| matches!(action, Action::Retired(Epoch(0)));
    let retiring: Vec<&[Write]> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Durable { writes, then } if then.iter().any(retires) => Some(&writes[..]),
            _ => None,
        })
        .collect();
    assert!(
        matches!(retiring[..], [[Write::Discharge(_)]]),
        "with the block's own writes: {actions:?}"
    );
}

/// An acknowledged envelope was packed however old its key was, until the next tick: for the others,
/// who had forgotten the key, that made an invalid batch and its author a liar.
#[test]
fn what_is_sealed_to_a_key_that_no_block_takes_is_not_packed() {
    let mut late = batch(1, b"late").envelopes[0].clone();
    late.header.core.sequence = Sequence(2);
    let id = late.header.id();
    let mut present = batch(1, b"in time").envelopes[0].clone();
    present.header.core.epoch = Epoch(1);
    let (mut sequencer, actions) = past_the_grace(vec![late, present.clone()]);
    let packed: Vec<&[Envelope]> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Work(Work::Encode { batch, .. }) => Some(&batch.envelopes[..]),
            _ => None,
        })
        .collect();
    assert_eq!(packed, [[present]]);

    // Its payer is told.
    assert_eq!(sequencer.waiting(id), Some(false));
    let actions = sequencer.handle(1_001, Input::Tick);
    let told = |write: &Write| matches!(write, Write::Fate(of, fate) if *of == id && fate.outcome.is_none());
    assert!(actions.iter().any(|action| matches!(
        action,
        Action::Durable { writes, .. } if writes.iter().any(told)
    )));
}

/// A share that is erased too early leaves an ordered envelope sealed for ever; one that is never
/// erased is one that can be stolen for ever.
#[test]
fn a_key_is_retired_when_nothing_can_need_it() {
    let mut epochs = Epochs::new(&config(100, 10, &[0, 1]));
    assert_eq!(epochs.retire(Height(98), None), None, "before the epoch");
    assert_eq!(epochs.retire(Height(99), None), None, "grace has not begun");
    assert_eq!(epochs.retire(Height(108), None), None, "in the grace");
    assert!(epochs.of(Epoch(0)).is_some());
    assert_eq!(epochs.retire(Height(109), None), Some(Epoch(0)));
    assert!(epochs.of(Epoch(0)).is_none());
    assert_eq!(epochs.retire(Height(110), None), None, "said once");
}

#[test]
fn a_held_bid_keeps_the_key_that_it_is_sealed_to() {
    let mut epochs = Epochs::new(&config(100, 10, &[0, 1]));
    assert_eq!(epochs.retire(Height(150), Some(Epoch(0))), None);
    assert_eq!(epochs.retire(Height(151), Some(Epoch(1))), Some(Epoch(0)));
    let mut later = Epochs::new(&config(100, 10, &[1, 2]));
    assert_eq!(later.retire(Height(150), Some(Epoch(1))), Some(Epoch(0)));
    assert_eq!(later.retire(Height(151), None), Some(Epoch(1)));
}

/// The key two epochs back is of no use as soon as an epoch begins, however long the grace is.
#[test]
fn no_grace_reaches_back_two_epochs() {
    let mut epochs = Epochs::new(&config(100, 1_000, &[0, 1, 2]));
    assert_eq!(epochs.retire(Height(98), None), None);
    assert_eq!(epochs.retire(Height(99), None), Some(Epoch(0)));
}

/// Certificates are worth nothing to the next committee. What they covered was acknowledged, so it
/// has to be ordered all the same: its author packs it again.
#[test]
fn what_no_block_of_the_old_epoch_ordered_is_packed_again() {
    let mut node = Node::new();
    let old = batch(1, b"old");
    node.dispersed(&old);
    node.checked(&old);
    node.give(Message::Certified(certified(&old)));
    assert!(node.payload().iter().any(|action| matches!(
        action,
        Action::Payload { batches, .. } if batches.len() == 1
    )));

    let actions = node.sequencer.handle(2, Input::Epoch(Arc::new(second())));
    let forgotten = |action: &Action| {
        matches!(
            action,
            Action::Durable { writes, .. }
                if matches!(writes[..], [Write::Ordered(id)] if id == old.header.id())
        )
    };
    assert!(actions.iter().any(forgotten), "{actions:?}");
    assert!(!node.payload().iter().any(|action| matches!(
        action,
        Action::Payload { batches, .. } if !batches.is_empty()
    )));
    // It comes too late, which is nobody's fault.
    let late = node.give(Message::Certified(certified(&old)));
    assert!(
        !late
            .iter()
            .any(|action| matches!(action, Action::Misbehaviour { .. }))
    );
    let late = node.dispersed(&old);
    assert!(
        !late
            .iter()
            .any(|action| matches!(action, Action::Misbehaviour { .. }))
    );
    assert!(!late.iter().any(|action| matches!(action, Action::Work(_))));
}

/// An acknowledged envelope was in a batch of ours when the epoch ended; its receipt still holds.
#[test]
fn an_acknowledged_envelope_goes_into_a_batch_of_the_next_epoch() {
    let mut mempool = crate::mempool::Mempool::default();
    let envelope = batch(1, b"ours").envelopes[0].clone();
    mempool.insert(envelope.clone(), Amount(1), 5);
    assert_eq!(mempool.take(|_| true).len(), 1);
    assert_eq!((mempool.take(|_| true).len(), mempool.waiting()), (0, 0));
    mempool.repack();
    assert_eq!(mempool.waiting(), 1);
    assert_eq!(mempool.take(|_| true), [envelope]);
}

/// A restart repeats the epochs that the store knows.
#[test]
fn an_epoch_that_is_told_twice_changes_nothing() {
    let mut node = Node::new();
    let epoch = Arc::new(second());
    node.sequencer.handle(2, Input::Epoch(epoch.clone()));
    let again = node.sequencer.handle(3, Input::Epoch(epoch));
    assert!(
        !again
            .iter()
            .any(|action| matches!(action, Action::Durable { .. }))
    );
}

/// A batch of epoch 1, one plain envelope, with what this validator holds of it.
fn of_second(author: u16, sequence: u64, body: &[u8]) -> (Arc<Batch>, Arc<Dispersal>) {
    let mut batch = batch(sequence, body).as_ref().clone();
    batch.header.author = ValidatorIndex(author);
    batch.header.epoch = Epoch(1);
    let committee = Committee::of_epoch(&second()).expect("3f+1");
    let (batch, dispersals) = dispersal::encode(&mut Coder::default(), &committee, Box::new(batch));
    (batch, dispersals[0].clone())
}

/// A validator stops in epoch 1, and its newest snapshot of the ledger is of epoch 0: block 1, which
/// it executes again, is the last one before. Gives what it does when epoch 1 begins.
fn replayed(stored: impl FnOnce(&mut Recovered)) -> (Node, Vec<Action>) {
    let (mut node, _) = Node::restarted(|recovered| {
        recovered.committed = Height(1);
        stored(recovered);
    });
    node.commit(block(1, vec![], node.root));
    let begun = node.sequencer.handle(1, Input::Epoch(Arc::new(second())));
    (node, begun)
}

fn ordered(actions: &[Action]) -> Vec<BatchId> {
    let writes = actions.iter().filter_map(|action| match action {
        Action::Durable { writes, .. } => Some(writes),
        _ => None,
    });
    let ordered = writes.flatten().filter_map(|write| match write {
        Write::Ordered(id) => Some(*id),
        _ => None,
    });
    ordered.collect()
}

/// A restart whose replay crosses the boundary of two epochs forgot what the store held of the second
/// one, in the store too: batches that this validator had signed "stored" for, and their certificates.
#[test]
fn a_replay_into_the_next_epoch_keeps_its_batches_and_certificates() {
    let old = batch(1, b"old");
    let (held, dispersal) = of_second(1, 2, b"held");
    let (other, _) = of_second(1, 3, b"elsewhere");
    let (mut node, begun) = replayed(|recovered| {
        recovered.batches = vec![
            (dispersals(&old)[0].clone(), None),
            (dispersal.clone(), None),
        ];
        recovered.certificates = [&old, &held, &other].map(|batch| certified(batch)).to_vec();
    });
    assert_eq!(ordered(&begun), [old.header.id()], "no block can take it");
    assert!(asked(&begun, &held).is_some(), "bodies are still wanted");
    let batches = node.payload().into_iter().find_map(|action| match action {
        Action::Payload { batches, .. } => Some(batches),
        _ => None,
    });
    let batches = batches.expect("an answer").into_iter();
    let batches: Vec<BatchId> = batches.map(|batch| batch.header.id()).collect();
    assert_eq!(batches, [held.header.id(), other.header.id()]);
    // Sent again it is signed again at once, as what we hold already.
    let again = node.give(Message::Dispersal(dispersal));
    assert!(!again.iter().any(|action| matches!(action, Action::Work(_))));
    let signed = |action: &Action| {
        matches!(
            action,
            Action::Send {
                message: Message::Stored(_),
                ..
            }
        )
    };
    assert!(again.iter().any(|action| match action {
        Action::Durable { then, .. } => then.iter().any(signed),
        _ => false,
    }));
}

/// Nor are the quotas forgotten: an author would have had twice as much kept.
#[test]
fn a_replay_into_the_next_epoch_keeps_the_quotas() {
    let kept = (0..limits::AUTHOR_BATCHES_MAX as u64).map(|n| of_second(1, n + 1, b"kept"));
    let kept = kept.map(|(_, dispersal)| (dispersal, None));
    let (mut node, _) = replayed(|recovered| recovered.batches = kept.collect());
    let checks = |actions: Vec<Action>| {
        let check = |action: &Action| matches!(action, Action::Work(Work::CheckDispersal { .. }));
        actions.iter().any(check)
    };
    let (_, more) = of_second(1, 1_000, b"more");
    assert!(!checks(node.give(Message::Dispersal(more))));
    let (_, others) = of_second(2, 1_000, b"more");
    let (from, message) = (ValidatorIndex(2), Message::Dispersal(others));
    assert!(checks(
        node.sequencer.handle(1, Input::Message { from, message })
    ));
}

/// A batch of ours goes on where it was, coded for its own committee, and nothing that it holds is
/// packed a second time.
#[test]
fn a_replay_into_the_next_epoch_goes_on_with_our_batch() {
    let (own, dispersal) = of_second(0, 7, b"ours");
    let envelope = own.envelopes[0].clone();
    let id = envelope.header.id();
    let (node, begun) = replayed(|recovered| {
        recovered.mempool = vec![envelope];
        recovered.batches = vec![(dispersal, Some(own.clone()))];
    });
    let coded: Vec<_> = begun
        .iter()
        .filter_map(|action| match action {
            Action::Work(Work::Encode { batch, committee }) => {
                Some((batch.header.id(), committee.epoch))
            }
            _ => None,
        })
        .collect();
    assert_eq!(coded, [(own.header.id(), Epoch(1))]);
    assert_eq!(node.sequencer.waiting(id), Some(true));
    assert_eq!(ordered(&begun), []);
}

/// Nothing is stuck at a rotation: what was acknowledged and is sealed to a key that no block may
/// use any more is reported, and its payer can seal it again.
#[test]
fn what_is_sealed_to_a_key_past_its_grace_is_reported_expired() {
    let envelope = batch(1, b"ours").envelopes[0].clone();
    let id = envelope.header.id();
    let mut mempool = crate::mempool::Mempool::default();
    mempool.insert(envelope, Amount(1), 5);
    assert!(mempool.expire_keys(Epoch(0)).is_empty());
    assert_eq!(mempool.expire_keys(Epoch(1)), [id]);
    assert_eq!((mempool.len(), mempool.waiting()), (0, 0));

    let epochs = Epochs::new(&config(100, 10, &[0, 1]));
    assert_eq!(epochs.oldest_key(Height(99)), Epoch(0));
    assert_eq!(epochs.oldest_key(Height(108)), Epoch(0));
    assert_eq!(epochs.oldest_key(Height(109)), Epoch(1));
}
