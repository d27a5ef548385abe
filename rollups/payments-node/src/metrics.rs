//! Counters and gauges in the Prometheus text format.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::OutcomeKind;

macro_rules! metrics {
    ($($(#[doc = $doc:literal])* $name:ident: $kind:literal;)*) => {
        /// Everything this node measures about itself.
        #[derive(Debug, Default)]
        pub(crate) struct Metrics {
            $($(#[doc = $doc])* pub(crate) $name: AtomicU64,)*
            /// Delivered transactions by outcome.
            pub(crate) transactions: [AtomicU64; OutcomeKind::ALL.len()],
        }

        impl Metrics {
            /// The text a scraper reads.
            pub(crate) fn render(&self) -> String {
                let mut text = String::new();
                $({
                    let help = concat!($($doc),*).trim();
                    let name = concat!("conclave_rollup_", stringify!($name));
                    let value = self.$name.load(Relaxed);
                    // Writing to a string does not fail.
                    let _ = writeln!(
                        text,
                        "# HELP {name} {help}\n# TYPE {name} {}\n{name} {value}",
                        $kind
                    );
                })*
                let name = "conclave_rollup_transactions_total";
                let _ = writeln!(
                    text,
                    "# HELP {name} Delivered transactions by outcome.\n# TYPE {name} counter"
                );
                for outcome in OutcomeKind::ALL {
                    let value = self.transactions[outcome.position()].load(Relaxed);
                    let _ = writeln!(text, "{name}{{outcome=\"{}\"}} {value}", outcome.name());
                }
                text
            }
        }
    };
}

metrics! {
    /// The last executed height.
    executed_height: "gauge";
    /// Transactions executed since the rollup's start.
    executed_transactions: "gauge";
    /// Transactions under the settled root.
    settled_transactions: "gauge";
    /// Acknowledged payments that were not delivered yet.
    pending_payments: "gauge";
    /// Envelopes submitted and not delivered yet.
    pending_envelopes: "gauge";
    /// Accounts of the rollup.
    accounts: "gauge";
    /// Payments acknowledged to clients.
    payments_accepted_total: "counter";
    /// Payments refused at once.
    payments_refused_total: "counter";
    /// Payments that were never ordered before their expiry.
    payments_expired_total: "counter";
    /// Envelopes sealed.
    envelopes_sealed_total: "counter";
    /// Envelopes that ended without their payments being delivered.
    envelopes_lost_total: "counter";
    /// Attempts to submit an envelope that failed.
    submit_failures_total: "counter";
    /// Commits of the database.
    store_commits_total: "counter";
    /// Microseconds the owner of the state has worked.
    owner_busy_microseconds_total: "counter";
    /// Payments the faucet sent.
    faucet_payments_total: "counter";
    /// Payments the load generator sent, invalid ones included.
    load_payments_total: "counter";
    /// Deliberately invalid payments among them.
    load_invalid_total: "counter";
    /// Payments due that no account could send; the load is open loop and does not catch up.
    load_skipped_total: "counter";
    /// Delivered payments of the load generator that came to what they were made for.
    load_intended_total: "counter";
    /// Delivered payments of the load generator that came to something else.
    load_unintended_total: "counter";
    /// Requests answered by the HTTP API.
    http_requests_total: "counter";
    /// Requests answered with an error.
    http_errors_total: "counter";
}

impl Metrics {
    pub(crate) fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Relaxed);
    }

    pub(crate) fn set(gauge: &AtomicU64, value: u64) {
        gauge.store(value, Relaxed);
    }
}
