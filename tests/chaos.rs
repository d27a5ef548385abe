//! The short set of chaos scenarios, on real processes: minutes, and namespaces where they can be
//! had, so behind the feature `external`.

use std::path::Path;
use std::process::Command;

/// Above the ports of the end-to-end tests and below those that the system hands out.
const BASE_PORT: u16 = 32_100;

/// Where the network is kept. A disk that others write to may take most of a second for a sync,
/// twice for each block, and what is tried out here is not that disk: scenarios slow syncs down
/// themselves.
const MEMORY: &str = "/dev/shm";

#[test]
fn nothing_is_lost_and_blocks_go_on_whatever_is_done_to_the_processes() {
    let folder = match Path::new(MEMORY).is_dir() {
        true => tempfile::tempdir_in(MEMORY),
        false => tempfile::tempdir(),
    };
    let folder = folder.expect("a directory");
    let report = Path::new(env!("CARGO_TARGET_TMPDIR")).join("chaos-report");
    let status = Command::new(env!("CARGO_BIN_EXE_conclave"))
        .args(["chaos", "ci", "--report"])
        .arg(&report)
        .arg("--data-dir")
        .arg(folder.path())
        .args(["--base-port", &BASE_PORT.to_string()])
        .status()
        .expect("conclave chaos runs");
    let text = std::fs::read_to_string(report.join("report.txt")).unwrap_or_default();
    assert!(status.success(), "{}:\n{text}", report.display());
}
