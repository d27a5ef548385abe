//! Who the peers are: the set of one moment, and the step to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use conclave_types::{TransportKey, ValidatorIndex};

use super::peer::{DriverEnds, Peer};
use super::{PeerConfig, TransportError};

/// The peers of one moment. It never changes; a change makes another one.
#[derive(Default)]
pub(super) struct Roster {
    peers: BTreeMap<ValidatorIndex, Arc<Peer>>,
    keys: BTreeMap<TransportKey, ValidatorIndex>,
}

/// The step from one roster to the next.
pub(super) struct Succession {
    pub(super) roster: Roster,
    /// Who needs a driver, with the driver's ends of its channels.
    pub(super) joining: Vec<(Arc<Peer>, DriverEnds)>,
    /// Whose driver must end.
    pub(super) leaving: Vec<Arc<Peer>>,
}

impl Roster {
    pub(super) fn peer(&self, index: ValidatorIndex) -> Option<&Arc<Peer>> {
        self.peers.get(&index)
    }

    pub(super) fn peer_of_key(&self, key: TransportKey) -> Option<&Arc<Peer>> {
        self.keys.get(&key).and_then(|index| self.peer(*index))
    }

    /// All peers, ascending.
    pub(super) fn peers(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.peers.values()
    }

    /// The roster of a set that passed [`check`]. A peer stays the same one if nothing about it
    /// changed; otherwise the old one leaves and another joins.
    pub(super) fn followed_by(&self, own: ValidatorIndex, set: Vec<PeerConfig>) -> Succession {
        let mut roster = Self::default();
        let mut joining = Vec::new();
        for config in set {
            let peer = match self.peer(config.index).filter(|peer| peer.is(&config)) {
                Some(same) => Arc::clone(same),
                None => {
                    let (peer, ends) = Peer::new(own, config);
                    let peer = Arc::new(peer);
                    joining.push((Arc::clone(&peer), ends));
                    peer
                }
            };
            roster.keys.insert(peer.key, peer.index);
            roster.peers.insert(peer.index, peer);
        }
        let stays = |peer: &Arc<Peer>| {
            let now = roster.peer(peer.index);
            now.is_some_and(|now| Arc::ptr_eq(now, peer))
        };
        let leaving = self.peers().filter(|peer| !stays(peer)).cloned().collect();
        Succession {
            roster,
            joining,
            leaving,
        }
    }
}

/// That no two of the peers, nor one of them and this node, share an index or a key.
pub(super) fn check(
    own: ValidatorIndex,
    own_key: TransportKey,
    set: &[PeerConfig],
) -> Result<(), TransportError> {
    let (mut indices, mut keys) = (BTreeSet::from([own]), BTreeSet::from([own_key]));
    for peer in set {
        let reason = match (indices.insert(peer.index), keys.insert(peer.key)) {
            (true, true) => continue,
            (false, _) => "its index is that of another peer or of this node",
            (true, false) => "its key is that of another peer or of this node",
        };
        return Err(TransportError::Peers {
            peer: peer.index,
            reason,
        });
    }
    Ok(())
}
