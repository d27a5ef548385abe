//! What a host does with epochs, as the node's replica does: routes messages by epoch, passes from one
//! engine to the next, and keeps the state of a later epoch until that begins.

use super::*;

/// The committee of an epoch: four equals, and every other time three heavier ones, each in its turn
/// the light one.
pub(super) fn setup_of(epoch: Epoch) -> EpochSetup {
    let mut weights = [1; 4];
    if epoch.0 % 2 == 1 {
        weights = [2; 4];
        weights[epoch.0 as usize / 2 % 4] = 1;
    }
    EpochSetup {
        epoch,
        ..genesis_of(&weights).first_epoch()
    }
}

impl Disk {
    pub(super) fn origin(&self, epoch: Epoch) -> Origin {
        self.changes
            .get(&epoch)
            .map_or_else(origin, EpochChange::origin)
    }

    /// The epoch of the last block, or the next one if that has begun here.
    pub(super) fn epoch(&self) -> Epoch {
        let Some((last, _)) = self.chain.last() else {
            return Epoch(0);
        };
        let mut changes = self.changes.values();
        let begun = changes.find(|change| change.last == last.header);
        begun.map_or(last.header.epoch, |change| change.setup.epoch)
    }

    /// Whether a state may be written: not over one of a later epoch.
    pub(super) fn takes(&self, state: &SafetyState) -> bool {
        let stored = self.safety.as_ref();
        stored.is_none_or(|stored| stored.epoch() <= state.epoch())
    }

    /// What an epoch's engine starts from: the stored state, if it is of that epoch.
    pub(super) fn state_in(&self, epoch: Epoch) -> SafetyState {
        let mut state = SafetyState::origin(&self.origin(epoch));
        match &self.safety {
            Some(stored) if stored.epoch() == epoch => return stored.clone(),
            Some(stored) if stored.epoch() > epoch => state.abstain_through = View(u64::MAX),
            _ => {}
        }
        state
    }
}

pub(super) fn committee_of(epoch: Epoch) -> conclave_crypto::Committee {
    conclave_crypto::Committee::of_epoch(&setup_of(epoch)).expect("3f+1")
}

impl World {
    /// Takes hand-overs, each verified with the committee before it.
    pub(super) fn learn_epochs(&mut self, place: usize, changes: BTreeMap<Epoch, EpochChange>) {
        let disk = &mut self.peers[place].disk;
        for (epoch, change) in changes {
            let committee = committee_of(Epoch(epoch.0 - 1));
            let verifier = conclave_light::Verifier {
                chain: chain(),
                committee: &committee,
                signatures: &Quick(ValidatorIndex(0)),
                origin: None,
            };
            let verdict = conclave_light::verify_epoch_change(&verifier, &change);
            assert_eq!(verdict, Ok(()), "seed {}: epoch {epoch}", self.seed);
            disk.changes.entry(epoch).or_insert(change);
        }
    }

    /// What the shell does with a message: the engine gets those of its epoch.
    pub(super) fn hear(&mut self, place: usize, from: ValidatorIndex, message: Message) {
        let peer = &self.peers[place];
        let Some(epoch) = peer.engine.as_ref().map(Engine::epoch) else {
            return;
        };
        if message.epoch() < epoch {
            let before = peer.disk.changes.get(&epoch);
            let ended = before.map(|change| change.certificate.clone());
            if let Some(cc) = ended.filter(|_| !matches!(message, Message::CommitCertificate(_))) {
                self.send(place, from, &Message::CommitCertificate(cc));
            }
        } else if message.epoch() > epoch {
            if message.epoch() == epoch.next() {
                self.peers[place].early.push((from, message));
            }
            let to = self.place_of(from);
            let height = self.height(place).next();
            if self.peers[place].target < height {
                self.peers[place].target = height;
                self.soon(Event::AskSync {
                    to,
                    asker: place,
                    from: height,
                });
            }
        } else {
            self.input(place, message.into_input(from));
        }
    }

    /// Passes to the next epoch, whose first state is durable before anything is signed in it.
    pub(super) fn pass(&mut self, place: usize) {
        let peer = &mut self.peers[place];
        let Some(engine) = &peer.engine else {
            return;
        };
        let Some((last, certificate)) = engine.ending() else {
            return;
        };
        let change = EpochChange {
            last: last.clone(),
            certificate: certificate.clone(),
            setup: setup_of(last.epoch.next()),
        };
        let epoch = change.setup.epoch;
        assert_eq!(last.next_epoch, Some(change.setup.digest()));
        let stored = peer.disk.safety.as_ref().map(SafetyState::epoch);
        let doubt = stored < Some(epoch) && engine.safety().may_have_left(last);
        peer.disk.changes.insert(epoch, change);
        if doubt {
            // It must ask again, as if the disk had been lost.
            peer.disk.safety = None;
            self.doubts += 1;
            return self.crash(place);
        }
        let state = peer.disk.state_in(epoch);
        if peer.disk.takes(&state) {
            peer.disk.safety = Some(state);
        }
        self.epochs = self.epochs.max(epoch.0);
        self.resume(place);
        for (from, message) in std::mem::take(&mut self.peers[place].early) {
            self.hear(place, from, message);
        }
    }

    /// Whether a block of this height is the last of an epoch.
    pub(super) fn next_epoch(&self, place: usize, height: Height) -> Option<Digest> {
        let peer = &self.peers[place];
        let epoch = peer.engine.as_ref()?.epoch();
        let last = peer.disk.origin(epoch).height.0 + self.epoch_blocks;
        let ends = self.epoch_blocks > 0 && height.0 >= last;
        ends.then(|| setup_of(epoch.next()).digest())
    }
}
