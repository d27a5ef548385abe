//! Only what a quorum signed passes; leaving out, adding or moving one envelope fails.

use conclave_crypto::{
    BlsCommittee, BlsSecret, Committee, EdSecret, MerkleTree, Signatures, merkle,
};
use conclave_types::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::*;

mod epochs;
mod misbehaviour;

struct Fixture {
    genesis: Genesis,
    chain: ChainId,
    committee: Committee,
    bls: BlsCommittee,
    secrets: Vec<BlsSecret>,
}

impl Fixture {
    fn new() -> Self {
        let mut random = ChaCha20Rng::seed_from_u64(1);
        let secrets: Vec<_> = (0..4).map(|_| BlsSecret::generate(&mut random)).collect();
        let validators = secrets
            .iter()
            .enumerate()
            .map(|(index, secret)| ValidatorInfo {
                name: format!("v{index}"),
                weight: 1,
                bls_key: secret.public(),
                bls_possession: secret.prove_possession(),
                transport_key: EdSecret::from_seed(&[index as u8; 32]).transport_key(),
                account: AccountId(Digest::ZERO),
                address: String::new(),
                api: String::new(),
            });
        let genesis = Genesis {
            name: "test".into(),
            time: BlockTime(0),
            validators: validators.collect(),
            sealing: SealingKey {
                key: Point([0; 32]),
                shares: vec![Point([0; 32]); 4],
                transcript: Digest::ZERO,
            },
            allocations: vec![],
            consensus: Default::default(),
            fees: Default::default(),
            market: Default::default(),
        };
        Self {
            chain: genesis.chain_id(),
            committee: Committee::from_genesis(&genesis).expect("3f+1"),
            bls: BlsCommittee::verifier(&genesis.validators).expect("valid keys"),
            secrets,
            genesis,
        }
    }

    fn validators(&self) -> Vec<ValidatorInfo> {
        self.genesis.validators.clone()
    }

    fn sealing(&self) -> SealingKey {
        self.genesis.sealing.clone()
    }

    fn origin(&self) -> Origin {
        Origin::genesis(self.chain, BlockTime(0))
    }

    fn verifier(&self) -> Verifier<'_> {
        Verifier {
            chain: self.chain,
            committee: &self.committee,
            signatures: &self.bls,
            origin: Some(self.origin()),
        }
    }

    fn sign(&self, message: &Digest, signers: &[u16]) -> AggregateSignature {
        let parts: Vec<_> = signers
            .iter()
            .map(|index| self.secrets[usize::from(*index)].sign(message))
            .collect();
        AggregateSignature {
            signers: set(signers),
            signature: self.bls.aggregate(&parts).expect("valid points"),
        }
    }

    fn qc(&self, view: u64, block: BlockId, signers: &[u16]) -> QuorumCertificate {
        let (epoch, view, height) = (Epoch(0), View(view), Height(view));
        let message = VoteKind::Prepare.message(self.chain, epoch, view, height, block);
        QuorumCertificate {
            epoch,
            view,
            height,
            block,
            aggregate: self.sign(&message, signers),
        }
    }

    fn cc(&self, header: &BlockHeader) -> CommitCertificate {
        let (epoch, view, height, block) = (Epoch(0), header.view, header.height, header.id());
        let message = VoteKind::Commit.message(self.chain, epoch, view, height, block);
        CommitCertificate {
            epoch,
            view,
            height,
            block,
            aggregate: self.sign(&message, &[0, 1, 2]),
        }
    }

    fn tc(
        &self,
        view: u64,
        high_qc: &QuorumCertificate,
        groups: &[(u64, &[u16])],
    ) -> TimeoutCertificate {
        let mut parts = Vec::new();
        for (high, signers) in groups {
            let message = Timeout::message(self.chain, Epoch(0), View(view), View(*high));
            parts.extend(
                signers
                    .iter()
                    .map(|i| self.secrets[usize::from(*i)].sign(&message)),
            );
        }
        TimeoutCertificate {
            epoch: Epoch(0),
            view: View(view),
            high_qc: high_qc.clone(),
            groups: groups
                .iter()
                .map(|(high, s)| (View(*high), set(s)))
                .collect(),
            signature: self.bls.aggregate(&parts).expect("valid points"),
        }
    }

    fn header(&self, height: u64, parent: &BlockHeader) -> BlockHeader {
        BlockHeader {
            view: View(height),
            height: Height(height),
            parent: parent.id(),
            parent_view: parent.view,
            time: BlockTime(height),
            ..parent.clone()
        }
    }

    fn first_header(&self) -> BlockHeader {
        BlockHeader {
            chain: self.chain,
            epoch: Epoch(0),
            view: View(1),
            height: Height(1),
            parent: BlockId::genesis(self.chain),
            parent_view: View(0),
            proposer: ValidatorIndex(1),
            time: BlockTime(1),
            payload: Block::payload_digest(&[]),
            ledger_height: Height(0),
            ledger_root: Digest::ZERO,
            next_epoch: None,
        }
    }

    fn envelope(&self, rollup: u32, sequence: u64) -> EnvelopeHeader {
        EnvelopeHeader {
            core: EnvelopeCore {
                chain: self.chain,
                epoch: Epoch(0),
                rollup: RollupId(rollup),
                payer: AccountId(Digest::ZERO),
                sequence: Sequence(sequence),
                expiry: Height(9),
                release: ReleaseRule::OnCommit,
                bucket: Bucket(0),
                fee_max: Amount(u64::MAX),
            },
            body_bytes: 0,
            body_digest: Digest::ZERO,
            payload: Payload::Plain,
            signature: EdSignature([0; 64]),
        }
    }

    fn batch(&self, sequence: u64, contents: &[&[EnvelopeHeader]]) -> BatchRef {
        let contents = contents.iter().map(|envelopes| RollupContents {
            rollup: envelopes[0].core.rollup,
            count: envelopes.len() as u32,
            root: merkle::root(&ids(envelopes)),
        });
        let header = BatchHeader {
            chain: self.chain,
            epoch: Epoch(0),
            author: ValidatorIndex(0),
            sequence,
            shards: Digest::ZERO,
            contents: contents.collect(),
        };
        let message = Stored::message(self.chain, header.id());
        let sign = |index: &u8| EdSecret::from_seed(&[*index; 32]).sign(&message);
        let stored = SignatureSet {
            signers: set(&[1, 2, 3]),
            signatures: [1, 2, 3].iter().map(sign).collect(),
        };
        BatchRef { header, stored }
    }

    fn block(&self, batches: Vec<BatchRef>) -> Block {
        let payload = Block::payload_digest(&batches);
        let header = BlockHeader {
            payload,
            ..self.first_header()
        };
        Block { header, batches }
    }
}

fn set(indices: &[u16]) -> Signers {
    let mut signers = Signers::default();
    for index in indices {
        signers.insert(ValidatorIndex(*index));
    }
    signers
}

fn ids(envelopes: &[EnvelopeHeader]) -> Vec<Digest> {
    envelopes.iter().map(|envelope| envelope.id().0).collect()
}

#[test]
fn a_quorum_certificate_needs_a_quorum_of_right_signatures() {
    let fixture = Fixture::new();
    let verifier = fixture.verifier();
    let block = BlockId(Digest([1; 32]));
    let good = fixture.qc(5, block, &[0, 1, 3]);
    assert_eq!(verifier.quorum(&good), Ok(()));
    let what = "quorum certificate";
    assert_eq!(
        verifier.quorum(&fixture.qc(5, block, &[0, 1])),
        Err(CertificateError::Quorum { what })
    );
    let wrong = Err(CertificateError::Signature { what });
    let other = QuorumCertificate {
        view: View(6),
        ..good.clone()
    };
    assert_eq!(verifier.quorum(&other), wrong);
    let other = QuorumCertificate {
        block: BlockId(Digest([2; 32])),
        ..good.clone()
    };
    assert_eq!(verifier.quorum(&other), wrong);
    let mut padded = good.clone();
    padded.aggregate.signers = set(&[0, 1, 2, 3]);
    assert_eq!(verifier.quorum(&padded), wrong);
    let other = QuorumCertificate {
        epoch: Epoch(1),
        ..good
    };
    assert!(matches!(
        verifier.quorum(&other),
        Err(CertificateError::Epoch { .. })
    ));
}

#[test]
fn only_the_exact_genesis_certificate_needs_no_signature() {
    let fixture = Fixture::new();
    let genesis = QuorumCertificate::origin(&fixture.origin());
    assert_eq!(fixture.verifier().quorum(&genesis), Ok(()));
    let other = QuorumCertificate {
        view: View(1),
        ..genesis
    };
    assert!(fixture.verifier().quorum(&other).is_err());
    let elsewhere = Origin::genesis(ChainId(Digest([9; 32])), BlockTime(0));
    let strange = QuorumCertificate::origin(&elsewhere);
    assert!(fixture.verifier().quorum(&strange).is_err());
}

#[test]
fn prepare_votes_make_no_commit_certificate() {
    let fixture = Fixture::new();
    let header = fixture.first_header();
    let cc = fixture.cc(&header);
    assert_eq!(fixture.verifier().commit(&cc), Ok(()));
    let qc = fixture.qc(1, header.id(), &[0, 1, 2]);
    let forged = CommitCertificate {
        aggregate: qc.aggregate,
        ..cc
    };
    assert!(fixture.verifier().commit(&forged).is_err());
}

#[test]
fn a_timeout_certificate_names_its_highest_quorum_certificate() {
    let fixture = Fixture::new();
    let verifier = fixture.verifier();
    let qc = fixture.qc(5, BlockId(Digest([1; 32])), &[0, 1, 2]);
    let low = fixture.qc(3, BlockId(Digest([2; 32])), &[0, 1, 2]);
    let good = fixture.tc(7, &qc, &[(3, &[0, 3]), (5, &[1])]);
    assert_eq!(verifier.timeout(&good), Ok(()));
    // Hiding the highest certificate behind a lower one is what would break safety.
    let hidden = TimeoutCertificate {
        high_qc: low,
        ..good.clone()
    };
    assert!(matches!(
        verifier.timeout(&hidden),
        Err(CertificateError::HighQc { .. })
    ));
    let mut moved = good.clone();
    moved.groups = vec![(View(5), set(&[0, 1, 3]))];
    assert!(matches!(
        verifier.timeout(&moved),
        Err(CertificateError::Signature { .. })
    ));
    let mut forged = good;
    forged.high_qc.block = BlockId(Digest([8; 32]));
    assert!(matches!(
        verifier.timeout(&forged),
        Err(CertificateError::Signature { .. })
    ));
    let groups = |groups: &[(u64, &[u16])]| verifier.timeout(&fixture.tc(7, &qc, groups));
    let malformed = Err(CertificateError::Groups { view: View(7) });
    assert_eq!(
        groups(&[(3, &[0, 1, 3]), (5, &[1])]),
        malformed,
        "one signer twice"
    );
    assert_eq!(
        groups(&[(5, &[0]), (5, &[1, 2])]),
        malformed,
        "one view twice"
    );
    assert_eq!(
        groups(&[(5, &[0]), (7, &[1, 2])]),
        malformed,
        "a certificate of its own view"
    );
    let what = "timeout certificate";
    assert_eq!(
        groups(&[(3, &[0]), (5, &[1])]),
        Err(CertificateError::Quorum { what })
    );
}

#[test]
fn an_availability_certificate_is_bound_to_its_batch() {
    let fixture = Fixture::new();
    let mut batch = fixture.batch(1, &[&[fixture.envelope(7, 1)]]);
    assert_eq!(fixture.verifier().stored(&batch), Ok(()));
    let what = "availability certificate";
    let mut short = batch.clone();
    short.stored.signers = set(&[1, 2]);
    short.stored.signatures.pop();
    let quorum = Err(CertificateError::Quorum { what });
    assert_eq!(fixture.verifier().stored(&short), quorum);

    // One signature for each signer, and each its own.
    let signature = Err(CertificateError::Signature { what });
    let mut odd = batch.clone();
    odd.stored.signatures.pop();
    assert_eq!(fixture.verifier().stored(&odd), signature);
    odd.stored.signatures.push(odd.stored.signatures[0]);
    assert_eq!(fixture.verifier().stored(&odd), signature);
    let mut long = batch.clone();
    long.stored.signatures.push(long.stored.signatures[0]);
    assert_eq!(fixture.verifier().stored(&long), signature);

    batch.header.sequence = 2;
    assert_eq!(fixture.verifier().stored(&batch), signature);
}

#[test]
fn headers_are_final_only_as_a_chain_to_the_certificate() {
    let fixture = Fixture::new();
    let mut headers = vec![fixture.first_header()];
    for height in 2..6 {
        let next = fixture.header(height, &headers[height as usize - 2]);
        headers.push(next);
    }
    let cc = fixture.cc(&headers[4]);
    assert_eq!(verify_ancestry(&headers, &cc), Ok(()));
    assert_eq!(verify_ancestry(&headers[2..], &cc), Ok(()));
    assert!(matches!(
        verify_ancestry(&headers[..4], &cc),
        Err(ChainError::Certificate { .. })
    ));
    assert_eq!(verify_ancestry(&[], &cc), Err(ChainError::Empty));
    let mut cut = headers.clone();
    cut.remove(2);
    assert_eq!(
        verify_ancestry(&cut, &cc),
        Err(ChainError::Link { height: Height(4) })
    );
    headers[1].time = BlockTime(9);
    assert_eq!(
        verify_ancestry(&headers, &cc),
        Err(ChainError::Link { height: Height(3) })
    );
}

#[test]
fn all_envelopes_of_a_rollup_verify_and_nothing_else_does() {
    let fixture = Fixture::new();
    let seven: Vec<_> = (0..5).map(|i| fixture.envelope(7, i)).collect();
    let nine = [fixture.envelope(9, 1)];
    let block = fixture.block(vec![
        fixture.batch(1, &[&seven[..3], &nine]),
        fixture.batch(2, &[&nine]),
        fixture.batch(3, &[&seven[3..]]),
    ]);
    let seventh = RollupId(7);
    assert_eq!(verify_complete(&block, seventh, &seven), Ok(()));
    assert!(matches!(
        verify_complete(&block, seventh, &seven[..4]),
        Err(ContentsError::Count {
            found: 4,
            expected: 5,
            ..
        })
    ));
    let mut swapped = seven.clone();
    swapped.swap(0, 1);
    let wrong = |batch| {
        Err(ContentsError::Root {
            height: Height(1),
            rollup: seventh,
            batch,
        })
    };
    assert_eq!(verify_complete(&block, seventh, &swapped), wrong(0));
    let mut replaced = seven.clone();
    replaced[4] = fixture.envelope(7, 77);
    assert_eq!(verify_complete(&block, seventh, &replaced), wrong(2));
    assert_eq!(verify_absent(&block, RollupId(8)), Ok(()));
    assert!(verify_absent(&block, RollupId(9)).is_err());
    let path = MerkleTree::new(&ids(&seven[..3]))
        .path(1)
        .expect("in range");
    assert_eq!(
        verify_included(&block, seventh, 0, seven[1].id(), &path),
        Ok(())
    );
    assert_eq!(
        verify_included(&block, seventh, 0, seven[0].id(), &path),
        wrong(0)
    );
    assert_eq!(
        verify_included(&block, seventh, 2, seven[1].id(), &path),
        wrong(2)
    );
    // Dropping a whole batch shows in the body.
    let mut short = block;
    short.batches.pop();
    assert!(matches!(
        verify_absent(&short, RollupId(8)),
        Err(ContentsError::Chain(_))
    ));
}

#[test]
fn a_second_entry_for_a_rollup_is_refused() {
    let fixture = Fixture::new();
    let (one, two) = ([fixture.envelope(7, 1)], [fixture.envelope(7, 2)]);
    let block = fixture.block(vec![fixture.batch(1, &[&one, &two])]);
    assert_eq!(
        verify_complete(&block, RollupId(7), &one),
        Err(ContentsError::Unsorted {
            height: Height(1),
            batch: 0
        })
    );
}
