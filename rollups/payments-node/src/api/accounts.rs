//! `GET /v1/accounts/{key}`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use conclave_payments::AccountKey;
use conclave_types::codec;
use serde::Deserialize;

use super::extract::{Params, PathId};
use super::{ApiFailure, ApiState, RollupAccountView, StateName};
use crate::owner::{AccountQuery, At};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccountParams {
    slot: Option<u32>,
    #[serde(default)]
    at: StateName,
}

pub(super) async fn read(
    State(state): State<ApiState>,
    PathId(key): PathId<AccountKey>,
    Params(params): Params<AccountParams>,
) -> Result<Json<RollupAccountView>, ApiFailure> {
    let query = AccountQuery {
        key,
        slot: params.slot,
        at: match params.at {
            StateName::Head => At::Head,
            StateName::Settled => At::Settled,
        },
    };
    let answer = state.handle.account(query).await?;
    let answer = answer.ok_or_else(|| {
        ApiFailure::new(
            StatusCode::NOT_FOUND,
            "CV-PAY-144",
            "no account has this key, or not in this slot",
            "have it credited first, by the faucet or another account",
        )
    })?;
    let account = answer.account;
    let (root, path) = answer.proof.unzip();
    Ok(Json(RollupAccountView {
        key: key.to_string(),
        slot: answer.slot,
        slots: answer.slots,
        exists: !account.is_empty(),
        owner: account.owner.to_string(),
        balance: account.balance,
        nonce: account.nonce,
        at: params.at,
        height: answer.height,
        index: answer.index,
        root: root.map(hex::encode),
        path: path.map(|path| hex::encode(codec::encode(&path))),
    }))
}
