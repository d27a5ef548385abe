//! Who the validators are that a node talks to, as it changes with the ledger's registry.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use conclave_ledger::{Ledger, Standing};
use conclave_types::{Genesis, TransportKey, ValidatorIndex, ValidatorInfo, limits};

use crate::node::NodeError;
use crate::shell::{Shell, lock};
use crate::transport::{PeerConfig, TransportError};

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
    first: Vec<PeerConfig>,
    overrides: Overrides,
) {
    let mut roster = Roster::new(first);
    let mut progress = shell.progress.subscribe();
    let mut closing = shell.closing.clone();
    loop {
        let ledger = lock(&shell.ledger).clone();
        if shell.knows_the_registry(&ledger) {
            let peers = registered(&ledger, shell.own, &overrides);
            let set = |peers| shell.transport.set_peers(peers);
            roster.follow(peers, set).await;
        }
        tokio::select! {
            changed = progress.changed() => if changed.is_err() { return },
            _ = closing.wait_for(|closing| *closing) => return,
        }
    }
}

/// What the transport was told of the peers.
struct Roster {
    /// Those that it has.
    known: Vec<PeerConfig>,
    /// Those that it last refused.
    refused: Option<Vec<PeerConfig>>,
}

impl Roster {
    const fn new(known: Vec<PeerConfig>) -> Self {
        Self {
            known,
            refused: None,
        }
    }

    /// Has other peers than the known ones set; what was refused is tried again the next time, and
    /// logged once.
    async fn follow<F>(&mut self, peers: Vec<PeerConfig>, set: impl FnOnce(Vec<PeerConfig>) -> F)
    where
        F: Future<Output = Result<(), TransportError>>,
    {
        if peers == self.known {
            return;
        }
        match set(peers.clone()).await {
            Ok(()) => {
                tracing::info!(peers = peers.len(), "the registry of validators changed");
                self.known = peers;
                self.refused = None;
            }
            Err(error) => {
                if self.refused.as_ref() != Some(&peers) {
                    tracing::warn!(%error, "the registry of validators changed; the peers stay as they are");
                }
                self.refused = Some(peers);
            }
        }
    }
}

impl Shell {
    /// Whether a ledger is new enough to say who the peers are: one of long ago would cut off those
    /// that a node which catches up gets its blocks from. One that lags no further than opening may is
    /// what everybody has.
    fn knows_the_registry(&self, ledger: &Ledger) -> bool {
        let committed = self.committed.load(Ordering::Relaxed);
        ledger.height().0 > 0
            && !self.joining.load(Ordering::Acquire)
            && lock(&self.syncing).is_none()
            && committed <= ledger.height().0 + limits::LEDGER_LAG_BLOCKS_MAX
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    fn peers(count: u16) -> Vec<PeerConfig> {
        let peer = |index| PeerConfig {
            index: ValidatorIndex(index),
            key: TransportKey([index as u8; 32]),
            address: format!("localhost:{index}"),
        };
        (1..=count).map(peer).collect()
    }

    /// Peers that the transport did not take counted as those that it has, and were not set again.
    #[tokio::test]
    async fn peers_that_were_not_set_are_set_the_next_time() {
        let mut roster = Roster::new(peers(3));
        let refuse = |_| ready(Err(TransportError::Stopped));
        roster.follow(peers(4), refuse).await;
        assert_eq!(roster.known, peers(3));
        let mut asked = Vec::new();
        let mut take = |set| {
            asked.push(set);
            ready(Ok(()))
        };
        roster.follow(peers(4), &mut take).await;
        roster.follow(peers(4), &mut take).await;
        assert_eq!(asked, [peers(4)], "and only once");
    }
}
