//! Operations on the system rollup. Proofs and whatever may be public travel plain; bids travel
//! sealed until their auction closes.

use bincode::{Decode, Encode};

use crate::{
    AccountId, Amount, AuctionId, KeyGenerationPost, Misbehaviour, ProofSystem, RollupConfig,
    RollupId, StateRoot, ValidatorIndex, ValidatorInfo, ValidatorUpdate,
};

/// A sealed offer to prove a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Bid {
    pub auction: AuctionId,
    /// For the whole range.
    pub price: Amount,
}

/// A proof for an intent. Its prover is the envelope's payer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ProofSubmission {
    pub auction: AuctionId,
    pub system: ProofSystem,
    pub new_root: StateRoot,
    /// Positions inside the range that the statement excludes, ascending; every validator checks
    /// that each is really invalid.
    pub excluded: Vec<u32>,
    pub proof: Vec<u8>,
}

/// One operation; its author is the envelope's payer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum SystemOp {
    /// Moves balance.
    Transfer { to: AccountId, amount: Amount },
    /// Moves balance into a fee account; it counts once its ledger root is in a header.
    DepositFees { account: AccountId, amount: Amount },
    /// Moves from the author's fee account back to its balance, likewise delayed.
    WithdrawFees { amount: Amount },
    /// Registers a rollup under an unused id.
    RegisterRollup {
        rollup: RollupId,
        config: RollupConfig,
    },
    /// Changes a rollup's configuration after the ledger's delay; by its owner.
    UpdateRollup {
        rollup: RollupId,
        config: RollupConfig,
    },
    /// Ends a rollup after the ledger's delay; by its owner.
    LeaveRollup { rollup: RollupId },
    /// Moves balance into what a rollup pays provers from.
    FundRollup { rollup: RollupId, amount: Amount },
    /// Declares a prover and how many jobs it can do at once.
    RegisterProver { slots: u16 },
    /// Moves balance into the author's free bond.
    PostBond { amount: Amount },
    /// Moves free bond back.
    WithdrawBond { amount: Amount },
    /// Lets a slashed prover win again.
    Rearm,
    /// A bid; only in an envelope released at the auction's close.
    Bid(Bid),
    /// A proof; only in a plain envelope.
    SubmitProof(ProofSubmission),
    /// Evidence that a validator broke a rule of agreement, which forfeits its bond.
    ReportMisbehaviour(Misbehaviour),
    /// Registers a validator of the weight that it asks for, with the author as its account, and
    /// locks its bond. It votes from the next epoch whose member set it fits.
    RegisterValidator(ValidatorInfo),
    /// Changes a validator from the next epoch on; by its account.
    UpdateValidator(ValidatorUpdate),
    /// Ends a validator's service with the next epoch that can do without it; by its account. Its
    /// bond stays locked until nothing that it may have done can be reported any more.
    LeaveValidator { validator: ValidatorIndex },
    /// A message of the key generation for the next epoch.
    KeyGeneration(Box<KeyGenerationPost>),
}
