//! The engine over real BLS keys: the quick signatures of the other tests hide nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use conclave_crypto::{BlsCommittee, BlsSecret, Committee, Signatures};
use conclave_light::Verifier;
use conclave_types::*;

use super::fixture::{batch, genesis_of};
use crate::*;

#[test]
fn four_real_keys_commit_and_a_client_verifies_the_certificate() {
    let secrets: Vec<_> = (1..=4)
        .map(|seed| BlsSecret::from_seed(&[seed; 32]))
        .collect();
    let mut genesis = genesis_of(&[1; 4]);
    for (validator, secret) in genesis.validators.iter_mut().zip(&secrets) {
        validator.bls_key = secret.public();
        validator.bls_possession = secret.prove_possession();
    }
    let committee = Committee::from_genesis(&genesis).expect("3f+1");
    let chain = genesis.chain_id();
    let engine = |(index, secret)| {
        let signatures = BlsCommittee::signer(&genesis.validators, secret).expect("a member");
        let config = EngineConfig {
            chain,
            committee: committee.clone(),
            index: ValidatorIndex(index),
            parameters: genesis.consensus.clone(),
            origin: genesis.origin(),
        };
        Engine::new(config, Arc::new(signatures) as Arc<dyn Signatures>, None)
    };
    let mut engines: Vec<_> = (0..).zip(secrets).map(engine).collect();
    let mut queue: VecDeque<(usize, Input)> = (0..4).map(|to| (to, Input::Start)).collect();
    // A lost view in between, so that a timeout certificate is made too.
    queue.extend((0..4).map(|to| (to, Input::Tick)));
    let (mut now, mut committed) = (0, vec![]);
    while let Some((place, input)) = queue.pop_front() {
        now = if matches!(input, Input::Tick) {
            1_500
        } else {
            now
        };
        let from = ValidatorIndex(place as u16);
        for action in engines[place].handle(Now(now), input).actions {
            match action {
                Action::Send { to, message } => {
                    queue.push_back((usize::from(to.0), message.into_input(from)));
                }
                Action::Broadcast(message) => {
                    let others = (0..4).filter(|to| *to != place);
                    queue.extend(others.map(|to| (to, message.clone().into_input(from))));
                }
                Action::RequestPayload { view, due, .. } if due => {
                    let payload = Input::Payload {
                        view,
                        batches: vec![batch(view.0)],
                        time: BlockTime(now),
                        ledger_height: Height(0),
                        ledger_root: Digest::ZERO,
                        next_epoch: None,
                    };
                    queue.push_back((place, payload));
                }
                Action::CheckProposal { block, .. } => {
                    let checked = Input::ProposalChecked {
                        block: block.id(),
                        valid: true,
                    };
                    queue.push_back((place, checked));
                }
                Action::Committed {
                    blocks,
                    certificate,
                } => committed.push((blocks, certificate)),
                Action::Misbehaviour {
                    validator,
                    evidence,
                } => panic!("{validator}: {evidence:?}"),
                _ => {}
            }
        }
    }
    assert_eq!(committed.len(), 4, "one block, at each of the four");
    let verifier = BlsCommittee::verifier(&genesis.validators).expect("valid keys");
    let client = Verifier {
        chain,
        committee: &committee,
        signatures: &verifier,
        origin: None,
    };
    for (blocks, certificate) in committed {
        assert_eq!(client.commit(&certificate), Ok(()));
        assert_eq!(blocks[0].id(), certificate.block);
        assert_eq!(blocks[0].header.view, View(2));
    }
}
