//! Do prices, clearings, bonds and payments stay within their bounds?

use conclave_types::*;

use super::*;

fn account(n: u8) -> AccountId {
    AccountId(Digest([n; 32]))
}

fn config() -> RollupConfig {
    RollupConfig {
        name: "r".into(),
        owner: account(0),
        program: ProgramVersion(Digest::ZERO),
        genesis_root: StateRoot(Digest::ZERO),
        policy: ProofPolicy::None,
        reserve_price: Amount(3),
        reserve_price_max: Amount(7),
        range_transactions: 1,
        range_age_ms: 1,
        deadline_ms: 1,
        bond_percent: 150,
        fee_share_percent: 0,
    }
}

fn auction(bond: u64) -> Auction {
    Auction {
        id: AuctionId(1),
        intent: Intent {
            range: Range {
                rollup: RollupId(1),
                from: TxIndex(0),
                to: TxIndex(4),
                from_height: Height(1),
                to_height: Height(1),
            },
            program: ProgramVersion(Digest::ZERO),
            contents: Digest::ZERO,
            bytes: 0,
            oldest: BlockTime(0),
            reference: Amount(40),
            bond: Amount(bond),
            deadline_ms: 1,
        },
        round: 0,
        max_price: Amount(40),
        close: Timer::after(Height(1), BlockTime(0), 500),
        held: 0,
        phase: Phase::Bidding,
        bids: vec![],
    }
}

fn offer(bidder: u8, price: u64) -> Offer {
    Offer {
        envelope: EnvelopeId(Digest([bidder; 32])),
        bidder: account(bidder),
        m: Some(Point([bidder; 32])),
        price: Some(Amount(price)),
    }
}

#[test]
fn the_ceiling_rises_to_the_maximum_and_never_past_the_fund() {
    let market = MarketParameters::default();
    let at = |round, fund| ceiling(&config(), &market, 10, round, Amount(fund)).0;
    // A quarter of 3 rounds to nothing, so the least step is one unit.
    assert_eq!(
        [0, 1, 2, 3, 4, 5, 1_000].map(|round| at(round, 1_000)),
        [30, 40, 50, 60, 70, 70, 70]
    );
    assert_eq!(at(3, 45), 45);
    assert_eq!(at(u32::MAX, 0), 0);
    let dear = RollupConfig {
        reserve_price: Amount(u64::MAX),
        reserve_price_max: Amount(u64::MAX),
        ..config()
    };
    let most = ceiling(&dear, &market, 1024, 5, Amount(u64::MAX));
    assert_eq!(most, Amount(u64::MAX));
}

#[test]
fn the_lowest_capable_bid_wins_whatever_the_order() {
    let capable = Prover {
        free: Amount(60),
        ..Prover::new(1)
    };
    let disarmed = Prover {
        armed: false,
        free: Amount(60),
        ..Prover::new(1)
    };
    let poor = Prover::new(1);
    let look = |id: AccountId| match id.0.0[0] {
        1..=3 => Some(&capable),
        4 => Some(&disarmed),
        5 => Some(&poor),
        _ => None,
    };
    let mut offers = vec![
        offer(1, 30),
        offer(2, 20),
        offer(3, 25),
        offer(4, 1),
        offer(5, 1),
        offer(6, 1),
    ];
    for _ in 0..offers.len() {
        offers.rotate_left(1);
        let clearing = clear(&auction(60), Amount(40), &offers, look);
        assert_eq!(clearing.winner, Some((account(2), Amount(20))));
        assert_eq!(clearing.standby.map(|s| s.prover), Some(account(3)));
        for bid in &clearing.bids {
            let expected = match bid.bidder.0.0[0] {
                1 => (BidVerdict::Outbid, Some(3)),
                2 => (BidVerdict::Winner, Some(1)),
                3 => (BidVerdict::Standby, Some(2)),
                4 => (BidVerdict::Disarmed, None),
                5 => (BidVerdict::BondTooSmall, None),
                _ => (BidVerdict::NotAProver, None),
            };
            assert_eq!((bid.verdict, bid.rank), expected);
        }
    }
    let none = clear(&auction(61), Amount(40), &offers, look);
    assert_eq!((none.winner, none.standby), (None, None));
}

#[test]
fn a_tie_depends_on_every_opening_their_order_and_the_bidder() {
    let offers = [offer(1, 5), offer(2, 5)];
    let base = tie(AuctionId(1), &offers, account(1));
    assert_ne!(base, tie(AuctionId(2), &offers, account(1)));
    assert_ne!(base, tie(AuctionId(1), &offers, account(2)));
    let mut swapped = offers.clone();
    swapped.reverse();
    assert_ne!(base, tie(AuctionId(1), &swapped, account(1)));
    let mut other = offers;
    other[1].m = Some(Point([9; 32]));
    assert_ne!(base, tie(AuctionId(1), &other, account(1)));
}

#[test]
fn a_slashed_bond_is_split_to_the_last_unit() {
    for bond in [0, 1, 3, 59, 60, u64::MAX] {
        for (rollup_percent, standby_percent) in [(50, 25), (100, 100), (0, 0), (200, 5), (33, 33)]
        {
            for standby in [false, true] {
                let market = MarketParameters {
                    rollup_percent,
                    standby_percent,
                    ..MarketParameters::default()
                };
                let split = SlashSplit::of(Amount(bond), &market, standby);
                assert_eq!(split.rollup.0 + split.standby.0 + split.pool.0, bond);
            }
        }
    }
}

#[test]
fn bonds_move_between_free_and_locked_only() {
    let mut prover = Prover::new(1);
    assert_eq!(prover.post(Amount(100)), Ok(()));
    assert_eq!(prover.post(Amount(u64::MAX)), Err(BondError::Overflow));
    prover.lock(Amount(60));
    assert_eq!(prover.refusal(Amount(50)), Some(BidVerdict::BondTooSmall));
    assert_eq!(prover.refusal(Amount(40)), Some(BidVerdict::NoSlot));
    assert!(prover.may_bid(Amount(100)) && !prover.may_bid(Amount(101)));
    assert!(prover.withdraw(Amount(41)).is_err());
    prover.release(Amount(60));
    assert_eq!((prover.free, prover.locked), (Amount(100), Amount(0)));
    prover.lock(Amount(60));
    prover.slash(Amount(60));
    assert_eq!((prover.free, prover.locked), (Amount(40), Amount(0)));
    assert_eq!(prover.refusal(Amount(0)), Some(BidVerdict::Disarmed));
}

#[test]
fn payments_add_up_to_at_most_the_escrow() {
    let market = MarketParameters::default();
    let standby = Standby {
        prover: account(2),
        price: Amount(38),
    };
    let mut award = Award::new(account(1), Amount(30), Amount(60), Some(standby));
    let record = |prover| RecordedProof {
        system: ProofSystem::Winterfell,
        prover: account(prover),
        new_root: StateRoot(Digest::ZERO),
        height: Height(1),
        late: false,
    };
    let total = |award: &Award| {
        let payments = split_payment(award, Amount(40), &market);
        payments.iter().map(|payment| payment.amount.0).sum::<u64>()
    };
    assert_eq!(total(&award), 0);
    award.proofs.push(record(1));
    assert_eq!(total(&award), 30);
    award.proofs.extend([record(2), record(3), record(4)]);
    let amounts = split_payment(&award, Amount(40), &market);
    let amounts: Vec<u64> = amounts.iter().map(|payment| payment.amount.0).collect();
    assert_eq!(amounts, [7, 7, 7, 9]);
    award.stage = Stage::Standby;
    assert_eq!(total(&award), 30, "the bid, at most what is held");
    award.escrow = Amount(45);
    assert_eq!(total(&award), 38);
    award.stage = Stage::Open;
    assert_eq!(total(&award), 20);
}

#[test]
fn only_whose_turn_it_is_may_submit() {
    let standby = Standby {
        prover: account(2),
        price: Amount(38),
    };
    let mut auction = auction(60);
    let may = |auction: &Auction| [1, 2, 3].map(|n| may_submit(auction, account(n)));
    assert_eq!(may(&auction), [Err(SubmitError::NotAwarded); 3]);
    let award = Award::new(account(1), Amount(30), Amount(60), Some(standby));
    auction.phase = Phase::Awarded(award.clone());
    let winner = Err(SubmitError::WinnersTurn);
    assert_eq!(may(&auction), [Ok(false), winner, winner]);
    let stage = Stage::Standby;
    auction.phase = Phase::Awarded(Award {
        stage,
        ..award.clone()
    });
    let turn = Err(SubmitError::StandbysTurn);
    assert_eq!(may(&auction), [turn, Ok(false), turn]);
    let stage = Stage::Open;
    auction.phase = Phase::Awarded(Award { stage, ..award });
    assert_eq!(may(&auction), [Ok(true); 3]);
}

#[test]
fn a_contents_digest_binds_order_height_and_bytes() {
    let digest = |parts: &[(u64, &[u8])]| {
        let empty = ContentsDigest::EMPTY;
        let with = |digest: ContentsDigest, (height, bytes): &(u64, &[u8])| {
            digest.with(Height(*height), bytes)
        };
        parts.iter().fold(empty, with)
    };
    let base = digest(&[(1, b"a"), (1, b"b")]);
    assert_ne!(base, digest(&[(1, b"b"), (1, b"a")]));
    assert_ne!(base, digest(&[(1, b"a"), (2, b"b")]));
    assert_ne!(base, digest(&[(1, b"ab")]));
    assert_ne!(base, digest(&[(1, b"a")]));
}
