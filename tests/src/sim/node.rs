//! One simulated validator: a production replica and its durable state.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use conclave_consensus::{Engine, EngineConfig};
use conclave_crypto::{Coder, Committee, EdSecret, Signatures};
use conclave_ledger::{Ledger, VoteKeys};
use conclave_market::{ContentSource, OrderedTransaction, Verifier};
use conclave_node::{Effect, EngineFactory, Keyring, Operator, Record, Replica, Succession};
use conclave_seal::{Participant, SealScheme};
use conclave_sequencer::{self as sequencing, DeliveryRecord, Sequencer, Tools};
use conclave_types::{
    Epoch, EpochSetup, Genesis, Height, KeyGenerationPhase, KeyGenerationPost, Range, RollupId,
    SystemOp, ValidatorIndex,
};

use super::disk::Disk;
use crate::byzantine::Byzantine;
use crate::model::{ModelSeal, SameKeys};

/// The opened transactions of a node, for verifying proofs.
#[derive(Default)]
pub(crate) struct Contents(Mutex<BTreeMap<(RollupId, u64), OrderedTransaction>>);

impl Contents {
    /// Takes the transactions of a delivery; nothing of other records.
    pub(crate) fn add(&self, record: &Record) {
        if let Record::Sequencing(write) = record
            && let sequencing::Write::Delivery {
                rollup,
                height,
                record,
            } = write.as_ref()
        {
            self.deliver(*rollup, *height, record);
        }
    }

    fn deliver(&self, rollup: RollupId, height: Height, record: &DeliveryRecord) {
        let mut contents = self.0.lock().expect("one thread");
        let delivery = &record.delivery;
        for (index, bytes) in (delivery.first.0..).zip(&delivery.transactions) {
            let bytes = bytes.clone();
            contents.insert((rollup, index), OrderedTransaction { height, bytes });
        }
    }
}

impl ContentSource for Contents {
    fn transactions(&self, range: &Range) -> Option<Vec<OrderedTransaction>> {
        let contents = self.0.lock().expect("one thread");
        let of = |index| (range.rollup, index);
        let found = contents.range(of(range.from.0)..of(range.to.0));
        let found = found.map(|(_, transaction)| transaction.clone());
        Some(found.collect::<Vec<_>>()).filter(|found| found.len() as u64 == range.count())
    }
}

/// Keys, scheme and programs of one validator, the same in every incarnation.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) index: ValidatorIndex,
    pub(crate) signatures: Arc<dyn Signatures>,
    /// Of the first epoch.
    pub(crate) seal: Arc<dyn SealScheme>,
    /// What models of later epochs' keys, and the parts in their generation, are made from.
    pub(crate) model_seed: u64,
    pub(crate) verifier: Arc<dyn Verifier + Send + Sync>,
    pub(crate) receipts: [u8; 32],
}

/// A validator, up or down.
pub(crate) struct Node {
    pub(crate) identity: Identity,
    pub(crate) disk: Disk,
    pub(crate) up: Option<Up>,
    /// What bends it, if it lies.
    pub(crate) byzantine: Option<Byzantine>,
    /// Which rule is off.
    #[cfg(feature = "broken-rules")]
    pub(crate) broken: Option<super::Broken>,
    /// Counts restarts, so that what was meant for a dead incarnation is not given to the next.
    pub(crate) incarnation: u32,
}

/// What is lost in a crash.
pub(crate) struct Up {
    pub(crate) replica: Replica,
    pub(crate) tools: Tools,
    pub(crate) contents: Arc<Contents>,
    pub(crate) ledger: Arc<Ledger>,
    /// Writes on their way to the disk, with what waits for each.
    pub(crate) writing: VecDeque<(Vec<Record>, Vec<Effect>)>,
    pub(crate) disk_free_us: u64,
    pub(crate) wake_ms: u64,
    /// What was last said in a key generation.
    said: Option<(Epoch, u32, KeyGenerationPhase)>,
}

impl Node {
    pub(crate) fn new(identity: Identity) -> Self {
        Self {
            identity,
            disk: Disk::default(),
            up: None,
            byzantine: None,
            #[cfg(feature = "broken-rules")]
            broken: None,
            incarnation: 0,
        }
    }

    /// Whether it answers when it is asked for something.
    pub(crate) fn serves(&self) -> bool {
        self.byzantine.as_ref().is_none_or(Byzantine::serves)
    }

    /// Starts the next incarnation from the disk; what must be executed again is returned.
    pub(crate) fn start(&mut self, genesis: &Genesis, now_ms: u64) -> Vec<sequencing::Input> {
        let recovered = self.disk.recover(genesis);
        #[cfg(feature = "broken-rules")]
        let recovered = self.with_broken_ledger(recovered);
        let contents = Arc::new(Contents::default());
        for ((rollup, height), record) in &self.disk.deliveries {
            contents.deliver(*rollup, *height, record);
        }
        let keyring = Arc::new(Keyring::default());
        keyring.insert(Epoch(0), self.identity.seal.clone());
        let take_up = self.take_up(&keyring);
        let known = recovered.changes.iter().map(|change| &change.setup);
        known.for_each(&take_up);
        let tools = Tools {
            seal: keyring.clone(),
            verifier: self.identity.verifier.clone(),
            contents: contents.clone(),
            votes: VoteKeys {
                chain: genesis.chain_id(),
                committees: Arc::new(SameKeys {
                    votes: self.identity.signatures.clone(),
                    shares: self.identity.seal.clone(),
                }),
            },
            coder: Coder::default(),
            sign: {
                let transport = EdSecret::from_seed(&self.identity.receipts);
                Arc::new(move |message| transport.sign(message))
            },
        };
        let resumed = recovered.agreement;
        let setup_of = Box::new(move |ledger: &Ledger, epoch| {
            let setup = ledger.epoch_setup(epoch)?;
            take_up(setup);
            Some(setup.clone())
        });
        let succession = Succession::new(self.engines(genesis), setup_of, &resumed);
        let engine = succession
            .engine(&resumed.setup, resumed.origin, resumed.recovered)
            .expect("our own setup");
        let receipts = EdSecret::from_seed(&self.identity.receipts);
        let account = EdSecret::from_seed(&self.identity.receipts);
        let operator = Operator {
            chain: genesis.chain_id(),
            account: account.account(),
            sign: Box::new(move |message| account.sign(message)),
        };
        let executed = recovered.sequencing.height;
        let serving = conclave_node::serving(genesis, &recovered.changes, executed);
        let (committees, epoch_first) = serving.expect("our own setups");
        let config = sequencing::Config {
            chain: genesis.chain_id(),
            index: self.identity.index,
            committees,
            epoch_first,
            grace_blocks: genesis.consensus.grace_blocks,
            order_deadline_blocks: genesis.consensus.order_deadline_blocks,
            view_timeout_ms: genesis.consensus.view_timeout_ms,
            view_timeout_ms_max: genesis.consensus.view_timeout_ms_max,
            sign: Box::new(move |message| receipts.sign(message)),
        };
        let ledger = recovered.sequencing.ledger.clone();
        let (sequencer, initial) = Sequencer::new(config, recovered.sequencing, now_ms);
        #[cfg(feature = "broken-rules")]
        let sequencer = self.without_rule(sequencer);
        self.incarnation += 1;
        self.up = Some(Up {
            replica: Replica::new(engine, succession, sequencer, initial, Some(operator)),
            tools,
            contents,
            ledger,
            writing: VecDeque::new(),
            disk_free_us: 0,
            wake_ms: u64::MAX,
            said: None,
        });
        conclave_node::replayed(recovered.replay, &recovered.changes)
    }

    /// Puts models of later epochs' keys on the ring: what a real key opens is shown by the seeds with
    /// real ones, and here it is who opens what and when.
    fn take_up(&self, keyring: &Arc<Keyring>) -> impl Fn(&EpochSetup) + Send + use<> {
        let (keyring, index) = (keyring.clone(), self.identity.index);
        let seed = self.identity.model_seed;
        move |setup| {
            let committee = Committee::of_epoch(setup).expect("the ledger's own setup");
            let model = ModelSeal::new(seed, Some(index), committee);
            keyring.insert(setup.epoch, Arc::new(model));
        }
    }

    /// What this member says in the key generation that its newest ledger knows of.
    pub(crate) fn speak(&mut self) -> Option<SystemOp> {
        let up = self.up.as_mut()?;
        let ledger = up.ledger.clone();
        let view = ledger.key_generation()?;
        let (epoch, attempt) = (view.round().epoch(), view.round().attempt());
        let board = view.board();
        let now = (epoch, attempt, board.phase());
        if up.said == Some(now) {
            return None;
        }
        let validator = self.identity.index;
        let mut seed = [validator.0 as u8; 32];
        seed[..8].copy_from_slice(&self.identity.model_seed.to_le_bytes());
        seed[8..16].copy_from_slice(&epoch.0.to_le_bytes());
        let message = Participant::new(validator, &seed).next(&board)?;
        up.said = Some(now);
        let post = KeyGenerationPost {
            epoch,
            attempt,
            validator,
            message,
        };
        Some(SystemOp::KeyGeneration(Box::new(post)))
    }

    /// Makes the engine of each epoch: a slot keeps its key through all of them.
    fn engines(&self, genesis: &Genesis) -> EngineFactory {
        let (chain, parameters) = (genesis.chain_id(), genesis.consensus.clone());
        let (index, signatures) = (self.identity.index, self.identity.signatures.clone());
        #[cfg(feature = "broken-rules")]
        let broken = self.broken;
        Box::new(move |setup, origin, recovered| {
            let config = EngineConfig {
                chain,
                committee: Committee::of_epoch(setup).map_err(|error| error.to_string())?,
                index,
                parameters: parameters.clone(),
                origin,
            };
            let engine = Engine::new(config, signatures.clone(), Some(recovered));
            #[cfg(feature = "broken-rules")]
            let engine = without_rule(engine, broken);
            Ok(engine)
        })
    }

    #[cfg(feature = "broken-rules")]
    fn with_broken_ledger(&self, mut recovered: super::disk::Recovered) -> super::disk::Recovered {
        if let Some(super::Broken::Ledger(rule)) = self.broken {
            Arc::make_mut(&mut recovered.sequencing.ledger).break_rule(rule);
        }
        recovered
    }

    #[cfg(feature = "broken-rules")]
    fn without_rule(&self, mut sequencer: Sequencer) -> Sequencer {
        match self.broken {
            Some(super::Broken::EarlyShares) => sequencer.break_early_shares(),
            Some(super::Broken::Inclusion) => sequencer.break_inclusion(),
            Some(super::Broken::Agreement(_) | super::Broken::Ledger(_)) | None => {}
        }
        sequencer
    }
}

#[cfg(feature = "broken-rules")]
fn without_rule(mut engine: Engine, broken: Option<super::Broken>) -> Engine {
    if let Some(super::Broken::Agreement(rule)) = broken {
        engine.break_rule(rule);
    }
    engine
}
