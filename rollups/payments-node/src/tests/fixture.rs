//! A devnet rollup in a temporary folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use conclave_payments::{Address, Draft, Payment, PaymentContext, State};
use conclave_types::RollupId;
use tempfile::TempDir;

use crate::metrics::Metrics;
use crate::owner::{Handle, Owner, OwnerOptions, RecoveredFlight};
use crate::purse::Purse;
use crate::queue::QueueLimits;
use crate::replica::{Delivery, Judged};
use crate::store::{Identity, Store};
use crate::{DevnetConfig, RollupError, RollupGenesis, RollupNodeConfig, devnet, prepare_genesis};

pub(super) const EXPIRY: u64 = 1_000;
pub(super) const CHAIN: [u8; 32] = [9; 32];
pub(super) const LIMITS: QueueLimits = QueueLimits {
    pending_max: 1_000,
    pending_sender_max: 64,
};

pub(super) struct Fixture {
    pub(super) folder: TempDir,
    pub(super) config: RollupNodeConfig,
    pub(super) genesis: RollupGenesis,
    pub(super) context: PaymentContext,
}

/// An owner on its thread.
pub(super) struct Running {
    pub(super) handle: Handle,
    pub(super) thread: JoinHandle<Result<(), RollupError>>,
    pub(super) flights: Vec<RecoveredFlight>,
    pub(super) position: (u64, u64),
    pub(super) metrics: Arc<Metrics>,
}

pub(super) fn config(folder: &Path, accounts: u32) -> RollupNodeConfig {
    RollupNodeConfig {
        rollup: RollupId(3),
        name: "payments".into(),
        token: "TEST".into(),
        chain_genesis: folder.join("genesis.toml"),
        genesis: folder.join("rollup-genesis.toml"),
        nodes: vec!["http://127.0.0.1:1".into()],
        data: folder.join("data"),
        listen: ([127, 0, 0, 1], 0).into(),
        operator_key: folder.join("operator.key"),
        registration: crate::RegistrationConfig::default(),
        gateway: crate::GatewayConfig::default(),
        devnet: Some(DevnetConfig {
            accounts,
            ..DevnetConfig::default()
        }),
    }
}

/// Files of a genesis, by name; deriving all key trees anew for every test would take most of the
/// tests' time.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn template(accounts: u32) -> Files {
    static TEMPLATES: Mutex<BTreeMap<u32, Files>> = Mutex::new(BTreeMap::new());
    let mut templates = TEMPLATES.lock().expect("lock");
    let made = templates.entry(accounts).or_insert_with(|| {
        let folder = tempfile::tempdir().expect("temporary folder");
        prepare_genesis(&config(folder.path(), accounts)).expect("genesis");
        let wallets = (0..accounts + 2).map(|n| format!("data/wallets/{n}.leaves"));
        let names = wallets.chain(["rollup-genesis.toml".into()]);
        let read = |name: String| {
            let bytes = std::fs::read(folder.path().join(&name)).expect("readable");
            (PathBuf::from(name), bytes)
        };
        names.map(read).collect()
    });
    made.clone()
}

impl Fixture {
    pub(super) fn new(accounts: u32) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        for (name, bytes) in template(accounts) {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, bytes).expect("written");
        }
        Self::load(folder, accounts)
    }

    /// With everything derived anew.
    pub(super) fn derived(accounts: u32) -> Self {
        Self::load(tempfile::tempdir().expect("temporary folder"), accounts)
    }

    fn load(folder: TempDir, accounts: u32) -> Self {
        let config = config(folder.path(), accounts);
        let genesis = prepare_genesis(&config).expect("genesis");
        Self {
            context: PaymentContext {
                chain: CHAIN,
                rollup: config.rollup.0,
            },
            folder,
            config,
            genesis,
        }
    }

    pub(super) fn state(&self) -> State {
        self.genesis.state().expect("state")
    }

    pub(super) fn devnet(&self) -> &DevnetConfig {
        self.config.devnet.as_ref().expect("a devnet")
    }

    pub(super) fn address(&self, number: u32) -> Address {
        let allocation = self
            .genesis
            .accounts
            .iter()
            .find(|a| a.address.slot == number);
        allocation.expect("an account").address
    }

    /// The wallet of account `number`, which lives in the slot of that number.
    pub(super) fn purse(&self, number: u32) -> Purse {
        Purse {
            address: self.address(number),
            wallet: devnet::open_wallet(&self.config.data, self.devnet(), number).expect("wallet"),
        }
    }

    pub(super) fn draft(&self, from: u32, nonce: u64, to: u32, amount: u64) -> Draft {
        Draft {
            sender: from,
            nonce,
            receiver: self.address(to),
            amount,
            fee: 1,
            expiry: EXPIRY,
        }
    }

    /// A signed payment.
    pub(super) fn pay(&self, purse: &mut Purse, nonce: u64, to: u32, amount: u64) -> Payment {
        let draft = self.draft(purse.address.slot, nonce, to, amount);
        purse.pay(&self.context, &draft).expect("signed")
    }

    pub(super) fn database(&self) -> PathBuf {
        self.folder.path().join("test.redb")
    }

    pub(super) fn start(&self, database: &Path) -> Running {
        let state = self.state();
        let identity = Identity {
            chain: CHAIN,
            rollup: self.config.rollup.0,
            genesis_root: state.root(),
        };
        let store = Store::open(database, &identity).expect("store");
        let options = OwnerOptions {
            limits: LIMITS,
            envelope_payments: 10,
        };
        let metrics = Arc::new(Metrics::default());
        let (owner, handle, flights) =
            Owner::new(store, &state, options, metrics.clone()).expect("owner");
        let position = owner.position();
        Running {
            handle,
            thread: std::thread::spawn(move || owner.run()),
            flights,
            position,
            metrics,
        }
    }

    /// One height of the stream.
    pub(super) fn delivery(
        &self,
        first_index: u64,
        height: u64,
        transactions: &[Vec<u8>],
        envelope: [u8; 32],
    ) -> Delivery {
        let judge = |bytes: &Vec<u8>| Judged::new(&self.context, height, bytes.clone());
        Delivery {
            first_index,
            next_height: height + 1,
            transactions: transactions.iter().map(judge).collect(),
            envelopes: vec![envelope],
        }
    }
}

impl Running {
    /// Stops in order: the owner writes its snapshot.
    pub(super) async fn stop(self) {
        self.handle.stop().await;
        self.thread.join().expect("no panic").expect("no error");
    }
}
