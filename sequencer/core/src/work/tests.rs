//! Shares of keys that a validator gets late, or never.

use conclave_crypto::{ShareProofs, ShareRow};
use conclave_types::{BatchedDleq, BlockId, Height, SealedKey};
use conclave_types::{Payload, Scalar};

use super::*;

/// A scheme with so many key shares, whose share points are all alike.
struct Scheme(usize);

impl ShareProofs for Scheme {
    fn holds(&self, _: &ShareRow<'_>, _: &[Point], _: &BatchedDleq) -> bool {
        true
    }
}

impl SealScheme for Scheme {
    fn check(&self, headers: &[&EnvelopeHeader]) -> Vec<bool> {
        vec![true; headers.len()]
    }

    fn share_points(&self, headers: &[&EnvelopeHeader]) -> Vec<Vec<Point>> {
        vec![vec![Point([1; 32]); headers.len()]; self.0]
    }

    fn bundle(
        &self,
        context: ShareContext,
        _: &[&EnvelopeHeader],
        shares: Vec<Vec<Point>>,
    ) -> Option<ShareBundle> {
        (self.0 > 0).then(|| ShareBundle {
            context,
            signer: ValidatorIndex(0),
            lists: vec![],
            shares,
            proofs: vec![],
            signature: EdSignature([0; 64]),
        })
    }

    fn open(&self, _: ShareContext, _: &[&EnvelopeHeader], _: &[ShareBundle]) -> OpenResult {
        OpenResult {
            verdicts: None,
            liars: vec![],
        }
    }

    fn verify_openings(&self, openings: &[(&EnvelopeHeader, Point)]) -> Vec<bool> {
        vec![true; openings.len()]
    }

    fn decrypt(&self, _: &Envelope, _: &Point) -> Option<Vec<u8>> {
        None
    }
}

fn sealed() -> Arc<EnvelopeHeader> {
    let batch = crate::tests::batch(1, b"sealed");
    let mut header = batch.envelopes[0].header.clone();
    let point = Point([0; 32]);
    header.payload = Payload::Sealed(SealedKey {
        c: point,
        d: point,
        c_bar: point,
        commitment: point,
        commitment_bar: point,
        response: Scalar([0; 32]),
    });
    Arc::new(header)
}

fn job(points: Vec<Option<Vec<Point>>>) -> BundleJob {
    BundleJob {
        context: ShareContext {
            block: BlockId(Digest::ZERO),
            height: Height(1),
            lane: LaneKind::OnCommit.of(Epoch(0)),
            group: ShareGroup::Whole,
        },
        envelopes: vec![sealed(), sealed()],
        points,
    }
}

/// A batch was checked before this validator had its shares of the batch's key. That there were no
/// points was kept as if it were the points, and later, with shares, a bundle of none was signed and
/// sent.
#[test]
fn shares_that_come_after_the_batch_are_in_the_bundle() {
    let envelopes = [sealed(), sealed()];
    let before = share_points(&Scheme(0), &[&envelopes[0], &envelopes[1]]);
    assert_eq!(before, [None, None]);
    let bundle = bundle(&Scheme(3), job(before)).expect("with shares");
    assert_eq!(bundle.shares, vec![vec![Point([1; 32]); 2]; 3]);
}

#[test]
fn without_shares_there_is_no_bundle() {
    assert_eq!(bundle(&Scheme(0), job(vec![None, None])), None);
}
