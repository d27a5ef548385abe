//! A committee of real nodes on loopback, each with its own directory.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use conclave_crypto::{BlsSecret, EdSecret};
use conclave_market::{OrderedTransaction, ProofRejected, Verifier};
use conclave_node::backend::Backend;
use conclave_node::transport::{PeerConfig, Timing, Transport, TransportConfig, TransportEvents};
use conclave_node::{
    GenesisShares, Membership, Node, NodeConfig, NodeError, NodeHandle, NodeKeys, mark_new,
};
use conclave_seal::{Ceremony, KeyGeneration, KeyShares};
use conclave_types::{
    Allocation, Amount, BlockTime, Bucket, ConsensusParameters, Digest, Envelope, EnvelopeCore,
    EnvelopeId, Epoch, EpochSetup, Genesis, Height, Point, ProgramVersion, ProofPolicy,
    ProofSystem, ReleaseRule, RollupConfig, RollupId, Sequence, StateRoot, Statement, SystemOp,
    ValidatorIndex, ValidatorInfo, codec,
};
use rand_core::OsRng;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than anything here takes on a busy machine; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// No program: the rollups of these tests only want order.
struct NoPrograms;

impl Verifier for NoPrograms {
    fn knows(&self, _: &ProgramVersion) -> bool {
        true
    }

    fn verify(
        &self,
        _: &Statement,
        _: ProofSystem,
        _: &[OrderedTransaction],
        _: &[u32],
        _: &[u8],
    ) -> Result<(), ProofRejected> {
        Err(ProofRejected {
            code: "CV-TEST-001",
            reason: "there are no programs here".into(),
        })
    }
}

struct Member {
    bls: [u8; 32],
    transport: [u8; 32],
    /// Of the genesis' key.
    shares: Option<Vec<u8>>,
    listen: SocketAddr,
    data_dir: PathBuf,
}

/// The member that the genesis does not name.
pub(crate) const NEWCOMER: usize = 4;

/// The committee; nodes are started and stopped one by one.
pub(crate) struct Network {
    pub(crate) genesis: Genesis,
    pub(crate) payer: EdSecret,
    sequence: u64,
    /// What envelopes are sealed to.
    key: (Epoch, Point),
    /// What [`NEWCOMER`] registers as.
    pub(crate) newcomer: ValidatorInfo,
    members: Vec<Member>,
    _dir: TempDir,
}

/// A node that runs.
pub(crate) struct Running {
    pub(crate) handle: Arc<NodeHandle>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), NodeError>>,
}

impl Running {
    /// Stops it in order.
    pub(crate) async fn stop(self) {
        self.stop.send(()).expect("the node listens");
        drop(self.handle);
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("stops in time")
            .expect("does not panic")
            .expect("stops without an error");
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(self) -> Result<(), NodeError> {
        drop(self.handle);
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        // Only now, for dropping it would tell the node to stop.
        drop(self.stop);
        ended.expect("ends in time").expect("does not panic")
    }

    /// Waits until the executed height is at least `height`.
    pub(crate) async fn executed(&self, height: Height) {
        let mut progress = self.handle.progress();
        let reached = progress.wait_for(|progress| progress.executed >= height);
        tokio::time::timeout(PATIENCE, reached)
            .await
            .expect("goes on in time")
            .expect("runs");
    }
}

/// An address that no other node of any test has: a node must find its port free again when it
/// restarts, so each has a loopback address of its own.
fn own_address() -> SocketAddr {
    static NODES: AtomicU8 = AtomicU8::new(1);
    let process = std::process::id().to_le_bytes();
    let node = NODES.fetch_add(1, Ordering::Relaxed);
    let address = Ipv4Addr::new(127, process[1] | 0x80, process[0], node);
    let socket = std::net::UdpSocket::bind((address, 0)).expect("a free port");
    socket.local_addr().expect("has an address")
}

impl Network {
    /// Four validators with keys and a key generation among them.
    pub(crate) fn new() -> Self {
        Self::with(ConsensusParameters::default())
    }

    /// The same with other parameters of agreement.
    pub(crate) fn with(consensus: ConsensusParameters) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let bls: Vec<BlsSecret> = (0..5).map(|_| BlsSecret::generate(&mut OsRng)).collect();
        let transport: Vec<EdSecret> = (0..5).map(|_| EdSecret::generate(&mut OsRng)).collect();
        let listen: Vec<SocketAddr> = (0..5).map(|_| own_address()).collect();
        let payer = EdSecret::generate(&mut OsRng);
        let (shares, sealing) = generate_keys();
        let info = |index: usize| ValidatorInfo {
            name: format!("validator-{index}"),
            weight: 1,
            bls_key: bls[index].public(),
            bls_possession: bls[index].prove_possession(),
            transport_key: transport[index].transport_key(),
            account: transport[index].account(),
            address: listen[index].to_string(),
            api: String::new(),
        };
        let newcomer = info(NEWCOMER);
        let genesis = Genesis {
            name: "test".into(),
            time: BlockTime(1),
            validators: (0..4).map(info).collect(),
            sealing,
            allocations: [&payer]
                .into_iter()
                .chain(&transport)
                .map(|secret| Allocation {
                    account: secret.account(),
                    balance: Amount(1_000_000_000),
                    fees: Amount(1_000_000_000),
                })
                .collect(),
            consensus,
            fees: Default::default(),
            market: Default::default(),
        };
        let members = (0..5).map(|index| Member {
            bls: *bls[index].to_bytes(),
            transport: *transport[index].to_seed(),
            shares: shares.get(index).map(|shares| shares.encode().to_vec()),
            listen: listen[index],
            data_dir: dir.path().join(format!("node-{index}")),
        });
        let members: Vec<Member> = members.collect();
        for member in &members {
            mark_new(&member.data_dir, &genesis.sealing.transcript).expect("is new");
        }
        Self {
            key: (Epoch(0), genesis.sealing.key),
            genesis,
            payer,
            sequence: 0,
            newcomer,
            members,
            _dir: dir,
        }
    }

    /// Starts one node on its data.
    pub(crate) async fn start(&self, index: usize) -> Running {
        let member = &self.members[index];
        let node = Node::start(NodeConfig {
            genesis: self.genesis.clone(),
            keys: NodeKeys {
                bls: vec![BlsSecret::from_bytes(&member.bls).expect("a key")],
                transport: EdSecret::from_seed(&member.transport),
                shares: member.shares.as_ref().map(|shares| GenesisShares {
                    shares: KeyShares::decode(shares).expect("shares"),
                    file: None,
                }),
                directory: self.keys_dir(index),
                account: Some(EdSecret::from_seed(&member.transport)),
            },
            data_dir: member.data_dir.clone(),
            retention_blocks: None,
            archive: None,
            listen: member.listen,
            api_listen: "127.0.0.1:0".parse().expect("an address"),
            peers: BTreeMap::new(),
            membership: (index == NEWCOMER).then(|| self.membership()),
            verifier: Arc::new(NoPrograms),
        })
        .await
        .expect("the node starts");
        let (stop, stopped) = oneshot::channel::<()>();
        let handle = node.handle();
        let task = tokio::spawn(node.run(async {
            let _ = stopped.await;
        }));
        Running { handle, stop, task }
    }

    /// Nobody's node: a validator's keys in the hands of a test.
    pub(crate) fn impostor(&self, index: usize) -> (BlsSecret, Transport, TransportEvents) {
        let own = &self.members[index];
        let others = self.genesis.validators.iter().enumerate();
        let peers = others
            .filter(|(other, _)| *other != index)
            .map(|(other, validator)| PeerConfig {
                index: ValidatorIndex(other as u16),
                key: validator.transport_key,
                address: validator.address.clone(),
            });
        let (transport, events) = Transport::start(TransportConfig {
            chain: self.genesis.chain_id(),
            own: ValidatorIndex(index as u16),
            seed: EdSecret::from_seed(&own.transport).to_seed(),
            listen: own.listen,
            peers: peers.collect(),
            timing: Timing::default(),
        })
        .expect("the transport starts");
        let bls = BlsSecret::from_bytes(&own.bls).expect("a key");
        (bls, transport, events)
    }

    /// Starts all four.
    pub(crate) async fn start_all(&self) -> Vec<Running> {
        let mut running = Vec::new();
        for index in 0..self.genesis.validators.len() {
            running.push(self.start(index).await);
        }
        running
    }

    /// Where a node keeps what it must not lose.
    pub(crate) fn data_dir(&self, index: usize) -> &Path {
        &self.members[index].data_dir
    }

    /// A validator's shares of the genesis' key.
    pub(crate) fn shares(&self, index: usize) -> KeyShares {
        let shares = self.members[index].shares.as_ref().expect("a founder");
        KeyShares::decode(shares).expect("shares")
    }

    /// Where the newcomer finds its place: it is the first to register.
    fn membership(&self) -> Membership {
        let validators = (0..).map(ValidatorIndex).zip(&self.genesis.validators);
        let peers = validators.map(|(index, validator)| PeerConfig {
            index,
            key: validator.transport_key,
            address: validator.address.clone(),
        });
        Membership {
            slot: ValidatorIndex(NEWCOMER as u16),
            peers: peers.collect(),
        }
    }

    /// An operation on the system rollup by a member's own account, its first with this number.
    pub(crate) fn operated(&self, index: usize, sequence: u64, op: &SystemOp) -> Envelope {
        let secret = EdSecret::from_seed(&self.members[index].transport);
        let core = EnvelopeCore {
            chain: self.genesis.chain_id(),
            epoch: self.key.0,
            rollup: RollupId::SYSTEM,
            payer: secret.account(),
            sequence: Sequence(sequence),
            expiry: Height(10_000),
            release: ReleaseRule::OnCommit,
            bucket: Bucket(0),
            fee_max: Amount(1_000_000),
        };
        let sign = |digest: &Digest| secret.sign(digest);
        conclave_seal::plain(core, codec::encode(op), sign).expect("fits")
    }

    /// From now on envelopes are sealed to this epoch's key.
    pub(crate) fn seal_to(&mut self, setup: &EpochSetup) {
        self.key = (setup.epoch, setup.sealing.key);
    }

    /// The names of a node's secrets of later epochs.
    pub(crate) fn secrets(&self, index: usize) -> Vec<String> {
        let directory = self.keys_dir(index).join("secrets");
        let entries = std::fs::read_dir(directory).expect("the vault");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let keys = paths.filter(|path| path.extension().is_some_and(|end| end == "key"));
        keys.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .collect()
    }

    fn keys_dir(&self, index: usize) -> PathBuf {
        self.members[index].data_dir.with_extension("keys")
    }

    fn core(&mut self, rollup: RollupId, height: Height) -> EnvelopeCore {
        self.sequence += 1;
        EnvelopeCore {
            chain: self.genesis.chain_id(),
            epoch: self.key.0,
            rollup,
            payer: self.payer.account(),
            sequence: Sequence(self.sequence),
            expiry: Height(height.0 + 10_000),
            release: ReleaseRule::OnCommit,
            bucket: Bucket(0),
            fee_max: Amount(u64::MAX),
        }
    }

    /// An operation on the system rollup.
    pub(crate) fn operation(&mut self, op: &SystemOp) -> Envelope {
        let core = self.core(RollupId::SYSTEM, Height(0));
        conclave_seal::plain(core, codec::encode(op), |digest| self.payer.sign(digest))
            .expect("fits")
    }

    /// A sealed envelope with these transactions.
    pub(crate) fn sealed(&mut self, rollup: RollupId, transactions: &[Vec<u8>]) -> Envelope {
        let plaintext = conclave_types::encode_transactions(transactions).expect("fits");
        let mut core = self.core(rollup, Height(0));
        core.bucket = conclave_seal::bucket_for(plaintext.len()).expect("fits");
        let key = self.key.1;
        conclave_seal::seal(&key, core, &plaintext, &mut OsRng, |digest| {
            self.payer.sign(digest)
        })
        .expect("seals")
    }

    /// Registers a rollup that only wants order.
    pub(crate) fn register(&mut self, rollup: RollupId) -> Envelope {
        self.register_with(rollup, ProofPolicy::None)
    }

    /// Registers a rollup with this policy.
    pub(crate) fn register_with(&mut self, rollup: RollupId, policy: ProofPolicy) -> Envelope {
        let config = RollupConfig {
            name: format!("rollup-{rollup}"),
            owner: self.payer.account(),
            program: ProgramVersion(Digest([1; 32])),
            genesis_root: StateRoot(Digest([0; 32])),
            policy,
            reserve_price: Amount(0),
            reserve_price_max: Amount(0),
            range_transactions: 100,
            range_age_ms: 1_000,
            deadline_ms: 10_000,
            bond_percent: 150,
            fee_share_percent: 10,
        };
        self.operation(&SystemOp::RegisterRollup { rollup, config })
    }
}

/// Submits and waits until the envelope is executed; the height that ordered it.
pub(crate) async fn submit(node: &Running, envelope: Envelope) -> (EnvelopeId, Height) {
    let id = envelope.header.id();
    node.handle.submit(envelope).await.expect("is admitted");
    (id, settled(node, id).await)
}

/// Waits until an envelope has ended, and requires that it was opened.
pub(crate) async fn settled(node: &Running, id: EnvelopeId) -> Height {
    use conclave_sdk::api::EnvelopeStage;
    let mut progress = node.handle.progress();
    let wait = async {
        loop {
            if let Some(view) = node.handle.envelope(id) {
                match view.status {
                    EnvelopeStage::Opened => return Height(view.height.expect("has a height")),
                    EnvelopeStage::Pending | EnvelopeStage::Batched | EnvelopeStage::Ordered => {}
                    other => panic!("{other:?}: {view:?}"),
                }
            }
            progress.changed().await.expect("the node runs");
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("is executed in time")
}

/// What a node delivered to a rollup, in order.
pub(crate) fn delivered(node: &Running, rollup: RollupId, to: Height) -> Vec<String> {
    let heights = (1..=to.0).filter_map(|height| {
        let delivery = node.handle.delivery(rollup, Height(height));
        delivery.expect("can be read")
    });
    heights
        .flat_map(|d| d.envelopes)
        .flat_map(|envelope| envelope.transactions)
        .collect()
}

fn generate_keys() -> (Vec<KeyShares>, conclave_types::SealingKey) {
    let ceremony = Ceremony {
        context: Digest([7; 32]),
        weights: vec![1; 4],
    };
    let mut parts = Vec::new();
    let mut queue = Vec::new();
    for index in 0..4 {
        let index = ValidatorIndex(index);
        let (part, message) =
            KeyGeneration::start(ceremony.clone(), index, &mut OsRng).expect("starts");
        parts.push(part);
        queue.push((index, message));
    }
    while let Some((from, message)) = queue.pop() {
        for (index, part) in parts.iter_mut().enumerate() {
            let index = ValidatorIndex(index as u16);
            if index != from {
                let progress = part.handle(from, &message).expect("is honest");
                queue.extend(progress.send.map(|message| (index, message)));
            }
        }
    }
    let mut key = None;
    let shares = parts.into_iter().map(|part| {
        let (shares, sealing) = part.finish().expect("all are here");
        key = Some(sealing);
        shares
    });
    let shares = shares.collect();
    (shares, key.expect("has a key"))
}
