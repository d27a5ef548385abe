//! What survives a restart: the settled state of each rollup, and proofs not settled yet.

use std::io;
use std::path::{Path, PathBuf};

use conclave_sdk::{ProvenRange, read_file, replace_file};
use conclave_types::{Height, ProgramVersion, Range, RollupId, StateRoot, TxIndex, codec};

/// A rollup's state at a settled index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) program: ProgramVersion,
    /// The first transaction that is not executed.
    pub(crate) index: TxIndex,
    /// The height that ordered the last executed one; following resumes there.
    pub(crate) height: Height,
    pub(crate) state: Vec<u8>,
}

impl Snapshot {
    pub(crate) fn save(&self, dir: &Path, rollup: RollupId) -> io::Result<()> {
        let fields = (self.program, self.index, self.height, self.state.clone());
        replace_file(&snapshot_path(dir, rollup), &codec::encode(&fields))
    }

    /// `None` when there is none, or it is damaged: the state is then rebuilt from the stream.
    pub(crate) fn load(dir: &Path, rollup: RollupId) -> io::Result<Option<Self>> {
        let Some(bytes) = read_file(&snapshot_path(dir, rollup))? else {
            return Ok(None);
        };
        let fields: Option<(ProgramVersion, TxIndex, Height, Vec<u8>)> =
            codec::decode(&bytes, bytes.len()).ok();
        Ok(fields.map(|(program, index, height, state)| Self {
            program,
            index,
            height,
            state,
        }))
    }
}

/// Keeps a proof until its range is settled, so that a restart need not make it again.
pub(crate) fn save_proof(
    dir: &Path,
    range: &Range,
    old_root: StateRoot,
    proven: &ProvenRange,
) -> io::Result<()> {
    let fields = (
        old_root,
        proven.new_root,
        proven.excluded.clone(),
        proven.proof.clone(),
    );
    replace_file(&proof_path(dir, range), &codec::encode(&fields))
}

/// A kept proof of exactly this range from this root, unverified.
pub(crate) fn load_proof(dir: &Path, range: &Range, old_root: StateRoot) -> Option<ProvenRange> {
    let bytes = read_file(&proof_path(dir, range)).ok()??;
    let (from, new_root, excluded, proof): (StateRoot, StateRoot, Vec<u32>, Vec<u8>) =
        codec::decode(&bytes, bytes.len()).ok()?;
    (from == old_root).then_some(ProvenRange {
        proof,
        new_root,
        excluded,
    })
}

/// Forgets a kept proof.
pub(crate) fn remove_proof(dir: &Path, range: &Range) -> io::Result<()> {
    match std::fs::remove_file(proof_path(dir, range)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn snapshot_path(dir: &Path, rollup: RollupId) -> PathBuf {
    dir.join(format!("rollup-{rollup}.snapshot"))
}

fn proof_path(dir: &Path, range: &Range) -> PathBuf {
    let Range {
        rollup, from, to, ..
    } = range;
    dir.join(format!("rollup-{rollup}-{from}-{to}.proof"))
}
