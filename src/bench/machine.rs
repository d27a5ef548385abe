//! What the system says of a process: CPU time and memory.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

/// The unit of CPU times in `/proc`, which Linux fixes at 100 a second for user space.
const TICKS_PER_SECOND: f64 = 100.0;
const KIB_PER_MIB: f64 = 1024.0;

/// CPU seconds that a process has used, in user and kernel.
pub(super) fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let path = process(&pid.to_string()).join("stat");
    parse_cpu(&read(&path)?)
        .ok_or_else(|| anyhow!("[CV-CLI-091] {} has an unknown form", path.display()))
}

/// The most memory that a process has had resident, in MiB.
pub(super) fn peak_rss_mib(pid: u32) -> anyhow::Result<f64> {
    peak(&process(&pid.to_string()))
}

/// The same of this process.
pub(super) fn own_peak_rss_mib() -> anyhow::Result<f64> {
    peak(&process("self"))
}

/// How busy the machine is: runnable threads on average over the last minute, and its cores.
pub(super) fn load() -> String {
    let average = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let average = average
        .split_whitespace()
        .next()
        .unwrap_or("unknown")
        .to_owned();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{cores} cores, load average {average}")
}

fn process(name: &str) -> PathBuf {
    Path::new("/proc").join(name)
}

fn peak(process: &Path) -> anyhow::Result<f64> {
    let path = process.join("status");
    let text = read(&path)?;
    let kib = parse_peak(&text);
    kib.map(|kib| kib / KIB_PER_MIB)
        .ok_or_else(|| anyhow!("[CV-CLI-091] {} has an unknown form", path.display()))
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| {
        format!(
            "[CV-CLI-090] cannot read {}; the bench needs Linux's /proc",
            path.display()
        )
    })
}

/// The 14th and 15th field, counted after the name, which may hold spaces.
fn parse_cpu(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let kernel: f64 = fields.next()?.parse().ok()?;
    Some((user + kernel) / TICKS_PER_SECOND)
}

fn parse_peak(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_is_understood() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 9 0 1 2 3";
        assert_eq!(parse_cpu(stat), Some(2.0));
        assert_eq!(
            parse_peak("VmPeak:\t1 kB\nVmHWM:\t  2048 kB\n"),
            Some(2048.0)
        );
        assert!(cpu_seconds(std::process::id()).is_ok_and(|seconds| seconds >= 0.0));
        assert!(own_peak_rss_mib().is_ok_and(|mib| mib > 0.0));
    }
}
