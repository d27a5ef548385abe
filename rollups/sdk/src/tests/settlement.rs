//! Proofs lead to a settled root only from a root that the caller knows, or to the one in the ledger.

use std::sync::Arc;

use conclave_types::{
    Digest, Domain, Height, ProgramVersion, ProofSystem, Settled, StateRoot, Statement, TxIndex,
};

use super::audit::Node;
use super::chain::{Chain, ROLLUP};
use crate::api::ProofView;
use crate::{
    Auditor, Measurement, OrderedTransaction, Program, ProgramError, ProgramState, RangeReport,
    RangeRequest, VerifyError,
};

/// The root that the rollup registers with.
const GENESIS: StateRoot = StateRoot(Digest([9; 32]));
const INVENTED: StateRoot = StateRoot(Digest([66; 32]));
/// The stream, and the height that ordered each transaction.
const STREAM: [(&[u8], u64); 6] = [
    (b"one", 2),
    (b"two", 2),
    (b"three", 2),
    (b"four", 3),
    (b"five", 4),
    (b"six", 4),
];

/// Its root is the hash of all transactions, and its proof is the execution: like any real one it
/// starts from whatever root the prover likes.
struct Hashing;

fn root_after(old: StateRoot, contents: &[OrderedTransaction]) -> StateRoot {
    let mut hasher = Domain::Simulation.hasher().part(&old.0.0);
    for transaction in contents {
        hasher = hasher.part(&transaction.bytes);
    }
    StateRoot(hasher.digest())
}

fn refused<T>(reason: &str) -> Result<T, ProgramError> {
    let reason = reason.into();
    Err(ProgramError { reason })
}

impl Program for Hashing {
    fn version(&self) -> ProgramVersion {
        ProgramVersion(Digest([5; 32]))
    }

    fn system(&self) -> ProofSystem {
        ProofSystem::Winterfell
    }

    fn genesis(&self, _: &[u8]) -> Result<Box<dyn ProgramState>, ProgramError> {
        refused("only verifies")
    }

    fn restore(&self, _: &[u8]) -> Result<Box<dyn ProgramState>, ProgramError> {
        refused("only verifies")
    }

    fn measure(&self, _: u64) -> Result<Measurement, ProgramError> {
        refused("only verifies")
    }

    fn verify(
        &self,
        statement: &Statement,
        contents: &[OrderedTransaction],
        _: &[u32],
        _: &[u8],
    ) -> Result<(), ProgramError> {
        match root_after(statement.old_root, contents) == statement.new_root {
            true => Ok(()),
            false => refused("another root"),
        }
    }
}

/// The listing of a range that was proven from a root.
fn proof(auction: u64, old_root: StateRoot, from: usize, to: usize) -> ProofView {
    let contents = STREAM[from..to].iter().map(|(bytes, height)| {
        let height = Height(*height);
        let bytes = bytes.to_vec();
        OrderedTransaction { height, bytes }
    });
    let contents: Vec<_> = contents.collect();
    ProofView {
        auction,
        rollup: ROLLUP.0,
        system: "winterfell".into(),
        program: Hashing.version().to_string(),
        prover: Digest([1; 32]).to_string(),
        from_index: from as u64,
        to_index: to as u64,
        from_height: STREAM[from].1,
        to_height: STREAM[to - 1].1,
        old_root: old_root.to_string(),
        new_root: root_after(old_root, &contents).to_string(),
        excluded: vec![],
        height: 5,
        proof: Some(String::new()),
        proof_bytes: 0,
    }
}

fn new_root(proof: &ProofView) -> StateRoot {
    proof.new_root.parse().expect("a root")
}

/// The proofs of these ranges from a root, each where the one before ended.
fn proofs(mut root: StateRoot, ends: &[usize]) -> Vec<ProofView> {
    let mut from = 0;
    let ranges = (1..).zip(ends).map(|(auction, to)| {
        let made = proof(auction, root, from, *to);
        (from, root) = (*to, new_root(&made));
        made
    });
    ranges.collect()
}

struct World {
    auditor: Arc<Auditor>,
    /// Honest.
    node: Node,
}

/// 1: the registration. 2 to 4: the stream. 5: nothing; its ledger has settled the given ranges.
fn world(ends: &[usize]) -> World {
    let mut chain = Chain::new();
    let register = chain.register(ROLLUP);
    let mut deliveries = vec![chain.extend(vec![register])];
    for height in 2..=4 {
        let ordered = STREAM.iter().filter(|(_, at)| *at == height);
        let ordered: Vec<&[u8]> = ordered.map(|(bytes, _)| *bytes).collect();
        let sent = chain.envelope(&ordered);
        deliveries.push(chain.extend(vec![sent]));
    }
    deliveries.push(chain.extend(vec![]));
    let mut node = Node::of(&chain, deliveries);
    node.proofs = proofs(GENESIS, ends);
    let last = node.proofs.last().expect("a range");
    node.proof = chain.proof_settled(Settled {
        root: new_root(last),
        next: TxIndex(last.to_index),
        height: Height(last.to_height),
    });
    World {
        auditor: Auditor::new(&chain.genesis).expect("a valid genesis"),
        node,
    }
}

impl World {
    /// Verifies heights of a node that lists these proofs.
    async fn audit(
        &self,
        listed: &[ProofView],
        (from, to): (u64, u64),
        anchor: Option<StateRoot>,
    ) -> Result<RangeReport, VerifyError> {
        let request = RangeRequest {
            rollup: ROLLUP,
            from: Height(from),
            to: Some(Height(to)),
            anchor,
            programs: vec![Arc::new(Hashing)],
        };
        let node = Node {
            proofs: listed.to_vec(),
            ..self.node.clone()
        };
        node.answer(&self.auditor, &request).await
    }

    async fn refused(
        &self,
        listed: &[ProofView],
        heights: (u64, u64),
        anchor: Option<StateRoot>,
        code: &str,
    ) {
        let result = self.audit(listed, heights, anchor).await;
        let error = result.expect_err(code).to_string();
        assert!(error.contains(code), "{error}");
    }
}

#[tokio::test]
async fn honest_proofs_lead_to_the_ledgers_root_with_and_without_an_anchor() {
    let world = world(&[3, 4, 6]);
    let listed = world.node.proofs.clone();
    for anchor in [None, Some(GENESIS)] {
        let report = world.audit(&listed, (1, 5), anchor).await.expect("honest");
        assert_eq!(report.proofs.len(), 3);
        let led = (new_root(&listed[2]), TxIndex(6));
        assert_eq!(report.settled(), Some(led));
    }
    // Without an anchor, a part that ends with the settled root is as good.
    let report = world.audit(&listed, (3, 5), None).await.expect("honest");
    assert_eq!(report.proofs.len(), 2);
    assert_eq!(report.settled().map(|(_, index)| index), Some(TxIndex(6)));
}

/// A range that ends before the ledger's settled root had its root compared with nothing. A node
/// listed one proof that it had made itself, over the real contents, but from a root that it had
/// made up, and without an anchor the made-up root after it was reported as the settled one.
#[tokio::test]
async fn a_proof_from_an_invented_root_settles_nothing() {
    let world = world(&[3, 4, 6]);
    let invented = proofs(INVENTED, &[4]);
    let report = world.audit(&invented, (1, 3), None).await;
    let report = report.expect("the contents are right");
    assert_eq!((report.proofs.len(), report.settled()), (1, None));
    // Honest proofs look the same from there, and are not anchored either.
    let honest = world.node.proofs.clone();
    let report = world.audit(&honest, (1, 3), None).await.expect("honest");
    assert_eq!((report.proofs.len(), report.settled()), (2, None));
    // An anchor tells them apart.
    let report = world.audit(&honest, (1, 3), Some(GENESIS)).await;
    let led = (new_root(&honest[1]), TxIndex(4));
    assert_eq!(report.expect("honest").settled(), Some(led));
    let genesis = Some(GENESIS);
    world
        .refused(&invented, (1, 3), genesis, "CV-SDK-046")
        .await;
    // So does the settled root, as soon as the range reaches it.
    let invented = proofs(INVENTED, &[6]);
    world.refused(&invented, (1, 4), None, "CV-SDK-047").await;
}

/// A node could leave proofs out, all or the last ones, and the range was reported as verified.
#[tokio::test]
async fn proofs_that_the_ledger_has_settled_cannot_be_left_out() {
    let world = world(&[3, 4, 6]);
    let listed = world.node.proofs.clone();
    for anchor in [None, Some(GENESIS)] {
        for kept in 0..3 {
            let listed = &listed[..kept];
            world.refused(listed, (1, 5), anchor, "CV-SDK-052").await;
        }
    }
    // Nor by saying that they were settled after the ledger in hand.
    let mut later = listed.clone();
    later[2].height = 6;
    world.refused(&later, (1, 5), None, "CV-SDK-052").await;
    // Nor can one in the middle.
    let gap = [listed[0].clone(), listed[2].clone()];
    world.refused(&gap, (1, 5), None, "CV-SDK-046").await;
    // From an anchor amid the stream, the next proof starts there.
    let anchor = Some(new_root(&listed[0]));
    world.refused(&[], (3, 5), anchor, "CV-SDK-052").await;
    let report = world.audit(&listed, (3, 5), anchor).await.expect("honest");
    assert_eq!(report.settled().map(|(_, index)| index), Some(TxIndex(6)));
}

#[tokio::test]
async fn a_settled_range_that_began_before_the_heights_is_no_omission() {
    let world = world(&[6]);
    let listed = world.node.proofs.clone();
    let report = world.audit(&listed, (3, 5), None).await.expect("honest");
    assert_eq!((report.proofs.len(), report.settled()), (0, None));
    assert_eq!(report.first_index, Some(TxIndex(3)));
    // One that goes on after them is skipped and said so.
    let report = world.audit(&listed, (1, 3), None).await.expect("honest");
    assert_eq!((report.proofs_skipped, report.settled()), (1, None));
}

#[tokio::test]
async fn nothing_is_listed_that_the_ledger_has_not_settled() {
    let world = world(&[3, 4]);
    let settled = world.node.proofs.clone();
    let more = proofs(GENESIS, &[3, 4, 6]);
    world.refused(&more, (1, 5), None, "CV-SDK-046").await;
    // Nor as one that reaches outside the range, behind which a gap could hide.
    let mut straddling = settled.clone();
    straddling[1].to_index = 7;
    world.refused(&straddling, (1, 5), None, "CV-SDK-046").await;
    let again = [settled[1].clone(), settled[0].clone()];
    world.refused(&again, (1, 5), None, "CV-SDK-046").await;
    // What was settled after the ledger in hand is for another time.
    let mut later = more;
    later[2].height = 6;
    let report = world.audit(&later, (1, 5), None).await.expect("honest");
    assert_eq!(report.settled().map(|(_, index)| index), Some(TxIndex(4)));
}

#[tokio::test]
async fn an_anchor_at_the_settled_root_must_be_it() {
    let world = world(&[3]);
    let listed = world.node.proofs.clone();
    let right = Some(new_root(&listed[0]));
    let report = world.audit(&listed, (3, 5), right).await.expect("honest");
    assert_eq!(report.settled(), None);
    let wrong = Some(INVENTED);
    world.refused(&listed, (3, 5), wrong, "CV-SDK-047").await;
}
