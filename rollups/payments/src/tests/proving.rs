//! Honest proofs of every outcome.

use super::fixture::{Fixture, at, ctx, job};
use crate::{Outcome, execute, prove, verify};

#[test]
fn a_plain_payment_proves() {
    let mut fixture = Fixture::new();
    let payment = fixture.pay(0, 1, 500, 0);
    let contents = at(10, &[&payment]);
    let job = job(&fixture.state, &contents);
    let proven = prove(&job).unwrap();
    let mut state = fixture.state.clone();
    assert_eq!(execute(&mut state, &ctx(), &contents), [Outcome::Applied]);
    assert_eq!(state.root(), proven.new_root);
    let report = verify(
        &job.range,
        &contents,
        &proven.excluded,
        &proven.new_root,
        &proven.proof,
    )
    .unwrap();
    println!("{report:?} {} bytes", proven.proof.len());
}
