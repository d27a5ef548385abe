//! Leaves one author's batches out of its blocks, whoever asks for them.

use conclave_consensus::Message;
use conclave_node::{Effect, PeerMessage};
use conclave_types::{Block, Proposal, ValidatorIndex};
use rand::Rng;
use rand_chacha::ChaCha20Rng;

use super::{Actor, Member, forge};

pub(super) struct Censor {
    /// Counted from the member itself, so that it is never its own victim.
    distance: u16,
    last: Option<Proposal>,
}

impl Censor {
    pub(super) fn new(random: &mut ChaCha20Rng) -> Self {
        let distance = random.r#gen();
        Self {
            distance,
            last: None,
        }
    }

    fn victim(&self, member: &Member<'_>) -> ValidatorIndex {
        let others = member.committee.indices().count().max(2) as u16 - 1;
        let after = 1 + self.distance % others;
        ValidatorIndex((member.index.0 + after) % (others + 1))
    }

    /// The proposal without the victim's batches, the same for everybody.
    fn censored(&mut self, member: &Member<'_>, right: &Proposal) -> Proposal {
        let view = right.block.header.view;
        if let Some(last) = &self.last
            && last.block.header.view == view
        {
            return last.clone();
        }
        let victim = self.victim(member);
        let mut like = right.clone();
        like.block
            .batches
            .retain(|batch| batch.header.author != victim);
        let mut header = right.block.header.clone();
        header.payload = Block::payload_digest(&like.block.batches);
        let censored = member.propose(&like, header);
        self.last = Some(censored.clone());
        censored
    }
}

impl Actor for Censor {
    fn sends(
        &mut self,
        member: &mut Member<'_>,
        to: ValidatorIndex,
        message: PeerMessage,
        out: &mut Vec<Effect>,
    ) {
        let message = match message {
            PeerMessage::Agreement(Message::Proposal(right)) => {
                forge::proposal(self.censored(member, &right))
            }
            other => other,
        };
        out.push(Effect::Send { to, message });
    }
}
