//! What must become of a validator's shares, and what must not.

mod speaking;

use std::fs;

use conclave_seal::SealScheme;
use conclave_types::{BlockId, Digest};
use conclave_types::{EnvelopeHeader, Genesis, LaneKind, RollupId, ShareContext, ShareGroup};

use super::*;
use crate::tests::common::Network;

const OWN: ValidatorIndex = ValidatorIndex(0);

/// Secrets in a directory of their own, which may be opened again.
struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn vault(&self) -> Vault {
        Vault::open(self.0.path()).expect("a vault")
    }

    fn secrets(&self, network: &Network) -> Secrets {
        let genesis = GenesisShares {
            shares: network.shares(0),
            file: Some(self.genesis_file()),
        };
        Secrets::new(OWN, self.vault(), Vec::new(), Some(genesis))
    }

    fn genesis_file(&self) -> PathBuf {
        self.0.path().join("sealing.key")
    }
}

/// The genesis' key, as if a later epoch had made it.
fn setup(genesis: &Genesis, epoch: u64) -> EpochSetup {
    EpochSetup {
        epoch: Epoch(epoch),
        ..genesis.first_epoch()
    }
}

/// The shares that a ring has for an envelope, and whether it releases them.
fn shares(ring: &Keyring, header: &EnvelopeHeader) -> (usize, bool) {
    let context = ShareContext {
        block: BlockId(Digest::ZERO),
        height: Height(1),
        lane: LaneKind::OnCommit.of(header.core.epoch),
        group: ShareGroup::Whole,
    };
    let points = ring.share_points(&[header]);
    let count = points.len();
    (count, ring.bundle(context, &[header], points).is_some())
}

/// A batch that was packed in the last height of a key's grace and arrived after its end was taken for
/// an invalid one, and honest validators punished each other for it: the whole key was gone, and not
/// the shares alone.
#[test]
fn a_retired_key_still_checks_what_was_sealed_to_it_and_makes_no_share() {
    let mut network = Network::new();
    let ledger = Ledger::genesis(&network.genesis);
    let directory = Directory::new();
    let mut secrets = directory.secrets(&network);
    secrets.recover(&ledger, &[]).expect("taken up");
    let ring = secrets.keyring();
    let late = network.sealed(RollupId(5), &[b"late".to_vec()]).header;
    assert_eq!(ring.check(&[&late]), [true]);
    assert_eq!(shares(&ring, &late), (1, true));

    secrets.retire(Epoch(0)).expect("retired");
    assert_eq!(ring.check(&[&late]), [true]);
    assert_eq!(shares(&ring, &late), (0, false));

    // No batch of the epochs after the next one holds it.
    let next = setup(&network.genesis, 1);
    secrets.take_up(&next, &ledger).expect("taken up");
    secrets.retire(Epoch(1)).expect("retired");
    assert_eq!(ring.check(&[&late]), [false]);
}

/// A node that was stopped while it destroyed a share did not start any more: what was left of it read
/// as damaged.
#[test]
fn a_destruction_that_was_interrupted_is_finished_at_the_next_start() {
    let network = Network::new();
    let ledger = Ledger::genesis(&network.genesis);
    let directory = Directory::new();
    let kept = network.shares(0).encode();
    directory.vault().keep("shares-1", &kept).expect("kept");
    directory.vault().keep("seed-2", &kept).expect("kept");
    directory.vault().retire(Epoch(1)).expect("noted");
    let key = directory.0.path().join("secrets/shares-1.key");
    fs::write(&key, [0; 32]).expect("overwritten, not yet removed");
    fs::write(directory.genesis_file(), [0; 68]).expect("the same");

    let mut secrets = directory.secrets(&network);
    secrets.recover(&ledger, &[]).expect("starts");
    assert!(!key.exists() && !directory.genesis_file().exists());
    let names = directory.vault().names().expect("readable");
    assert_eq!(names, ["seed-2"], "of a key that is not retired");
    let retired = setup(&network.genesis, 1);
    secrets
        .take_up(&retired, &ledger)
        .expect("without its shares");
}

/// The retirement was noted and the node was stopped before it destroyed anything. At the next start the
/// shares were on the ring again, until a block was executed.
#[test]
fn no_share_of_a_retired_key_is_taken_up_again() {
    let mut network = Network::new();
    let ledger = Ledger::genesis(&network.genesis);
    let directory = Directory::new();
    directory.vault().retire(Epoch(0)).expect("noted");

    let mut secrets = directory.secrets(&network);
    secrets.recover(&ledger, &[]).expect("starts");
    let sealed = network.sealed(RollupId(5), &[b"late".to_vec()]).header;
    assert_eq!(shares(&secrets.keyring(), &sealed), (0, false));
}

/// The command line reads the file of the genesis' shares before there is a node: half destroyed it is
/// no hexadecimal number, and kept the validator from starting.
#[test]
fn the_file_of_a_retired_genesis_key_is_destroyed_before_it_is_read() {
    let directory = Directory::new();
    let file = directory.genesis_file();
    fs::write(&file, [0; 68]).expect("overwritten, not yet removed");
    let destroyed = || destroy_if_retired(directory.0.path(), &file).expect("can be destroyed");
    assert!(!destroyed() && file.exists());
    directory.vault().retire(Epoch(0)).expect("noted");
    assert!(destroyed() && !file.exists());
}
