//! Who votes: the slots of the registry, and the epochs with their committees and keys.

use axum::Json;
use axum::extract::State;
use conclave_ledger::{KeyGenerationView, Ledger, Standing};
use conclave_sdk::api::{EpochView, KeyGenerationState, RegisteredView, ValidatorsView};
use conclave_types::{Epoch, KeyGenerationPhase, ValidatorIndex, codec};

use super::error::Failure;
use super::extract::{NoParams, Params, PathId};
use super::state::Shared;
use super::view;
use crate::backend::Backend;

/// All validators by slot, with what they have at stake and what they wait for.
#[utoipa::path(
    get, path = "/v1/validators", tag = "chain",
    responses((status = 200, body = ValidatorsView))
)]
pub(super) async fn validators<B: Backend>(
    State(api): Shared<B>,
    _: Params<NoParams>,
) -> Result<Json<ValidatorsView>, Failure> {
    let read = api.read(|backend| validators_view(&backend.ledger()));
    Ok(Json(read.await?))
}

/// One epoch: its heights, committee and sealing key.
///
/// The next epoch is known once its key is ready. The committee and key of a past one are let go
/// when nobody answers for it any more; its heights and digest stay.
#[utoipa::path(
    get, path = "/v1/epochs/{epoch}", tag = "chain",
    params(("epoch" = u64, Path, description = "The epoch, from 0.")),
    responses((status = 200, body = EpochView))
)]
pub(super) async fn epoch<B: Backend>(
    State(api): Shared<B>,
    PathId(epoch): PathId<Epoch>,
    _: Params<NoParams>,
) -> Result<Json<EpochView>, Failure> {
    let view = api.read(move |backend| epoch_view(&backend.ledger(), epoch));
    let view = view.await?;
    view.map(Json)
        .ok_or_else(|| Failure::unknown("epoch", epoch))
}

fn validators_view(ledger: &Ledger) -> ValidatorsView {
    let generation = ledger.key_generation();
    let present = ledger.present_setup().weights();
    let weight = |validator: ValidatorIndex| {
        let weight = present.get(usize::from(validator.0));
        weight.copied().unwrap_or(0)
    };
    ValidatorsView {
        height: ledger.height().0,
        epoch: ledger.epoch().0,
        key_generation: generation.map(|view| KeyGenerationState {
            epoch: view.round().epoch().0,
            attempt: view.round().attempt(),
            phase: phase(view.phase()).into(),
            since: view.since().0,
            missing: missing(&view),
        }),
        validators: ledger
            .validators()
            .map(|(validator, record)| RegisteredView {
                weight: weight(validator),
                weight_wanted: record.info.weight,
                standing: standing(record.standing).into(),
                bond: record.bond.amount.0,
                forfeited: record.bond.forfeited.map(|height| height.0),
                address: record.info.address.clone(),
                validator: view::validator(validator, &record.info),
            })
            .collect(),
    }
}

/// Nobody is missing once it is done.
fn missing(view: &KeyGenerationView<'_>) -> Vec<u16> {
    match view.phase() {
        KeyGenerationPhase::Done => Vec::new(),
        _ => view.board().fell_short().iter().map(|v| v.0).collect(),
    }
}

const fn phase(phase: KeyGenerationPhase) -> &'static str {
    match phase {
        KeyGenerationPhase::Channel => "channel",
        KeyGenerationPhase::Deal => "deal",
        KeyGenerationPhase::Acknowledge => "acknowledge",
        KeyGenerationPhase::Reveal => "reveal",
        KeyGenerationPhase::Done => "done",
    }
}

const fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Serving => "serving",
        Standing::Leaving => "leaving",
        Standing::Vacant => "vacant",
    }
}

fn epoch_view(ledger: &Ledger, epoch: Epoch) -> Option<EpochView> {
    let record = ledger.epoch_record(epoch)?;
    let setup = ledger.epoch_setup(epoch);
    Some(EpochView {
        epoch: epoch.0,
        digest: record.setup.to_string(),
        ready: record.ready.0,
        first: record.first.map(|height| height.0),
        last: record.last.map(|height| height.0),
        ended_ms: record.ended.map(|time| time.0),
        sealing_key: setup.map(|setup| setup.sealing.key.to_string()),
        setup: setup.map(|setup| hex::encode(codec::encode(setup))),
    })
}
