//! `conclave node`: one validator.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, anyhow, bail};
use conclave_node::transport::PeerConfig;
use conclave_node::{ArchivePlace, Membership, Node, NodeConfig, NodeError, NodeKeys, ceremony};
use conclave_sdk::Client;
use conclave_types::{Genesis, TransportKey, ValidatorIndex, limits};
use serde::{Deserialize, Serialize};

use crate::files::{KeyDir, read_genesis};
use crate::process::Shutdown;
use crate::programs;
use crate::settings::{self, Flags, Layers};

/// Variables of the environment that set what the file can set.
const ENVIRONMENT: &str = "CONCLAVE_NODE_";

/// Run a validator.
///
/// It serves in the committee that the genesis names, with its keys and its data directory: it orders sealed envelopes with the others, opens what is ordered, keeps the ledger, verifies
/// proofs, and serves the HTTP API. Ctrl-C or SIGTERM stops it cleanly.
///
/// Each setting can also come from the environment, as in CONCLAVE_NODE_API=0.0.0.0:26700.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    layers: Layers,
    /// The chain's genesis file [default: genesis.toml].
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// The directory that `conclave keygen` and `conclave genesis dkg` filled [default: keys].
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Where blocks, ledger and safety state live; never share or copy it [default: data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Executed heights of history that stay in the data directory, at least 4096; older ones go to the archive
    /// [default: all].
    #[arg(long, value_name = "HEIGHTS")]
    retention_blocks: Option<u64>,
    /// Where older history goes and is served from: a folder, or a bucket as s3://BUCKET/PREFIX, with
    /// credentials in the environment [default: the folder archive in the data directory].
    #[arg(long, value_name = "FOLDER|URL")]
    archive: Option<String>,
    /// Where peers reach this node, over UDP [default: all addresses, the genesis' port].
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// Where the HTTP API listens [default: 127.0.0.1:26700].
    #[arg(long, value_name = "IP:PORT")]
    api: Option<SocketAddr>,
    /// For a validator that was registered after the genesis: the API of a node that follows the
    /// chain, which knows its slot and the other validators.
    #[arg(long, value_name = "URL")]
    join: Option<String>,
}

/// A validator's configuration file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) genesis: PathBuf,
    pub(crate) keys: PathBuf,
    pub(crate) data: PathBuf,
    /// Executed heights that stay in `data`; all when left out.
    pub(crate) retention_blocks: Option<u64>,
    /// Where older ones go: a folder or an s3:// URL; a folder in `data` when left out.
    pub(crate) archive: Option<String>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) api: SocketAddr,
    /// Other addresses of peers than those in the genesis, by name.
    pub(crate) peers: BTreeMap<String, String>,
    /// The API that a validator of after the genesis finds its slot and its peers by.
    pub(crate) join: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            genesis: "genesis.toml".into(),
            keys: "keys".into(),
            data: "data".into(),
            retention_blocks: None,
            archive: None,
            listen: None,
            api: SocketAddr::from((Ipv4Addr::LOCALHOST, 26700)),
            peers: BTreeMap::new(),
            join: None,
        }
    }
}

impl Args {
    /// All layers of settings together.
    pub(crate) fn settings(self) -> anyhow::Result<Settings> {
        let flags = Flags::default()
            .with_path("genesis", self.genesis)
            .with_path("keys", self.keys)
            .with_path("data", self.data)
            .with(
                "retention_blocks",
                self.retention_blocks.map(|blocks| blocks as i64),
            )
            .with("archive", self.archive)
            .with("listen", self.listen.map(|address| address.to_string()))
            .with("api", self.api.map(|address| address.to_string()))
            .with("join", self.join);
        settings::parse(self.layers.read(ENVIRONMENT, flags)?)
    }
}

pub(crate) fn run(args: Args, shutdown: Shutdown) -> anyhow::Result<()> {
    let settings = args.settings()?;
    let genesis = read_genesis(&settings.genesis)?;
    let ended = shutdown.run(|stop| async move {
        let config = config(settings, genesis).await?;
        let node = Node::start(config)
            .await
            .context("the node did not start")?;
        println!("serving the HTTP API at http://{}", node.api_address());
        match node.run(stop.requested()).await {
            // It was away for longer than the others keep blocks.
            Err(error @ NodeError::Behind { .. }) => Ok(Some(error)),
            ended => ended.map(|()| None).context("the node stopped"),
        }
    })?;
    match ended {
        Some(behind) => Err(start_again(&behind)),
        None => Ok(()),
    }
}

/// Begins this program anew in the same process, so that supervisors need not know; returns only if
/// that fails.
fn start_again(behind: &NodeError) -> anyhow::Error {
    tracing::warn!(%behind, "starting again");
    let failed = std::env::current_exe().map(|program| {
        let arguments = std::env::args_os().skip(1);
        Command::new(program).args(arguments).exec()
    });
    let error = failed.unwrap_or_else(|error| error);
    anyhow!(error).context("[CV-CLI-025] the node cannot start itself again; start it")
}

/// What the node starts with: settings, and the keys that they point to.
pub(crate) async fn config(settings: Settings, genesis: Genesis) -> anyhow::Result<NodeConfig> {
    let keys = KeyDir::new(&settings.keys);
    let transport = keys.transport()?;
    let key = transport.transport_key();
    let own = genesis.validators.iter().find(|v| v.transport_key == key);
    let mut address = own.map(|own| own.address.clone());
    let mut membership = None;
    if let Some(api) = &settings.join {
        let (found, registered) = registration(api, key).await?;
        membership = Some(found);
        address = Some(registered);
    }
    let listen = match (settings.listen, address) {
        (Some(listen), _) => listen,
        (None, Some(address)) => ceremony::listen_address(&address)?,
        // Starting the node says that its key is a stranger's.
        (None, None) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
    };
    if let Some(blocks) = settings.retention_blocks
        && blocks < limits::RETENTION_BLOCKS_MIN
    {
        bail!(
            "[CV-CLI-023] retention_blocks is {blocks}; keep at least {}, which peers that were away may need",
            limits::RETENTION_BLOCKS_MIN
        );
    }
    let archive = settings.archive.as_deref();
    let archive = archive.map(|place| ArchivePlace::parse(place, std::env::vars()));
    Ok(NodeConfig {
        genesis,
        keys: NodeKeys {
            bls: keys.all_bls()?,
            transport,
            shares: keys.shares_if_any()?,
            directory: settings.keys,
            account: keys.account_if_any()?,
        },
        data_dir: settings.data,
        retention_blocks: settings.retention_blocks,
        archive: archive.transpose()?,
        listen,
        api_listen: settings.api,
        peers: settings.peers,
        membership,
        verifier: programs::verifier(),
    })
}

/// Where a validator with this key was registered, and how the others are reached, by the word of a
/// node that follows the chain. A lie leads to peers that do not show the genesis' chain.
async fn registration(api: &str, key: TransportKey) -> anyhow::Result<(Membership, String)> {
    let registry = Client::new([api.to_owned()])?.validators().await?;
    let text = key.to_string();
    let own = registry
        .validators
        .iter()
        .find(|found| found.validator.transport_key == text && found.standing != "vacant");
    let own = own.with_context(|| {
        format!(
            "[CV-CLI-014] no validator with this node's transport key is registered; \
             register it first: conclave validator register --node {api}"
        )
    })?;
    let others = registry
        .validators
        .iter()
        .filter(|found| found.validator.index != own.validator.index && found.standing != "vacant");
    let peers = others.map(|found| {
        Ok(PeerConfig {
            index: ValidatorIndex(found.validator.index),
            key: found.validator.transport_key.parse()?,
            address: found.address.clone(),
        })
    });
    let membership = Membership {
        slot: ValidatorIndex(own.validator.index),
        peers: peers.collect::<anyhow::Result<_>>()?,
    };
    Ok((membership, own.address.clone()))
}
