//! What the node counts, for operators.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use conclave_ledger::Ledger;
use conclave_sequencer::{FetchProgress, Published};
use conclave_types::Block;

use crate::shell::lock;
use crate::transport;

/// How far back latencies are remembered.
const WINDOW: Duration = Duration::from_secs(60);
/// Samples kept at most; at higher rates the window is shorter.
const SAMPLES_MAX: usize = 65_536;

/// Counters and recent latencies.
#[derive(Default)]
pub(crate) struct Metrics {
    pub(crate) view: AtomicU64,
    /// The leader of the view, or a number that is no index.
    pub(crate) leader: AtomicU64,
    pub(crate) height: AtomicU64,
    pub(crate) executed_height: AtomicU64,
    pub(crate) block_time_ms: AtomicU64,
    pub(crate) mempool: AtomicU64,
    /// Proposals refused for what they left out.
    pub(crate) censoring: AtomicU64,
    /// The highest tariff, in thousandths.
    pub(crate) tariff: AtomicU64,
    blocks: AtomicU64,
    admitted: AtomicU64,
    refused: AtomicU64,
    pub(crate) envelopes: AtomicU64,
    pub(crate) transactions: AtomicU64,
    /// Segments that the archive did not take.
    pub(crate) archive_failures: AtomicU64,
    misbehaviour: AtomicU64,
    garbage: AtomicU64,
    finality: Mutex<Recent>,
    opening: Mutex<Recent>,
}

/// Latencies of the last minute, in milliseconds.
#[derive(Default)]
struct Recent(VecDeque<(Instant, u64)>);

impl Recent {
    fn add(&mut self, value: u64) {
        self.forget();
        if self.0.len() == SAMPLES_MAX {
            self.0.pop_front();
        }
        self.0.push_back((Instant::now(), value));
    }

    fn forget(&mut self) {
        let now = Instant::now();
        while self.0.front().is_some_and(|(at, _)| now - *at > WINDOW) {
            self.0.pop_front();
        }
    }

    /// The median and the 99th percentile; nothing if nothing happened for a minute.
    fn percentiles(&mut self) -> Option<(f64, f64)> {
        self.forget();
        let mut values: Vec<u64> = self.0.iter().map(|(_, value)| *value).collect();
        if values.is_empty() {
            return None;
        }
        values.sort_unstable();
        let at = |percent: usize| values[(values.len() - 1) * percent / 100] as f64;
        Some((at(50), at(99)))
    }
}

impl Metrics {
    pub(crate) fn committed(&self, last: &Block, blocks: usize) {
        self.height.store(last.header.height.0, Ordering::Relaxed);
        self.block_time_ms
            .store(last.header.time.0, Ordering::Relaxed);
        self.blocks.fetch_add(blocks as u64, Ordering::Relaxed);
    }

    pub(crate) fn executed(&self, published: &Published) {
        self.executed_height
            .store(published.height.0, Ordering::Relaxed);
        self.envelopes
            .fetch_add(published.envelopes, Ordering::Relaxed);
        self.transactions
            .fetch_add(published.transactions, Ordering::Relaxed);
        self.prices(&published.ledger);
        if published.transactions > 0 {
            lock(&self.opening).add(published.opening_ms);
        }
    }

    /// What the ledger says that the next block costs.
    pub(crate) fn prices(&self, ledger: &Ledger) {
        self.tariff
            .store(ledger.fees().highest_tariff().into(), Ordering::Relaxed);
    }

    pub(crate) fn finality(&self, latency_ms: u64) {
        lock(&self.finality).add(latency_ms);
    }

    pub(crate) fn admitted(&self) {
        self.admitted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn misbehaviour(&self) {
        self.misbehaviour.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes that do not decode; their sender was cut off.
    pub(crate) fn garbage(&self) {
        self.garbage.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn finality_percentiles(&self) -> Option<(f64, f64)> {
        lock(&self.finality).percentiles()
    }

    pub(crate) fn opening_percentiles(&self) -> Option<(f64, f64)> {
        lock(&self.opening).percentiles()
    }

    /// The Prometheus text format.
    pub(crate) fn text(
        &self,
        peers: usize,
        pending_bytes: usize,
        net: &transport::Metrics,
        syncing: Option<FetchProgress>,
    ) -> String {
        let mut text = String::new();
        let mut add = |name: &str, kind: &str, help: &str, value: f64| {
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "# HELP conclave_{name} {help}\n# TYPE conclave_{name} {kind}\nconclave_{name} {value}\n"
            );
        };
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        add(
            "view",
            "gauge",
            "Current view of agreement.",
            get(&self.view),
        );
        add(
            "committed_height",
            "gauge",
            "Last final height.",
            get(&self.height),
        );
        add(
            "executed_height",
            "gauge",
            "Last executed height.",
            get(&self.executed_height),
        );
        add(
            "block_time_seconds",
            "gauge",
            "Time of the last final block.",
            get(&self.block_time_ms) / 1e3,
        );
        let syncing = syncing.unwrap_or_default();
        add(
            "syncing_parts_left",
            "gauge",
            "Parts that joining or catching up still waits for; 0 when it is over.",
            syncing.total.saturating_sub(syncing.done) as f64,
        );
        add(
            "syncing_parts_per_second",
            "gauge",
            "The rate at which they come.",
            syncing.parts_per_1000_s as f64 / 1e3,
        );
        add(
            "syncing_seconds_left",
            "gauge",
            "Until the end at this rate.",
            syncing.seconds_left.unwrap_or(0) as f64,
        );
        add(
            "blocks_total",
            "counter",
            "Blocks that became final here.",
            get(&self.blocks),
        );
        add(
            "mempool_envelopes",
            "gauge",
            "Acknowledged, not ordered.",
            get(&self.mempool),
        );
        add(
            "censoring_proposals_total",
            "counter",
            "Proposals not voted for, since they left out what had waited long.",
            get(&self.censoring),
        );
        add(
            "tariff_max",
            "gauge",
            "What the rollup that floods most pays, in multiples of the genesis' fees.",
            get(&self.tariff) / 1_000.0,
        );
        add(
            "admitted_envelopes_total",
            "counter",
            "Acknowledged here.",
            get(&self.admitted),
        );
        add(
            "refused_envelopes_total",
            "counter",
            "Refused at admission.",
            get(&self.refused),
        );
        add(
            "ordered_envelopes_total",
            "counter",
            "Ordered and executed.",
            get(&self.envelopes),
        );
        add(
            "ordered_transactions_total",
            "counter",
            "Delivered.",
            get(&self.transactions),
        );
        add(
            "misbehaviour_total",
            "counter",
            "Protocol breaches of peers.",
            get(&self.misbehaviour),
        );
        add(
            "garbage_total",
            "counter",
            "Messages that did not decode.",
            get(&self.garbage),
        );
        add(
            "archive_failures_total",
            "counter",
            "Segments that the archive did not take; nothing is pruned meanwhile.",
            get(&self.archive_failures),
        );
        add(
            "peers_connected",
            "gauge",
            "Connected validators.",
            peers as f64,
        );
        add(
            "store_pending_bytes",
            "gauge",
            "Bytes that wait for the disk.",
            pending_bytes as f64,
        );
        for (name, percentiles) in [
            ("finality", self.finality_percentiles()),
            ("opening", self.opening_percentiles()),
        ] {
            let (p50, p99) = percentiles.unwrap_or((0.0, 0.0));
            let help = "Over the last minute.";
            add(&format!("{name}_seconds_p50"), "gauge", help, p50 / 1e3);
            add(&format!("{name}_seconds_p99"), "gauge", help, p99 / 1e3);
        }
        text.push_str(&network(net));
        text
    }
}

fn network(net: &transport::Metrics) -> String {
    let mut text = String::new();
    for class in transport::Class::ALL {
        let label = format!("{class:?}").to_lowercase();
        let counters = net.class(class);
        for (name, counter) in [
            ("sent_bytes", &counters.bytes_out),
            ("received_bytes", &counters.bytes_in),
            ("dropped_messages", &counters.dropped),
        ] {
            let value = counter.get();
            let _ = writeln!(
                text,
                "conclave_network_{name}_total{{class=\"{label}\"}} {value}"
            );
        }
    }
    text
}
