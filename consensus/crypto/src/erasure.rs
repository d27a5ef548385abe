//! Reed–Solomon coding: n shards under one Merkle root, of which any k give the data back.
//!
//! ```text
//! data ─▶ pad to k shards ─▶ k given + (n−k) computed ─▶ hash each ─▶ Merkle root
//! k proven shards ─▶ data ─▶ encode again ─▶ the same root?  yes: data   no: inconsistent
//! ```
//!
//! n is the committee's total weight and k = f+1. A root *is consistent* if all its n leaves are
//! the hashes of the shards that [`Coder::encode`] makes of some data. Encoding again compares all
//! leaves, so [`Coder::rebuild`] comes to the same verdict from whichever k proven shards: if the
//! root is consistent, any k of them are of one data and give it; if it is not, no data encodes
//! to it, whatever the k at hand decode to.
//!
//! Departure from the usual codeword with a length inside: the length of the data is known from
//! elsewhere (envelope headers), so that there is one codeword for each data, its padding is zero,
//! and a shard of another size is refused before it is used.

use std::fmt;
use std::ops::Range;

use bincode::{Decode, Encode};
use conclave_types::{Digest, Domain, Threshold, limits};
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

use crate::merkle::{MerklePath, MerkleTree};

/// The coder's field elements are of two bytes.
const ELEMENT_BYTES: usize = 2;

/// How data of one length is coded for one committee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeShape {
    /// k, the shards that give the data back.
    needed: usize,
    /// n, all shards.
    total: usize,
    /// The bytes of the data.
    bytes: usize,
}

/// One shard of a codeword, with what proves it; its position is the path's index.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Shard {
    pub path: MerklePath,
    pub bytes: Vec<u8>,
}

/// All shards of some data.
#[derive(Debug, Clone)]
pub struct Codeword {
    shard_bytes: usize,
    /// The shards, one after the other.
    bytes: Vec<u8>,
    tree: MerkleTree,
}

/// What k proven shards turn out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebuilt {
    /// The data that was encoded.
    Data(Vec<u8>),
    /// The root is of no codeword. Everybody who rebuilds under it comes to this.
    Inconsistent,
}

/// Shards that nothing can be rebuilt from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RebuildError {
    /// A shard of another size, or that its path does not prove.
    #[error(
        "[CV-CRYPTO-020] shard {position} is not proven under the root; ask another validator for its shards"
    )]
    Unproven { position: u64 },
    /// Fewer distinct shards than the code needs.
    #[error("[CV-CRYPTO-021] {found} shards of the {needed} that are needed; ask for more")]
    TooFew { found: usize, needed: usize },
}

/// Encodes and rebuilds; keeps its working space from one use to the next.
#[derive(Default)]
pub struct Coder {
    encoder: Option<ReedSolomonEncoder>,
    decoder: Option<ReedSolomonDecoder>,
}

impl CodeShape {
    /// The shape for data of this many bytes; `None` above [`limits::BATCH_BYTES_MAX`].
    pub fn new(threshold: Threshold, bytes: usize) -> Option<Self> {
        (bytes <= limits::BATCH_BYTES_MAX).then_some(Self {
            needed: usize::from(threshold.one_honest()),
            total: usize::from(threshold.total()),
            bytes,
        })
    }

    /// k, the shards that give the data back.
    pub const fn needed(self) -> usize {
        self.needed
    }

    /// The bytes of each shard: the data's k-th part, up to the next whole field element, and one
    /// element at least.
    pub fn shard_bytes(self) -> usize {
        let bytes = self.bytes.div_ceil(self.needed).max(1);
        bytes.next_multiple_of(ELEMENT_BYTES)
    }

    const fn computed(self) -> usize {
        self.total - self.needed
    }
}

impl Shard {
    /// Which of the n shards it claims to be.
    pub const fn position(&self) -> u64 {
        self.path.index
    }

    /// Whether it is the shard of its position under the root, and of the right size.
    pub fn is_proven(&self, shape: CodeShape, root: &Digest) -> bool {
        self.bytes.len() == shape.shard_bytes()
            && self.path.count == shape.total as u64
            && self.path.verify(&leaf(&self.bytes), root)
    }
}

impl Codeword {
    /// What all shards are proven under.
    pub fn root(&self) -> Digest {
        self.tree.root()
    }

    /// The shards of some positions, with their proofs; those past the end are left out.
    pub fn shards(&self, positions: Range<usize>) -> Vec<Shard> {
        let shards = self.bytes.chunks(self.shard_bytes).enumerate();
        shards
            .take(positions.end)
            .skip(positions.start)
            .filter_map(|(position, bytes)| {
                Some(Shard {
                    path: self.tree.path(position as u64)?,
                    bytes: bytes.to_vec(),
                })
            })
            .collect()
    }
}

impl Coder {
    /// Encodes data given in parts, which together have the shape's bytes. CPU-heavy.
    pub fn encode<'a>(
        &mut self,
        shape: CodeShape,
        parts: impl IntoIterator<Item = &'a [u8]>,
    ) -> Codeword {
        let shard_bytes = shape.shard_bytes();
        let mut bytes = Vec::with_capacity(shape.total * shard_bytes);
        parts
            .into_iter()
            .for_each(|part| bytes.extend_from_slice(part));
        assert_eq!(bytes.len(), shape.bytes, "the parts are not of the shape");
        bytes.resize(shape.needed * shard_bytes, 0);
        self.extend(shape, &mut bytes);
        let leaves: Vec<Digest> = bytes.chunks(shard_bytes).map(leaf).collect();
        Codeword {
            shard_bytes,
            bytes,
            tree: MerkleTree::new(&leaves),
        }
    }

    /// Gives the data back from k distinct shards; further ones are not looked at. CPU-heavy.
    pub fn rebuild(
        &mut self,
        shape: CodeShape,
        root: &Digest,
        shards: &[Shard],
    ) -> Result<Rebuilt, RebuildError> {
        let mut chosen: Vec<Option<&[u8]>> = vec![None; shape.total];
        let mut found = 0;
        for shard in shards {
            if found == shape.needed {
                break;
            }
            if !shard.is_proven(shape, root) {
                let position = shard.position();
                return Err(RebuildError::Unproven { position });
            }
            // A proven shard's position is below the total.
            let place = &mut chosen[shard.position() as usize];
            found += usize::from(place.is_none());
            *place = Some(&shard.bytes);
        }
        if found < shape.needed {
            let needed = shape.needed;
            return Err(RebuildError::TooFew { found, needed });
        }
        let data = self.decode(shape, &chosen);
        let consistent = self.encode(shape, [data.as_slice()]).root() == *root;
        Ok(match consistent {
            true => Rebuilt::Data(data),
            false => Rebuilt::Inconsistent,
        })
    }

    /// Appends the computed shards to the given ones.
    fn extend(&mut self, shape: CodeShape, bytes: &mut Vec<u8>) {
        if shape.computed() == 0 {
            return;
        }
        let (needed, computed, size) = (shape.needed, shape.computed(), shape.shard_bytes());
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder.reset(needed, computed, size).map(|()| encoder),
            none => ReedSolomonEncoder::new(needed, computed, size).map(|new| none.insert(new)),
        };
        let coded = encoder.and_then(|encoder| {
            for shard in bytes.chunks(size) {
                encoder.add_original_shard(shard)?;
            }
            encoder.encode().map(|computed| {
                for shard in computed.recovery_iter() {
                    bytes.extend_from_slice(shard);
                }
            })
        });
        if let Err(error) = coded {
            unreachable!("counts up to 256 and even sizes can be coded: {error}");
        }
    }

    /// The data whose codeword has these shards at their positions; k of them are there.
    fn decode(&mut self, shape: CodeShape, chosen: &[Option<&[u8]>]) -> Vec<u8> {
        let (given, computed) = chosen.split_at(shape.needed);
        let mut data = Vec::with_capacity(shape.needed * shape.shard_bytes());
        if given.iter().all(Option::is_some) {
            given
                .iter()
                .flatten()
                .for_each(|shard| data.extend_from_slice(shard));
        } else if let Err(error) = self.restore(shape, given, computed, &mut data) {
            unreachable!("k shards of one size can be decoded: {error}");
        }
        data.truncate(shape.bytes);
        data
    }

    fn restore(
        &mut self,
        shape: CodeShape,
        given: &[Option<&[u8]>],
        computed: &[Option<&[u8]>],
        data: &mut Vec<u8>,
    ) -> Result<(), reed_solomon_simd::Error> {
        let (needed, rest, size) = (shape.needed, shape.computed(), shape.shard_bytes());
        let decoder = match &mut self.decoder {
            Some(decoder) => {
                decoder.reset(needed, rest, size)?;
                decoder
            }
            none => none.insert(ReedSolomonDecoder::new(needed, rest, size)?),
        };
        for (position, shard) in given.iter().enumerate() {
            if let Some(shard) = shard {
                decoder.add_original_shard(position, shard)?;
            }
        }
        for (position, shard) in computed.iter().enumerate() {
            if let Some(shard) = shard {
                decoder.add_recovery_shard(position, shard)?;
            }
        }
        let restored = decoder.decode()?;
        for (position, shard) in given.iter().enumerate() {
            let shard = shard.or_else(|| restored.restored_original(position));
            data.extend_from_slice(shard.unwrap_or_default());
        }
        Ok(())
    }
}

impl Clone for Coder {
    /// Working space of its own.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Coder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Coder")
    }
}

fn leaf(shard: &[u8]) -> Digest {
    Domain::Shard.digest(shard)
}

#[cfg(test)]
mod tests;
