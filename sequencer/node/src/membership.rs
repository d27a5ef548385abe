//! Who the validators are that a node talks to, as it changes with the ledger's registry.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use conclave_ledger::{Ledger, Standing};
use conclave_types::{Genesis, TransportKey, ValidatorIndex, ValidatorInfo};

use crate::node::NodeError;
use crate::shell::{Shell, lock};
use crate::transport::PeerConfig;

/// Final blocks that wait to be executed from which on a registry counts as an old one.
const BEHIND_BLOCKS: u64 = 32;

/// Where a validator that the genesis does not name finds its place, and the others.
#[derive(Debug, Clone)]
pub struct Membership {
    /// The slot that it was registered in.
    pub slot: ValidatorIndex,
    /// All other validators, as somebody who follows the chain knows them. What they say is checked
    /// from the genesis on, whoever they are.
    pub peers: Vec<PeerConfig>,
}

/// Other addresses of peers than those that they have registered, by name.
pub(crate) type Overrides = BTreeMap<String, String>;

/// A node's own slot and its first peers.
pub(crate) fn first(
    genesis: &Genesis,
    key: TransportKey,
    membership: Option<Membership>,
    overrides: &Overrides,
) -> Result<(ValidatorIndex, Vec<PeerConfig>), NodeError> {
    let validators = || (0..).map(ValidatorIndex).zip(&genesis.validators);
    if let Some(Membership { slot, peers }) = membership {
        return Ok((slot, peers));
    }
    let own = validators().find(|(_, validator)| validator.transport_key == key);
    let (own, _) = own.ok_or(NodeError::Stranger)?;
    let mut names = overrides.keys();
    if let Some(name) = names.find(|name| !genesis.validators.iter().any(|v| v.name == **name)) {
        return Err(NodeError::UnknownPeer { name: name.clone() });
    }
    let peers = validators().filter(|(slot, _)| *slot != own);
    let peers = peers.map(|(slot, info)| peer(slot, info, overrides));
    Ok((own, peers.collect()))
}

/// The peers that a ledger's registry names: members as the present epoch knows them, and others,
/// who follow until an epoch takes them in, as they registered.
fn registered(ledger: &Ledger, own: ValidatorIndex, overrides: &Overrides) -> Vec<PeerConfig> {
    let present = &ledger.present_setup().validators;
    let others = ledger
        .validators()
        .filter(|(slot, record)| *slot != own && record.standing != Standing::Vacant);
    let peers = others.map(|(slot, record)| {
        let member = present.get(usize::from(slot.0));
        let member = member.filter(|member| member.weight > 0);
        peer(slot, member.unwrap_or(&record.info), overrides)
    });
    peers.collect()
}

fn peer(slot: ValidatorIndex, info: &ValidatorInfo, overrides: &Overrides) -> PeerConfig {
    let address = overrides.get(&info.name).unwrap_or(&info.address);
    PeerConfig {
        index: slot,
        key: info.transport_key,
        address: address.clone(),
    }
}

/// Keeps the transport's peers those of the registry. Ends with the node.
pub(crate) async fn follow_registry(
    shell: Arc<Shell>,
    mut known: Vec<PeerConfig>,
    overrides: Overrides,
) {
    let mut progress = shell.progress.subscribe();
    let mut closing = shell.closing.clone();
    loop {
        let ledger = lock(&shell.ledger).clone();
        if shell.knows_the_registry(&ledger) {
            let peers = registered(&ledger, shell.own, &overrides);
            if peers != known {
                tracing::info!(peers = peers.len(), "the registry of validators changed");
                if let Err(error) = shell.transport.set_peers(peers.clone()).await {
                    tracing::warn!(%error, "the peers stay as they are");
                }
                known = peers;
            }
        }
        tokio::select! {
            changed = progress.changed() => if changed.is_err() { return },
            _ = closing.wait_for(|closing| *closing) => return,
        }
    }
}

impl Shell {
    /// Whether a ledger is new enough to say who the peers are: one of long ago would cut off those
    /// that a node which catches up gets its blocks from.
    fn knows_the_registry(&self, ledger: &Ledger) -> bool {
        let committed = self.committed.load(Ordering::Relaxed);
        ledger.height().0 > 0
            && !self.joining.load(Ordering::Acquire)
            && lock(&self.syncing).is_none()
            && committed <= ledger.height().0 + BEHIND_BLOCKS
    }
}
