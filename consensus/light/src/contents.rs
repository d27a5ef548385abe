//! One rollup's envelopes in one block: some of them, all of them, none.
//!
//! A batch's header lists, sorted by rollup, how many envelopes each rollup has and the Merkle
//! root of their ids. 2f+1 validators recomputed that list before they signed "stored", so what it
//! names is all there is.

use conclave_crypto::MerklePath;
use conclave_types::{
    BatchHeader, Block, EnvelopeHeader, EnvelopeId, Height, RollupContents, RollupId,
};

use crate::{ChainError, verify_body};

/// A claim about a rollup's envelopes that the block does not support.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentsError {
    /// The block's body is not the header's.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A batch's list of rollups is not strictly ascending.
    #[error(
        "[CV-LIGHT-010] batch {batch} of height {height} lists its rollups out of order; report it, 2f+1 validators signed it"
    )]
    Unsorted { height: Height, batch: usize },
    /// There are more or fewer envelopes than the batches count.
    #[error(
        "[CV-LIGHT-011] {found} envelopes of rollup {rollup} were given for height {height}, the block orders {expected}; ask another peer for all of them"
    )]
    Count {
        height: Height,
        rollup: RollupId,
        found: u64,
        expected: u64,
    },
    /// The envelopes are not the committed ones, or not in this order.
    #[error(
        "[CV-LIGHT-012] the envelopes of rollup {rollup} do not match batch {batch} of height {height}; ask another peer"
    )]
    Root {
        height: Height,
        rollup: RollupId,
        batch: usize,
    },
}

/// What each batch of the block holds of one rollup, with the batch's position; batches without
/// any are left out. Checks the body first.
pub fn rollup_contents(
    block: &Block,
    rollup: RollupId,
) -> Result<Vec<(usize, &RollupContents)>, ContentsError> {
    verify_body(block)?;
    let mut found = Vec::new();
    for (position, batch) in block.batches.iter().enumerate() {
        if !is_sorted(&batch.header) {
            return Err(ContentsError::Unsorted {
                height: block.header.height,
                batch: position,
            });
        }
        let entry = batch
            .header
            .contents
            .binary_search_by_key(&rollup, |contents| contents.rollup);
        found.extend(entry.ok().map(|at| (position, &batch.header.contents[at])));
    }
    Ok(found)
}

/// Whether these are all of the rollup's envelopes in the block, in order. The block itself must
/// be known to be final.
pub fn verify_complete(
    block: &Block,
    rollup: RollupId,
    envelopes: &[EnvelopeHeader],
) -> Result<(), ContentsError> {
    let height = block.header.height;
    let contents = rollup_contents(block, rollup)?;
    let expected = contents.iter().map(|(_, c)| u64::from(c.count)).sum();
    if envelopes.len() as u64 != expected {
        return Err(ContentsError::Count {
            height,
            rollup,
            found: envelopes.len() as u64,
            expected,
        });
    }
    let mut rest = envelopes;
    for (batch, contents) in contents {
        let (these, others) = rest.split_at(contents.count as usize);
        rest = others;
        let ids: Vec<_> = these.iter().map(|header| header.id().0).collect();
        let own = these.iter().all(|header| header.core.rollup == rollup);
        if !own || conclave_crypto::merkle::root(&ids) != contents.root {
            return Err(ContentsError::Root {
                height,
                rollup,
                batch,
            });
        }
    }
    Ok(())
}

/// Whether the block orders the envelope for the rollup, in the batch at this position.
pub fn verify_included(
    block: &Block,
    rollup: RollupId,
    batch: usize,
    envelope: EnvelopeId,
    path: &MerklePath,
) -> Result<(), ContentsError> {
    let contents = rollup_contents(block, rollup)?;
    let included = contents.iter().any(|(position, contents)| {
        *position == batch
            && path.count == u64::from(contents.count)
            && path.verify(&envelope.0, &contents.root)
    });
    match included {
        true => Ok(()),
        false => Err(ContentsError::Root {
            height: block.header.height,
            rollup,
            batch,
        }),
    }
}

/// Whether the block orders nothing for the rollup.
pub fn verify_absent(block: &Block, rollup: RollupId) -> Result<(), ContentsError> {
    verify_complete(block, rollup, &[])
}

fn is_sorted(header: &BatchHeader) -> bool {
    header
        .contents
        .windows(2)
        .all(|pair| pair[0].rollup < pair[1].rollup)
}
