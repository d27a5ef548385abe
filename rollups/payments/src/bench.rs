//! What proving costs on this machine: for reports, and for a prover's calibration.

use std::fs;
use std::time::{Duration, Instant};

use crate::hash::FieldDigest;
use crate::keys::Seed;
use crate::layout::{SLOT_ROWS, column};
use crate::leaf_store::{LeafStore, LeafStoreError};
use crate::payment::{Address, PaymentContext};
use crate::program::{SecurityBits, security_bits};
use crate::prove::{ProveError, ProveJob, prove, sort_out, witness};
use crate::state::{Allocation, State};
use crate::statement::{RANGE_CONTENTS_MAX, RangeContext};
use crate::trace::slots;
use crate::transition::{execute, judge};
use crate::verify::verify;
use crate::wallet::{Draft, Wallet, WalletState};

/// What one range cost.
#[derive(Debug, Clone, Copy)]
pub struct BenchReport {
    /// Payments in the range.
    pub payments: usize,
    /// Native classification and execution of all of them.
    pub execute_cpu: Duration,
    /// Building the trace.
    pub trace_cpu: Duration,
    /// The whole of [`prove`], classification and trace included.
    pub prove_cpu: Duration,
    /// When it began and ended.
    pub prove_start: Instant,
    pub prove_end: Instant,
    /// The whole of [`verify`].
    pub verify_cpu: Duration,
    /// Bytes of the proof.
    pub proof_bytes: usize,
    /// Rows of the trace.
    pub rows: usize,
    /// Columns of the trace.
    pub columns: usize,
    /// The proof's security.
    pub security: SecurityBits,
}

impl BenchReport {
    /// Proving CPU of one payment.
    pub fn cpu_per_payment(&self) -> Duration {
        self.prove_cpu / u32::try_from(self.payments).unwrap_or(1).max(1)
    }
}

/// A store for keys that sign this benchmark and nothing else.
struct Forgetful;

impl LeafStore for Forgetful {
    fn load(&self) -> Result<Option<WalletState>, LeafStoreError> {
        Ok(None)
    }
    fn store(&mut self, _: &WalletState) -> Result<(), LeafStoreError> {
        Ok(())
    }
}

/// Proves and verifies a range of this many applied payments, at most 512, on this thread.
pub fn bench_range(payments: usize) -> Result<BenchReport, ProveError> {
    let failed = |error: &dyn core::fmt::Display| ProveError::Failed {
        reason: error.to_string(),
    };
    let payments = payments.clamp(1, RANGE_CONTENTS_MAX / 2);
    let ctx = PaymentContext {
        chain: [0; 32],
        rollup: 1,
    };
    let mut wallet = Wallet::create(Seed::new([1; 32]), Forgetful).map_err(|e| failed(&e))?;
    let sender = Address {
        slot: 1,
        key: wallet.owner(),
    };
    let fee_account = Address {
        slot: 0,
        key: FieldDigest([1; 4]),
    };
    let allocation = Allocation {
        address: sender,
        balance: 1 << 40,
    };
    let state = State::genesis(fee_account, &[allocation]).map_err(|e| failed(&e))?;
    let contents = (0..payments as u64)
        .map(|nonce| {
            let receiver = Address {
                slot: 2 + (nonce as u32).wrapping_mul(0x9e37) % 0x00ff_0000,
                key: FieldDigest([nonce + 2; 4]),
            };
            let draft = Draft {
                sender: sender.slot,
                nonce,
                receiver,
                amount: 10,
                fee: 1,
                expiry: 100,
            };
            let payment = wallet.pay(&ctx, &draft).map_err(|e| failed(&e))?;
            Ok((1, payment.encode()))
        })
        .collect::<Result<Vec<_>, ProveError>>()?;

    let range = RangeContext {
        chain: ctx.chain,
        rollup: ctx.rollup,
        prover: [0; 32],
        from_height: 1,
        to_height: 1,
        from_index: 0,
        to_index: payments as u64,
        old_root: state.root(),
    };
    let job = ProveJob {
        range,
        state: &state,
        contents: &contents,
    };
    let (_, execute_cpu) = quickest(|| execute(&mut state.clone(), &ctx, &contents));
    let (included, _) = sort_out(&job);
    let (_, trace_cpu) = quickest(|| witness(&job, &included, judge));
    let prove_start = Instant::now();
    let (proven, prove_cpu) = timed(|| prove(&job));
    let prove_end = Instant::now();
    let proven = proven?;
    let (report, verify_cpu) = quickest(|| {
        verify(
            &range,
            &contents,
            &proven.excluded,
            &proven.new_root,
            &proven.proof,
        )
    });
    report.map_err(|e| failed(&e))?;
    Ok(BenchReport {
        payments,
        execute_cpu,
        trace_cpu,
        prove_cpu,
        prove_start,
        prove_end,
        verify_cpu,
        proof_bytes: proven.proof.len(),
        rows: slots(payments) * SLOT_ROWS,
        columns: column::WIDTH,
        security: security_bits(payments),
    })
}

/// The shortest of some runs by the wall clock: the system counts CPU time in steps that are too
/// coarse for what takes milliseconds.
fn quickest<T>(run: impl Fn() -> T) -> (T, Duration) {
    let timed = || {
        let start = Instant::now();
        let value = run();
        (value, start.elapsed())
    };
    (0..4).map(|_| timed()).fold(
        timed(),
        |best, next| {
            if next.1 < best.1 { next } else { best }
        },
    )
}

/// Runs something and gives the CPU time this thread spent on it; where the system does not say,
/// the wall clock's.
fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let (wall, cpu) = (Instant::now(), thread_cpu());
    let value = run();
    let elapsed = match cpu.zip(thread_cpu()) {
        Some((before, after)) => after.saturating_sub(before),
        None => wall.elapsed(),
    };
    (value, elapsed)
}

/// Nanoseconds this thread was on a core, as Linux counts them.
fn thread_cpu() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}
