//! The load generator's clock: open loop, so a slow rollup shows as skipped payments and not as a
//! lower rate.

use std::sync::Arc;
use std::time::Duration;

use conclave_payments::{Address, PaymentContext};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Generator, GeneratorOptions, newcomers};
use crate::faucet::{open_purse, slot_hint};
use crate::load::generator::Made;
use crate::metrics::Metrics;
use crate::node::{Shutdown, stopped};
use crate::owner::Handle;
use crate::purse::Purse;
use crate::{DevnetConfig, OutcomeKind, RollupError, RollupNodeConfig, devnet};

/// Payments are made in bursts of this long.
const TICK: Duration = Duration::from_millis(50);
/// Payments in one burst at most; what a stall leaves behind is skipped, not caught up.
const BURST_MAX: u64 = 500;

/// Makes payments until told to stop.
pub(crate) async fn run_load(
    config: RollupNodeConfig,
    context: PaymentContext,
    handle: Handle,
    metrics: Arc<Metrics>,
    mut shutdown: Shutdown,
) -> Result<(), RollupError> {
    let Some(devnet) = config.devnet.clone() else {
        return Ok(());
    };
    tokio::select! {
        result = generate(config, devnet, context, handle, metrics) => result,
        () = stopped(&mut shutdown) => Ok(()),
    }
}

async fn generate(
    config: RollupNodeConfig,
    devnet: DevnetConfig,
    context: PaymentContext,
    handle: Handle,
    metrics: Arc<Metrics>,
) -> Result<(), RollupError> {
    let (purses, mut next_newcomer) = open_purses(&config, &devnet, &handle).await?;
    let options = GeneratorOptions {
        context,
        invalid_percent: devnet.load_invalid_percent,
        // Envelopes may expire and be sealed again, so payments live longer than they.
        expiry_blocks: 3 * config.gateway.expiry_blocks,
        seed: rand::random(),
    };
    let mut generator = Generator::new(options, purses);
    let mut clock = interval(TICK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (start, mut made_so_far) = (Instant::now(), 0u64);
    loop {
        clock.tick().await;
        let wanted = (start.elapsed().as_secs_f64() * devnet.load_tps) as u64;
        let due = wanted - made_so_far;
        made_so_far = wanted;
        let burst = due.min(BURST_MAX);
        Metrics::add(&metrics.load_skipped_total, due - burst);
        if newcomer_is_due(&devnet, &generator, next_newcomer) {
            let data = config.data.clone();
            let purse = newcomer(data, devnet.clone(), next_newcomer, &handle).await?;
            next_newcomer += 1;
            if let Some(purse) = purse {
                generator.welcome(purse);
            }
        }
        let Ok(outlook) = handle.outlook(generator.slots()).await else {
            return Ok(());
        };
        let work = move || {
            let made = generator.make(&outlook, burst as usize);
            (generator, made)
        };
        let (back, made) = blocking(work).await?;
        generator = back;
        let made = made.map_err(|error| RollupError::Part {
            part: "load generator",
            reason: error.to_string(),
        })?;
        count(&metrics, &made);
        if handle.accept_unchecked(made.payments).await.is_err() {
            return Ok(());
        }
    }
}

fn count(metrics: &Metrics, made: &Made) {
    let valid = |payment: &&crate::owner::Unchecked| payment.intended == OutcomeKind::Applied;
    let all = made.payments.len() as u64;
    let valid = made.payments.iter().filter(valid).count() as u64;
    Metrics::add(&metrics.load_payments_total, all);
    Metrics::add(&metrics.load_invalid_total, all - valid);
    Metrics::add(&metrics.load_skipped_total, made.skipped);
}

async fn open_purses(
    config: &RollupNodeConfig,
    devnet: &DevnetConfig,
    handle: &Handle,
) -> Result<(Vec<Purse>, u32), RollupError> {
    let mut purses = Vec::new();
    let first = devnet::FIRST_LOAD_WALLET;
    for number in first..first + devnet.accounts {
        purses.extend(open_purse(config, handle, number).await?);
    }
    if purses.len() < 2 {
        return Err(RollupError::Config {
            reason: "the genesis holds fewer than two of devnet.accounts".into(),
        });
    }
    let (data, devnet) = (config.data.clone(), devnet.clone());
    let (newcomers, next) = blocking(move || newcomers::known_newcomers(&data, &devnet)).await??;
    purses.extend(newcomers);
    Ok((purses, next))
}

/// A newcomer after every so many valid payments, across restarts.
fn newcomer_is_due(devnet: &DevnetConfig, generator: &Generator, next: u32) -> bool {
    let known = u64::from(next - newcomers::first_newcomer(devnet));
    let made = generator.valid_made();
    devnet.load_newcomer_every > 0
        && known < u64::from(devnet.load_newcomers_max)
        && made >= (known + 1).saturating_mul(devnet.load_newcomer_every)
}

async fn newcomer(
    data: std::path::PathBuf,
    devnet: DevnetConfig,
    number: u32,
    handle: &Handle,
) -> Result<Option<Purse>, RollupError> {
    let folder = data.clone();
    let wallet = blocking(move || newcomers::create_newcomer(&folder, &devnet, number)).await??;
    let key = wallet.owner();
    let Ok(Some(slot)) = handle.free_slot(slot_hint(&key)).await else {
        return Ok(None);
    };
    let address = Address { slot, key };
    blocking(move || newcomers::record_newcomer(&data, number, address)).await??;
    Ok(Some(Purse { address, wallet }))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RollupError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| RollupError::Part {
        part: "load generator",
        reason: error.to_string(),
    })
}
