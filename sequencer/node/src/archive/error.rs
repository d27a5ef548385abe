//! What can be wrong with an archive.

use conclave_types::Height;

/// The archive did not do what was asked of it. None of these stops a validator: agreement needs
/// nothing that is archived.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// The setting names no place that can be opened.
    #[error(
        "[CV-ARC-001] the archive {place} cannot be opened ({reason}); name a folder or an s3:// URL, and give credentials in the environment"
    )]
    Place { place: String, reason: String },
    /// Reading or writing failed.
    #[error(
        "[CV-ARC-002] the archive does not answer ({reason}); check its place, its rights and the network"
    )]
    Unreachable { reason: String },
    /// An object is not there.
    #[error(
        "[CV-ARC-003] heights {first} to {last} are missing in the archive; restore the object {object}, or ask another validator"
    )]
    Missing {
        first: Height,
        last: Height,
        object: String,
    },
    /// An object is not what was written.
    #[error(
        "[CV-ARC-004] heights {first} to {last} are damaged in the archive ({reason}); restore the object {object}, or ask another validator"
    )]
    Damaged {
        first: Height,
        last: Height,
        object: String,
        reason: String,
    },
    /// Too many reads at once.
    #[error("[CV-ARC-005] the archive serves others at the moment; ask again shortly")]
    Busy,
}

impl ArchiveError {
    /// Whether the same question may succeed shortly.
    pub const fn retry(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Busy)
    }
}
