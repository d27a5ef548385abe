//! From the node's own types to the JSON shapes of the API; all of it pure.

use bincode::Encode;
use conclave_ledger::Ledger;
use conclave_market::{Auction, BidVerdict, OpenedBid, Phase, Prover, Stage};
use conclave_sdk::api::{
    AccountView, AuctionView, BatchView, BidView, BlockView, CommitteeView, DeliveryView,
    EpochChangeView, FeeQuote, LedgerProofView, LinkView, LinksView, ProvenEntryView, ProverView,
    ReceiptView, RollupView, TotalsView, ValidatorView,
};
use conclave_types::{
    AccountId, Amount, BatchRef, ChainId, Digest, EpochChange, EpochSetup, Genesis, Height,
    MarketParameters, ProofPolicy, Receipt, RollupId, ThresholdError, TxIndex, ValidatorIndex,
    ValidatorInfo, codec,
};

use super::market::AuctionState;
use crate::backend::{CertifiedBlock, ProverRecord, StoredLink};

/// A submission's receipt.
pub(super) fn receipt(receipt: &Receipt) -> ReceiptView {
    ReceiptView {
        chain: receipt.chain.to_string(),
        envelope: receipt.envelope.to_string(),
        validator: receipt.validator.0,
        height: receipt.height.0,
        deadline: receipt.deadline.0,
        signature: receipt.signature.to_string(),
    }
}

/// The price of an envelope.
pub(super) fn fee_quote(
    ledger: &Ledger,
    genesis: &Genesis,
    (rollup, payer): (RollupId, AccountId),
    body_bytes: u32,
) -> FeeQuote {
    let fees = ledger.fees();
    FeeQuote {
        body_bytes: body_bytes.into(),
        fee: fees.quote(rollup, payer, body_bytes).0,
        tariff: fees.tariff(rollup, payer),
        malformed_surcharge: genesis.fees.malformed_surcharge.0,
    }
}

/// The committee of the ledger's epoch.
pub(super) fn committee(
    chain: ChainId,
    setup: &EpochSetup,
    committed: Height,
) -> Result<CommitteeView, ThresholdError> {
    let threshold = setup.threshold()?;
    Ok(CommitteeView {
        chain: chain.to_string(),
        epoch: setup.epoch.0,
        total_weight: threshold.total(),
        quorum: threshold.quorum(),
        sealing_key: setup.sealing.key.to_string(),
        validators: (0..)
            .map(ValidatorIndex)
            .zip(&setup.validators)
            .map(|(index, info)| validator(index, info))
            .collect(),
        height: committed.0,
    })
}

/// A validator as registered.
pub(super) fn validator(index: ValidatorIndex, info: &ValidatorInfo) -> ValidatorView {
    ValidatorView {
        index: index.0,
        name: info.name.clone(),
        weight: info.weight,
        bls_key: info.bls_key.to_string(),
        transport_key: info.transport_key.to_string(),
        account: info.account.to_string(),
        api: info.api.clone(),
    }
}

/// A committed block with what proves it final.
pub(super) fn block(certified: &CertifiedBlock) -> BlockView {
    let header = &certified.block.header;
    BlockView {
        id: header.id().to_string(),
        height: header.height.0,
        view: header.view.0,
        epoch: header.epoch.0,
        parent: header.parent.to_string(),
        proposer: header.proposer.0,
        time_ms: header.time.0,
        ledger_height: header.ledger_height.0,
        ledger_root: header.ledger_root.to_string(),
        batches: certified.block.batches.iter().map(batch).collect(),
        block: hex::encode(codec::encode(&certified.block)),
        tail: certified
            .tail
            .iter()
            .map(|header| hex::encode(codec::encode(header)))
            .collect(),
        certificate: hex::encode(codec::encode(&certified.certificate)),
    }
}

fn batch(batch: &BatchRef) -> BatchView {
    BatchView {
        id: batch.header.id().to_string(),
        author: batch.header.author.0,
        envelopes: batch.header.envelopes(),
    }
}

/// How an epoch was handed over to.
pub(super) fn epoch_change(change: &EpochChange) -> EpochChangeView {
    EpochChangeView {
        epoch: change.setup.epoch.0,
        height: change.last.height.0,
        change: hex::encode(codec::encode(change)),
    }
}

/// About how long a block is as JSON.
pub(super) fn block_bytes(block: &BlockView) -> usize {
    let tail: usize = block.tail.iter().map(String::len).sum();
    let batches = block.batches.len() * 128;
    1024 + block.block.len() + block.certificate.len() + tail + batches
}

/// About how long a delivery is as JSON.
pub(super) fn delivery_bytes(delivery: &DeliveryView) -> usize {
    let envelopes = delivery.envelopes.iter().map(|envelope| {
        let transactions: usize = envelope.transactions.iter().map(|hex| hex.len() + 3).sum();
        let body = envelope.body.as_ref().map_or(0, String::len);
        512 + envelope.header.len() + body + transactions
    });
    let block = delivery.block.as_ref().map_or(0, block_bytes);
    256 + block + envelopes.sum::<usize>()
}

/// The index that the first transaction after a delivery gets.
pub(super) fn next_index(delivery: &DeliveryView) -> u64 {
    let envelopes = delivery.envelopes.iter();
    let transactions: usize = envelopes.map(|envelope| envelope.transactions.len()).sum();
    delivery.first_index + transactions as u64
}

/// A stream's digest before its first delivery.
pub(super) fn stream_start() -> String {
    Digest::ZERO.to_string()
}

/// A registered rollup, also one that has left; the system's own is none.
pub(super) fn rollup(ledger: &Ledger, id: RollupId) -> Option<RollupView> {
    let rollup = ledger.rollup(id)?;
    let stream = ledger.stream(id).copied().unwrap_or_default();
    let settled = ledger.settled(id);
    let settled_index = settled.map_or(TxIndex(0), |settled| settled.next);
    let last_intent = rollup
        .outstanding
        .last()
        .and_then(|auction| ledger.auction(*auction));
    let config = &rollup.config;
    let (proof_systems, proofs_required) = match &config.policy {
        ProofPolicy::None => (vec!["none".to_owned()], 0),
        ProofPolicy::Any { systems, required } => {
            let names = systems
                .iter()
                .map(|system| format!("{system:?}").to_lowercase());
            (names.collect(), *required)
        }
    };
    Some(RollupView {
        id: id.0,
        name: config.name.clone(),
        owner: config.owner.to_string(),
        program: config.program.to_string(),
        proof_systems,
        proofs_required,
        genesis_root: config.genesis_root.to_string(),
        settled_root: settled
            .map_or(config.genesis_root, |settled| settled.root)
            .to_string(),
        ordered_index: stream.next.0,
        intended_index: last_intent
            .map_or(settled_index, |auction| auction.intent.range.to)
            .0,
        settled_index: settled_index.0,
        ordered_height: stream.height.0,
        settled_height: settled.map_or(0, |settled| settled.height.0),
        fund: rollup.fund.0,
        reserve_price: config.reserve_price.0,
        reserve_price_max: config.reserve_price_max.0,
        range_transactions: config.range_transactions,
        range_age_ms: config.range_age_ms,
        deadline_ms: config.deadline_ms,
        bond_percent: config.bond_percent,
        stream_digest: stream.digest.to_string(),
    })
}

/// A rollup's entries in a ledger, proven against the root that the block names; `None` when that
/// ledger does not know the rollup.
pub(super) fn ledger_proof(
    ledger: &Ledger,
    id: RollupId,
    named_by: &CertifiedBlock,
) -> Option<LedgerProofView> {
    let (stream, proof) = ledger.prove_stream(id)?;
    Some(LedgerProofView {
        rollup: id.0,
        ledger_height: ledger.height().0,
        block: block(named_by),
        stream: proven_entry(&stream, &proof),
        settled: ledger
            .prove_settled(id)
            .map(|(settled, proof)| proven_entry(&settled, &proof)),
    })
}

fn proven_entry(value: &impl Encode, proof: &impl Encode) -> ProvenEntryView {
    ProvenEntryView {
        value: hex::encode(codec::encode(value)),
        proof: hex::encode(codec::encode(proof)),
    }
}

/// Links of a rollup's stream; `before` is the last one before them.
pub(super) fn links(
    id: RollupId,
    (from, to): (Height, Height),
    before: Option<&StoredLink>,
    links: &[StoredLink],
) -> LinksView {
    let link = |stored: &StoredLink| LinkView {
        height: stored.link.height.0,
        entries: stored.link.entries.to_string(),
    };
    LinksView {
        rollup: id.0,
        from_height: from.0,
        to_height: to.0,
        digest: before.map_or_else(stream_start, |before| before.digest.to_string()),
        links: links.iter().map(link).collect(),
    }
}

/// Where an auction stands.
pub(super) const fn auction_state(auction: &Auction) -> AuctionState {
    match &auction.phase {
        Phase::Bidding => AuctionState::Bidding,
        Phase::Unsold { .. } => AuctionState::Unsold,
        Phase::Awarded(award) => match award.stage {
            Stage::Winner => AuctionState::Awarded,
            Stage::Standby => AuctionState::Standby,
            Stage::Open => AuctionState::Open,
        },
        Phase::Settled(_) => AuctionState::Settled,
        Phase::Cancelled => AuctionState::Cancelled,
    }
}

/// An intent and its auction. Winner, standby and price are read from the bids, which stay when the
/// award has ended.
pub(super) fn auction(auction: &Auction, market: &MarketParameters) -> AuctionView {
    let intent = &auction.intent;
    let ranked = |verdict| auction.bids.iter().find(|bid| bid.verdict == verdict);
    let winner = ranked(BidVerdict::Winner);
    let settlement = match &auction.phase {
        Phase::Settled(settlement) => Some(settlement),
        _ => None,
    };
    let deadline = auction.award().and_then(|award| award.deadline);
    AuctionView {
        id: auction.id.0,
        rollup: auction.rollup().0,
        program: intent.program.to_string(),
        from_index: intent.range.from.0,
        to_index: intent.range.to.0,
        from_height: intent.range.from_height.0,
        to_height: intent.range.to_height.0,
        state: auction_state(auction).as_str().to_owned(),
        round: auction.round + 1,
        opened_ms: auction.close.due.0.saturating_sub(market.window_ms),
        closes_ms: auction.close.due.0,
        price_max: auction.max_price.0,
        sealed_bids: auction.held.into(),
        bids: auction.bids.iter().map(bid).collect(),
        winner: winner.map(|bid| bid.bidder.to_string()),
        standby: ranked(BidVerdict::Standby).map(|bid| bid.bidder.to_string()),
        price: winner.and_then(|bid| bid.price).map(|price| price.0),
        bond: winner.map(|_| intent.bond.0),
        deadline_ms: deadline.map(|deadline| deadline.due.0),
        settled_by: settlement
            .and_then(|settlement| settlement.proofs.last())
            .map(|proof| proof.prover.to_string()),
        paid: settlement
            .map(|settlement| settlement.payments.iter().map(|paid| paid.amount.0).sum()),
    }
}

fn bid(bid: &OpenedBid) -> BidView {
    BidView {
        prover: bid.bidder.to_string(),
        price: bid.price.unwrap_or(Amount::ZERO).0,
        rank: bid.rank,
        reason: verdict(bid.verdict).to_owned(),
    }
}

const fn verdict(verdict: BidVerdict) -> &'static str {
    match verdict {
        BidVerdict::Winner => "the lowest eligible price",
        BidVerdict::Standby => "the second lowest eligible price",
        BidVerdict::Outbid => "higher than the first two",
        BidVerdict::AboveCeiling => "above the highest price allowed",
        BidVerdict::NotAProver => "the bidder is no registered prover",
        BidVerdict::Disarmed => "the bidder was slashed and has not re-armed",
        BidVerdict::BondTooSmall => "the bidder's free bond does not cover the job",
        BidVerdict::NoSlot => "all the bidder's slots are taken",
        BidVerdict::Unreadable => "the envelope holds no bid for this auction",
    }
}

/// A registered prover with its history.
pub(super) fn prover(
    ledger: &Ledger,
    account: AccountId,
    prover: &Prover,
    record: ProverRecord,
) -> ProverView {
    ProverView {
        account: account.to_string(),
        balance: ledger.account(&account).balance.0,
        bond_free: prover.free.0,
        bond_locked: prover.locked.0,
        slots: prover.slots,
        jobs: prover.used,
        armed: prover.armed,
        settled: record.settled,
        missed: record.missed,
    }
}

/// An account. Every key has one; it is all zero until money or an envelope came.
pub(super) fn account(ledger: &Ledger, account: AccountId) -> AccountView {
    let found = ledger.account(&account);
    AccountView {
        account: account.to_string(),
        balance: found.balance.0,
        fees: found.fees.0,
        sequence: found.sequence.map(|sequence| sequence.0),
    }
}

/// All money. `other` is what is held for ranges being proven and deposits under way.
pub(super) fn totals(ledger: &Ledger) -> TotalsView {
    let totals = ledger.totals();
    // The whole supply fits 64 bits, so each part does.
    let part = |amount: u128| u64::try_from(amount).unwrap_or(u64::MAX);
    TotalsView {
        balances: part(totals.balances),
        fee_accounts: part(totals.fee_accounts),
        bonds: part(totals.bonds),
        funds: part(totals.rollup_funds),
        pool: part(totals.insurance),
        other: part(totals.escrow + totals.fee_deposits),
        total: part(totals.supply),
    }
}
