//! Prices follow cost and ceiling; standing is kept one operation at a time.

use conclave_sdk::api::ProverView;
use conclave_types::{Amount, SystemOp};
use proptest::prelude::*;

use super::views::{ME, account, config, prover};
use crate::calibrate::Calibration;
use crate::config::ProverConfig;
use crate::strategy::{Offered, Strategy};
use crate::upkeep::next_operation;

const OFFERED: Offered = Offered {
    count: 64,
    cost: Amount(1_000),
    ceiling: Amount(5_000),
    last: Some((Amount(2_000), 32)),
};

#[test]
fn each_strategy_prices_as_it_says() {
    let price = |strategy: Strategy, offered: Offered| strategy.price(&offered).map(|p| p.0);
    let cost_plus = |margin_percent| Strategy::CostPlus { margin_percent };
    assert_eq!(price(cost_plus(20), OFFERED), Some(1_200));
    assert_eq!(price(cost_plus(500), OFFERED), None, "above the ceiling");
    assert_eq!(
        price(Strategy::Fixed { price: Amount(10) }, OFFERED),
        Some(640)
    );
    assert_eq!(price(Strategy::Fixed { price: Amount(100) }, OFFERED), None);
    let undercut = |below_percent, margin_percent| Strategy::Undercut {
        below_percent,
        margin_percent,
    };
    assert_eq!(
        price(undercut(10, 20), OFFERED),
        Some(3_600),
        "per transaction"
    );
    assert_eq!(
        price(undercut(90, 20), OFFERED),
        Some(1_200),
        "never below cost"
    );
    let first = Offered {
        last: None,
        ..OFFERED
    };
    assert_eq!(
        price(undercut(10, 20), first),
        Some(4_500),
        "below the ceiling at first"
    );
}

proptest! {
    #[test]
    fn no_price_is_above_the_ceiling_or_overflows(
        cost: u64, ceiling: u64, count in 1..=u64::MAX, last: Option<(u64, u64)>,
        a: u32, b: u32, fixed: u64,
    ) {
        let offered = Offered {
            count,
            cost: Amount(cost),
            ceiling: Amount(ceiling),
            last: last.map(|(price, count)| (Amount(price), count)),
        };
        let strategies = [
            Strategy::CostPlus { margin_percent: a },
            Strategy::Undercut { below_percent: a, margin_percent: b },
            Strategy::Fixed { price: Amount(fixed) },
        ];
        for strategy in strategies {
            if let Some(price) = strategy.price(&offered) {
                prop_assert!(price.0 <= ceiling);
            }
        }
        if let Some(price) = strategies[1].price(&offered) {
            prop_assert!(price.0 >= cost, "an undercut never works at a loss");
        }
    }
}

#[test]
fn the_cost_grows_with_the_traces_size() {
    let calibration = Calibration {
        proof_us: 200_000,
        slot_us: 10_000,
    };
    assert_eq!(calibration.time_us(64), 840_000);
    assert_eq!(
        calibration.time_us(33),
        calibration.time_us(64),
        "a power of two"
    );
    assert_eq!(calibration.cost(64, Amount(1_000)), Amount(840));
    assert_eq!(
        calibration.cost(1, Amount(0)),
        Amount(1),
        "never for nothing"
    );
    calibration.cost(u64::MAX, Amount(u64::MAX));
}

#[test]
fn standing_is_kept_in_order_and_within_the_balance() {
    let config = config();
    let next = |balance, fees, prover: Option<&ProverView>| {
        next_operation(&config, ME, &account(balance, fees), prover)
    };
    let deposit = SystemOp::DepositFees {
        account: ME,
        amount: Amount(300),
    };
    assert_eq!(
        next(300, 0, None),
        Some(deposit),
        "fees first, as far as they go"
    );
    assert_eq!(
        next(0, 900, None),
        Some(SystemOp::RegisterProver { slots: 2 })
    );
    let bare = ProverView {
        bond_free: 1_000,
        bond_locked: 2_000,
        ..prover()
    };
    let post = |amount| {
        Some(SystemOp::PostBond {
            amount: Amount(amount),
        })
    };
    assert_eq!(next(50_000, 5_000, Some(&bare)), post(7_000));
    assert_eq!(next(500, 5_000, Some(&bare)), post(500));
    assert_eq!(next(0, 5_000, Some(&bare)), None);
    let slashed = ProverView {
        armed: false,
        ..prover()
    };
    assert_eq!(next(50_000, 5_000, Some(&slashed)), Some(SystemOp::Rearm));
    let resting = ProverConfig {
        rearm: false,
        ..config.clone()
    };
    let rest = next_operation(&resting, ME, &account(50_000, 5_000), Some(&slashed));
    assert_eq!(rest, None, "an operator may want to look first");
}

#[test]
fn the_configuration_reads_with_defaults_and_refuses_unknown_keys() {
    let text = r#"
        account_key = "prover.key"
        nodes = ["http://127.0.0.1:26700"]
        data_dir = "prover"
        bond = 100000
        strategy = { kind = "undercut", below_percent = 5, margin_percent = 10 }
        [[rollups]]
        id = 1
        genesis = "payments.toml"
    "#;
    let config: ProverConfig = toml::from_str(text).expect("complete");
    assert_eq!((config.slots, config.workers), (4, 1));
    assert!(toml::from_str::<ProverConfig>(&format!("wrokers = 2\n{text}")).is_err());
}
