//! Bundles of shares as messages: what their senders sign, and what shows others a wrong one.
//!
//! ```text
//! row (key share, part) ─▶ H_share-row ─┬─▶ weights of its proof
//!                               proof ──┴─▶ H_share-leaf ─▶ Merkle root ─▶ H_share-bundle, signed
//! ```
//!
//! A bundle may hold more than a block can take as evidence. One row with its proof, its path to
//! the root and the signature is at most 65 KiB, and says all: the signer vouched for this row.

use conclave_types::{
    BatchedDleq, ChainId, Digest, Domain, Point, ShareBundle, ShareContext, ValidatorIndex,
    WrongShares, codec, limits,
};

use crate::Committee;
use crate::ed::{self, EdItem};
use crate::merkle::{self, MerklePath, MerkleTree};

/// One key share's shares of one part of a bundle.
#[derive(Debug, Clone, Copy)]
pub struct ShareRow<'a> {
    pub context: &'a ShareContext,
    pub signer: ValidatorIndex,
    /// Which of the signer's key shares, from 0.
    pub key: u16,
    /// Which part, from 0.
    pub part: u32,
    /// The digest of the part's points C, see [`share_list`].
    pub list: Digest,
    pub shares: &'a [Point],
}

/// The seam between evidence and sealing: what a simulator may replace by something quicker.
pub trait ShareProofs: Send + Sync {
    /// Whether the proof shows that the row's shares are those of its signer's key share for the
    /// points C in `sealed`, whose digest the row names. A function of the arguments and the
    /// committee's public key; points that do not decode are refused.
    fn holds(&self, row: &ShareRow<'_>, sealed: &[Point], proof: &BatchedDleq) -> bool;
}

impl ShareRow<'_> {
    /// What the row's proof is about, but for the public key share.
    pub fn digest(&self) -> Digest {
        Domain::ShareRow
            .hasher()
            .part(&codec::encode(self.context))
            .part(&codec::encode(&self.signer))
            .part(&self.key.to_le_bytes())
            .part(&self.part.to_le_bytes())
            .part(&self.list.0)
            .part(&flat(self.shares))
            .digest()
    }

    fn leaf(&self, proof: &BatchedDleq) -> Digest {
        Domain::ShareLeaf
            .hasher()
            .part(&self.digest().0)
            .part(&codec::encode(proof))
            .digest()
    }
}

/// The digest of one part's points C.
pub fn share_list(sealed: &[Point]) -> Digest {
    Domain::ShareList.digest(&flat(sealed))
}

/// Whether a bundle has as many lists, proofs and shares as belong together.
pub fn is_regular(bundle: &ShareBundle) -> bool {
    let envelopes = bundle.shares.first().map_or(0, Vec::len);
    let parts = envelopes.div_ceil(limits::SHARE_PART_ENVELOPES_MAX);
    envelopes > 0
        && bundle.lists.len() == parts
        && bundle.shares.iter().all(|row| row.len() == envelopes)
        && bundle.proofs.len() == bundle.shares.len()
        && bundle.proofs.iter().all(|proofs| proofs.len() == parts)
}

/// The rows of a regular bundle with their proofs: by key share, then by part.
pub fn share_rows(bundle: &ShareBundle) -> impl Iterator<Item = (ShareRow<'_>, &BatchedDleq)> + '_ {
    let keys = (0..).zip(bundle.shares.iter().zip(&bundle.proofs));
    keys.flat_map(move |(key, (shares, proofs))| {
        let parts = shares.chunks(limits::SHARE_PART_ENVELOPES_MAX);
        let parts = (0..).zip(parts.zip(&bundle.lists).zip(proofs));
        parts.map(move |(part, ((shares, list), proof))| {
            let row = ShareRow {
                context: &bundle.context,
                signer: bundle.signer,
                key,
                part,
                list: *list,
                shares,
            };
            (row, proof)
        })
    })
}

/// What the sender of a regular bundle signs.
pub fn bundle_message(chain: ChainId, bundle: &ShareBundle) -> Digest {
    message(
        chain,
        &bundle.context,
        bundle.signer,
        merkle::root(&leaves(bundle)),
    )
}

/// Of each bundle, whether it is regular, with as many key shares as its sender weighs, and signed by
/// that sender, a member. Costs one signature check each at most.
pub fn are_signed(chain: ChainId, committee: &Committee, bundles: &[ShareBundle]) -> Vec<bool> {
    let key = |bundle: &ShareBundle| {
        let member = committee.member(bundle.signer)?;
        let held = bundle.shares.len() == usize::from(member.weight);
        (held && is_regular(bundle)).then_some(&member.transport_key.0)
    };
    let keys: Vec<Option<&[u8; 32]>> = bundles.iter().map(key).collect();
    let mut signed: Vec<bool> = keys.iter().map(Option::is_some).collect();
    let places: Vec<usize> = (0..bundles.len()).filter(|at| signed[*at]).collect();
    let message = |at: &usize| bundle_message(chain, &bundles[*at]);
    let messages: Vec<Digest> = places.iter().map(message).collect();
    let item = |(at, message)| {
        let at: &usize = at;
        let signature = &bundles[*at].signature;
        keys[*at].map(|key| EdItem {
            key,
            message,
            signature,
        })
    };
    let items: Vec<EdItem<'_>> = places.iter().zip(&messages).filter_map(item).collect();
    for failed in ed::verify_batch(&items) {
        signed[places[failed]] = false;
    }
    signed
}

/// Puts together what shows that a row of a regular, signed bundle is wrong; `sealed` are the
/// points C of the row's part. `None` if there is no such row.
pub fn wrong_shares(
    bundle: &ShareBundle,
    (key, part): (u16, u32),
    sealed: &[Point],
) -> Option<WrongShares> {
    let mut rows = share_rows(bundle);
    let (row, proof) = rows.find(|(row, _)| (row.key, row.part) == (key, part))?;
    let parts = bundle.lists.len() as u32;
    let tree = MerkleTree::new(&leaves(bundle));
    Some(WrongShares {
        context: bundle.context,
        key,
        part,
        parts,
        sealed: sealed.to_vec(),
        shares: row.shares.to_vec(),
        proof: proof.clone(),
        path: tree.path(place(key, part, parts))?.siblings,
        signature: bundle.signature,
    })
}

/// Whether the validator signed these shares, and they are wrong.
///
/// One signature check, unless the validator did sign; then twice as many points are decoded and
/// combined as the part has envelopes.
pub fn are_wrong(
    chain: ChainId,
    committee: &Committee,
    proofs: &dyn ShareProofs,
    validator: ValidatorIndex,
    wrong: &WrongShares,
) -> bool {
    let Some(member) = committee.member(validator) else {
        return false;
    };
    if wrong.key >= member.weight {
        return false;
    }
    let row = ShareRow {
        context: &wrong.context,
        signer: validator,
        key: wrong.key,
        part: wrong.part,
        list: share_list(&wrong.sealed),
        shares: &wrong.shares,
    };
    let path = MerklePath {
        index: place(wrong.key, wrong.part, wrong.parts),
        count: place(member.weight, 0, wrong.parts),
        siblings: wrong.path.clone(),
    };
    let Some(root) = path.root_of(&row.leaf(&wrong.proof)) else {
        return false;
    };
    let message = message(chain, &wrong.context, validator, root);
    ed::verify(&member.transport_key.0, &message, &wrong.signature)
        && !proofs.holds(&row, &wrong.sealed, &wrong.proof)
}

/// The points' bytes, one after the other.
fn flat(points: &[Point]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32 * points.len());
    points
        .iter()
        .for_each(|point| bytes.extend_from_slice(&point.0));
    bytes
}

/// Where a row's leaf is.
fn place(key: u16, part: u32, parts: u32) -> u64 {
    u64::from(key) * u64::from(parts) + u64::from(part)
}

fn leaves(bundle: &ShareBundle) -> Vec<Digest> {
    share_rows(bundle)
        .map(|(row, proof)| row.leaf(proof))
        .collect()
}

fn message(chain: ChainId, context: &ShareContext, signer: ValidatorIndex, root: Digest) -> Digest {
    Domain::ShareBundle
        .hasher()
        .part(&codec::encode(&chain))
        .part(&codec::encode(context))
        .part(&codec::encode(&signer))
        .part(&root.0)
        .digest()
}
