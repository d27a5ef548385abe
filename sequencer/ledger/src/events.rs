//! What watchers are told. Events are not state: nodes store them if they want history.

use bincode::{Decode, Encode};
use conclave_market::{Auction, OpenedBid, Payment, Stage, Standby};
use conclave_types::{
    AccountId, Amount, AuctionId, Digest, EnvelopeId, Epoch, Misbehaviour, ProgramVersion,
    ProofSystem, Range, RollupId, StateRoot, ValidatorIndex,
};
use serde::Serialize;

/// Something that happened in a block.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
pub enum LedgerEvent {
    /// A rollup was registered.
    RollupRegistered { rollup: RollupId },
    /// A rollup's configuration changed, after its delay.
    RollupUpdated { rollup: RollupId },
    /// A rollup ended, after its delay.
    RollupLeft { rollup: RollupId },
    /// A rollup wants a range proven, and its first auction is open.
    IntentRaised { auction: Auction },
    /// A range is auctioned again at a raised ceiling.
    AuctionReopened { auction: Auction },
    /// A sealed bid is held until its auction's close.
    BidHeld {
        auction: AuctionId,
        bidder: AccountId,
        envelope: EnvelopeId,
    },
    /// An auction closed with a winner.
    AuctionCleared {
        auction: AuctionId,
        rollup: RollupId,
        winner: AccountId,
        price: Amount,
        standby: Option<Standby>,
        bids: Vec<OpenedBid>,
    },
    /// An auction closed without one.
    NoBids {
        auction: AuctionId,
        rollup: RollupId,
        bids: Vec<OpenedBid>,
    },
    /// The time to prove a range has begun: its predecessor is settled.
    DeadlineStarted {
        auction: AuctionId,
        stage: Stage,
        deadline: conclave_market::Timer,
    },
    /// A valid proof was recorded.
    ProofAccepted {
        auction: AuctionId,
        system: ProofSystem,
        prover: AccountId,
        new_root: StateRoot,
    },
    /// A proof was verified and does not show its statement.
    ProofRejected {
        auction: AuctionId,
        prover: AccountId,
        code: String,
        reason: String,
    },
    /// A rollup has a new settled root.
    RangeSettled {
        auction: AuctionId,
        range: Range,
        new_root: StateRoot,
    },
    /// A prover was paid for a range.
    Paid {
        auction: AuctionId,
        payment: Payment,
    },
    /// Whoever's turn it was did not deliver in time.
    DeadlineMissed {
        auction: AuctionId,
        stage: Stage,
        prover: AccountId,
    },
    /// A winner lost its bond.
    Slashed {
        auction: AuctionId,
        prover: AccountId,
        bond: Amount,
        to_rollup: Amount,
        to_standby: Amount,
        to_pool: Amount,
    },
    /// The runner-up may deliver now.
    StandbyCalled {
        auction: AuctionId,
        standby: Standby,
    },
    /// Anyone may deliver now, for a late price.
    JobOpened { auction: AuctionId },
    /// An auction or award ended without a settlement.
    Cancelled { auction: AuctionId },
    /// A validator broke a rule of agreement and lost its bond.
    ValidatorSlashed {
        validator: ValidatorIndex,
        reporter: AccountId,
        /// What shows it to everybody.
        #[serde(skip)]
        evidence: Box<Misbehaviour>,
        to_reporter: Amount,
        to_pool: Amount,
    },
    /// A validator lost its bond for a batch whose bodies it did not code as the batch says.
    BatchInconsistent {
        validator: ValidatorIndex,
        to_pool: Amount,
    },
    /// A validator took a slot; it votes from the next epoch that takes it.
    ValidatorRegistered { validator: ValidatorIndex },
    /// A validator changes from the next epoch on.
    ValidatorUpdated { validator: ValidatorIndex },
    /// A validator asked to leave.
    ValidatorLeaving { validator: ValidatorIndex },
    /// What a validator had locked beyond what it still answers for is its account's again.
    BondReleased {
        validator: ValidatorIndex,
        account: AccountId,
        amount: Amount,
    },
    /// The members of the next epoch are fixed, and make its key.
    KeyGenerationBegun { epoch: Epoch, attempt: u32 },
    /// An attempt came to no key; the next begins.
    KeyGenerationFailed {
        epoch: Epoch,
        attempt: u32,
        /// Who did not do its part.
        short: Vec<ValidatorIndex>,
    },
    /// The next epoch's key is made; the present epoch ends when it has lasted long enough.
    EpochReady {
        epoch: Epoch,
        /// The digest of its setup.
        setup: Digest,
    },
    /// The first block of an epoch was executed.
    EpochStarted { epoch: Epoch },
    /// Nobody can be accused of anything in this epoch any more.
    EpochClosed { epoch: Epoch },
    /// Two valid proofs of one range differ: the program version proves nothing any more.
    ProgramFrozen {
        program: ProgramVersion,
        auction: AuctionId,
    },
}
