//! From one committee to the next: each epoch's last block names the setup of the next, and its
//! commit certificate is signed by the committee that steps down.
//!
//! ```text
//! Genesis ─▶ committee 0 ─signs─▶ last block of epoch 0 ─names─▶ setup 1 ─▶ committee 1 ─signs─▶ …
//! ```

use std::sync::Arc;

use conclave_crypto::{BlsCommittee, BlsCommitteeError, Committee, CommitteeError, Signatures};
use conclave_types::{
    ChainId, CommitCertificate, Epoch, EpochChange, EpochSetup, Genesis, Height, Origin,
};

use crate::{CertificateError, ChainError, Verifier, verify_ancestry};

/// A change of committee that proves nothing, or something of an epoch that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EpochError {
    /// The setup is not the one that the epoch's last block names.
    #[error(
        "[CV-LIGHT-044] the block at height {height} does not name this setup as that of epoch {epoch}; ask another peer"
    )]
    Setup { height: Height, epoch: Epoch },
    /// The way from the genesis to the epoch was not shown.
    #[error(
        "[CV-LIGHT-045] the committee of epoch {epoch} is not known, the newest is that of epoch {newest}; follow the changes of epoch up to there first"
    )]
    Unknown { epoch: Epoch, newest: Epoch },
    /// The header is not what the certificate is for.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The certificate is not signed by the committee that steps down.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The setup has no valid committee.
    #[error(transparent)]
    Committee(#[from] CommitteeError),
    /// A key of the setup lacks its proof of possession.
    #[error(transparent)]
    Keys(#[from] BlsCommitteeError),
}

/// Whether the committee that steps down handed over to that setup. The verifier is that committee's.
pub fn verify_epoch_change(
    verifier: &Verifier<'_>,
    change: &EpochChange,
) -> Result<(), EpochError> {
    let EpochChange {
        last,
        certificate,
        setup,
    } = change;
    verify_ancestry(std::slice::from_ref(last), certificate)?;
    let follows = last.epoch.0.checked_add(1) == Some(setup.epoch.0);
    if !follows || last.next_epoch != Some(setup.digest()) {
        return Err(EpochError::Setup {
            height: last.height,
            epoch: setup.epoch,
        });
    }
    Ok(verifier.commit(certificate)?)
}

/// What one epoch's certificates are checked against.
#[derive(Clone)]
pub struct EpochKeys {
    pub committee: Committee,
    pub signatures: Arc<dyn Signatures>,
    pub origin: Origin,
}

impl EpochKeys {
    /// The keys of a setup, to verify with; about a millisecond for each.
    pub fn of(setup: &EpochSetup, origin: Origin) -> Result<Self, EpochError> {
        Ok(Self {
            committee: Committee::of_epoch(setup)?,
            signatures: Arc::new(BlsCommittee::verifier(&setup.validators)?),
            origin,
        })
    }

    /// What checks this epoch's certificates.
    pub fn verifier(&self, chain: ChainId) -> Verifier<'_> {
        Verifier {
            chain,
            committee: &self.committee,
            signatures: &*self.signatures,
            origin: Some(self.origin),
        }
    }
}

/// The committees from the genesis up to the newest that was shown.
#[derive(Clone)]
pub struct CommitteeChain {
    chain: ChainId,
    /// That of epoch 0 first.
    epochs: Vec<Arc<EpochKeys>>,
}

impl CommitteeChain {
    /// Knows the first committee only.
    pub fn from_genesis(genesis: &Genesis) -> Result<Self, EpochError> {
        genesis.check().map_err(CommitteeError::from)?;
        let first = EpochKeys::of(&genesis.first_epoch(), genesis.origin())?;
        Ok(Self::beginning(genesis.chain_id(), first))
    }

    /// The same with keys of the caller's making.
    pub fn beginning(chain: ChainId, first: EpochKeys) -> Self {
        Self {
            chain,
            epochs: vec![Arc::new(first)],
        }
    }

    /// The last epoch whose committee is known.
    pub fn newest(&self) -> Epoch {
        Epoch(self.epochs.len() as u64 - 1)
    }

    /// One epoch's keys.
    pub fn keys(&self, epoch: Epoch) -> Result<&Arc<EpochKeys>, EpochError> {
        let position = usize::try_from(epoch.0).ok();
        let found = position.and_then(|position| self.epochs.get(position));
        found.ok_or(EpochError::Unknown {
            epoch,
            newest: self.newest(),
        })
    }

    /// What checks one epoch's certificates.
    pub fn verifier(&self, epoch: Epoch) -> Result<Verifier<'_>, EpochError> {
        Ok(self.keys(epoch)?.verifier(self.chain))
    }

    /// Verifies a commit certificate with the committee of its own epoch.
    pub fn commit(&self, certificate: &CommitCertificate) -> Result<(), EpochError> {
        Ok(self.verifier(certificate.epoch)?.commit(certificate)?)
    }

    /// Learns the next committee; does nothing for one that is known already.
    pub fn extend(&mut self, change: &EpochChange) -> Result<(), EpochError> {
        if change.setup.epoch <= self.newest() {
            return Ok(());
        }
        self.check(change)?;
        let keys = EpochKeys::of(&change.setup, change.origin())?;
        self.epochs.push(Arc::new(keys));
        Ok(())
    }

    /// Whether the newest committee hands over like that.
    pub fn check(&self, change: &EpochChange) -> Result<(), EpochError> {
        verify_epoch_change(&self.verifier(change.last.epoch)?, change)
    }

    /// Adds the next epoch's keys, as made by a host that has checked the change itself.
    pub fn follow(&mut self, keys: EpochKeys) {
        assert_eq!(keys.committee.epoch, self.newest().next(), "one by one");
        self.epochs.push(Arc::new(keys));
    }
}
