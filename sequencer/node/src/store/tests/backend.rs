//! A disk in memory that remembers what was done to it, and can be told to fail.

use std::io;
use std::sync::{Arc, Mutex};

use redb::{Builder, StorageBackend};

use super::super::{Store, StoreError};
use super::identity;

#[derive(Debug, Clone)]
pub(super) enum Op {
    Write {
        offset: usize,
        data: Vec<u8>,
    },
    SetLength(usize),
    Sync,
    /// Not of the disk: the test was told that so many commits are durable.
    Acknowledged(u64),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    data: Vec<u8>,
    log: Vec<Op>,
    failure: Option<(Fails, io::ErrorKind)>,
}

/// What a failing disk refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fails {
    /// Every access.
    All,
    /// To write, to grow, to sync: what a disk does that became read-only.
    Changes,
    /// To grow: what a full one does.
    Growth,
    /// To sync: the data may be there, or not.
    Syncs,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
    Grow,
    Sync,
}

impl Disk {
    pub(super) fn with(data: Vec<u8>) -> Self {
        let disk = Self::default();
        disk.0.lock().unwrap().data = data;
        disk
    }

    pub(super) fn note(&self, op: Op) {
        self.0.lock().unwrap().log.push(op);
    }

    pub(super) fn log(&self) -> Vec<Op> {
        self.0.lock().unwrap().log.clone()
    }

    /// From now on this fails.
    pub(super) fn fail(&self, fails: Fails, kind: io::ErrorKind) {
        self.0.lock().unwrap().failure = Some((fails, kind));
    }

    /// A working disk with what this one holds.
    pub(super) fn repaired(&self) -> Self {
        Self::with(self.0.lock().unwrap().data.clone())
    }

    /// Changes one bit behind the store's back.
    pub(super) fn flip(&self, place: usize, bit: u8) {
        self.0.lock().unwrap().data[place] ^= 1 << bit;
    }

    pub(super) fn find(&self, bytes: &[u8]) -> Option<usize> {
        let state = self.0.lock().unwrap();
        state.data.windows(bytes.len()).position(|at| at == bytes)
    }

    /// A store on this disk, new if the disk is empty.
    pub(super) fn store(&self) -> Result<Store, StoreError> {
        let path = std::path::Path::new("disk");
        super::super::error::guarded(path, || {
            let fresh = self.0.lock().unwrap().data.is_empty();
            let database = Builder::new()
                .create_with_backend(self.clone())
                .map_err(|error| super::super::error::from_database(path, &error))?;
            let store = Store::over(path, database, None);
            if fresh {
                store.initialise(identity())?;
            }
            Ok(store)
        })
    }

    fn with_state<T>(
        &self,
        access: Access,
        run: impl FnOnce(&mut State) -> Result<T, io::Error>,
    ) -> Result<T, io::Error> {
        let mut state = self.0.lock().unwrap();
        let refuses = |fails| match fails {
            Fails::All => true,
            Fails::Changes => access != Access::Read,
            Fails::Growth => access == Access::Grow,
            Fails::Syncs => access == Access::Sync,
        };
        match state.failure {
            Some((fails, kind)) if refuses(fails) => Err(kind.into()),
            _ => run(&mut state),
        }
    }
}

impl Op {
    pub(super) fn apply(&self, data: &mut Vec<u8>) {
        match self {
            Self::Write { offset, data: new } => {
                let end = offset + new.len();
                if data.len() < end {
                    data.resize(end, 0);
                }
                data[*offset..end].copy_from_slice(new);
            }
            Self::SetLength(length) => data.resize(*length, 0),
            Self::Sync | Self::Acknowledged(_) => {}
        }
    }
}

impl State {
    fn run(&mut self, op: Op) {
        op.apply(&mut self.data);
        self.log.push(op);
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        self.with_state(Access::Read, |state| Ok(state.data.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.with_state(Access::Read, |state| {
            let start = usize::try_from(offset).unwrap();
            let part = state.data.get(start..start + out.len());
            out.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let length = usize::try_from(len).unwrap();
        self.with_state(Access::Grow, |state| {
            state.run(Op::SetLength(length));
            Ok(())
        })
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.with_state(Access::Sync, |state| {
            state.run(Op::Sync);
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let offset = usize::try_from(offset).unwrap();
        let data = data.to_vec();
        self.with_state(Access::Write, |state| {
            state.run(Op::Write { offset, data });
            Ok(())
        })
    }
}
