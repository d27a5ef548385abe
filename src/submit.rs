//! `conclave submit`: seal something for a rollup and follow it to its end.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use conclave_sdk::api::{EnvelopeStage, EnvelopeView};
use conclave_sdk::{Client, Gateway, GatewayOptions};
use conclave_types::{Envelope, RollupId, SystemOp, codec, limits};

use crate::files::{ChainArgs, read_ed, read_genesis};
use crate::process::{Shutdown, Stop};
use crate::{duration, files};

/// Seal something for a rollup, submit it, and follow it until it is opened.
///
/// The bytes of a file, or of standard input, are sealed and submitted; the signed receipt and each
/// step after it are printed. Nobody can read the contents before their
/// order is final. Ends with 0 only when the envelope was opened.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The rollup's id. For 0, the bytes are the canonical encoding of a system operation.
    #[arg(long, value_name = "ID")]
    rollup: u32,
    /// What to seal; without it, standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Make each line a transaction of its own; without it, all bytes are one.
    #[arg(long)]
    lines: bool,
    #[command(flatten)]
    chain: ChainArgs,
    /// The key file of the account whose prepaid fees pay for the envelope.
    #[arg(long, value_name = "FILE", env = "CONCLAVE_KEY")]
    key: PathBuf,
    /// Where the next sequence number is kept [default: the key file's name and .sequence].
    #[arg(long, value_name = "FILE")]
    sequence: Option<PathBuf>,
    /// Send a system operation readable instead of sealed; for rollup 0 only.
    #[arg(long)]
    plain: bool,
    /// How long to follow the envelope.
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "60s")]
    timeout: Duration,
}

pub(crate) fn run(args: Args, shutdown: Shutdown) -> anyhow::Result<()> {
    if args.plain && args.rollup != 0 {
        bail!("[CV-CLI-040] only system operations go plain; use --rollup 0, or leave --plain out");
    }
    let bytes = read_input(args.file.as_deref())?;
    shutdown.run(|stop| async move {
        tokio::select! {
            result = submit(&args, bytes) => result,
            () = Stop::requested(stop) => Err(anyhow!(
                "[CV-CLI-041] interrupted; what was acknowledged will still be ordered"
            )),
        }
    })
}

async fn submit(args: &Args, bytes: Vec<u8>) -> anyhow::Result<()> {
    let genesis = Arc::new(read_genesis(&args.chain.genesis)?);
    let client = Client::new(args.chain.nodes.iter().cloned())?;
    let sequence = match &args.sequence {
        Some(path) => path.clone(),
        None => sequence_beside(&args.key),
    };
    let secret = read_ed(&args.key)?;
    let options = GatewayOptions::default();
    let gateway = Gateway::open(client, genesis, secret, &sequence, options).await?;
    let envelope = seal(args, &gateway, bytes).await?;
    follow(&gateway, &envelope, args.timeout).await
}

/// Submits an envelope and prints every step until it is opened and had its effect.
pub(crate) async fn follow(
    gateway: &Gateway,
    envelope: &Envelope,
    timeout: Duration,
) -> anyhow::Result<()> {
    let id = envelope.header.id();
    let receipt = gateway.submit(envelope).await?;
    println!("envelope  {id}");
    println!(
        "receipt   durable at validator {} at height {}, to be ordered by height {}, signed {}",
        receipt.validator, receipt.height, receipt.deadline, receipt.signature
    );
    let mut last = None;
    for stage in [
        EnvelopeStage::Batched,
        EnvelopeStage::Ordered,
        EnvelopeStage::Opened,
    ] {
        let view = gateway.follow_to(id, stage, timeout).await?;
        if last != Some(view.status) {
            println!("{}", describe(&view));
        }
        last = Some(view.status);
        if view.status == EnvelopeStage::Opened {
            return finish(&view);
        }
        if is_final(view.status) {
            break;
        }
    }
    let ended = last
        .map(|stage| format!("{stage:?}").to_lowercase())
        .unwrap_or_default();
    bail!("[CV-CLI-042] the envelope ended as {ended}, nothing was delivered; see above for why")
}

/// Where the next sequence number of a key's account is kept.
pub(crate) fn sequence_beside(key: &Path) -> PathBuf {
    let mut path = key.as_os_str().to_owned();
    path.push(".sequence");
    path.into()
}

async fn seal(args: &Args, gateway: &Gateway, bytes: Vec<u8>) -> anyhow::Result<Envelope> {
    if args.rollup == 0 {
        let op: SystemOp = codec::decode(&bytes, limits::PLAIN_BODY_BYTES_MAX)
            .context("[CV-CLI-043] the bytes are no system operation; make them with the SDK")?;
        return Ok(match args.plain {
            true => gateway.plain_op(&op).await?,
            false => gateway.sealed_op(&op).await?,
        });
    }
    let transactions = match args.lines {
        true => lines(&bytes),
        false => vec![bytes],
    };
    Ok(gateway.seal(RollupId(args.rollup), &transactions).await?)
}

/// One transaction a line, without its end; empty lines are none.
fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec())
        .filter(|line| !line.is_empty())
        .collect()
}

fn read_input(file: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    let bytes_max = limits::PLAIN_BODY_BYTES_MAX as u64;
    let (name, source): (_, Box<dyn Read>) = match file {
        Some(path) => (path.display().to_string(), Box::new(files::open(path)?)),
        None => ("standard input".into(), Box::new(std::io::stdin())),
    };
    let mut bytes = Vec::new();
    let read = source.take(bytes_max + 1).read_to_end(&mut bytes);
    read.with_context(|| format!("[CV-CLI-002] cannot read {name}; check its rights"))?;
    if bytes.len() as u64 > bytes_max {
        bail!(
            "[CV-CLI-044] {name} has more than {bytes_max} bytes; split it over several envelopes"
        );
    }
    if bytes.is_empty() {
        bail!("[CV-CLI-045] {name} is empty; there is nothing to seal");
    }
    Ok(bytes)
}

fn describe(view: &EnvelopeView) -> String {
    let stage = format!("{:?}", view.status).to_lowercase();
    let height = view
        .height
        .map(|height| format!("at height {height}"))
        .unwrap_or_default();
    let failure = match (&view.code, &view.reason) {
        (Some(code), Some(reason)) => format!(" [{code}] {reason}"),
        _ => String::new(),
    };
    format!("{stage:<9} {height}{failure}")
}

/// An operation may be opened and still change nothing.
fn finish(view: &EnvelopeView) -> anyhow::Result<()> {
    match &view.code {
        None => Ok(()),
        Some(code) => bail!(
            "[{code}] {}",
            view.reason.as_deref().unwrap_or("it had no effect")
        ),
    }
}

const fn is_final(stage: EnvelopeStage) -> bool {
    matches!(
        stage,
        EnvelopeStage::Opened
            | EnvelopeStage::Malformed
            | EnvelopeStage::Expired
            | EnvelopeStage::Rejected
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_line_is_a_transaction() {
        let lines = super::lines(b"one\ntwo\r\n\nthree");
        assert_eq!(lines, [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]);
        assert!(super::lines(b"\n\n").is_empty());
    }
}
