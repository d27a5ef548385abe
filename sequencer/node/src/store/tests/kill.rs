//! A process that is killed: everything it was told is durable is found by the next one.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use super::super::*;
use super::*;

const CHILD: &str = "CONCLAVE_STORE_CHILD";

/// The child's part: writes for ever, and prints each number once it is durable. Without the
/// variable it is the parent's test below that counts, and there is nothing to do.
#[test]
fn child_writes_until_killed() {
    let Ok(path) = std::env::var(CHILD) else {
        return;
    };
    let store = Store::create(path.as_ref(), identity()).unwrap();
    let (writer, _failure) = StoreWriter::start(store).unwrap();
    let out = Arc::new(Mutex::new(std::io::stdout()));
    for number in 1_u64.. {
        let mut batch = put(Table::Safety, keys::SAFETY, &number.to_be_bytes());
        batch.put(Table::Blocks, keys::height(Height(number)), vec![7; 300]);
        let print = Arc::clone(&out);
        let on_durable = move |result: Result<(), StoreError>| {
            result.unwrap();
            let mut out = print.lock().unwrap();
            writeln!(out, "\ndurable {number}").unwrap();
            out.flush().unwrap();
        };
        // One large write now and then makes groups of different sizes.
        match number % 50 {
            0 => {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap();
                writer.submit(batch, on_durable).unwrap();
                runtime.block_on(writer.persist(WriteBatch::new())).unwrap();
            }
            _ => writer.submit(batch, on_durable).unwrap(),
        }
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    for kill_after in [1, 120, 777] {
        let (_directory, path) = place();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "store::tests::kill::child_writes_until_killed",
            ])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut durable = 0;
        for line in lines {
            // The pipe may end in half a line.
            let Ok(line) = line else { break };
            let Some(number) = line.strip_prefix("durable ") else {
                continue;
            };
            durable = durable.max(number.parse::<u64>().unwrap());
            if durable >= kill_after {
                child.kill().unwrap();
                break;
            }
        }
        child.wait().unwrap();
        assert!(durable >= kill_after, "the child died early");

        let store = Store::open(&path, identity()).unwrap();
        let snapshot = store.snapshot().unwrap();
        let safety = snapshot.get(Table::Safety, keys::SAFETY).unwrap().unwrap();
        let last = u64::from_be_bytes(safety.try_into().unwrap());
        assert!(last >= durable, "{durable} was durable, {last} was found");
        let rows = snapshot.range(Table::Blocks, &KeyRange::all(), usize::MAX);
        let heights: Vec<u64> = rows
            .unwrap()
            .iter()
            .map(|(key, _)| keys::parse_height(key).unwrap().0)
            .collect();
        assert_eq!(
            heights,
            (1..=last).collect::<Vec<_>>(),
            "no gap, nothing half there"
        );
        // And it goes on from there.
        store.commit(&put(Table::Meta, b"n", b"1")).unwrap();
    }
}
