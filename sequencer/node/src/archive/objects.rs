//! The objects of one validator of one chain: written once, read with care.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use conclave_types::Height;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;

use super::segment::{Segment, SegmentRef};
use super::{ArchiveError, ArchivePlace};
use crate::shell::lock;
use crate::store::Identity;

/// Objects fetched at the same time for all readers: half of the peers' requests that are answered at
/// once, so that a slow archive never holds up what peers need of the store.
pub(crate) const READS_AT_ONCE: usize = 4;
/// What one read may take: less than an API request may.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(8);
/// What one write and its check may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of segments kept in memory for the next reader: eight of the usual size.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// An opened archive.
pub(crate) struct Archive {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    owner: Identity,
    runtime: Handle,
    cache: Mutex<Cache>,
    reading: AtomicUsize,
}

/// The segments read last, newest first.
#[derive(Default)]
struct Cache {
    segments: VecDeque<(SegmentRef, Arc<Segment>)>,
}

impl Archive {
    /// Opens the part of a place that is this validator's.
    pub(crate) fn open(
        place: &ArchivePlace,
        owner: Identity,
        runtime: Handle,
    ) -> Result<Self, ArchiveError> {
        let (objects, prefix) = place.open()?;
        let chain = owner.chain.to_string();
        let validator = format!("validator-{}", owner.validator.0);
        let parts = prefix.split('/').filter(|part| !part.is_empty());
        let prefix = parts.chain([chain.as_str(), validator.as_str()]).collect();
        Ok(Self {
            objects,
            prefix,
            owner,
            runtime,
            cache: Mutex::default(),
            reading: AtomicUsize::new(0),
        })
    }

    pub(crate) fn owner(&self) -> Identity {
        self.owner
    }

    /// Writes a segment, reads it back and compares it. Once this returns it is durable. Writing the
    /// same again changes nothing.
    pub(crate) async fn write(&self, segment: &Segment) -> Result<SegmentRef, ArchiveError> {
        let (object, reference) = segment.seal();
        let name = self.name(segment.first, &reference);
        let written = async {
            self.objects.put(&name, object.into()).await?;
            self.objects.get(&name).await?.bytes().await
        };
        let written = match tokio::time::timeout(WRITE_TIMEOUT, written).await {
            Ok(written) => written.map_err(|error| unreachable(&error))?,
            Err(elapsed) => return Err(unreachable(&elapsed)),
        };
        self.check(segment.first, &reference, &written)?;
        Ok(reference)
    }

    /// The segment that the store remembers under `first`. Blocks; not for a thread of the reactor.
    pub(crate) fn read(
        &self,
        first: Height,
        reference: &SegmentRef,
    ) -> Result<Arc<Segment>, ArchiveError> {
        if let Some(found) = lock(&self.cache).get(reference) {
            return Ok(found);
        }
        let _turn = Turn::take(&self.reading)?;
        let object = self.fetch(first, reference)?;
        let segment = Arc::new(self.check(first, reference, &object)?);
        lock(&self.cache).add(*reference, &segment);
        Ok(segment)
    }

    fn fetch(&self, first: Height, reference: &SegmentRef) -> Result<bytes::Bytes, ArchiveError> {
        let (found, answer) = mpsc::sync_channel(1);
        let (objects, name) = (self.objects.clone(), self.name(first, reference));
        let bytes = reference.bytes;
        let task = self.runtime.spawn(async move {
            let fetched = async {
                let object = objects.get(&name).await?;
                // Not more than there should be: whoever can write to the place could send anything.
                match object.meta.size == bytes {
                    true => object.bytes().await.map(Some),
                    false => Ok(None),
                }
            };
            // Nobody waits any more after the timeout.
            let _ = found.send(fetched.await);
        });
        let Ok(fetched) = answer.recv_timeout(READ_TIMEOUT) else {
            task.abort();
            return Err(ArchiveError::Unreachable {
                reason: format!("no answer within {} s", READ_TIMEOUT.as_secs()),
            });
        };
        match fetched {
            Ok(Some(object)) => Ok(object),
            Ok(None) => Err(self.damaged(first, reference, "its length is wrong".into())),
            Err(object_store::Error::NotFound { .. }) => Err(ArchiveError::Missing {
                first,
                last: reference.last,
                object: self.name(first, reference).to_string(),
            }),
            Err(error) => Err(unreachable(&error)),
        }
    }

    /// The segment in an object that must be this one.
    fn check(
        &self,
        first: Height,
        reference: &SegmentRef,
        object: &[u8],
    ) -> Result<Segment, ArchiveError> {
        let segment = Segment::open(object, &reference.digest)
            .map_err(|reason| self.damaged(first, reference, reason))?;
        let whole =
            segment.owner == self.owner && (segment.first, segment.last) == (first, reference.last);
        match whole {
            true => Ok(segment),
            false => Err(self.damaged(first, reference, "it is not what its name says".into())),
        }
    }

    fn damaged(&self, first: Height, reference: &SegmentRef, reason: String) -> ArchiveError {
        ArchiveError::Damaged {
            first,
            last: reference.last,
            object: self.name(first, reference).to_string(),
            reason,
        }
    }

    /// Heights with all their digits, so that the order of names is the order of heights.
    fn name(&self, first: Height, reference: &SegmentRef) -> Path {
        let (last, digest) = (reference.last.0, reference.digest);
        let name = format!("{:020}-{last:020}-{digest}.segment", first.0);
        self.prefix.clone().join(name)
    }
}

impl Cache {
    fn get(&mut self, reference: &SegmentRef) -> Option<Arc<Segment>> {
        let at = self.segments.iter().position(|(of, _)| of == reference)?;
        let found = self.segments.remove(at)?;
        let segment = found.1.clone();
        self.segments.push_front(found);
        Some(segment)
    }

    fn add(&mut self, reference: SegmentRef, segment: &Arc<Segment>) {
        self.segments.push_front((reference, segment.clone()));
        let bytes = |cache: &Self| -> u64 { cache.segments.iter().map(|(of, _)| of.bytes).sum() };
        while bytes(self) > CACHE_BYTES && self.segments.len() > 1 {
            self.segments.pop_back();
        }
    }
}

/// One of the reads at a time.
struct Turn<'a>(&'a AtomicUsize);

impl<'a> Turn<'a> {
    fn take(reading: &'a AtomicUsize) -> Result<Self, ArchiveError> {
        let turn = Self(reading);
        match reading.fetch_add(1, Ordering::AcqRel) < READS_AT_ONCE {
            true => Ok(turn),
            false => Err(ArchiveError::Busy),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn unreachable(error: &dyn std::error::Error) -> ArchiveError {
    ArchiveError::Unreachable {
        reason: error.to_string(),
    }
}
