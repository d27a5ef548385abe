//! The JSON shapes of the API. Keys, roots, ids and bytes are lowercase hexadecimal; amounts,
//! heights and indices are numbers.

use std::collections::BTreeMap;

use conclave_payments::{Account, AccountPath, FieldDigest, verify_path};
use conclave_types::codec;
use serde::{Deserialize, Serialize};

/// Bytes of an encoded path: 24 siblings, fee pool and fee slot, with room.
const PATH_BYTES_MAX: usize = 1024;

/// A payment in JSON; its canonical bytes as `application/octet-stream` do as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitRequest {
    /// The canonical bytes.
    pub payment: String,
}

/// Who wants money from the faucet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaucetRequest {
    /// The account key: a newcomer's first owner root.
    pub key: String,
    /// A slot that is free or the key's own; without it the node chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<u32>,
}

/// The faucet's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaucetView {
    /// The payment on its way.
    pub payment: String,
    /// Where the account is, or will be.
    pub slot: u32,
    /// How much.
    pub amount: u64,
}

/// How far a payment has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    /// Durable here, waiting for an envelope.
    Pending,
    /// In an envelope that is on its way to the validators.
    Sealed,
    /// Ordered and executed; see the outcome.
    Ordered,
    /// Never ordered while it was valid, and never will be.
    Expired,
}

/// Where a payment is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentView {
    /// The digest of its canonical bytes.
    pub id: String,
    /// How far it has come.
    pub status: PaymentState,
    /// The envelope that carries it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope: Option<String>,
    /// The height that ordered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u64>,
    /// Its index in the rollup's stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// What it came to, such as `applied` or `insufficient_balance`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// One sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Which state an account is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    /// After everything executed.
    #[default]
    Head,
    /// Under the root that the ledger settled.
    Settled,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollupAccountView {
    /// What names it.
    pub key: String,
    /// Its slot.
    pub slot: u32,
    /// All slots of this key, when it holds several.
    pub slots: Vec<u32>,
    /// Whether the slot holds an account in this state; a newcomer's is not settled yet.
    pub exists: bool,
    /// The owner root that may spend.
    pub owner: String,
    /// Money.
    pub balance: u64,
    /// The nonce that its next payment needs.
    pub nonce: u64,
    /// Which state this is.
    pub at: StateName,
    /// The executed height when this was answered; payments' expiries count from it.
    pub height: u64,
    /// How many of the rollup's transactions this state covers.
    pub index: u64,
    /// With `settled`: the root the proof leads to. Compare it with the ledger's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// With `settled`: the canonical encoding of the path from the account to the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// Where the rollup stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollupStatusView {
    /// The chain id that payments are signed for.
    pub chain: String,
    /// The rollup id that payments are signed for.
    pub rollup: u32,
    /// Its name.
    pub name: String,
    /// The name of its money.
    pub token: String,
    /// `registering`, `catching_up`, `ready` or `stopping`.
    pub phase: String,
    /// The state root before the first payment.
    pub genesis_root: String,
    /// The last executed height.
    pub executed_height: u64,
    /// Transactions executed.
    pub executed_index: u64,
    /// The root after them.
    pub root: String,
    /// Transactions under the settled root.
    pub settled_index: u64,
    /// The settled root, as executed here and compared with the ledger's.
    pub settled_root: String,
    /// Executed transactions by outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// Accounts that exist.
    pub accounts: u64,
    /// Fees not collected yet.
    pub fee_pool: u64,
    /// Payments acknowledged and not delivered.
    pub pending_payments: u64,
    /// Envelopes submitted and not delivered.
    pub pending_envelopes: u64,
}

/// A view that does not say what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// A field is missing or unreadable.
    #[error("[CV-PAY-142] the answer's {field} is missing or unreadable; ask with at=settled")]
    Field { field: &'static str },
    /// The path does not lead from this account to the root.
    #[error("[CV-PAY-143] the account is not under the settled root; ask another rollup node")]
    NotUnderRoot,
}

impl RollupAccountView {
    /// Checks the account against a settled root that the caller has from the ledger, which it
    /// trusts; this node need not be trusted.
    pub fn verify(&self, settled_root: &[u8; 32]) -> Result<Account, ViewError> {
        let field = |field| ViewError::Field { field };
        let digest = |text: &str, name| text.parse::<FieldDigest>().map_err(|_| field(name));
        let account = match self.exists {
            true => Account {
                key: digest(&self.key, "key")?,
                owner: digest(&self.owner, "owner")?,
                balance: self.balance,
                nonce: self.nonce,
            },
            false => Account::default(),
        };
        let path = self.path.as_ref().ok_or(field("path"))?;
        let path = hex::decode(path).map_err(|_| field("path"))?;
        let path: AccountPath = codec::decode(&path, PATH_BYTES_MAX).map_err(|_| field("path"))?;
        match verify_path(settled_root, self.slot, &account, &path) {
            true => Ok(account),
            false => Err(ViewError::NotUnderRoot),
        }
    }
}
