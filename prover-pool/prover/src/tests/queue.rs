//! The queue is bounded, and what fails in it fails alone.

use std::sync::mpsc;

use crate::queue::{QueueFull, WorkQueue};

#[tokio::test]
async fn a_full_queue_refuses_and_takes_work_again_later() {
    let mut queue: WorkQueue<u32, u32> = WorkQueue::start(1, 1).expect("threads");
    let (started, running) = mpsc::channel();
    let (release, gate) = mpsc::channel::<()>();
    let blocked = move || {
        started.send(()).expect("the test waits");
        gate.recv().expect("the test releases");
        1
    };
    queue.push(1, blocked).expect("empty");
    running.recv().expect("the worker took it");
    queue.push(2, || 2).expect("one may wait");
    assert_eq!(queue.push(3, || 3), Err(QueueFull));
    release.send(()).expect("the worker waits");
    assert_eq!(queue.done().await, Some((1, Ok(1))));
    assert_eq!(queue.done().await, Some((2, Ok(2))));
    queue.push(3, || 3).expect("empty again");
    assert_eq!(queue.done().await, Some((3, Ok(3))));
}

#[tokio::test]
async fn a_panic_is_the_result_of_its_own_work_only() {
    let mut queue: WorkQueue<u32, u32> = WorkQueue::start(1, 4).expect("threads");
    queue.push(1, || panic!("bad trace")).expect("room");
    queue.push(2, || 2).expect("room");
    let (key, result) = queue.done().await.expect("a result");
    assert_eq!(key, 1);
    assert_eq!(result.expect_err("it panicked").message, "bad trace");
    assert_eq!(queue.done().await, Some((2, Ok(2))), "the thread lives on");
}

#[test]
fn closing_finishes_what_runs_and_drops_what_waits() {
    let queue: WorkQueue<u32, ()> = WorkQueue::start(1, 1).expect("threads");
    let (ran, log) = mpsc::channel();
    let (release, gate) = mpsc::channel::<()>();
    let first = ran.clone();
    queue
        .push(1, move || {
            first.send("started").expect("the test waits");
            gate.recv().expect("the test releases");
            first.send("finished").expect("the test waits");
        })
        .expect("room");
    assert_eq!(log.recv(), Ok("started"));
    queue
        .push(2, move || ran.send("waited").expect("the test waits"))
        .expect("room");
    let closing = std::thread::spawn(move || queue.close());
    release.send(()).expect("the worker waits");
    closing.join().expect("closes");
    let rest: Vec<_> = log.iter().collect();
    assert_eq!(rest.first(), Some(&"finished"));
}
