//! Auctions: sealed bids for one range, and the clearing that all nodes compute alike.

use bincode::{Decode, Encode};
use conclave_types::{AccountId, Amount, AuctionId, BlockTime, Height, RollupId, StateRoot};
use serde::Serialize;

use crate::award::{Award, Standby};
use crate::bid::{BidVerdict, Offer, OpenedBid, tie};
use crate::bond::Prover;
use crate::intent::Intent;
use crate::settlement::{Payment, RecordedProof};
use crate::timer::Timer;

/// How a range was settled.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Settlement {
    pub height: Height,
    pub time: BlockTime,
    pub old_root: StateRoot,
    pub new_root: StateRoot,
    pub proofs: Vec<RecordedProof>,
    pub payments: Vec<Payment>,
}

/// Where an auction stands.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
pub enum Phase {
    /// It takes sealed bids.
    Bidding,
    /// It closed without an eligible bid; the range went into the auction `next`.
    Unsold { next: AuctionId },
    /// Somebody is to prove the range.
    Awarded(Award),
    /// The range is proven and paid.
    Settled(Settlement),
    /// The rollup left or its program was frozen before the range was settled.
    Cancelled,
}

/// One auction of one intent.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Auction {
    pub id: AuctionId,
    pub intent: Intent,
    /// How many auctions of this range found nobody before.
    pub round: u32,
    /// The most that may be bid.
    pub max_price: Amount,
    /// When bidding closes.
    pub close: Timer,
    /// Sealed bids held for it, numbered from 0.
    pub held: u32,
    pub phase: Phase,
    /// Every opened bid, in the order they came; empty until the close.
    pub bids: Vec<OpenedBid>,
}

/// The result of a clearing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clearing {
    /// The winner and its price.
    pub winner: Option<(AccountId, Amount)>,
    pub standby: Option<Standby>,
    /// Every bid, in the order they came.
    pub bids: Vec<OpenedBid>,
}

impl Auction {
    /// The rollup whose range it is.
    pub const fn rollup(&self) -> RollupId {
        self.intent.range.rollup
    }

    /// The award, while the range is being proven.
    pub const fn award(&self) -> Option<&Award> {
        match &self.phase {
            Phase::Awarded(award) => Some(award),
            _ => None,
        }
    }

    /// The award for change.
    pub const fn award_mut(&mut self) -> Option<&mut Award> {
        match &mut self.phase {
            Phase::Awarded(award) => Some(award),
            _ => None,
        }
    }

    /// Whether it takes bids.
    pub const fn is_bidding(&self) -> bool {
        matches!(self.phase, Phase::Bidding)
    }

    /// Whether nothing will change it any more.
    pub const fn is_finished(&self) -> bool {
        !matches!(self.phase, Phase::Bidding | Phase::Awarded(_))
    }
}

/// Clears an auction: the lowest price of at most `ceiling` wins among those with the capacity for
/// the job, equal prices are ordered by [`tie`], and the next prover stands by.
///
/// `prover` looks a bidder up as it is at the close.
pub fn clear<'a>(
    auction: &Auction,
    ceiling: Amount,
    offers: &[Offer],
    prover: impl Fn(AccountId) -> Option<&'a Prover>,
) -> Clearing {
    let mut bids: Vec<OpenedBid> = offers
        .iter()
        .map(|offer| OpenedBid {
            envelope: offer.envelope,
            bidder: offer.bidder,
            price: offer.price,
            m: offer.m,
            tie: tie(auction.id, offers, offer.bidder),
            rank: None,
            verdict: judge(offer, auction.intent.bond, ceiling, &prover),
        })
        .collect();

    let mut eligible: Vec<usize> = (0..bids.len())
        .filter(|index| bids[*index].verdict == BidVerdict::Outbid)
        .collect();
    eligible.sort_by_key(|index| (bids[*index].price, bids[*index].tie, *index));
    for (rank, index) in (1..).zip(&eligible) {
        bids[*index].rank = Some(rank);
    }

    let place = |bids: &mut [OpenedBid], rank: usize, verdict| {
        let bid = &mut bids[*eligible.get(rank)?];
        bid.verdict = verdict;
        bid.price.map(|price| (bid.bidder, price))
    };
    let winner = place(&mut bids, 0, BidVerdict::Winner);
    let standby =
        place(&mut bids, 1, BidVerdict::Standby).map(|(prover, price)| Standby { prover, price });
    Clearing {
        winner,
        standby,
        bids,
    }
}

/// `Outbid` stands for "eligible" until ranks are known.
fn judge<'a>(
    offer: &Offer,
    bond: Amount,
    ceiling: Amount,
    prover: &impl Fn(AccountId) -> Option<&'a Prover>,
) -> BidVerdict {
    let Some(price) = offer.price else {
        return BidVerdict::Unreadable;
    };
    if price > ceiling {
        return BidVerdict::AboveCeiling;
    }
    match prover(offer.bidder) {
        None => BidVerdict::NotAProver,
        Some(prover) => prover.refusal(bond).unwrap_or(BidVerdict::Outbid),
    }
}
