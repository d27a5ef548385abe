//! From a commit certificate back along the hashes.

use conclave_types::{Block, BlockHeader, BlockId, CommitCertificate, Height, limits};

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
    if last.id() != cc.block || last.height != cc.height {
        return Err(ChainError::Certificate {
            height: last.height,
            found: last.id(),
            expected: cc.block,
        });
    }
    for pair in headers.windows(2) {
        let (parent, child) = (&pair[0], &pair[1]);
        let extends = child.parent == parent.id()
            && child.parent_view == parent.view
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
