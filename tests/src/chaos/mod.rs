//! What `conclave chaos` runs and how it judges, without any IO: scenarios, their schedule, what a
//! link does to a packet, the history of a run, and the checkers that read it afterwards.
//!
//! ```text
//! scenario (TOML) ─▶ schedule ─▶ the driver: real processes, relay, load ─▶ History
//!                                     │                                       │
//!                       Link: fate of each packet         windows, contents ◀─┘ ─▶ Outcome ─▶ report, picture
//! ```
//!
//! The driver is in the command line, since it starts processes. Checkers know only what anybody
//! outside can ask a validator, and what the driver did.

mod bonds;
mod builtin;
mod contents;
mod history;
mod link;
mod outcome;
mod picture;
mod pieces;
mod scenario;
mod schedule;
mod windows;

#[cfg(test)]
mod tests;

pub use bonds::Bonds;
pub use builtin::{SHORT, builtin};
pub use contents::{Contents, Delivered, Finding};
pub use history::{Acknowledged, Change, FaultId, FaultRecord, History, Impact, Reading, Stall};
pub use link::{Condition, Link};
pub use outcome::{Ending, FaultOutcome, Outcome, judge};
pub use picture::picture;
pub use pieces::{LinkPattern, ScenarioError, Target};
pub use scenario::{Byzantine, Fault, FaultKind, Scenario, VALIDATORS_MAX, Weather};
pub use schedule::{Moment, Step, schedule};
pub use windows::{Committee, Windows, windows};
