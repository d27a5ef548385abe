//! Text that HTTP clients and servers hand over: JSON of every type of the APIs, and ids.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use conclave_payments::{Address, FieldDigest};
use conclave_payments_node as payments_node;
use conclave_sdk::api;
use conclave_types::{
    AccountId, AuctionId, BlsPublicKey, Digest, EdSignature, EnvelopeId, Genesis, Height,
    RollupConfig, RollupId, TransportKey,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::choices::Choices;

/// The order is that of the corpus: a new form goes to the end.
const FORMS: &[fn(&str) -> bool] = &[
    json::<api::ApiError>,
    json::<api::ReceiptView>,
    json::<api::EnvelopeView>,
    json::<api::FeeQuote>,
    json::<api::CommitteeView>,
    status,
    json::<api::BlockView>,
    json::<api::ContentsView>,
    json::<api::RollupView>,
    json::<api::AuctionView>,
    json::<api::ProverView>,
    json::<api::ProofView>,
    json::<api::AccountView>,
    json::<api::EventView>,
    json::<api::TotalsView>,
    json::<api::ProgressView>,
    json::<api::ProbeView>,
    json::<payments_node::SubmitRequest>,
    json::<payments_node::FaucetRequest>,
    json::<payments_node::FaucetView>,
    json::<payments_node::PaymentView>,
    account,
    json::<payments_node::RollupStatusView>,
    json::<Genesis>,
    json::<RollupConfig>,
    id::<Digest>,
    id::<EnvelopeId>,
    id::<AccountId>,
    id::<EdSignature>,
    id::<BlsPublicKey>,
    id::<TransportKey>,
    id::<Address>,
    id::<FieldDigest>,
    id::<Height>,
    id::<RollupId>,
    id::<AuctionId>,
    json::<api::ValidatorsView>,
    json::<api::EpochView>,
];

/// Reads the rest as the form that the first byte names.
pub(crate) fn run(data: &[u8]) {
    understood(data);
}

/// The form, if it was one.
pub(crate) fn understood(data: &[u8]) -> Option<usize> {
    let mut choices = Choices::new(data);
    let which = choices.below(FORMS.len());
    let text = str::from_utf8(choices.rest()).ok()?;
    FORMS[which](text).then_some(which)
}

fn json<T: Serialize + DeserializeOwned + PartialEq + Debug>(text: &str) -> bool {
    let Ok(value) = serde_json::from_str::<T>(text) else {
        return false;
    };
    let again = serde_json::to_string(&value).expect("plain data");
    let again: T = serde_json::from_str(&again).expect("own text");
    assert_eq!(again, value);
    true
}

/// Its percentiles are floating-point numbers, whose text need not give the same bits.
fn status(text: &str) -> bool {
    let Ok(value) = serde_json::from_str::<api::StatusView>(text) else {
        return false;
    };
    let again = serde_json::to_string(&value).expect("plain data");
    serde_json::from_str::<api::StatusView>(&again).expect("own text");
    true
}

/// An account with its path, which a client verifies against a root.
fn account(text: &str) -> bool {
    let Ok(view) = serde_json::from_str::<payments_node::RollupAccountView>(text) else {
        return false;
    };
    assert!(
        view.verify(&[7; 32]).is_err(),
        "a path to a root of our own"
    );
    json::<payments_node::RollupAccountView>(text)
}

/// Ids are taken in capitals too, and with a sign where they are numbers, but written in one way.
fn id<T: FromStr + Display + PartialEq + Debug>(text: &str) -> bool {
    let Ok(value) = text.parse::<T>() else {
        return false;
    };
    let again = value.to_string().parse::<T>();
    assert_eq!(again.ok(), Some(value));
    true
}
