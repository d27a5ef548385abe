//! One validator's sequencer with what its host gives it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock};

use conclave_crypto::{Coder, EdSecret};
use conclave_ledger::{Ledger, VoteKeys};
use conclave_market::{ContentSource, OrderedTransaction, ProofRejected, Verifier};
use conclave_seal::{Ceremony, KeyGeneration, KeyShares, Tdh2};
use conclave_sequencer::{
    Config, DeliveryRecord, Done, LedgerReference, Recovered, Sequencer, Tools, Work,
};
use conclave_types::{
    Digest, Genesis, Height, ProgramVersion, ProofSystem, Range, RollupId, SealingKey, Statement,
    ValidatorIndex,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::committee::{Model, SIZE, committee, genesis};

/// The genesis and the secret halves of its sealing key.
pub(super) struct World {
    pub(super) genesis: Genesis,
    seals: Vec<Arc<Tdh2>>,
    ledger: Arc<Ledger>,
}

/// Made at the first call, by a real key generation.
pub(super) fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let (shares, sealing) = generate();
        let weights = [1; SIZE as usize];
        let seals = shares.into_iter().zip(0..).map(|(shares, index)| {
            let own = Some((ValidatorIndex(index), shares));
            Arc::new(Tdh2::new(&sealing, &weights, own, [7; 32]).expect("its own keys"))
        });
        let seals = seals.collect();
        let genesis = genesis(sealing);
        let ledger = Arc::new(Ledger::genesis(&genesis));
        World {
            genesis,
            seals,
            ledger,
        }
    })
}

fn generate() -> (Vec<KeyShares>, SealingKey) {
    let mut random = ChaCha20Rng::seed_from_u64(7);
    let ceremony = Ceremony {
        context: Digest([7; 32]),
        weights: vec![1; usize::from(SIZE)],
    };
    let (mut parts, mut queue) = (Vec::new(), Vec::new());
    for index in (0..SIZE).map(ValidatorIndex) {
        let started = KeyGeneration::start(ceremony.clone(), index, &mut random);
        let (part, message) = started.expect("a valid committee");
        parts.push(part);
        queue.push((index, message));
    }
    while let Some((from, message)) = queue.pop() {
        for (to, part) in (0..).map(ValidatorIndex).zip(&mut parts) {
            if to != from {
                let progress = part.handle(from, &message).expect("honest dealers");
                queue.extend(progress.send.map(|message| (to, message)));
            }
        }
    }
    let finished = parts.into_iter().map(|part| part.finish().expect("all in"));
    let (shares, mut keys): (Vec<_>, Vec<_>) = finished.unzip();
    (shares, keys.pop().expect("four of them"))
}

/// The opened transactions of a validator.
#[derive(Default)]
struct Contents(Mutex<BTreeMap<(RollupId, u64), OrderedTransaction>>);

impl ContentSource for Contents {
    fn transactions(&self, range: &Range) -> Option<Vec<OrderedTransaction>> {
        let contents = self.0.lock().expect("one thread");
        let found: Option<Vec<_>> = (range.from.0..range.to.0)
            .map(|index| contents.get(&(range.rollup, index)).cloned())
            .collect();
        found
    }
}

/// Takes a proof by its first byte: who proves what is not the question here.
struct FirstByte;

/// The program that rollups may register.
pub(super) const PROGRAM: ProgramVersion = ProgramVersion(Digest([7; 32]));

impl Verifier for FirstByte {
    fn knows(&self, program: &ProgramVersion) -> bool {
        *program == PROGRAM
    }

    fn verify(
        &self,
        _: &Statement,
        _: ProofSystem,
        _: &[OrderedTransaction],
        _: &[u32],
        proof: &[u8],
    ) -> Result<(), ProofRejected> {
        match proof.first() {
            Some(1) => Ok(()),
            _ => Err(ProofRejected {
                code: "FUZZ-001",
                reason: "another first byte".into(),
            }),
        }
    }
}

pub(super) struct Member {
    pub(super) sequencer: Sequencer,
    /// All money, which never changes.
    pub(super) supply: u128,
    tools: Tools,
    contents: Arc<Contents>,
    work: VecDeque<Work>,
    executed: Height,
}

impl Member {
    pub(super) fn new(world: &World, index: u16) -> Self {
        let (genesis, index) = (&world.genesis, ValidatorIndex(index));
        let key = EdSecret::from_seed(&[index.0 as u8 + 1; 32]);
        let share_key = EdSecret::from_seed(&key.to_seed());
        let config = Config {
            chain: genesis.chain_id(),
            index,
            committees: vec![Arc::new(committee(genesis))],
            epoch_first: Height(1),
            grace_blocks: genesis.consensus.grace_blocks,
            order_deadline_blocks: genesis.consensus.order_deadline_blocks,
            view_timeout_ms: genesis.consensus.view_timeout_ms,
            view_timeout_ms_max: genesis.consensus.view_timeout_ms_max,
            sign: Box::new(move |message| key.sign(message)),
        };
        let ledger = world.ledger.clone();
        let tip = LedgerReference {
            height: Height(0),
            root: ledger.root(),
        };
        let recovered = Recovered {
            ledger: ledger.clone(),
            height: Height(0),
            held: Vec::new(),
            mempool: Vec::new(),
            ordered: Vec::new(),
            batches: Vec::new(),
            certificates: Vec::new(),
            roots: Vec::new(),
            tip,
            committed: Height(0),
        };
        // Its first actions wake it up later, and there is nothing to recover.
        let (sequencer, _) = Sequencer::new(config, recovered, 0);
        let contents = Arc::new(Contents::default());
        let tools = Tools {
            seal: world.seals[usize::from(index.0)].clone(),
            verifier: Arc::new(FirstByte),
            contents: contents.clone(),
            votes: VoteKeys {
                chain: genesis.chain_id(),
                committees: Arc::new(Model(index)),
            },
            coder: Coder::default(),
            sign: Arc::new(move |message| share_key.sign(message)),
        };
        Self {
            sequencer,
            supply: ledger.totals().supply,
            tools,
            contents,
            work: VecDeque::new(),
            executed: Height(0),
        }
    }

    pub(super) fn take_on(&mut self, work: Work) {
        self.work.push_back(work);
    }

    /// Does the oldest piece of work.
    pub(super) fn work(&mut self) -> Option<Done> {
        let work = self.work.pop_front()?;
        Some(work.run(&mut self.tools))
    }

    pub(super) fn deliver(&self, rollup: RollupId, height: Height, record: &DeliveryRecord) {
        let delivery = &record.delivery;
        let mut contents = self.contents.0.lock().expect("one thread");
        for (index, bytes) in (delivery.first.0..).zip(&delivery.transactions) {
            let bytes = bytes.clone();
            contents.insert((rollup, index), OrderedTransaction { height, bytes });
        }
    }

    pub(super) fn executed(&mut self, height: Height) {
        assert_eq!(height.0, self.executed.0 + 1, "executed out of order");
        self.executed = height;
    }
}
