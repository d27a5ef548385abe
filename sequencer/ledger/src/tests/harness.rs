//! A small chain around the production ledger: it builds blocks, runs a fee ledger ahead, stores
//! what is delivered, and checks after every block what must always hold.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use conclave_crypto::{EdSecret, ShareProofs, ShareRow, Signatures};
use conclave_market::{ContentSource, OrderedTransaction, ProofRejected, Verifier};
use conclave_types::*;

use crate::*;

pub(crate) const PROGRAM: ProgramVersion = ProgramVersion(Digest([7; 32]));
pub(crate) const NEW_PROGRAM: ProgramVersion = ProgramVersion(Digest([8; 32]));
pub(crate) const GENESIS_ROOT: StateRoot = StateRoot(Digest([9; 32]));
pub(crate) const ROLLUP: RollupId = RollupId(1);
pub(crate) const OWNER: u8 = 1;

pub(crate) fn account(n: u8) -> AccountId {
    AccountId(Digest([n; 32]))
}

pub(crate) fn root(n: u8) -> StateRoot {
    StateRoot(Digest([n; 32]))
}

/// Valid proofs are digests under a key that only tests know.
pub(crate) struct KeyedVerifier;

pub(crate) fn prove(
    statement: &Statement,
    system: ProofSystem,
    contents: &[OrderedTransaction],
    excluded: &[u32],
) -> Vec<u8> {
    let mut hasher = Domain::Statement
        .hasher()
        .part(b"only tests know this key")
        .part(&codec::encode(&(statement, system)))
        .part(&codec::encode(&excluded));
    for transaction in contents {
        hasher = hasher.part(&transaction.bytes);
    }
    hasher.digest().0.to_vec()
}

impl Verifier for KeyedVerifier {
    fn knows(&self, program: &ProgramVersion) -> bool {
        [PROGRAM, NEW_PROGRAM].contains(program)
    }

    fn verify(
        &self,
        statement: &Statement,
        system: ProofSystem,
        contents: &[OrderedTransaction],
        excluded: &[u32],
        proof: &[u8],
    ) -> Result<(), ProofRejected> {
        match prove(statement, system, contents, excluded) == proof {
            true => Ok(()),
            false => Err(ProofRejected {
                code: "TEST-001",
                reason: "wrong key".into(),
            }),
        }
    }
}

/// Signatures that only know who signed what.
pub(crate) struct Quick(pub(crate) ValidatorIndex);

impl Quick {
    fn signature(signer: ValidatorIndex, message: &Digest) -> BlsSignature {
        let hasher = Domain::Simulation.hasher();
        let wide = hasher.part(&signer.0.to_le_bytes()).part(&message.0).wide();
        BlsSignature(wide[..48].try_into().expect("48 of 64"))
    }
}

impl Signatures for Quick {
    fn sign(&self, message: &Digest) -> BlsSignature {
        Self::signature(self.0, message)
    }

    fn verify(&self, signer: ValidatorIndex, message: &Digest, signature: &BlsSignature) -> bool {
        Self::signature(signer, message) == *signature
    }

    fn aggregate(&self, _: &[BlsSignature]) -> Option<BlsSignature> {
        None
    }

    fn verify_aggregate(&self, _: &[(Digest, Signers)], _: &BlsSignature) -> bool {
        false
    }
}

/// A share is right when it is the point itself.
impl ShareProofs for Quick {
    fn holds(&self, row: &ShareRow<'_>, sealed: &[Point], _: &BatchedDleq) -> bool {
        row.shares == sealed
    }
}

pub(crate) fn votes() -> VoteKeys {
    VoteKeys {
        chain: genesis().chain_id(),
        committees: Arc::new(Quick(ValidatorIndex(0))),
    }
}

/// A possession is proven by a signature whose first byte is the key's.
impl Committees for Quick {
    fn signatures(&self, _: &EpochSetup) -> Arc<dyn Signatures> {
        Arc::new(Self(self.0))
    }

    fn shares(&self, _: &EpochSetup) -> Option<Arc<dyn ShareProofs>> {
        Some(Arc::new(Self(self.0)))
    }

    fn is_possessed(&self, info: &ValidatorInfo) -> bool {
        info.bls_key.0[0] == info.bls_possession.0[0]
    }
}

#[derive(Default, Clone)]
pub(crate) struct Store(pub(crate) BTreeMap<RollupId, Vec<OrderedTransaction>>);

impl ContentSource for Store {
    fn transactions(&self, range: &Range) -> Option<Vec<OrderedTransaction>> {
        let stream = self.0.get(&range.rollup)?;
        let part = stream.get(range.from.0 as usize..range.to.0 as usize)?;
        Some(part.to_vec())
    }
}

/// What a test submits.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) header: EnvelopeHeader,
    pub(crate) content: Content,
}

/// A committed block that waits for execution.
struct Committed {
    block: ExecutableBlock,
    dispositions: Vec<Disposition>,
}

pub(crate) struct World {
    pub(crate) ledger: Ledger,
    pub(crate) ahead: FeeLedger,
    pub(crate) store: Store,
    /// Everything that happened.
    pub(crate) events: Vec<LedgerEvent>,
    /// Committed blocks that stay unexecuted.
    pub(crate) lag: usize,
    /// Milliseconds between blocks.
    pub(crate) step_ms: u64,
    pub(crate) proposer: ValidatorIndex,
    pub(crate) rotate: bool,
    /// Of the next block.
    pub(crate) epoch: Epoch,
    supply: u128,
    committed: VecDeque<Committed>,
    height: Height,
    time: BlockTime,
    sequences: BTreeMap<AccountId, u64>,
    sealed: BTreeMap<EnvelopeId, Content>,
    streams: BTreeMap<RollupId, Digest>,
}

/// A validator's transport key.
pub(crate) fn transport(validator: u16) -> EdSecret {
    EdSecret::from_seed(&[validator as u8; 32])
}

pub(crate) fn genesis() -> Genesis {
    let validators = (0..4).map(|n| ValidatorInfo {
        name: format!("v{n}"),
        weight: 1,
        bls_key: BlsPublicKey([n; 96]),
        bls_possession: BlsSignature([n; 48]),
        transport_key: transport(n.into()).transport_key(),
        account: account(100 + n),
        address: String::new(),
        api: String::new(),
    });
    let allocations = (1..=9).map(|n| Allocation {
        account: account(n),
        balance: Amount(1_000_000),
        fees: Amount(100_000),
    });
    Genesis {
        name: "test".into(),
        time: BlockTime(1_000),
        validators: validators.collect(),
        sealing: SealingKey {
            key: Point([0; 32]),
            shares: vec![Point([0; 32]); 4],
            transcript: Digest::ZERO,
        },
        allocations: allocations.collect(),
        consensus: ConsensusParameters::default(),
        fees: FeeParameters::default(),
        market: MarketParameters::default(),
    }
}

pub(crate) fn config() -> RollupConfig {
    RollupConfig {
        name: "payments".into(),
        owner: account(OWNER),
        program: PROGRAM,
        genesis_root: GENESIS_ROOT,
        policy: ProofPolicy::Any {
            systems: vec![ProofSystem::Winterfell],
            required: 1,
        },
        reserve_price: Amount(10),
        reserve_price_max: Amount(20),
        range_transactions: 4,
        range_age_ms: 60_000,
        deadline_ms: 2_000,
        bond_percent: 150,
        fee_share_percent: 20,
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of(&genesis())
    }

    pub(crate) fn of(genesis: &Genesis) -> Self {
        let ledger = Ledger::genesis(genesis);
        Self {
            supply: ledger.totals().supply,
            ahead: ledger.fees().clone(),
            ledger,
            store: Store::default(),
            events: Vec::new(),
            lag: 0,
            step_ms: 100,
            proposer: ValidatorIndex(0),
            rotate: true,
            epoch: Epoch(0),
            committed: VecDeque::new(),
            height: Height(0),
            time: BlockTime(1_000),
            sequences: BTreeMap::new(),
            sealed: BTreeMap::new(),
            streams: BTreeMap::new(),
        }
    }

    /// A registered, funded rollup and provers 2, 3 and 4 with bonds.
    pub(crate) fn with_market() -> Self {
        let mut world = Self::new();
        let register = SystemOp::RegisterRollup {
            rollup: ROLLUP,
            config: config(),
        };
        let fund = SystemOp::FundRollup {
            rollup: ROLLUP,
            amount: Amount(10_000),
        };
        let mut sent = vec![world.op(OWNER, register), world.op(OWNER, fund)];
        for prover in [2, 3, 4] {
            sent.push(world.op(prover, SystemOp::RegisterProver { slots: 2 }));
            let amount = Amount(200);
            sent.push(world.op(prover, SystemOp::PostBond { amount }));
        }
        let executed = world.block(sent);
        assert!(executed.outcomes.iter().all(|o| *o == Outcome::Done));
        world
    }

    fn envelope(
        &mut self,
        payer: u8,
        rollup: RollupId,
        release: ReleaseRule,
        bytes: Vec<u8>,
        plain: bool,
    ) -> Sent {
        let payer = account(payer);
        let sequence = self.sequences.entry(payer).or_default();
        *sequence += 1;
        let sealed = SealedKey {
            c: Point([1; 32]),
            d: Point([2; 32]),
            c_bar: Point([3; 32]),
            commitment: Point([4; 32]),
            commitment_bar: Point([5; 32]),
            response: Scalar([6; 32]),
        };
        let header = EnvelopeHeader {
            core: EnvelopeCore {
                chain: genesis().chain_id(),
                epoch: self.epoch,
                rollup,
                payer,
                sequence: Sequence(*sequence),
                expiry: Height(self.height.0 + 1_000),
                release,
                bucket: Bucket(0),
                fee_max: Amount(u64::MAX),
            },
            body_bytes: bytes.len() as u32,
            body_digest: Domain::EnvelopeBody.digest(&bytes),
            payload: match plain {
                true => Payload::Plain,
                false => Payload::Sealed(sealed),
            },
            signature: EdSignature([0; 64]),
        };
        let content = match plain {
            true => Content::Plain(bytes),
            false => Content::Opened {
                plaintext: bytes,
                m: Point(header.id().0.0),
            },
        };
        Sent { header, content }
    }

    /// A plain system operation.
    pub(crate) fn op(&mut self, payer: u8, op: SystemOp) -> Sent {
        let bytes = codec::encode(&op);
        self.envelope(payer, RollupId::SYSTEM, ReleaseRule::OnCommit, bytes, true)
    }

    /// A sealed envelope of transactions.
    pub(crate) fn transactions(&mut self, payer: u8, rollup: RollupId, count: usize) -> Sent {
        let transactions: Vec<_> = (0..count).map(|n| vec![payer, n as u8]).collect();
        let bytes = encode_transactions(&transactions).expect("few");
        self.sealed(payer, rollup, bytes)
    }

    /// A sealed envelope of any plaintext.
    pub(crate) fn sealed(&mut self, payer: u8, rollup: RollupId, bytes: Vec<u8>) -> Sent {
        self.envelope(payer, rollup, ReleaseRule::OnCommit, bytes, false)
    }

    /// A sealed bid.
    pub(crate) fn bid(&mut self, payer: u8, auction: AuctionId, price: u64) -> Sent {
        let price = Amount(price);
        let bytes = codec::encode(&SystemOp::Bid(Bid { auction, price }));
        let release = ReleaseRule::AtClose(auction);
        let sent = self.envelope(payer, RollupId::SYSTEM, release, bytes, false);
        self.sealed.insert(sent.header.id(), sent.content.clone());
        sent
    }

    /// Changes what a sealed bid opens to.
    pub(crate) fn respond(&mut self, bid: &Sent, content: Content) {
        self.sealed.insert(bid.header.id(), content);
    }

    /// A valid proof of the auction's range, as things stand.
    pub(crate) fn submission(&self, prover: u8, auction: AuctionId, new: u8) -> ProofSubmission {
        let intent = &self.ledger.auction(auction).expect("auction").intent;
        let settled = self.ledger.settled(intent.range.rollup).expect("rollup");
        let old_root = match &self.ledger.auction(auction).expect("auction").phase {
            conclave_market::Phase::Settled(settlement) => settlement.old_root,
            _ => settled.root,
        };
        let statement = Statement {
            chain: genesis().chain_id(),
            program: intent.program,
            prover: account(prover),
            range: intent.range,
            old_root,
            new_root: root(new),
        };
        let contents = self.store.transactions(&intent.range).expect("contents");
        ProofSubmission {
            auction,
            system: ProofSystem::Winterfell,
            new_root: root(new),
            excluded: vec![],
            proof: prove(&statement, ProofSystem::Winterfell, &contents, &[]),
        }
    }

    /// That proof in an envelope of its maker.
    pub(crate) fn proof(&mut self, prover: u8, auction: AuctionId, new: u8) -> Sent {
        let submission = self.submission(prover, auction, new);
        self.op(prover, SystemOp::SubmitProof(submission))
    }

    /// Commits a block, and executes the one `lag` before it. Returns the last executed.
    pub(crate) fn block(&mut self, sent: Vec<Sent>) -> Executed {
        self.commit(sent).expect("a block was executed")
    }

    pub(crate) fn commit(&mut self, sent: Vec<Sent>) -> Option<Executed> {
        self.height = self.height.next();
        self.time = BlockTime(self.time.0 + self.step_ms);
        if self.rotate {
            self.proposer = ValidatorIndex((self.proposer.0 + 1) % 4);
        }
        let headers: Vec<OrderedEnvelope<'_>> = sent
            .iter()
            .map(|sent| OrderedEnvelope {
                header: &sent.header,
                author: ValidatorIndex(2),
            })
            .collect();
        let mut block = ExecutableBlock {
            height: self.height,
            epoch: self.epoch,
            time: self.time,
            proposer: self.proposer,
            ledger_height: self.ledger.height(),
            entries: Vec::new(),
            bids: Vec::new(),
        };
        let named = block.ledger_height;
        if self
            .ledger
            .epoch_end(named, self.epoch, self.height)
            .is_some()
        {
            self.epoch = self.epoch.next();
        }
        let dispositions = self
            .ahead
            .order(&block.ordered(), &headers)
            .expect("not behind");
        for (sent, disposition) in sent.iter().zip(&dispositions) {
            let at_close = matches!(sent.header.core.release, ReleaseRule::AtClose(_));
            let content = match (disposition.is_accepted(), at_close) {
                _ if sent.content == Content::Inconsistent => Content::Inconsistent,
                (true, false) => sent.content.clone(),
                (true, true) => Content::Held,
                (false, _) => Content::NotOpened,
            };
            block.entries.push(crate::Entry {
                header: sent.header.clone(),
                author: ValidatorIndex(2),
                content,
            });
        }
        self.committed.push_back(Committed {
            block,
            dispositions,
        });
        (self.committed.len() > self.lag).then(|| self.execute_next())
    }

    fn execute_next(&mut self) -> Executed {
        let mut next = self.committed.pop_front().expect("a committed block");
        let block = &mut next.block;
        for id in self
            .ledger
            .closing(block.time, block.height, block.proposer)
        {
            for header in self.ledger.held_bids(id) {
                let envelope = header.id();
                block.bids.push(ClosedBid {
                    envelope,
                    content: self.sealed[&envelope].clone(),
                });
            }
        }
        let height = next.block.height;
        let executed = self
            .ledger
            .execute(next.block, &self.store, &KeyedVerifier, &votes())
            .expect("everything is here");
        assert_eq!(
            executed.dispositions, next.dispositions,
            "fee ledgers disagree"
        );
        assert_eq!(executed.height, height);
        self.ahead.queue(height, executed.fee_changes.clone());
        self.keep(&executed);
        self.check(&executed);
        self.events.extend(executed.events.clone());
        executed
    }

    fn keep(&mut self, executed: &Executed) {
        for delivery in &executed.deliveries {
            let stream = self.store.0.entry(delivery.rollup).or_default();
            assert_eq!(
                stream.len() as u64,
                delivery.first.0,
                "the stream has a gap"
            );
            for bytes in &delivery.transactions {
                stream.push(OrderedTransaction {
                    height: executed.height,
                    bytes: bytes.clone(),
                });
            }
            let digest = self.streams.entry(delivery.rollup).or_default();
            *digest = StreamLink::new(delivery.height, &delivery.entries).digest(digest);
            assert_eq!(*digest, delivery.digest);
        }
    }

    /// Recounts the money through the public queries and checks what holds between them.
    fn check(&self, executed: &Executed) {
        let totals = self.ledger.totals();
        let parts = totals.balances
            + totals.fee_accounts
            + totals.fee_deposits
            + totals.rollup_funds
            + totals.escrow
            + totals.bonds
            + totals.insurance;
        assert_eq!(parts, totals.supply);
        assert_eq!(totals.supply, self.supply);
        let locked: u64 = self.ledger.provers().map(|(_, p)| p.locked.0).sum();
        let awards = self.ledger.auctions().filter_map(|a| a.award());
        let held = awards.filter(|a| a.stage == conclave_market::Stage::Winner);
        assert_eq!(locked, held.map(|award| award.bond.0).sum::<u64>());
        for (id, rollup) in self.ledger.rollups() {
            assert!(rollup.outstanding.len() <= OUTSTANDING_MAX);
            let mut next = self.ledger.settled(id).expect("settled").next;
            for auction in &rollup.outstanding {
                let range = self.ledger.auction(*auction).expect("kept").intent.range;
                assert_eq!(range.from, next, "outstanding ranges are contiguous");
                assert!(range.count() >= 1 && range.count() <= limits::RANGE_TRANSACTIONS_MAX);
                next = range.to;
            }
        }
        assert_eq!(executed.state_root, self.ledger.root());
    }

    /// Empty blocks.
    pub(crate) fn idle(&mut self, blocks: usize) {
        for _ in 0..blocks {
            self.commit(vec![]);
        }
    }

    /// The rollup's only unfinished auction.
    pub(crate) fn auction(&self) -> AuctionId {
        let outstanding = &self.ledger.rollup(ROLLUP).expect("rollup").outstanding;
        assert_eq!(outstanding.len(), 1);
        outstanding[0]
    }

    /// Four transactions, so that an intent is raised.
    pub(crate) fn intent(&mut self) -> AuctionId {
        let sent = self.transactions(5, ROLLUP, 4);
        self.block(vec![sent]);
        self.auction()
    }

    /// An intent that `bids` compete for, closed.
    pub(crate) fn award(&mut self, bids: &[(u8, u64)]) -> AuctionId {
        let auction = self.intent();
        let bids = bids
            .iter()
            .map(|(prover, price)| self.bid(*prover, auction, *price))
            .collect();
        self.block(bids);
        self.idle(5);
        auction
    }

    pub(crate) fn balance(&self, n: u8) -> u64 {
        self.ledger.account(&account(n)).balance.0
    }

    pub(crate) fn fund(&self) -> u64 {
        self.ledger.rollup(ROLLUP).expect("rollup").fund.0
    }

    pub(crate) fn insurance(&self) -> u64 {
        self.ledger.totals().insurance as u64
    }

    pub(crate) fn happened(&self, what: impl Fn(&LedgerEvent) -> bool) -> usize {
        self.events.iter().filter(|event| what(event)).count()
    }
}
