//! Which epoch a stored chain goes on in, with which state, and what is kept for the next one.

use std::sync::Arc;

use conclave_consensus::EngineConfig;
use conclave_crypto::{Committee, Signatures};
use conclave_types::*;

use super::*;

/// Nothing here is verified.
struct Nobody;

impl Signatures for Nobody {
    fn sign(&self, _: &Digest) -> BlsSignature {
        BlsSignature([0; 48])
    }
    fn verify(&self, _: ValidatorIndex, _: &Digest, _: &BlsSignature) -> bool {
        false
    }
    fn aggregate(&self, _: &[BlsSignature]) -> Option<BlsSignature> {
        None
    }
    fn verify_aggregate(&self, _: &[(Digest, Signers)], _: &BlsSignature) -> bool {
        false
    }
}

const CHAIN: ChainId = ChainId(Digest([1; 32]));

fn setup(epoch: u64) -> EpochSetup {
    let validator = |index: u8| ValidatorInfo {
        name: format!("v{index}"),
        weight: 1,
        bls_key: BlsPublicKey([index; 96]),
        bls_possession: BlsSignature([0; 48]),
        transport_key: TransportKey([index; 32]),
        account: AccountId(Digest::ZERO),
        address: String::new(),
        api: String::new(),
    };
    EpochSetup {
        epoch: Epoch(epoch),
        validators: (0..4).map(validator).collect(),
        sealing: SealingKey {
            key: Point([0; 32]),
            shares: vec![Point([0; 32]); 4],
            transcript: Digest::ZERO,
        },
    }
}

fn genesis() -> Origin {
    Origin::genesis(CHAIN, BlockTime(0))
}

/// A block of an epoch, its last one if `ends`, first proposed in `view`.
fn header(epoch: u64, height: u64, view: u64, ends: bool) -> BlockHeader {
    BlockHeader {
        chain: CHAIN,
        epoch: Epoch(epoch),
        view: View(view),
        height: Height(height),
        parent: BlockId(Digest::ZERO),
        parent_view: View(view - 1),
        proposer: ValidatorIndex(0),
        time: BlockTime(height),
        payload: Block::payload_digest(&[]),
        ledger_height: Height(0),
        ledger_root: Digest::ZERO,
        next_epoch: ends.then(|| setup(epoch + 1).digest()),
    }
}

fn certificate(of: &BlockHeader) -> CommitCertificate {
    CommitCertificate {
        epoch: of.epoch,
        view: of.view,
        height: of.height,
        block: of.id(),
        aggregate: AggregateSignature {
            signers: Signers::default(),
            signature: BlsSignature([0; 48]),
        },
    }
}

fn change(last: &BlockHeader) -> EpochChange {
    EpochChange {
        last: last.clone(),
        certificate: certificate(last),
        setup: setup(last.epoch.0 + 1),
    }
}

fn stored(changes: &[EpochChange], safety: SafetyState, tip: &BlockHeader) -> StoredAgreement {
    StoredAgreement {
        changes: changes.to_vec(),
        safety,
        committed: vec![tip.clone()],
        certificate: Some(certificate(tip)),
        blocks: vec![],
    }
}

fn go_on(stored: StoredAgreement) -> Result<Resumed, String> {
    resume((setup(0), genesis()), stored)
}

fn succession(resumed: &Resumed) -> Succession {
    let make: EngineFactory = Box::new(|setup, origin, recovered| {
        let config = EngineConfig {
            chain: CHAIN,
            committee: Committee::of_epoch(setup).expect("3f+1"),
            index: ValidatorIndex(0),
            parameters: ConsensusParameters::default(),
            origin,
        };
        Ok(Engine::new(config, Arc::new(Nobody), Some(recovered)))
    });
    Succession::new(make, Box::new(|_, _| None), resumed)
}

#[test]
fn a_chain_goes_on_in_the_epoch_of_its_last_block_or_the_next_if_that_has_begun() {
    let last = header(0, 3, 3, true);
    let state = SafetyState::origin(&genesis());
    // The setup was not known before the stop: the epoch is over, and the next has not begun.
    let resumed = go_on(stored(&[], state.clone(), &last)).expect("whole");
    assert_eq!(resumed.setup.epoch, Epoch(0));
    assert!(resumed.before.is_none() && resumed.held.is_none());

    let change = change(&last);
    let next = SafetyState::origin(&change.origin());
    let changes = [change.clone()];
    let resumed = go_on(stored(&changes, next.clone(), &last)).expect("whole");
    assert_eq!(resumed.setup.epoch, Epoch(1));
    assert_eq!(resumed.origin, change.origin());
    assert_eq!(resumed.before.as_ref(), Some(&changes[0].certificate));
    assert_eq!(resumed.recovered.safety, next);

    let first = header(1, 4, 1, false);
    let resumed = go_on(stored(&changes, next.clone(), &first)).expect("whole");
    assert_eq!((resumed.setup.epoch, resumed.held), (Epoch(1), None));

    // What cannot be: a setup or a state that was lost.
    assert!(go_on(stored(&[], next, &first)).is_err());
    assert!(go_on(stored(&changes, state, &first)).is_err());
}

/// A node joined with a state of epoch 1 and blocks of epoch 0. Its engine's first write would have
/// replaced the only memory of where it must abstain.
#[test]
fn the_state_of_a_later_epoch_waits_until_that_begins() {
    let last = header(0, 3, 3, true);
    let change = change(&last);
    let mut state = SafetyState::origin(&change.origin());
    state.abstain_through = View(7);
    let tip = header(0, 2, 2, false);
    let resumed = go_on(stored(std::slice::from_ref(&change), state.clone(), &tip)).expect("whole");
    assert_eq!(resumed.setup.epoch, Epoch(0));
    assert_eq!(resumed.recovered.safety.abstain_through, IN_DOUBT);
    let mut succession = succession(&resumed);
    assert!(!succession.may_write(&resumed.recovered.safety));
    let recovered = Recovered {
        committed: vec![tip, last],
        ..resumed.recovered
    };
    let engine = succession
        .engine(&resumed.setup, resumed.origin, recovered)
        .expect("an engine");
    assert_eq!(succession.first_state(&engine, &change), state);
    assert!(succession.may_write(&state));
}

#[test]
fn a_next_epoch_is_begun_afresh_unless_it_may_be_forgotten() {
    let last = header(0, 3, 3, true);
    let change = change(&last);
    for (abstain_through, doubt) in [(0, false), (2, false), (3, true)] {
        let mut state = SafetyState::origin(&genesis());
        state.abstain_through = View(abstain_through);
        let resumed = go_on(stored(&[], state, &last)).expect("whole");
        let mut succession = succession(&resumed);
        let engine = succession
            .engine(&resumed.setup, resumed.origin, resumed.recovered)
            .expect("an engine");
        assert!(engine.ending().is_some());
        let first = succession.first_state(&engine, &change);
        assert_eq!(first.epoch(), Epoch(1));
        assert_eq!(
            first.abstain_through == IN_DOUBT,
            doubt,
            "{abstain_through}"
        );
    }
}

#[test]
fn whoever_skips_epochs_signs_in_the_newest_unless_it_may_have_before() {
    let last = header(0, 3, 3, true);
    let begun = change(&header(1, 9, 4, true));
    for (abstain_through, doubt) in [(0, false), (2, false), (3, true)] {
        let mut state = SafetyState::origin(&genesis());
        state.abstain_through = View(abstain_through);
        let next = passed_over(&state, &change(&last), &begun);
        assert_eq!(next.epoch(), Epoch(2));
        let in_doubt = next.abstain_through == IN_DOUBT;
        assert_eq!(in_doubt, doubt, "{abstain_through}");
    }
}

#[test]
fn what_is_kept_for_the_next_epoch_is_bounded_and_given_once() {
    let last = header(0, 3, 3, true);
    let resumed = go_on(stored(&[], SafetyState::origin(&genesis()), &last)).expect("whole");
    let mut succession = succession(&resumed);
    let vote = |view| {
        Message::PrepareVote(PrepareVote {
            epoch: Epoch(1),
            view: View(view),
            height: Height(4),
            block: BlockId(Digest::ZERO),
            signer: ValidatorIndex(1),
            signature: BlsSignature([0; 48]),
        })
    };
    let proposal = Message::Proposal(Box::new(Proposal {
        block: Block {
            header: header(1, 4, 1, false),
            batches: vec![],
        },
        justify: QuorumCertificate::origin(&change(&last).origin()),
        timeout: None,
        signature: BlsSignature([0; 48]),
    }));
    for peer in 0..20 {
        succession.keep(ValidatorIndex(peer), proposal.clone());
        succession.keep(ValidatorIndex(peer), proposal.clone());
    }
    for view in 0..100 {
        succession.keep(ValidatorIndex(1), vote(view));
    }
    let kept = succession.pass(&change(&last));
    assert_eq!(kept.len(), EARLY_PROPOSALS + EARLY_MESSAGES);
    assert!(
        matches!(kept[0], Input::Proposal { .. }),
        "before its votes"
    );
    assert!(succession.pass(&change(&last)).is_empty());
    assert_eq!(succession.before(), Some(&certificate(&last)));
}

#[test]
fn a_node_asks_for_blocks_once_a_later_epoch_goes_on_without_it() {
    let last = header(0, 3, 3, true);
    let resumed = go_on(stored(&[], SafetyState::origin(&genesis()), &last)).expect("whole");
    let mut succession = succession(&resumed);
    assert!(!succession.is_behind(1_000), "others pass a moment earlier");
    assert!(!succession.is_behind(1_000 + BEHIND_AFTER_MS - 1));
    assert!(succession.is_behind(1_000 + BEHIND_AFTER_MS));
    assert!(
        !succession.is_behind(1_001 + BEHIND_AFTER_MS),
        "not at once again"
    );
    succession.pass(&change(&last));
    assert!(!succession.is_behind(9_000));
}
