//! Bids once they are open, and what became of each.

use bincode::{Decode, Encode};
use conclave_types::{AccountId, Amount, AuctionId, Digest, Domain, EnvelopeId, Point};
use serde::Serialize;

/// What one sealed bid turned out to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub envelope: EnvelopeId,
    /// The envelope's payer.
    pub bidder: AccountId,
    /// The opened group element; `None` when the seal was malformed.
    pub m: Option<Point>,
    /// `None` when the contents are not a bid for this auction.
    pub price: Option<Amount>,
}

/// Why a bid won or did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize)]
pub enum BidVerdict {
    /// The lowest eligible price.
    Winner,
    /// The second lowest.
    Standby,
    /// Eligible, but higher than the first two.
    Outbid,
    /// Above the auction's ceiling, or what the rollup's fund holds.
    AboveCeiling,
    /// The bidder is no prover.
    NotAProver,
    /// The bidder was slashed and has not re-armed.
    Disarmed,
    /// The bidder's free bond does not cover the job.
    BondTooSmall,
    /// All the bidder's slots are taken.
    NoSlot,
    /// The seal was malformed, or the contents are no bid for this auction.
    Unreadable,
}

/// A bid in an auction's record.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct OpenedBid {
    pub envelope: EnvelopeId,
    pub bidder: AccountId,
    pub price: Option<Amount>,
    /// The opened group element, from which anyone recomputes `tie`.
    pub m: Option<Point>,
    /// Orders equal prices; see [`tie`].
    pub tie: Digest,
    /// From 1 among the eligible bids.
    pub rank: Option<u32>,
    pub verdict: BidVerdict,
}

/// What breaks a tie for one bidder: nobody can grind it, since it depends on every opened bid's
/// group element, in order, and those of others are sealed until the auction's close.
pub fn tie(auction: AuctionId, offers: &[Offer], bidder: AccountId) -> Digest {
    let mut hasher = Domain::AuctionTie.hasher().part(&auction.0.to_le_bytes());
    for m in offers.iter().filter_map(|offer| offer.m) {
        hasher = hasher.part(&m.0);
    }
    hasher.part(bidder.as_bytes()).digest()
}
