//! From a commit certificate back along the hashes.

use conclave_types::{Block, BlockHeader, BlockId, CommitCertificate, Height, View, limits};

/// Headers or a body that do not belong to what is certified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// No headers were given.
    #[error("[CV-LIGHT-006] no headers to verify; ask for at least one")]
    Empty,
    /// The last header is not the certified block.
    #[error(
        "[CV-LIGHT-007] the last header is {found} at height {height}, the certificate is for {expected}; ask another peer"
    )]
    Certificate {
        height: Height,
        found: BlockId,
        expected: BlockId,
    },
    /// A header does not name the one before it as its parent.
    #[error(
        "[CV-LIGHT-008] the header at height {height} does not extend the one before it; ask another peer"
    )]
    Link { height: Height },
    /// The batches are not those of the header.
    #[error(
        "[CV-LIGHT-009] the batches of the block at height {height} do not match its header; ask another peer"
    )]
    Body { height: Height },
}

/// Whether the headers, ascending, are a chain that ends in the certified block. All of them are
/// final then, wherever the chain starts. The certificate's signatures are checked by
/// [`crate::Verifier::commit`].
pub fn verify_ancestry(headers: &[BlockHeader], cc: &CommitCertificate) -> Result<(), ChainError> {
    let last = headers.last().ok_or(ChainError::Empty)?;
    // An epoch's last block may be voted on again in later views.
    let in_view = cc.view == last.view || last.next_epoch.is_some() && cc.view > last.view;
    let certified = last.id() == cc.block && last.height == cc.height && last.epoch == cc.epoch;
    if !certified || !in_view {
        return Err(ChainError::Certificate {
            height: last.height,
            found: last.id(),
            expected: cc.block,
        });
    }
    for pair in headers.windows(2) {
        let (parent, child) = (&pair[0], &pair[1]);
        let extends = child.parent == parent.id()
            && follows(parent, child)
            && child.height.0.checked_sub(1) == Some(parent.height.0)
            && child.time > parent.time;
        if !extends {
            return Err(ChainError::Link {
                height: child.height,
            });
        }
    }
    Ok(())
}

/// Whether a block's epoch and its parent's view are those of a child: the first block of an epoch
/// extends the last of the one before, and nothing else does.
fn follows(parent: &BlockHeader, child: &BlockHeader) -> bool {
    let (epoch, view) = match parent.next_epoch {
        None => (Some(parent.epoch.0), parent.view),
        Some(_) => (parent.epoch.0.checked_add(1), View(0)),
    };
    epoch == Some(child.epoch.0) && child.parent_view == view
}

/// Whether the batches are those that the block's header commits to.
pub fn verify_body(block: &Block) -> Result<(), ChainError> {
    let fits = block.batches.len() <= limits::BLOCK_BATCHES_MAX;
    match fits && Block::payload_digest(&block.batches) == block.header.payload {
        true => Ok(()),
        false => Err(ChainError::Body {
            height: block.header.height,
        }),
    }
}
