//! Finding what is missing of a batch: in the own store, then at those who signed for it.

use std::sync::Arc;
use std::time::Duration;

use conclave_crypto::Shard;
use conclave_sequencer::{self as sequencing, Dispersal};
use conclave_types::{Batch, BatchId, Epoch, Signers, ValidatorIndex};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rand::seq::SliceRandom;

use crate::replica::Event;
use crate::serve::{Request, Response};
use crate::shell::Shell;
use crate::store::{StoreError, Table};

/// After this long without an answer one more holder is asked for its shards, so that a silent one
/// costs little. Twice the round trip between continents.
const HEDGE: Duration = Duration::from_millis(300);

impl Shell {
    /// A batch's manifest, from the own store or a holder; it is what its id says.
    pub(crate) async fn fetch_manifest(&self, id: BatchId, holders: Signers) -> Option<Event> {
        let found = |manifest| Some(Event::Sequencing(sequencing::Input::Manifest(manifest)));
        // What is not executed yet is never archived alone, so the store alone is asked.
        match self.own_body(id) {
            Ok((_, Some(dispersal))) => return found(dispersal.manifest),
            Ok((Some(batch), None)) => return found(Arc::new(batch.manifest())),
            Ok((None, None)) => {}
            Err(error) => return self.unreadable(&error),
        }
        for holder in self.others(holders) {
            if let Some(Response::Manifest(Some(manifest))) =
                self.ask(holder, Request::Manifest(id)).await
                && manifest.header.id() == id
            {
                return found(manifest);
            }
        }
        None
    }

    /// A batch's bodies: whole from the own store, or `needed` shards.
    pub(crate) async fn fetch_body(
        &self,
        (id, epoch): (BatchId, Epoch),
        holders: Signers,
        needed: u16,
    ) -> Option<Event> {
        let keys = self.keys(epoch)?;
        let weight = |peer| usize::from(keys.committee.weight(peer));
        let (whole, own) = match self.own_body(id) {
            Ok(found) => found,
            Err(error) => return self.unreadable(&error),
        };
        if let Some(batch) = whole {
            let input = sequencing::Input::Body(Arc::new(batch));
            return Some(Event::Sequencing(input));
        }
        let mut shards: Vec<(ValidatorIndex, Vec<Shard>)> = Vec::new();
        let mut missing = usize::from(needed);
        if let Some(own) = own.filter(|_| holders.contains(self.own)) {
            missing = missing.saturating_sub(own.shards.len());
            shards.push((self.own, own.shards));
        }
        let mut others = self.others(holders).into_iter();
        let ask = |peer| async move { (peer, self.ask(peer, Request::Shards(id)).await) };
        let mut asked: FuturesUnordered<_> = others.by_ref().take(missing).map(ask).collect();
        while missing > 0 {
            tokio::select! {
                answer = asked.next() => {
                    let (peer, answer) = answer?;
                    match answer {
                        Some(Response::Shards(held)) if held.len() == weight(peer) => {
                            missing = missing.saturating_sub(held.len());
                            shards.push((peer, held));
                        }
                        _ => asked.extend(others.next().map(ask)),
                    }
                }
                () = tokio::time::sleep(HEDGE) => asked.extend(others.next().map(ask)),
            }
        }
        let input = sequencing::Input::Shards { id, shards };
        Some(Event::Sequencing(input))
    }

    fn own_body(&self, id: BatchId) -> Result<(Option<Batch>, Option<Dispersal>), StoreError> {
        let snapshot = self.store.snapshot()?;
        Ok((
            snapshot.get_value(Table::Batches, id.as_bytes())?,
            snapshot.get_value(Table::Dispersals, id.as_bytes())?,
        ))
    }

    /// The holders but for ourselves, in an order that spreads the load.
    fn others(&self, holders: Signers) -> Vec<ValidatorIndex> {
        let mut others: Vec<_> = holders
            .iter()
            .filter(|holder| *holder != self.own)
            .collect();
        others.shuffle(&mut rand::thread_rng());
        others
    }

    fn unreadable(&self, error: &StoreError) -> Option<Event> {
        self.stop(error.to_string());
        None
    }
}
