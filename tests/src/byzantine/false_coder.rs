//! Codes its batches falsely: one shard is not what the others make it, under a root that covers it
//! all the same. Nobody can tell before the bodies are rebuilt, so the batch is certified.

use std::collections::BTreeMap;
use std::sync::Arc;

use conclave_crypto::{MerkleTree, Shard};
use conclave_node::{Effect, Event, PeerMessage};
use conclave_sequencer::{Dispersal, Done, Message};
use conclave_types::{
    BatchHeader, BatchId, BatchRef, Digest, Domain, EdSignature, SignatureSet, Signers, Stored,
    ValidatorIndex,
};
use rand::Rng;

use super::{Actor, Member};

/// Its batches, and who signed for them.
#[derive(Default)]
pub(super) struct FalseCoder {
    collecting: BTreeMap<BatchId, (BatchHeader, BTreeMap<ValidatorIndex, EdSignature>)>,
}

impl Actor for FalseCoder {
    fn sees(&mut self, member: &mut Member<'_>, event: &Event, out: &mut Vec<Effect>) -> bool {
        match event {
            Event::Done(done) => {
                let Done::Encoded { dispersals, .. } = done.as_ref() else {
                    return true;
                };
                self.disperse(member, dispersals, out);
                false
            }
            Event::Peer {
                message: PeerMessage::Sequencing(Message::Stored(stored)),
                ..
            } => self.stored(member, stored, out),
            _ => true,
        }
    }
}

impl FalseCoder {
    fn disperse(
        &mut self,
        member: &mut Member<'_>,
        honest: &[Arc<Dispersal>],
        out: &mut Vec<Effect>,
    ) {
        let shards = honest.iter().flat_map(|dispersal| &dispersal.shards);
        let mut bytes: Vec<Vec<u8>> = shards.map(|shard| shard.bytes.clone()).collect();
        let spoilt = member.random.gen_range(0..bytes.len());
        bytes[spoilt][0] ^= 1;
        let leaves: Vec<Digest> = bytes.iter().map(|b| Domain::Shard.digest(b)).collect();
        let tree = MerkleTree::new(&leaves);
        let mut shards = (0..).zip(bytes).filter_map(|(position, bytes)| {
            let path = tree.path(position)?;
            Some(Shard { path, bytes })
        });
        for (to, dispersal) in (0..).map(ValidatorIndex).zip(honest) {
            let mut manifest = dispersal.manifest.as_ref().clone();
            manifest.header.shards = tree.root();
            let id = manifest.header.id();
            let signatures = BTreeMap::from([(member.index, sign(member, id))]);
            let header = manifest.header.clone();
            self.collecting.entry(id).or_insert((header, signatures));
            let shards = shards.by_ref().take(dispersal.shards.len()).collect();
            let lie = Dispersal {
                manifest: Arc::new(manifest),
                shards,
            };
            let message = PeerMessage::Sequencing(Message::Dispersal(Arc::new(lie)));
            if to != member.index {
                out.push(Effect::Send { to, message });
            }
        }
    }

    fn stored(&mut self, member: &Member<'_>, stored: &Stored, out: &mut Vec<Effect>) -> bool {
        let Some((header, signatures)) = self.collecting.get_mut(&stored.batch) else {
            return true;
        };
        signatures.insert(stored.signer, stored.signature);
        let mut signers = Signers::default();
        for signer in signatures.keys() {
            signers.insert(*signer);
        }
        if member.committee.has_quorum(&signers) {
            let reference = BatchRef {
                header: header.clone(),
                stored: SignatureSet {
                    signers,
                    signatures: signatures.values().copied().collect(),
                },
            };
            self.collecting.remove(&stored.batch);
            let message = PeerMessage::Sequencing(Message::Certified(reference));
            // To itself too: its own replica is to propose the batch.
            for to in member.committee.indices() {
                let message = message.clone();
                out.push(Effect::Send { to, message });
            }
        }
        false
    }
}

fn sign(member: &Member<'_>, id: BatchId) -> EdSignature {
    member.transport.sign(&Stored::message(member.chain, id))
}
