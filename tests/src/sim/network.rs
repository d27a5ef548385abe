//! Messages, lost, late and repeated, and what nodes ask each other for.

use conclave_consensus::Message::Proposal;
use conclave_node::{Event, PeerMessage};
use conclave_sequencer::{self as sequencing, Fetch};
use conclave_types::ValidatorIndex;
use rand::Rng;
use rand::seq::SliceRandom;

use super::node::Node;
use super::world::{SimEvent, World};
use crate::checkers::Violation;

impl World {
    fn delay(&mut self) -> u64 {
        self.random
            .network
            .gen_range(self.plan.delay_us.0..=self.plan.delay_us.1)
    }

    /// To one validator, or all others; in the liar's name it may be two places that send.
    pub(super) fn send(
        &mut self,
        from: usize,
        to: Option<ValidatorIndex>,
        message: PeerMessage,
    ) -> Result<(), Violation> {
        let origin = self.nodes[from].identity.index;
        if to == Some(origin) {
            let event = Event::Peer {
                from: origin,
                message,
            };
            let incarnation = self.nodes[from].incarnation;
            self.later(self.now_us, from, incarnation, event);
            return Ok(());
        }
        let addressed = |index| match to {
            Some(to) => to == index,
            None => index != origin,
        };
        let places = (0..self.nodes.len()).filter(|p| addressed(self.nodes[*p].identity.index));
        let places: Vec<usize> = places.collect();
        let disk = self.nodes[from].disk.safety();
        self.checkers.sent(origin, disk, to, &message)?;
        self.checkers.inclusion.sent(self.now_us, origin, &message);
        for to in places {
            self.carry(from, to, &message);
        }
        Ok(())
    }

    fn carry(&mut self, from: usize, to: usize, message: &PeerMessage) {
        let lossy = self.now_us < self.plan.heal_us;
        let network = &mut self.random.network;
        let lost = network.gen_ratio(self.plan.drop_permille, 1000);
        let twice = network.gen_ratio(self.plan.duplicate_permille, 1000);
        if !self.plan.connected(self.now_us, from, to) || (lossy && lost) {
            return;
        }
        let muted = self.now_us < self.plan.muted_us && self.is_honest(from);
        if muted && matches!(message, PeerMessage::Agreement(Proposal(_))) {
            return;
        }
        let origin = self.nodes[from].identity.index;
        for _ in 0..if twice { 2 } else { 1 } {
            let at = self.now_us + self.delay();
            let event = Event::Peer {
                from: origin,
                message: message.clone(),
            };
            self.later(at, to, 0, event);
        }
    }

    pub(super) fn later(&mut self, at_us: u64, node: usize, incarnation: u32, event: Event) {
        let event = SimEvent::Node {
            node,
            incarnation,
            event: Box::new(event),
        };
        self.schedule(at_us, event);
    }

    /// A peer that would answer now.
    pub(super) fn reachable(&self, from: usize, to: ValidatorIndex) -> Option<&Node> {
        let node = self.nodes.get(usize::from(to.0))?;
        let place = usize::from(to.0);
        let there = self.plan.connected(self.now_us, from, place);
        let back = self.plan.connected(self.now_us, place, from);
        (node.up.is_some() && node.serves() && there && back).then_some(node)
    }

    /// The others, the named one first.
    pub(super) fn peers(&self, node: usize, first: ValidatorIndex) -> Vec<ValidatorIndex> {
        let own = self.nodes[node].identity.index;
        let peers = (0..self.plan.nodes as u16).map(ValidatorIndex);
        let mut peers: Vec<ValidatorIndex> = peers.filter(|peer| *peer != own).collect();
        peers.sort_by_key(|peer| *peer != first);
        peers
    }

    /// What a peer's answer brings, a round trip later.
    pub(super) fn reply(&mut self, node: usize, event: Event) {
        let at = self.now_us + self.delay() + self.delay();
        let incarnation = self.nodes[node].incarnation;
        self.later(at, node, incarnation, event);
    }

    pub(super) fn fetch(&mut self, node: usize, fetch: &Fetch) {
        match *fetch {
            Fetch::Manifest { id, holders } => {
                let own = self.nodes[node].disk.manifest(&id);
                let found = own.or_else(|| {
                    let mut holders = holders.iter();
                    holders.find_map(|holder| self.reachable(node, holder)?.disk.manifest(&id))
                });
                if let Some(manifest) = found {
                    let input = sequencing::Input::Manifest(manifest);
                    self.reply(node, Event::Sequencing(input));
                }
            }
            Fetch::Body {
                id,
                holders,
                needed,
                ..
            } => {
                if let Some(batch) = self.nodes[node].disk.batch(&id) {
                    let input = sequencing::Input::Body(batch);
                    self.reply(node, Event::Sequencing(input));
                    return;
                }
                let own = self.nodes[node].identity.index;
                let held = holders.iter().filter_map(|holder| {
                    let at = match holder == own {
                        true => Some(&self.nodes[node]),
                        false => self.reachable(node, holder),
                    };
                    Some((holder, at?.disk.shards(&id)?))
                });
                let mut held: Vec<_> = held.collect();
                // Whoever answers first, but for the own ones.
                held.shuffle(&mut self.random.network);
                held.sort_by_key(|(holder, _)| *holder != own);
                let (mut shards, mut found) = (Vec::new(), 0);
                for (holder, held) in held {
                    if found < usize::from(needed) {
                        found += held.len();
                        shards.push((holder, held));
                    }
                }
                if found >= usize::from(needed) {
                    let input = sequencing::Input::Shards { id, shards };
                    self.reply(node, Event::Sequencing(input));
                }
            }
            Fetch::Openings { height, lane } => {
                let record = self.nodes[node].disk.opening(height, lane);
                let input = match record.cloned() {
                    Some(record) => sequencing::Input::Reopened {
                        height,
                        lane,
                        record: Box::new(record),
                    },
                    None => sequencing::Input::NotReopened { height, lane },
                };
                let incarnation = self.nodes[node].incarnation;
                self.later(self.now_us, node, incarnation, Event::Sequencing(input));
            }
            Fetch::Shares { height, lane } => {
                let own = self.nodes[node].identity.index;
                for from in self.peers(node, own) {
                    let record = self.reachable(node, from);
                    let record = record.and_then(|node| node.disk.opening(height, lane));
                    let bundles = record.map(|record| record.bundles.clone());
                    for bundle in bundles.unwrap_or_default() {
                        let message = sequencing::Message::Shares(bundle);
                        let message = PeerMessage::Sequencing(message);
                        self.reply(node, Event::Peer { from, message });
                    }
                }
            }
        }
    }
}
