//! What proving costs on this machine, measured once per program.

use std::path::Path;

use conclave_sdk::{Program, ProgramError, read_file, replace_file};
use conclave_types::Amount;
use serde::{Deserialize, Serialize};
use tracing::warn;

/// Sizes of the measured samples: their difference gives the cost of one transaction, the smaller
/// one what a proof costs in any case.
const SMALL: u64 = 4;
const LARGE: u64 = 32;

/// A machine's cost of proving with one program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calibration {
    /// Of every proof, in microseconds of CPU.
    pub proof_us: u64,
    /// Of every slot in a proof; a trace has a power of two of them.
    pub slot_us: u64,
}

impl Calibration {
    /// Reads the cached calibration of a program, or measures and caches it. CPU-heavy.
    pub fn load_or_measure(dir: &Path, program: &dyn Program) -> Result<Self, ProgramError> {
        let path = dir.join(format!("calibration-{}.json", program.version()));
        let cached = read_file(&path).ok().flatten();
        if let Some(known) = cached.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            return Ok(known);
        }
        let measured = Self::measure(program)?;
        let text = serde_json::to_vec(&measured).unwrap_or_default();
        if let Err(error) = replace_file(&path, &text) {
            warn!(%error, "the calibration could not be kept and is measured again next time");
        }
        Ok(measured)
    }

    fn measure(program: &dyn Program) -> Result<Self, ProgramError> {
        let small = program.measure(SMALL)?;
        let large = program.measure(LARGE)?;
        let (few, many) = (slots(small.transactions), slots(large.transactions));
        let micros =
            |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let (quick, slow) = (micros(small.proving), micros(large.proving));
        // Noise must not make transactions free: at least half of the plain average.
        let least = slow / many.max(1) / 2;
        let slope = slow.saturating_sub(quick) / many.saturating_sub(few).max(1);
        let slot_us = slope.max(least).max(1);
        let proof_us = quick.saturating_sub(slot_us.saturating_mul(few));
        Ok(Self { proof_us, slot_us })
    }

    /// Microseconds of CPU for a range of so many transactions.
    pub fn time_us(&self, count: u64) -> u64 {
        self.proof_us
            .saturating_add(self.slot_us.saturating_mul(slots(count)))
    }

    /// What that costs, at least one unit.
    pub fn cost(&self, count: u64, price_per_second: Amount) -> Amount {
        let cost = u128::from(self.time_us(count)) * u128::from(price_per_second.0);
        let cost = cost.div_ceil(1_000_000).max(1);
        Amount(u64::try_from(cost).unwrap_or(u64::MAX))
    }
}

fn slots(count: u64) -> u64 {
    count.checked_next_power_of_two().unwrap_or(count)
}
