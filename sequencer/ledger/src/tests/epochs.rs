//! Epochs on the production ledger and the production key generation: four validators, more that
//! would join, and blocks until something happens.

mod bonds;
mod generation;
mod members;
mod random;
mod turn;

use conclave_crypto::{EdSecret, Signatures};
use conclave_seal::Participant;
use conclave_types::*;

use super::harness::*;
use crate::*;

const BOND: u64 = 1_000_000;
/// Accounts of the validators at genesis, by slot.
const OPERATORS: u8 = 100;
/// Accounts of those that join.
const NEWCOMERS: u8 = 10;

fn info(operator: u8, weight: u16) -> ValidatorInfo {
    ValidatorInfo {
        name: format!("v{operator}"),
        weight,
        bls_key: BlsPublicKey([operator; 96]),
        bls_possession: BlsSignature([operator; 48]),
        transport_key: EdSecret::from_seed(&[operator; 32]).transport_key(),
        account: account(operator),
        address: format!("v{operator}:1"),
        api: String::new(),
    }
}

/// Epochs of at least 10 blocks.
fn with_epochs() -> Genesis {
    let operators = (OPERATORS..OPERATORS + 4).chain(NEWCOMERS..NEWCOMERS + 8);
    let others = OWNER..NEWCOMERS;
    let allocations = operators.chain(others).map(|n| Allocation {
        account: account(n),
        balance: Amount(3 * BOND),
        fees: Amount(1_000_000),
    });
    Genesis {
        validators: (OPERATORS..OPERATORS + 4).map(|n| info(n, 1)).collect(),
        allocations: allocations.collect(),
        consensus: ConsensusParameters {
            epoch_blocks: 10,
            grace_blocks: 3,
            keygen_phase_blocks: 4,
            unbonding_ms: 1_000,
            ..ConsensusParameters::default()
        },
        ..genesis()
    }
}

fn world() -> World {
    World::of(&with_epochs())
}

fn newcomer(n: u8) -> ValidatorInfo {
    info(NEWCOMERS + n, 1)
}

fn slot(n: u16) -> ValidatorIndex {
    ValidatorIndex(n)
}

/// Carries out operations in one block; all must be done.
fn done(world: &mut World, operations: Vec<(u8, SystemOp)>) {
    let outcomes = outcomes(world, operations);
    assert!(outcomes.iter().all(|o| *o == Outcome::Done), "{outcomes:?}");
}

fn outcomes(world: &mut World, operations: Vec<(u8, SystemOp)>) -> Vec<Outcome> {
    let sent = operations.into_iter().map(|(by, op)| world.op(by, op));
    let sent = sent.collect();
    world.block(sent).outcomes
}

fn failed(world: &mut World, by: u8, operation: SystemOp) -> OpError {
    let root = |world: &World| {
        let all = world.ledger.validators();
        all.map(|(slot, record)| (slot, record.clone()))
            .collect::<Vec<_>>()
    };
    let before = root(world);
    let outcome = outcomes(world, vec![(by, operation)]);
    assert_eq!(root(world), before, "a failed operation changes nothing");
    match outcome[0] {
        Outcome::Failed(error) => error,
        other => panic!("{other:?}"),
    }
}

fn join(world: &mut World, newcomers: &[u8]) {
    let register = |n: &u8| (NEWCOMERS + n, SystemOp::RegisterValidator(newcomer(*n)));
    done(world, newcomers.iter().map(register).collect());
}

fn leave(world: &mut World, validator: u16, by: u8) {
    let validator = slot(validator);
    done(world, vec![(by, SystemOp::LeaveValidator { validator })]);
}

fn participant(validator: ValidatorIndex) -> Participant {
    Participant::new(validator, &[validator.0 as u8 + 1; 32])
}

/// What the members, without those that are silent, would post now.
fn posts(world: &World, silent: &[u16]) -> Vec<(u8, SystemOp)> {
    let Some(view) = world.ledger.key_generation() else {
        return Vec::new();
    };
    let board = view.board();
    let round = view.round();
    let members = round.members().filter(|member| !silent.contains(&member.0));
    members
        .filter_map(|validator| {
            let message = participant(validator).next(&board)?;
            let post = KeyGenerationPost {
                epoch: round.epoch(),
                attempt: round.attempt(),
                validator,
                message,
            };
            let operator = world.ledger.validator(validator)?.info.account.0.0[0];
            Some((operator, SystemOp::KeyGeneration(Box::new(post))))
        })
        .collect()
}

/// One block with everything that members have to say.
fn step(world: &mut World, silent: &[u16]) {
    let posts = posts(world, silent);
    done(world, posts);
}

/// Blocks until the ledger stands in the epoch.
fn reach(world: &mut World, epoch: u64, silent: &[u16]) {
    for _ in 0..200 {
        if world.ledger.epoch() == Epoch(epoch) {
            return;
        }
        step(world, silent);
    }
    panic!("epoch {epoch} does not come");
}

/// Blocks until the next epoch's key is there.
fn prepare(world: &mut World, silent: &[u16]) {
    let next = world.ledger.epoch().next();
    for _ in 0..200 {
        if world.ledger.epoch_setup(next).is_some() {
            return;
        }
        step(world, silent);
    }
    panic!("epoch {next} is not ready");
}

/// A double vote of an epoch.
fn evidence(epoch: u64, validator: u16) -> Misbehaviour {
    let ballot = |byte| {
        let (chain, block) = (genesis().chain_id(), BlockId(Digest([byte; 32])));
        let kind = VoteKind::Prepare;
        let message = kind.message(chain, Epoch(epoch), View(9), Height(5), block);
        Ballot {
            height: Height(5),
            block,
            signature: Quick(slot(validator)).sign(&message),
        }
    };
    Misbehaviour {
        epoch: Epoch(epoch),
        validator: slot(validator),
        offence: Offence::double_vote(VoteKind::Prepare, View(9), ballot(1), ballot(2)),
    }
}

fn weights(world: &World) -> Vec<u16> {
    world.ledger.present_setup().weights()
}

fn happened(world: &World, wanted: impl Fn(&LedgerEvent) -> bool) -> usize {
    world.events.iter().filter(|event| wanted(event)).count()
}
