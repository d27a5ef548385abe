//! Any k of n give the data back, fewer do not, and a root of no codeword is found out whichever
//! shards one holds.

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

use super::*;

fn threshold(total: u64) -> Threshold {
    Threshold::for_total(total).expect("3f+1")
}

fn shape(total: u64, bytes: usize) -> CodeShape {
    CodeShape::new(threshold(total), bytes).expect("within the limit")
}

fn data(random: &mut ChaCha20Rng, bytes: usize) -> Vec<u8> {
    let mut data = vec![0; bytes];
    random.fill_bytes(&mut data);
    data
}

/// All sets of `size` positions below `total`.
fn subsets(total: usize, size: usize) -> Vec<Vec<usize>> {
    (0_u32..1 << total)
        .filter(|set| set.count_ones() as usize == size)
        .map(|set| (0..total).filter(|at| set & (1 << at) != 0).collect())
        .collect()
}

fn some_positions(random: &mut ChaCha20Rng, total: usize, size: usize) -> Vec<usize> {
    let mut positions: Vec<usize> = (0..total).collect();
    for at in (1..total).rev() {
        positions.swap(at, random.next_u32() as usize % (at + 1));
    }
    positions.truncate(size);
    positions
}

fn take(codeword: &Codeword, positions: &[usize]) -> Vec<Shard> {
    positions
        .iter()
        .flat_map(|at| codeword.shards(*at..at + 1))
        .collect()
}

/// A tree over shards that need not be a codeword: what a lying author can commit to.
fn committed(shard_bytes: usize, bytes: Vec<u8>) -> Codeword {
    let leaves: Vec<Digest> = bytes.chunks(shard_bytes).map(leaf).collect();
    Codeword {
        shard_bytes,
        bytes,
        tree: MerkleTree::new(&leaves),
    }
}

#[test]
fn any_k_shards_give_the_data_back_in_any_order() {
    let mut random = ChaCha20Rng::seed_from_u64(1);
    let mut coder = Coder::default();
    for total in [1, 4, 7, 10] {
        for bytes in [0, 1, 2, 3, 64, 129, 1_000] {
            let shape = shape(total, bytes);
            let data = data(&mut random, bytes);
            let codeword = coder.encode(shape, data.chunks(7));
            for mut positions in subsets(total as usize, shape.needed()) {
                positions.reverse();
                let shards = take(&codeword, &positions);
                let rebuilt = coder.rebuild(shape, &codeword.root(), &shards);
                assert_eq!(rebuilt, Ok(Rebuilt::Data(data.clone())), "{positions:?}");
            }
        }
    }
}

#[test]
fn large_committees_and_bodies_give_the_data_back() {
    let mut random = ChaCha20Rng::seed_from_u64(2);
    let mut coder = Coder::default();
    for (total, bytes) in [
        (16, 50_001),
        (100, 9_999),
        (256, 100_000),
        (256, 85),
        (4, 1 << 20),
    ] {
        let shape = shape(total, bytes);
        let data = data(&mut random, bytes);
        let codeword = coder.encode(shape, [data.as_slice()]);
        for _ in 0..8 {
            let positions = some_positions(&mut random, total as usize, shape.needed());
            let shards = take(&codeword, &positions);
            let rebuilt = coder.rebuild(shape, &codeword.root(), &shards);
            assert_eq!(rebuilt, Ok(Rebuilt::Data(data.clone())));
        }
    }
}

#[test]
fn fewer_than_k_shards_give_nothing_and_repeats_do_not_count() {
    let shape = shape(7, 100);
    let mut coder = Coder::default();
    let codeword = coder.encode(shape, [[7; 100].as_slice()]);
    let needed = shape.needed();
    for positions in subsets(7, needed - 1) {
        let mut shards = take(&codeword, &positions);
        let found = shards.len();
        let few = Err(RebuildError::TooFew { found, needed });
        assert_eq!(coder.rebuild(shape, &codeword.root(), &shards), few);
        shards.push(shards[0].clone());
        assert_eq!(coder.rebuild(shape, &codeword.root(), &shards), few);
    }
}

#[test]
fn fewer_than_k_shards_fit_every_data() {
    // With one shard of two missing, each value of the data has a codeword that agrees with the
    // shard at hand: k-1 shards say nothing about the rest.
    let shape = shape(4, 4);
    let mut coder = Coder::default();
    let mut seen = std::collections::BTreeSet::new();
    for value in 0..=u16::MAX {
        let [low, high] = value.to_le_bytes();
        let codeword = coder.encode(shape, [[low, high, 0, 0].as_slice()]);
        seen.insert(codeword.shards(2..3)[0].bytes.clone());
    }
    assert_eq!(seen.len(), 1 << 16);
}

#[test]
fn a_changed_shard_is_not_proven() {
    let shape = shape(4, 300);
    let mut coder = Coder::default();
    let data = data(&mut ChaCha20Rng::seed_from_u64(5), 300);
    let codeword = coder.encode(shape, [data.as_slice()]);
    let root = codeword.root();
    for position in 0..4 {
        let honest = &codeword.shards(position..position + 1)[0];
        assert!(honest.is_proven(shape, &root));
        let mut flipped = honest.clone();
        flipped.bytes[17] ^= 1;
        let mut moved = honest.clone();
        moved.path.index = (moved.path.index + 1) % 4;
        let mut longer = honest.clone();
        longer.bytes.extend([0; 2]);
        let mut recounted = honest.clone();
        recounted.path.count += 3;
        for bad in [flipped, moved, longer, recounted] {
            assert!(!bad.is_proven(shape, &root));
            let position = bad.position();
            let other = (0..4).find(|at| *at != position as usize).unwrap_or(0);
            let shards = [bad, codeword.shards(other..other + 1)[0].clone()];
            let unproven = Err(RebuildError::Unproven { position });
            assert_eq!(coder.rebuild(shape, &root, &shards), unproven);
        }
        assert!(!honest.is_proven(shape, &Digest::ZERO));
    }
}

#[test]
fn a_root_of_no_codeword_is_inconsistent_whichever_shards_are_taken() {
    let mut random = ChaCha20Rng::seed_from_u64(3);
    let mut coder = Coder::default();
    for total in [4, 7] {
        let shape = shape(total, 90);
        let size = shape.shard_bytes();
        let honest = coder.encode(shape, [data(&mut random, 90).as_slice()]);
        // One shard of each position changed, and everything at random.
        let mut lies: Vec<Vec<u8>> = (0..total as usize)
            .map(|position| {
                let mut bytes = honest.bytes.clone();
                bytes[position * size] ^= 0x40;
                bytes
            })
            .collect();
        lies.push(data(&mut random, honest.bytes.len()));
        for lie in lies {
            let lie = committed(size, lie);
            for positions in subsets(total as usize, shape.needed()) {
                let shards = take(&lie, &positions);
                let rebuilt = coder.rebuild(shape, &lie.root(), &shards);
                assert_eq!(rebuilt, Ok(Rebuilt::Inconsistent), "{positions:?}");
            }
        }
    }
}

/// A codeword whose padding is not zero decodes to the same data as the right one. If it counted
/// as consistent, one data would have many roots.
#[test]
fn padding_that_is_not_zero_is_inconsistent() {
    let mut coder = Coder::default();
    let (padded, exact) = (shape(4, 5), shape(4, 8));
    assert_eq!(padded.shard_bytes(), 4);
    assert_eq!(padded.shard_bytes(), exact.shard_bytes());
    let lie = coder.encode(exact, [[1, 2, 3, 4, 5, 0, 0, 9].as_slice()]);
    for positions in subsets(4, 2) {
        let shards = take(&lie, &positions);
        let rebuilt = coder.rebuild(padded, &lie.root(), &shards);
        assert_eq!(rebuilt, Ok(Rebuilt::Inconsistent));
    }
}

#[test]
fn a_reused_coder_codes_as_a_new_one() {
    let mut random = ChaCha20Rng::seed_from_u64(4);
    let mut reused = Coder::default();
    for (total, bytes) in [(4, 5_000), (256, 70), (4, 10), (16, 4_096), (4, 5_000)] {
        let shape = shape(total, bytes);
        let data = data(&mut random, bytes);
        let one = reused.encode(shape, [data.as_slice()]);
        let other = Coder::default().encode(shape, [data.as_slice()]);
        assert_eq!(one.bytes, other.bytes);
        assert_eq!(one.root(), other.root());
    }
}

#[test]
fn shards_shrink_as_the_committee_grows_and_the_size_is_bounded() {
    let bytes = 1 << 20;
    let sizes = [4, 16, 100, 256].map(|total| shape(total, bytes).shard_bytes());
    assert_eq!(sizes, [524_288, 174_764, 30_842, 12_194]);
    assert!(CodeShape::new(threshold(4), limits::BATCH_BYTES_MAX + 1).is_none());
}

/// All validators must compute the same shards, whatever their processors can do.
#[test]
fn the_code_is_pinned() {
    let mut coder = Coder::default();
    let data: Vec<u8> = (0..=255).cycle().take(1_000).collect();
    let roots = [4, 16].map(|total| {
        let codeword = coder.encode(shape(total, 1_000), [data.as_slice()]);
        codeword.root().to_string()[..16].to_owned()
    });
    assert_eq!(
        roots,
        ["eb7e97ee5128c427", "fff8edabeea14e31"],
        "the code changed: bump the protocol version and say so in docs/wire-format.md"
    );
}
