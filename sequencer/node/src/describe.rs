//! Words for what happened: the API's statuses, codes and event lines.

use conclave_ledger::{Disposition, LedgerEvent, OpError, Outcome};
use conclave_sdk::api::EnvelopeStage;
use conclave_types::ProofSystem;

/// A code and its reason.
type Failure = (String, String);

/// Where an envelope ended, with code and reason if it had no effect.
pub(crate) fn fate(outcome: &Outcome) -> (EnvelopeStage, Option<Failure>) {
    let failure = |code: &str, reason: &str| Some((code.to_owned(), reason.to_owned()));
    match outcome {
        Outcome::Delivered { .. } | Outcome::Done => (EnvelopeStage::Opened, None),
        Outcome::Held => (EnvelopeStage::Ordered, None),
        Outcome::Inconsistent => (
            EnvelopeStage::Rejected,
            failure(
                "CV-SEQ-029",
                "the validator that batched it coded no bodies; the fee was given back, submit it \
                 to another validator under a new sequence number",
            ),
        ),
        Outcome::Malformed => (
            EnvelopeStage::Malformed,
            failure(
                "CV-SEQ-020",
                "the seal holds no readable key; seal with the SDK",
            ),
        ),
        Outcome::UndecryptableBody => (
            EnvelopeStage::Malformed,
            failure(
                "CV-SEQ-021",
                "the body does not decrypt under its key; seal with the SDK",
            ),
        ),
        Outcome::Undecodable => (
            EnvelopeStage::Malformed,
            failure(
                "CV-SEQ-022",
                "the plaintext is no list of transactions; seal with the SDK",
            ),
        ),
        Outcome::Void => (
            EnvelopeStage::Rejected,
            failure(
                "CV-SEQ-023",
                "this release rule is for bids to rollup 0 only",
            ),
        ),
        Outcome::Failed(error) => (EnvelopeStage::Rejected, Some(op_failure(error))),
        Outcome::Refused(Disposition::Expired) => (EnvelopeStage::Expired, None),
        Outcome::Refused(disposition) => {
            let (code, reason) = match disposition {
                Disposition::Duplicate => ("CV-SEQ-024", "the sequence number was used before"),
                Disposition::SequenceTooOld => ("CV-SEQ-025", "the sequence number is too old"),
                Disposition::Unpaid => ("CV-SEQ-026", "the fee account did not cover the fee"),
                Disposition::ExpiryTooFar => ("CV-SEQ-027", "the expiry is too far ahead"),
                Disposition::FeeTooLow => (
                    "CV-SEQ-031",
                    "the fee had risen above what the payer would pay; GET /v1/fees quotes the price",
                ),
                _ => ("CV-SEQ-028", "sealed to a key of another epoch"),
            };
            (EnvelopeStage::Rejected, failure(code, reason))
        }
    }
}

/// Splits `[CODE] reason`.
fn op_failure(error: &OpError) -> Failure {
    let text = error.to_string();
    match text
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
    {
        Some((code, reason)) => (code.to_owned(), reason.to_owned()),
        None => ("CV-LEDGER-000".to_owned(), text),
    }
}

/// The name of a proof system.
pub(crate) fn system(system: ProofSystem) -> &'static str {
    match system {
        ProofSystem::Winterfell => "winterfell",
    }
}

/// The stable kind of an event.
pub(crate) fn event_kind(event: &LedgerEvent) -> &'static str {
    match event {
        LedgerEvent::RollupRegistered { .. } => "rollup_registered",
        LedgerEvent::RollupUpdated { .. } => "rollup_updated",
        LedgerEvent::RollupLeft { .. } => "rollup_left",
        LedgerEvent::IntentRaised { .. } => "intent_raised",
        LedgerEvent::AuctionReopened { .. } => "auction_reopened",
        LedgerEvent::BidHeld { .. } => "bid_held",
        LedgerEvent::AuctionCleared { .. } => "auction_cleared",
        LedgerEvent::NoBids { .. } => "no_bids",
        LedgerEvent::DeadlineStarted { .. } => "deadline_started",
        LedgerEvent::ProofAccepted { .. } => "proof_accepted",
        LedgerEvent::ProofRejected { .. } => "proof_rejected",
        LedgerEvent::RangeSettled { .. } => "range_settled",
        LedgerEvent::Paid { .. } => "paid",
        LedgerEvent::DeadlineMissed { .. } => "deadline_missed",
        LedgerEvent::Slashed { .. } => "slashed",
        LedgerEvent::StandbyCalled { .. } => "standby_called",
        LedgerEvent::JobOpened { .. } => "job_opened",
        LedgerEvent::Cancelled { .. } => "cancelled",
        LedgerEvent::ValidatorSlashed { .. } => "validator_slashed",
        LedgerEvent::BatchInconsistent { .. } => "batch_inconsistent",
        LedgerEvent::ValidatorRegistered { .. } => "validator_registered",
        LedgerEvent::ValidatorUpdated { .. } => "validator_updated",
        LedgerEvent::ValidatorLeaving { .. } => "validator_leaving",
        LedgerEvent::BondReleased { .. } => "bond_released",
        LedgerEvent::KeyGenerationBegun { .. } => "key_generation_begun",
        LedgerEvent::KeyGenerationFailed { .. } => "key_generation_failed",
        LedgerEvent::EpochReady { .. } => "epoch_ready",
        LedgerEvent::EpochStarted { .. } => "epoch_started",
        LedgerEvent::EpochClosed { .. } => "epoch_closed",
        LedgerEvent::ProgramFrozen { .. } => "program_frozen",
    }
}

/// One line for people.
pub(crate) fn event_text(event: &LedgerEvent) -> String {
    match event {
        LedgerEvent::RollupRegistered { rollup } => format!("rollup {rollup} registered"),
        LedgerEvent::RollupUpdated { rollup } => format!("rollup {rollup} changed its parameters"),
        LedgerEvent::RollupLeft { rollup } => format!("rollup {rollup} left"),
        LedgerEvent::IntentRaised { auction } => {
            let range = &auction.intent.range;
            format!(
                "auction {}: rollup {} wants transactions {}..{} proven",
                auction.id, range.rollup, range.from, range.to
            )
        }
        LedgerEvent::AuctionReopened { auction } => {
            format!("auction {}: open again at a raised ceiling", auction.id)
        }
        LedgerEvent::BidHeld {
            auction, bidder, ..
        } => {
            format!("auction {auction}: sealed bid of {}", short(bidder))
        }
        LedgerEvent::AuctionCleared {
            auction,
            winner,
            price,
            standby,
            bids,
            ..
        } => {
            let standby = match standby {
                Some(standby) => format!(", standby {}", short(&standby.prover)),
                None => String::new(),
            };
            let bids = bids.len();
            format!(
                "auction {auction}: {} wins at {price} of {bids} bids{standby}",
                short(winner)
            )
        }
        LedgerEvent::NoBids { auction, .. } => format!("auction {auction}: no bid counted"),
        LedgerEvent::DeadlineStarted { auction, .. } => {
            format!("auction {auction}: the time to prove has begun")
        }
        LedgerEvent::ProofAccepted {
            auction,
            system: by,
            prover,
            ..
        } => {
            format!(
                "auction {auction}: {} proof of {} accepted",
                system(*by),
                short(prover)
            )
        }
        LedgerEvent::ProofRejected {
            auction,
            prover,
            code,
            reason,
        } => {
            format!(
                "auction {auction}: proof of {} rejected: [{code}] {reason}",
                short(prover)
            )
        }
        LedgerEvent::RangeSettled { auction, range, .. } => format!(
            "auction {auction}: rollup {} settled transactions {}..{}",
            range.rollup, range.from, range.to
        ),
        LedgerEvent::Paid { auction, payment } => {
            format!(
                "auction {auction}: {} paid to {}",
                payment.amount,
                short(&payment.prover)
            )
        }
        LedgerEvent::DeadlineMissed {
            auction, prover, ..
        } => {
            format!("auction {auction}: {} missed the deadline", short(prover))
        }
        LedgerEvent::Slashed {
            auction,
            prover,
            bond,
            to_rollup,
            to_standby,
            to_pool,
        } => format!(
            "auction {auction}: bond {bond} of {} slashed: {to_rollup} to the rollup, {to_standby} \
             to the standby, {to_pool} to the pool",
            short(prover)
        ),
        LedgerEvent::StandbyCalled { auction, standby } => {
            format!(
                "auction {auction}: standby {} is called",
                short(&standby.prover)
            )
        }
        LedgerEvent::JobOpened { auction } => format!("auction {auction}: open to all provers"),
        LedgerEvent::Cancelled { auction } => format!("auction {auction}: cancelled"),
        LedgerEvent::ValidatorSlashed {
            validator,
            reporter,
            to_reporter,
            to_pool,
            ..
        } => format!(
            "validator {validator} broke a rule of agreement and lost its bond: {to_reporter} to \
             {}, {to_pool} to the pool",
            short(reporter)
        ),
        LedgerEvent::BatchInconsistent { validator, to_pool } => format!(
            "validator {validator} coded a batch falsely and lost its bond: {to_pool} to the pool"
        ),
        LedgerEvent::ValidatorRegistered { validator } => {
            format!("validator {validator} registered")
        }
        LedgerEvent::ValidatorUpdated { validator } => {
            format!("validator {validator} changes with the next epoch")
        }
        LedgerEvent::ValidatorLeaving { validator } => format!("validator {validator} leaves"),
        LedgerEvent::BondReleased {
            validator,
            account,
            amount,
        } => format!(
            "validator {validator}: {amount} of its bond released to {}",
            short(account)
        ),
        LedgerEvent::KeyGenerationBegun { epoch, attempt } => {
            format!("epoch {epoch}: key generation begun, attempt {attempt}")
        }
        LedgerEvent::KeyGenerationFailed {
            epoch,
            attempt,
            short,
        } => format!(
            "epoch {epoch}: key generation attempt {attempt} failed, {} validators fell short",
            short.len()
        ),
        LedgerEvent::EpochReady { epoch, .. } => format!("epoch {epoch}: committee and key ready"),
        LedgerEvent::EpochStarted { epoch } => format!("epoch {epoch} began"),
        LedgerEvent::EpochClosed { epoch } => format!("epoch {epoch}: its committee is released"),
        LedgerEvent::ProgramFrozen { program, auction } => {
            format!("auction {auction}: two proofs differ, program {program} is frozen")
        }
    }
}

fn short(account: &conclave_types::AccountId) -> String {
    account.to_string().chars().take(8).collect()
}
