//! Sealed bids: held until their auction's close, then read.

use conclave_market::Offer;
use conclave_types::{AccountId, Amount, AuctionId, EnvelopeHeader, ReleaseRule, SystemOp, limits};

use crate::block::{Content, Outcome};
use crate::events::LedgerEvent;
use crate::execute::Context;
use crate::ledger::Ledger;
use crate::system::decode_operation;

impl Ledger {
    /// Holds a sealed bid until its auction's close. Void unless the auction takes bids and its
    /// payer is an armed prover with the bond for it who has not bid yet.
    pub(crate) fn hold_bid(&mut self, context: &mut Context, header: &EnvelopeHeader) -> Outcome {
        let ReleaseRule::AtClose(id) = header.core.release else {
            return Outcome::Void;
        };
        let bidder = header.core.payer;
        let Some(auction) = self.state.auctions.get(&id) else {
            return Outcome::Void;
        };
        let prover = self.state.provers.get(&bidder);
        let capable = prover.is_some_and(|prover| prover.may_bid(auction.intent.bond));
        let full = auction.held as usize >= limits::AUCTION_BIDS_MAX;
        if !auction.is_bidding() || !capable || full || self.has_bid(id, bidder) {
            return Outcome::Void;
        }
        let number = auction.held;
        self.state
            .bids
            .insert((id, number), header.without_signature());
        if let Some(auction) = self.state.auctions.get_mut(&id) {
            auction.held = number + 1;
        }
        context.events.push(LedgerEvent::BidHeld {
            auction: id,
            bidder,
            envelope: header.id(),
        });
        Outcome::Held
    }

    /// What the held bids turn out to hold, in the order they came. A malformed seal costs its
    /// payer the surcharge.
    pub(crate) fn open_offers(
        &mut self,
        context: &mut Context,
        id: AuctionId,
        headers: &[EnvelopeHeader],
    ) -> Vec<Offer> {
        let mut offers = Vec::with_capacity(headers.len());
        for header in headers {
            let envelope = header.id();
            let content = context.bids.remove(&envelope);
            let (m, price) = match content {
                Some(Content::Opened { plaintext, m }) => (Some(m), bid_price(id, &plaintext)),
                Some(Content::UndecryptableBody { m }) => (Some(m), None),
                _ => {
                    self.surcharge(context, header.core.payer);
                    (None, None)
                }
            };
            offers.push(Offer {
                envelope,
                bidder: header.core.payer,
                m,
                price,
            });
        }
        offers
    }

    fn has_bid(&self, id: AuctionId, bidder: AccountId) -> bool {
        let held = self.state.bids.range((id, 0)..=(id, u32::MAX));
        held.into_iter()
            .any(|(_, header)| header.core.payer == bidder)
    }

    /// Removes and returns an auction's held bids, in the order they came.
    pub(crate) fn take_bids(&mut self, id: AuctionId) -> Vec<EnvelopeHeader> {
        let held = self.state.bids.range((id, 0)..=(id, u32::MAX));
        let keys: Vec<(AuctionId, u32)> = held.map(|(key, _)| *key).collect();
        let taken = keys.iter().filter_map(|key| self.state.bids.remove(key));
        taken.collect()
    }
}

/// The price of a plaintext that is a bid for this auction.
fn bid_price(id: AuctionId, plaintext: &[u8]) -> Option<Amount> {
    match decode_operation(plaintext) {
        Ok(SystemOp::Bid(bid)) if bid.auction == id => Some(bid.price),
        _ => None,
    }
}
