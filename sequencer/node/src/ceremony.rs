//! The genesis key generation between real hosts, over the same pinned-key transport that the
//! validators use later.
//!
//! Every message is repeated until all have confirmed the same transcript, so that validators may
//! start in any order, and a lost connection costs time only.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bincode::{Decode, Encode};
use bytes::Bytes;
use conclave_crypto::EdSecret;
use conclave_seal::{Ceremony, KeyGeneration, KeyGenerationError, KeyShares};
use conclave_types::{ChainId, Digest, SealingKey, ValidatorIndex, ValidatorInfo, codec};
use rand_core::OsRng;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::transport::{
    Class, Message, PeerConfig, PeerEvent, Timing, Transport, TransportConfig, TransportError,
    TransportHandle, bounds,
};

/// Between repetitions of what others may have missed.
const REPEAT: Duration = Duration::from_millis(500);

/// One validator's part in the ceremony.
pub struct Config {
    /// What everybody agreed on: the digest of the draft.
    pub context: Digest,
    /// The committee, in order.
    pub validators: Vec<ValidatorInfo>,
    /// This validator's place in it.
    pub own: usize,
    /// Its transport key.
    pub transport: EdSecret,
    pub listen: SocketAddr,
    /// How long to wait for the others.
    pub timeout: Duration,
}

/// A key generation that did not come to its end. Nothing was kept; start it again.
#[derive(Debug, thiserror::Error)]
pub enum CeremonyError {
    /// The transport did not start.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A validator lied, or the draft is not possible.
    #[error(transparent)]
    Generation(#[from] KeyGenerationError),
    /// Some validators did not take part in time.
    #[error(
        "[CV-NODE-010] validators {missing:?} did not take part in time; start the key generation on their hosts and again here"
    )]
    Missing { missing: Vec<u16> },
    /// Somebody was told something else.
    #[error(
        "[CV-NODE-011] validator {validator} ended with another transcript; somebody tells different things to different validators: find out who, and start again"
    )]
    Disagreement { validator: ValidatorIndex },
    /// The address of the draft has no port.
    #[error("[CV-NODE-012] {address} has no port; write it as host:port in the draft")]
    Address { address: String },
}

/// What the ceremony's participants say to each other.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Word {
    /// A message of the key generation.
    Generation(Vec<u8>),
    /// The sender has everything and ended with this transcript.
    Finished(Digest),
    /// The sender knows that everyone has finished.
    Goodbye,
}

/// Where to listen for a published address: its port, on all addresses of this host.
pub fn listen_address(address: &str) -> Result<SocketAddr, CeremonyError> {
    let port = address
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok());
    let port: u16 = port.ok_or_else(|| CeremonyError::Address {
        address: address.into(),
    })?;
    Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
}

/// Takes part; ends with this validator's shares and the committee's key once every validator has
/// confirmed the same transcript.
pub async fn run(config: Config) -> Result<(KeyShares, SealingKey), CeremonyError> {
    let own = ValidatorIndex(config.own as u16);
    let peers = config
        .validators
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != config.own);
    let peers = peers.map(|(index, validator)| PeerConfig {
        index: ValidatorIndex(index as u16),
        key: validator.transport_key,
        address: validator.address.clone(),
    });
    let (transport, mut events) = Transport::start(TransportConfig {
        // Not the chain's id, which does not exist yet: the two never talk to each other.
        chain: ChainId(config.context),
        own,
        seed: config.transport.to_seed(),
        listen: config.listen,
        peers: peers.collect(),
        timing: Timing::default(),
    })?;
    let ceremony = Ceremony {
        context: config.context,
        weights: config
            .validators
            .iter()
            .map(|validator| validator.weight)
            .collect(),
    };
    let (generation, first) = KeyGeneration::start(ceremony, own, &mut OsRng)?;
    let mut part = Part {
        handle: transport.handle(),
        others: config.validators.len() - 1,
        generation: Some(generation),
        said: vec![Word::Generation(first)],
        result: None,
        finished: BTreeMap::new(),
        gone: BTreeSet::new(),
    };
    let deadline = Instant::now() + config.timeout;
    let mut repeat = interval(REPEAT);
    repeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let outcome = loop {
        let step = async {
            tokio::select! {
                message = events.consensus.recv() => part.hear(message),
                event = events.peers.recv() => {
                    match event {
                        Some(PeerEvent::Connected(_)) => part.say_all(),
                        // Whoever left after all had finished has heard it, or it could not have
                        // finished itself.
                        Some(PeerEvent::Disconnected(peer, _)) if part.all_finished() => {
                            part.gone.insert(peer);
                        }
                        _ => {}
                    }
                    Ok(())
                }
                _ = repeat.tick() => { part.say_all(); Ok(()) }
            }
        };
        match timeout_at(deadline, step).await {
            Err(_) if part.all_finished() => break Ok(()),
            Err(_) => break Err(part.missing()),
            Ok(Err(error)) => break Err(error),
            Ok(Ok(())) if part.all_gone() => break Ok(()),
            Ok(Ok(())) => {}
        }
    };
    transport.shutdown().await;
    outcome?;
    part.result.ok_or(CeremonyError::Missing {
        missing: Vec::new(),
    })
}

/// The state of one's own part.
struct Part {
    handle: TransportHandle,
    others: usize,
    generation: Option<KeyGeneration>,
    said: Vec<Word>,
    result: Option<(KeyShares, SealingKey)>,
    finished: BTreeMap<ValidatorIndex, Digest>,
    gone: BTreeSet<ValidatorIndex>,
}

impl Part {
    fn say(&mut self, word: Word) {
        self.send(&word);
        self.said.push(word);
    }

    fn say_all(&self) {
        for word in &self.said {
            self.send(word);
        }
    }

    fn send(&self, word: &Word) {
        let bytes = Bytes::from(codec::encode(word));
        if let Err(error) = self.handle.broadcast(Class::Consensus, bytes) {
            tracing::debug!(%error, "a message of the key generation waits for its repetition");
        }
    }

    fn hear(&mut self, message: Option<Message>) -> Result<(), CeremonyError> {
        let Some(Message { from, bytes }) = message else {
            return Ok(());
        };
        let word = match codec::decode(&bytes, bounds::CONSENSUS_FRAME_BYTES_MAX) {
            Ok(word) => word,
            Err(error) => {
                self.handle.punish(from, &error.to_string());
                return Ok(());
            }
        };
        match word {
            Word::Generation(bytes) => self.generate(from, &bytes)?,
            Word::Finished(transcript) => {
                self.finished.insert(from, transcript);
            }
            Word::Goodbye => {
                self.gone.insert(from);
            }
        }
        self.compare()
    }

    fn generate(&mut self, from: ValidatorIndex, bytes: &[u8]) -> Result<(), CeremonyError> {
        let Some(generation) = &mut self.generation else {
            return Ok(());
        };
        let progress = generation.handle(from, bytes)?;
        if let Some(message) = progress.send {
            self.say(Word::Generation(message));
        }
        if progress.complete
            && let Some(generation) = self.generation.take()
        {
            let (shares, key) = generation.finish()?;
            let transcript = key.transcript;
            self.result = Some((shares, key));
            self.say(Word::Finished(transcript));
        }
        Ok(())
    }

    fn compare(&mut self) -> Result<(), CeremonyError> {
        let Some((_, key)) = &self.result else {
            return Ok(());
        };
        let other = self
            .finished
            .iter()
            .find(|(_, transcript)| **transcript != key.transcript);
        if let Some((validator, _)) = other {
            return Err(CeremonyError::Disagreement {
                validator: *validator,
            });
        }
        if self.all_finished() && !self.said.contains(&Word::Goodbye) {
            self.say(Word::Goodbye);
        }
        Ok(())
    }

    fn all_finished(&self) -> bool {
        self.result.is_some() && self.finished.len() == self.others
    }

    /// Whoever says goodbye needs nothing more from us; a goodbye also means "finished".
    fn all_gone(&self) -> bool {
        self.all_finished() && self.gone.len() == self.others
    }

    fn missing(&self) -> CeremonyError {
        let all = (0..=self.others as u16).map(ValidatorIndex);
        let missing = match &self.generation {
            Some(generation) => generation.missing(),
            None => all
                .filter(|index| !self.finished.contains_key(index))
                .collect(),
        };
        CeremonyError::Missing {
            missing: missing.into_iter().map(|index| index.0).collect(),
        }
    }
}
