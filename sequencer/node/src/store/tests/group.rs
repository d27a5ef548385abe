//! The writer: order, coalescing, and what happens after a failure.

use std::io;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use super::super::*;
use super::backend::{Disk, Fails, Op};
use super::*;

#[test]
fn batches_become_durable_in_order_and_together() {
    let disk = Disk::default();
    let store = disk.store().unwrap();
    let created = disk.log().len();
    let (writer, _failure) = StoreWriter::start(store.clone()).unwrap();

    // The first callback holds the writer's thread until everything else is queued.
    let (release, hold) = mpsc::channel::<()>();
    writer
        .submit(put(Table::Meta, b"n", &[0]), move |result| {
            result.unwrap();
            hold.recv().unwrap();
        })
        .unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    for number in 1..=100_u8 {
        let order = Arc::clone(&order);
        let on_durable = move |result: Result<(), StoreError>| {
            result.unwrap();
            order.lock().unwrap().push(number);
        };
        writer
            .submit(put(Table::Meta, b"n", &[number]), on_durable)
            .unwrap();
    }
    release.send(()).unwrap();
    writer.shutdown();

    assert_eq!(*order.lock().unwrap(), (1..=100).collect::<Vec<_>>());
    let value = store.snapshot().unwrap().get(Table::Meta, b"n").unwrap();
    assert_eq!(value, Some(vec![100]), "the later write wins");
    let syncs = disk.log()[created..]
        .iter()
        .filter(|op| matches!(op, Op::Sync))
        .count();
    assert!((1..=8).contains(&syncs), "{syncs} syncs for 101 batches");
}

/// Whoever waits for room gets on when the disk does, and when the writer ends.
#[test]
fn room_comes_with_the_disk_or_the_end() {
    let disk = Disk::default();
    let (writer, _failure) = StoreWriter::start(disk.store().unwrap()).unwrap();
    let (release, hold) = mpsc::channel::<()>();
    let (started, start) = mpsc::channel::<()>();
    let on_durable = move |result: Result<(), StoreError>| {
        result.unwrap();
        started.send(()).unwrap();
        hold.recv().unwrap();
    };
    writer
        .submit(put(Table::Meta, b"n", &[0]), on_durable)
        .unwrap();
    start.recv().unwrap();
    // The writer's thread is held in the callback, so this waits.
    writer
        .submit(put(Table::Meta, b"n", &[1]), |result| result.unwrap())
        .unwrap();
    assert!(writer.pending_bytes() > 0);
    std::thread::scope(|scope| {
        let (done, waited) = mpsc::channel();
        let writer = &writer;
        scope.spawn(move || {
            writer.wait_for_room(0);
            done.send(writer.pending_bytes()).unwrap();
        });
        assert_eq!(waited.try_recv(), Err(mpsc::TryRecvError::Empty));
        release.send(()).unwrap();
        assert_eq!(waited.recv(), Ok(0));
    });
}

#[tokio::test]
async fn persist_returns_once_durable() {
    let (_directory, path) = place();
    let store = Store::create(&path, identity()).unwrap();
    let (writer, failure) = StoreWriter::start(store.clone()).unwrap();
    let first = writer.persist(put(Table::Safety, keys::SAFETY, b"1"));
    let second = writer.persist(put(Table::Safety, keys::SAFETY, b"2"));
    second.await.unwrap();
    let snapshot = store.snapshot().unwrap();
    let safety = snapshot.get(Table::Safety, keys::SAFETY).unwrap();
    assert_eq!(safety.as_deref(), Some(b"2".as_slice()));
    first.await.unwrap();
    writer.shutdown();
    assert!(failure.await.is_err(), "nothing failed");
}

#[tokio::test]
async fn after_a_failed_write_nothing_is_accepted() {
    let disk = Disk::default();
    let store = disk.store().unwrap();
    let (writer, failure) = StoreWriter::start(store.clone()).unwrap();
    writer.persist(put(Table::Meta, b"n", b"1")).await.unwrap();
    disk.fail(Fails::All, io::ErrorKind::StorageFull);
    let error = writer.persist(put(Table::Meta, b"n", b"2")).await;
    assert!(
        matches!(error, Err(StoreError::DiskFull { .. })),
        "{error:?}"
    );
    assert!(matches!(failure.await, Ok(StoreError::DiskFull { .. })));

    let refused = writer.submit(put(Table::Meta, b"n", b"3"), |_| unreachable!());
    assert!(matches!(refused, Err(StoreError::Stopped { .. })));
    let refused = writer.persist(put(Table::Meta, b"n", b"4")).await;
    assert!(matches!(refused, Err(StoreError::Stopped { .. })));
    let refused = store.commit(&put(Table::Meta, b"n", b"5"));
    assert!(matches!(refused, Err(StoreError::Stopped { .. })));
}

#[test]
fn too_much_waiting_is_refused_and_passes() {
    let (_directory, path) = place();
    let store = Store::create(&path, identity()).unwrap();
    let (writer, _failure) = StoreWriter::start(store).unwrap();
    let (release, hold) = mpsc::channel::<()>();
    let (started, running) = mpsc::channel::<()>();
    writer
        .submit(put(Table::Meta, b"n", b"1"), move |_| {
            started.send(()).unwrap();
            hold.recv().unwrap();
        })
        .unwrap();
    running.recv().unwrap();
    let half = vec![0; PENDING_BYTES_MAX / 2];
    writer
        .submit(put(Table::Batches, b"1", &half), |_| {})
        .unwrap();
    let refused = writer.submit(put(Table::Batches, b"2", &half), |_| unreachable!());
    assert!(matches!(refused, Err(StoreError::Busy { .. })));
    // What a protocol waits for is never refused.
    let (done, durable) = mpsc::channel();
    let persist = writer.persist(put(Table::Safety, keys::SAFETY, &half));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        done.send(runtime.block_on(persist)).unwrap();
    });
    release.send(()).unwrap();
    durable.recv().unwrap().unwrap();
    writer
        .submit(put(Table::Batches, b"2", &half), |_| {})
        .unwrap();
}

#[test]
fn a_panicking_callback_stops_the_writer() {
    let (_directory, path) = place();
    let store = Store::create(&path, identity()).unwrap();
    let (writer, failure) = StoreWriter::start(store).unwrap();
    let (entered, inside) = mpsc::channel::<()>();
    let (release, hold) = mpsc::channel::<()>();
    writer
        .submit(put(Table::Meta, b"n", b"1"), move |_| {
            entered.send(()).unwrap();
            hold.recv().unwrap();
            panic!("a callback failed, as this test wants");
        })
        .unwrap();
    inside.recv().unwrap();
    let (done, refused) = mpsc::channel();
    writer
        .submit(put(Table::Meta, b"n", b"2"), move |result| {
            done.send(result).unwrap();
        })
        .unwrap();
    release.send(()).unwrap();
    let refused = refused.recv().unwrap();
    assert!(matches!(refused, Err(StoreError::Stopped { .. })));
    assert!(failure.blocking_recv().is_err());
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writer.shutdown()));
    assert!(panic.is_err(), "the owner learns of it");
}
