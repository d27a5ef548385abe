//! What the proof system leaves open at the end of FRI, and the boundary closes.

use winter_utils::Serializable;
use winterfell::crypto::{ElementHasher, RandomCoin};
use winterfell::math::{FieldElement, StarkField, ToElements, fields::f64::BaseElement};
use winterfell::{AcceptableOptions, Air, Proof};

use super::fixture::{Fixture, at, job};
use crate::air::PaymentsAir;
use crate::commitment::{BoundedTree, Coin, Hash};
use crate::hash::FieldDigest;
use crate::layout::column;
use crate::program::options;
use crate::proof_bytes::{Challenge, ProofHeader};
use crate::statement::{PublicInputs, RangeContext, included_entries};
use crate::{VerifyError, prove, verify};

fn inputs(
    range: &RangeContext,
    contents: &[(u64, Vec<u8>)],
    header: &ProofHeader,
    new_root: &[u8; 32],
) -> PublicInputs {
    let entries = included_entries(&range.payment_context(), contents, &[]).unwrap();
    let first_commitment = range.first_commitment();
    let last = entries
        .iter()
        .fold(first_commitment.node(), |c, entry| entry.extend(c));
    PublicInputs {
        range: *range,
        new_root: *new_root,
        count: contents.len() as u32,
        old: header.old,
        new: header.new,
        first_commitment,
        last_commitment: FieldDigest::from_node(last),
    }
}

/// Where the queries look at the last layer's domain: the transcript over again.
fn queried(proof: &Proof, inputs: &PublicInputs, last_domain: usize) -> Vec<usize> {
    let mut seed = proof.context.to_elements();
    seed.extend(inputs.to_elements());
    let mut coin = Coin::new(&seed);
    let fri = options().to_fri_options();
    let layers = fri.num_fri_layers(proof.lde_domain_size());
    let commitments = proof.commitments.clone();
    let (trace, constraints, layers) = commitments.parse::<Hash>(1, layers).unwrap();
    coin.reseed(trace[0]);
    coin.reseed(constraints);
    let air = PaymentsAir::new(proof.trace_info().clone(), inputs.clone(), options());
    let columns = air.context().num_constraint_composition_columns();
    let frame = proof.ood_frame.clone();
    let (trace, quotient) = frame.parse::<Challenge>(column::WIDTH, 0, columns).unwrap();
    let rows = [
        trace.current_row(),
        quotient.current_row(),
        trace.next_row(),
        quotient.next_row(),
    ];
    coin.reseed(Hash::hash_elements(&rows.concat()));
    for layer in layers {
        coin.reseed(layer);
    }
    let queries = options().num_queries();
    let positions = coin.draw_integers(queries, proof.lde_domain_size(), proof.pow_nonce);
    let mut positions: Vec<usize> = positions.unwrap().iter().map(|p| p % last_domain).collect();
    positions.sort_unstable();
    positions.dedup();
    positions
}

/// The coefficients, lowest first, of the polynomial that is zero at all queried points.
fn vanishing(positions: &[usize], last_domain: usize) -> Vec<Challenge> {
    let generator = BaseElement::get_root_of_unity(last_domain.ilog2());
    let offset: BaseElement = options().to_fri_options().domain_offset();
    let mut polynomial = vec![Challenge::ONE];
    for position in positions {
        let point = Challenge::from(offset * generator.exp(*position as u64));
        let shifted = [vec![Challenge::ZERO], polynomial.clone()].concat();
        polynomial.push(Challenge::ZERO);
        for (coefficient, above) in polynomial.iter_mut().zip(shifted) {
            *coefficient = above - *coefficient * point;
        }
    }
    polynomial
}

/// FRI shows nothing unless its last polynomial is fixed before the queries: 128 coefficients fit
/// any values at 85 points. The proof system absorbs a commitment to that polynomial and does not
/// compare, so it takes this proof, whose last polynomial was made up after the queries.
#[test]
fn the_last_polynomial_cannot_be_chosen_after_the_queries() {
    let mut fixture = Fixture::new();
    let payments: Vec<_> = (0..4).map(|nonce| fixture.pay(0, 1, 5, nonce)).collect();
    let contents = at(10, &payments.iter().collect::<Vec<_>>());
    let job = job(&fixture.state, &contents);
    let proven = prove(&job).unwrap();
    let (header, bytes) = ProofHeader::split(&proven.proof).unwrap();
    let inputs = inputs(&job.range, &contents, &header, &proven.new_root);

    let honest = Proof::from_bytes(bytes).unwrap();
    let mut remainder = honest.fri_proof.parse_remainder::<Challenge>().unwrap();
    let last_domain = remainder.len() * options().blowup_factor();
    let positions = queried(&honest, &inputs, last_domain);
    assert!(positions.len() < remainder.len(), "there is room to choose");
    // The highest coefficient comes first.
    for (coefficient, zero) in remainder
        .iter_mut()
        .rev()
        .zip(vanishing(&positions, last_domain))
    {
        *coefficient += zero;
    }
    let chosen: Vec<u8> = remainder.iter().flat_map(Serializable::to_bytes).collect();
    // The number of partitions and the nonce come after it.
    let end = bytes.len() - 9;
    let mut forged = bytes.to_vec();
    forged[end - chosen.len()..end].copy_from_slice(&chosen);
    assert_ne!(forged, bytes);

    let proof = Proof::from_bytes(&forged).unwrap();
    let acceptable = AcceptableOptions::OptionSet(vec![options()]);
    let answer =
        winterfell::verify::<PaymentsAir, Hash, Coin, BoundedTree>(proof, inputs, &acceptable);
    assert!(
        answer.is_ok(),
        "the proof system has closed this: {answer:?}"
    );

    let forged = header.prepend(&forged);
    let answer = verify(&job.range, &contents, &[], &proven.new_root, &forged);
    assert!(matches!(answer, Err(VerifyError::Malformed { .. })));
}
