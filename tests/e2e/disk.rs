//! A validator whose disk is really full, or really read-only: a small file system in memory, mounted
//! over its data directory. Needs the right to mount.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::network::{Network, Shape};
use crate::{GOING_ON, others};

const VICTIM: u16 = 3;
/// Room for some minutes of this load.
const SIZE: &str = "size=64m";

/// A mounted file system; gone with the test, whatever becomes of it.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Self {
        fs::create_dir_all(at).expect("a directory");
        run("mount", &["-t", "tmpfs", "-o", SIZE, "conclave-test"], at);
        Self(at.to_owned())
    }

    fn remount(&self, options: &str) {
        run("mount", &["-o", &format!("remount,{options}")], &self.0);
    }

    /// Takes all the space that is left; the file that does.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let mut file = File::create(&path).expect("a file");
        loop {
            match file.write(&[0; 4096]) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => return path,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Even while a process that is about to be killed has it open.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn run(program: &str, args: &[&str], at: &Path) {
    let status = Command::new(program).args(args).arg(at).status();
    let status = status.expect("the program is there");
    assert!(status.success(), "{program} {args:?}: {status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_or_read_only_disk_stops_one_validator_with_a_code() {
    let mut network = Network::start(Shape::default()).await;
    network.kill(&[VICTIM]);
    network.wipe(VICTIM);
    let disk = Disk::mount(&network.data(VICTIM));
    network.start_validators(&[VICTIM]).await;
    network.goes_on(&[VICTIM], 1).await;

    let ballast = disk.fill();
    let log = network.failed(VICTIM).await;
    assert!(
        log.contains("error: the node stopped: [CV-STORE-007]"),
        "{log}"
    );
    network.goes_on(&others(VICTIM), GOING_ON).await;

    // As the message says: with some space it goes on, and votes.
    fs::remove_file(ballast).expect("is there");
    network.start_validators(&[VICTIM]).await;
    network.kill(&[0]);
    network.goes_on(&[VICTIM], GOING_ON).await;
    network.start_validators(&[0]).await;

    network.kill(&[VICTIM]);
    disk.remount("ro");
    network.launch(VICTIM);
    let log = network.failed(VICTIM).await;
    assert!(
        log.contains("error: the node did not start: [CV-STORE-006]"),
        "{log}"
    );
    disk.remount("rw");
    network.start_validators(&[VICTIM]).await;
    network.goes_on(&[VICTIM], GOING_ON).await;
}
