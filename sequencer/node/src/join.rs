//! How a node without a safety state begins: a first start, or an empty disk under keys that have
//! signed before. And how one with its memory goes on that is further behind than the others have
//! blocks: by the same snapshot, with its safety state untouched and its older history kept.
//!
//! ```text
//! standings of the others ─▶ a safety state that contradicts nothing signed before   (agreement::rejoin)
//! offers of f+1 peers ─▶ one snapshot ─▶ pieces from all of them in parallel ─┐
//! certified blocks around it ──────────────────────────────────────────────────┼─▶ store ─▶ recovery
//! contents of the ranges that its ledger has unproven ─────────────────────────┘
//! ```
//!
//! A snapshot is one that validators of weight f+1 name with the same digest, so an honest one made
//! it; its ledger must have the root that it says, and that a certified header says if one names that
//! height. Every piece is compared with its digest before it is kept, and contents with what the
//! ledger commits to. The safety state is written last, with what makes the rest valid: a node that
//! is stopped before begins anew.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use conclave_consensus::{ANCESTRY_BLOCKS, SafetyState, Standing, rejoin};
use conclave_crypto::Committee;
use conclave_ledger::Ledger;
use conclave_market::ContentsDigest;
use conclave_sequencer::{Fetches, admission};
use conclave_types::{
    BlockHeader, Digest, EpochChange, Height, Range, Signers, ValidatorIndex, View, codec,
};

use crate::catchup::verify_blocks;
use crate::download::Verdict;
use crate::epochs::{self, IN_DOUBT};
use crate::node::NodeError;
use crate::records::{self, SnapshotManifest, SnapshotRecord};
use crate::recovery::assemble;
use crate::serve::{Request, Response};
use crate::shell::{Shell, lock};
use crate::store::{KeyRange, Snapshot, StoreError, Table, WriteBatch, keys};

/// Between two rounds of questions.
const ROUND: Duration = Duration::from_millis(250);
/// Rounds without enough answers after which the log says what is missing, again and again.
const ROUNDS_BEFORE_WORD: u64 = 20;
/// Pieces or ranges under way at a time.
const PARTS_AHEAD: usize = 32;
/// Offers of one peer that are looked at.
const OFFERS_MAX: usize = 16;
/// Pieces that are fetched long before a snapshot makes way for a newer one.
const PIECES_QUICK: usize = 16;
/// Pieces written together.
const PIECES_TOGETHER: usize = 16;

/// Under this key of [`Table::Meta`]: the others no longer have the blocks after ours.
const BEHIND: &[u8] = b"behind";

/// Which snapshot is wanted, and what becomes of what is here.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    /// Only one of a later height than this.
    above: Height,
    /// Whether what is here is what an earlier attempt left, and not history.
    afresh: bool,
}

/// What makes a fetched snapshot valid, and the last of the blocks that come with it.
struct Joined {
    writes: WriteBatch,
    last: BlockHeader,
}

/// Whether this node was stopped to go on from a snapshot.
pub(crate) fn is_behind(snapshot: &Snapshot) -> Result<bool, StoreError> {
    snapshot.contains(Table::Meta, BEHIND)
}

/// Takes up a newer snapshot, if there still is one, and the epoch that it is of; whether the others
/// must be asked where they stand in that. Ends early when the node stops; it is then tried again at
/// the next start.
pub(crate) async fn skip(shell: &Shell, committed: Height) -> Result<bool, StoreError> {
    let wanted = Wanted {
        above: committed,
        afresh: false,
    };
    let found = snapshot(shell, wanted).await?;
    if *shell.closing.borrow() {
        return Ok(false);
    }
    let mut batch = WriteBatch::new();
    let mut in_doubt = false;
    if let Some(Joined { writes, last }) = found {
        batch.append(writes);
        if let Some(state) = after_skip(shell, &last)? {
            in_doubt = state.abstain_through == IN_DOUBT;
            batch.put_value(Table::Safety, keys::SAFETY, &state);
        }
    }
    *lock(&shell.syncing) = None;
    batch.delete(Table::Meta, BEHIND);
    shell.writer.persist(batch).await?;
    Ok(in_doubt)
}

/// Has the next start go on from a snapshot.
pub(crate) fn mark_behind() -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put(Table::Meta, BEHIND, []);
    batch
}

/// Stops the node, to begin again from a snapshot, if the others offer one of a later height than
/// `committed`; they said that they do not have the block after it.
pub(crate) async fn fall_behind(shell: &Shell, committed: Height) {
    let offers = shell.ask_all(&Request::Snapshots).await;
    if !matches!(choose(shell, &offers, 0, committed), Choice::One(..)) {
        return;
    }
    match shell.writer.persist(mark_behind()).await {
        Ok(()) => {
            shell.behind.store(true, Ordering::Release);
            shell.stop(NodeError::Behind { committed }.to_string());
        }
        Err(error) => shell.stop(error.to_string()),
    }
}

/// Writes what a node without a safety state begins from. Ends early when the node stops.
pub(crate) async fn join(shell: &Shell, ran_before: bool) -> Result<(), StoreError> {
    let Some(state) = begin_from(shell, ran_before).await? else {
        return Ok(());
    };
    let mut batch = WriteBatch::new();
    // With blocks here, all that is missing is what was signed.
    let has_blocks = shell.committed.load(Ordering::Relaxed) > 0;
    if !has_blocks && (state.view() > View(1) || state.abstain_through > View(0)) {
        tracing::warn!(
            view = state.view().0,
            abstain_through = state.abstain_through.0,
            "this validator has no safety state and the chain has begun: it signs nothing up to this view"
        );
        let wanted = Wanted {
            above: Height(0),
            afresh: true,
        };
        if let Some(Joined { writes, .. }) = snapshot(shell, wanted).await? {
            batch.append(writes);
        }
    }
    batch.put_value(Table::Safety, keys::SAFETY, &state);
    if *shell.closing.borrow() {
        return Ok(());
    }
    *lock(&shell.syncing) = None;
    shell.writer.persist(batch).await
}

/// Asks until enough others have said where they stand; `None` when the node stops.
async fn begin_from(shell: &Shell, ran_before: bool) -> Result<Option<SafetyState>, StoreError> {
    let mut answers: BTreeMap<ValidatorIndex, Option<Standing>> = BTreeMap::new();
    for round in 0_u64.. {
        let newest = shell.newest_keys();
        let (origin, committee) = (&newest.origin, &newest.committee);
        // What was said before the newest epoch was known may be of an earlier one, and still counts.
        let state = rejoin(origin, committee, shell.own, &answers, ran_before);
        if state.is_some() {
            return Ok(state);
        }
        if round % ROUNDS_BEFORE_WORD == ROUNDS_BEFORE_WORD - 1 {
            let answered = answers.len();
            tracing::info!(
                answered,
                ran_before,
                "waiting until enough validators say where they stand"
            );
        }
        learn_epochs(shell).await?;
        for (from, answer) in shell.ask_all(&Request::Standing).await {
            match answer {
                Response::Standing(None) => drop(answers.insert(from, None)),
                Response::Standing(Some(standing)) => {
                    // One of an epoch whose hand-over nobody has shown yet says nothing.
                    let Some(keys) = shell.keys(standing.epoch()) else {
                        answers.remove(&from);
                        continue;
                    };
                    match standing.verify(&keys.verifier(shell.committees.chain)) {
                        Ok(()) => drop(answers.insert(from, Some(*standing))),
                        Err(error) => shell.transport.punish(from, &error.to_string()),
                    }
                }
                _ => shell
                    .transport
                    .punish(from, "an answer to another question"),
            }
        }
        if !wait(shell).await {
            return Ok(None);
        }
    }
    Ok(None)
}

/// Learns what epochs have begun, and keeps the hand-overs: those who are asked, and the blocks that
/// they give, are of epochs that this node has not seen begin.
async fn learn_epochs(shell: &Shell) -> Result<(), StoreError> {
    loop {
        let mut batch = WriteBatch::new();
        let learned = shell.learn_epochs().await;
        for change in &learned {
            batch.put_value(Table::Epochs, keys::epoch(change.setup.epoch), change);
        }
        if learned.is_empty() {
            return Ok(());
        }
        shell.writer.persist(batch).await?;
    }
}

/// The state that this validator goes on with after these blocks, in place of its own of an earlier
/// epoch; none if its own is of their epoch.
fn after_skip(shell: &Shell, last: &BlockHeader) -> Result<Option<SafetyState>, StoreError> {
    let store = shell.store.snapshot()?;
    let change = |epoch| store.get_value::<EpochChange>(Table::Epochs, keys::epoch(epoch));
    let state: Option<SafetyState> = store.get_value(Table::Safety, keys::SAFETY)?;
    let begun = match change(last.epoch.next())?.filter(|change| change.last == *last) {
        None => change(last.epoch)?,
        begun => begun,
    };
    let (Some(state), Some(begun)) = (state, begun) else {
        return Ok(None);
    };
    if state.epoch() >= begun.setup.epoch {
        return Ok(None);
    }
    let ended = change(state.epoch().next())?;
    Ok(ended.map(|ended| epochs::passed_over(&state, &ended, &begun)))
}

/// Fetches a snapshot and what belongs to it, and returns the writes that make it valid; `None` if
/// the chain is too young to have one, or the node stops.
async fn snapshot(shell: &Shell, wanted: Wanted) -> Result<Option<Joined>, StoreError> {
    for attempt in 0_u64.. {
        learn_epochs(shell).await?;
        let offers = shell.ask_all(&Request::Snapshots).await;
        match choose(shell, &offers, attempt, wanted.above) {
            Choice::None => return Ok(None),
            Choice::Wait => {}
            Choice::One(manifest, holders) => {
                let (height, bytes) = (manifest.height.0, manifest.bytes);
                tracing::info!(height, bytes, "joining by a snapshot of the ledger");
                match take(shell, wanted, &manifest, &holders).await? {
                    Some(joined) => return Ok(Some(joined)),
                    // It may have made way for a newer one meanwhile.
                    None => {
                        tracing::warn!(height, "this snapshot cannot be had; looking for another");
                    }
                }
            }
        }
        if !wait(shell).await {
            return Ok(None);
        }
    }
    Ok(None)
}

/// Whether validators of weight f+1 are among these; who weighs nothing is left aside.
pub(crate) fn has_one_honest(committee: &Committee, peers: &Signers) -> bool {
    let weight: u16 = peers.iter().map(|peer| committee.weight(peer)).sum();
    weight >= committee.threshold.one_honest()
}

enum Choice {
    None,
    Wait,
    One(SnapshotManifest, Vec<ValidatorIndex>),
}

/// The newest snapshot that validators of weight f+1 have; after a failed attempt an older one, of
/// which they keep some for longer. None of a height up to `above`.
fn choose(
    shell: &Shell,
    offers: &[(ValidatorIndex, Response)],
    attempt: u64,
    above: Height,
) -> Choice {
    let mut by_digest: BTreeMap<(Height, Digest), (SnapshotManifest, Signers)> = BTreeMap::new();
    let mut without = Signers::default();
    for (from, offer) in offers {
        let Response::Snapshots(manifests) = offer else {
            shell
                .transport
                .punish(*from, "an answer to another question");
            continue;
        };
        let newer = || manifests.iter().filter(|manifest| manifest.height > above);
        if newer().next().is_none() {
            without.insert(*from);
        }
        let plausible = newer().filter(|manifest| manifest.is_plausible());
        for manifest in plausible.take(OFFERS_MAX) {
            let key = (manifest.height, manifest.digest());
            let entry = by_digest.entry(key);
            let (_, holders) = entry.or_insert_with(|| (manifest.clone(), Signers::default()));
            holders.insert(*from);
        }
    }
    let committee = &shell.newest_keys().committee;
    by_digest.retain(|_, (_, holders)| has_one_honest(committee, holders));
    let mut found: Vec<_> = by_digest.into_values().collect();
    if found.is_empty() {
        return match has_one_honest(committee, &without) {
            true => Choice::None,
            false => Choice::Wait,
        };
    }
    // A large one must stay for as long as it takes.
    let large = |manifest: &SnapshotManifest| manifest.pieces.len() > PIECES_QUICK;
    let lasting = |manifest: &SnapshotManifest| {
        manifest
            .height
            .0
            .is_multiple_of(records::SNAPSHOTS_SERVED_BLOCKS)
    };
    if found.iter().any(|(manifest, _)| lasting(manifest)) {
        found.retain(|(manifest, _)| !large(manifest) || lasting(manifest));
    }
    let back = usize::try_from(attempt).unwrap_or(usize::MAX) % found.len();
    let (manifest, holders) = found.swap_remove(found.len() - 1 - back);
    Choice::One(manifest, holders.iter().collect())
}

/// Fetches one snapshot; `None` if it cannot be had.
async fn take(
    shell: &Shell,
    wanted: Wanted,
    manifest: &SnapshotManifest,
    holders: &[ValidatorIndex],
) -> Result<Option<Joined>, StoreError> {
    let Some(bytes) = pieces(shell, manifest, holders).await else {
        return Ok(None);
    };
    let (record, ledger) = match assemble(manifest, &bytes) {
        Ok(whole) => whole,
        Err(error) => {
            tracing::error!(%error, "a snapshot that f+1 validators vouch for");
            return Ok(None);
        }
    };
    if !holds_its_bids(shell, &record, &ledger) {
        tracing::error!("a snapshot that f+1 validators vouch for lacks bids of its ledger");
        return Ok(None);
    }
    if wanted.afresh {
        let mut batch = WriteBatch::new();
        for table in [
            Table::LedgerSnapshots,
            Table::SnapshotPieces,
            Table::JoinedContents,
        ] {
            batch.delete_range(table, KeyRange::all());
        }
        shell.writer.persist(batch).await?;
    }
    let Some(Joined { mut writes, last }) = blocks(shell, wanted, manifest).await else {
        return Ok(None);
    };
    if !contents(shell, &ledger.provable()).await? {
        return Ok(None);
    }
    for (number, together) in bytes
        .chunks(records::SNAPSHOT_PIECE_BYTES * PIECES_TOGETHER)
        .enumerate()
    {
        let mut batch = WriteBatch::new();
        let first = number * PIECES_TOGETHER;
        for (number, piece) in (first..).zip(together.chunks(records::SNAPSHOT_PIECE_BYTES)) {
            let key = keys::height_number(manifest.height, number as u32);
            batch.put(Table::SnapshotPieces, key, piece);
        }
        shell.writer.persist(batch).await?;
    }
    let key = keys::height(manifest.height);
    // From the older ones on, blocks are missing, and so are votes for blocks in between.
    let before = KeyRange::between(&keys::height(Height(0)), &key);
    for table in [
        Table::LedgerSnapshots,
        Table::SnapshotPieces,
        Table::PendingBlocks,
    ] {
        writes.delete_range(table, before.clone());
    }
    let executed = shell
        .store
        .snapshot()?
        .last(Table::Events, &KeyRange::all())?;
    let executed = executed.and_then(|(key, _)| keys::parse_height(&key));
    let first = executed.unwrap_or_default().next();
    writes.put_value(Table::Gaps, keys::height(first), &manifest.height);
    writes.put_value(Table::LedgerSnapshots, key, manifest);
    Ok(Some(Joined { writes, last }))
}

async fn pieces(
    shell: &Shell,
    manifest: &SnapshotManifest,
    holders: &[ValidatorIndex],
) -> Option<Vec<u8>> {
    let count = manifest.pieces.len();
    let mut pieces: Vec<Option<Vec<u8>>> = vec![None; count];
    let mut fetches = Fetches::new(count as u64, holders.iter().copied(), 0);
    let height = manifest.height;
    let request = |part: u64| Request::Piece {
        height,
        piece: part as u32,
    };
    let judge = |_, part: u64, answer| match answer {
        Response::Piece(Some(bytes)) if manifest.fits(part as usize, &bytes) => {
            pieces[part as usize] = Some(bytes);
            Verdict::Good
        }
        Response::Piece(None) => Verdict::Lacking,
        _ => Verdict::Lie("a piece of a snapshot that does not fit its digest".into()),
    };
    let complete = shell
        .download("snapshot", &mut fetches, PARTS_AHEAD, request, judge)
        .await;
    let pieces: Option<Vec<Vec<u8>>> = pieces.into_iter().collect();
    pieces.filter(|_| complete).map(|pieces| pieces.concat())
}

/// Whether it has every sealed bid that its ledger holds, whole.
fn holds_its_bids(shell: &Shell, record: &SnapshotRecord, ledger: &Ledger) -> bool {
    let chain = shell.committees.chain;
    let whole = |envelope| admission::check_shape(chain, envelope).is_ok();
    let held = |id| {
        record
            .held
            .iter()
            .any(|envelope| envelope.header.id() == id)
    };
    let auctions = ledger.auctions();
    let mut bids = auctions.flat_map(|auction| ledger.held_bids(auction.id));
    record.held.iter().all(whole) && bids.all(|bid| held(bid.id()))
}

/// Certified blocks from as far before the snapshot as elections look back, to the first whose
/// header shows that the committee agrees on the ledger of its height, or a later one.
async fn blocks(shell: &Shell, wanted: Wanted, manifest: &SnapshotManifest) -> Option<Joined> {
    let first = manifest.height.0.saturating_sub(ANCESTRY_BLOCKS as u64 - 1);
    let mut next = Height(first.max(1));
    let mut last: Option<BlockHeader> = None;
    let mut writes = WriteBatch::new();
    if wanted.afresh {
        writes.delete_range(Table::Blocks, KeyRange::all());
        writes.delete_range(Table::BlockHeights, KeyRange::all());
    }
    loop {
        let mut found = None;
        for peer in shell.connected_peers() {
            let answer = shell.ask(peer, Request::Blocks { from: next }).await;
            let Some(Response::Blocks {
                blocks,
                certificate: Some(certificate),
            }) = answer
            else {
                continue;
            };
            let extends = last.as_ref().is_none_or(|last| {
                blocks
                    .first()
                    .is_some_and(|block| block.header.parent == last.id())
            });
            let Some(keys) = shell.keys(certificate.epoch) else {
                continue;
            };
            let verifier = keys.verifier(shell.committees.chain);
            match verify_blocks(&verifier, next, &blocks, &certificate) {
                Ok(()) if extends => {
                    found = Some((blocks, certificate));
                    break;
                }
                Ok(()) => shell.transport.punish(peer, "blocks of another chain"),
                Err(why) => shell.transport.punish(peer, &why),
            }
        }
        let Some((blocks, certificate)) = found else {
            // The head; the snapshot's own block must be among what there is.
            let last = last.filter(|last| last.height >= manifest.height)?;
            return Some(Joined { writes, last });
        };
        for block in blocks {
            let header = block.header.clone();
            if header.ledger_height == manifest.height && header.ledger_root != manifest.root {
                tracing::error!(
                    height = header.height.0,
                    "a final header contradicts a snapshot that f+1 validators vouch for"
                );
                return None;
            }
            records::put_block(&mut writes, &Arc::new(block), &certificate);
            next = header.height.next();
            last = Some(header);
        }
        if let Some(last) = last.take_if(|last| last.ledger_height >= manifest.height) {
            return Some(Joined { writes, last });
        }
    }
}

/// Fetches and keeps the contents of the ranges that somebody may still prove; `false` if they
/// cannot be had.
async fn contents(shell: &Shell, ranges: &[(Range, Digest)]) -> Result<bool, StoreError> {
    let mut fetches = Fetches::new(ranges.len() as u64, shell.all_peers(), 0);
    let request = |part: u64| Request::Contents(ranges[part as usize].0);
    let mut failed = None;
    let judge = |_, part: u64, answer| {
        let (range, commitment) = &ranges[part as usize];
        let found = match answer {
            Response::Contents(Some(found)) => found,
            Response::Contents(None) => return Verdict::Lacking,
            _ => return Verdict::Lie("an answer to another question".into()),
        };
        let digest = found
            .iter()
            .fold(ContentsDigest::EMPTY, |digest, (height, bytes)| {
                digest.with(*height, bytes)
            });
        if found.len() as u64 != range.count() || digest.0 != *commitment {
            return Verdict::Lie("contents that the ledger does not commit to".into());
        }
        let mut batch = WriteBatch::new();
        let key = keys::rollup_index(range.rollup, range.from);
        batch.put(Table::JoinedContents, key, codec::encode(&found));
        let stop = shell.stop.clone();
        let queued = shell.writer.enqueue(batch, move |result| {
            if let Err(error) = result {
                stop.send_replace(Some(error.to_string()));
            }
        });
        failed = queued.err();
        Verdict::Good
    };
    let complete = shell
        .download("contents", &mut fetches, PARTS_AHEAD, request, judge)
        .await;
    match failed {
        Some(error) => Err(error),
        None => Ok(complete),
    }
}

/// Waits for the next round; `false` when the node stops.
async fn wait(shell: &Shell) -> bool {
    let mut closing = shell.closing.clone();
    let stopped = tokio::time::timeout(ROUND, closing.wait_for(|closing| *closing)).await;
    stopped.is_err()
}
