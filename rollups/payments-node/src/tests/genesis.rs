//! The genesis file is a function of the seed, and no file loads whose root is not its accounts'.

use super::fixture::{Fixture, config};
use crate::{RollupError, RollupGenesis, prepare_genesis};

#[test]
fn the_same_seed_gives_the_same_genesis_and_the_file_reads_back() {
    let (one, two) = (Fixture::derived(2), Fixture::new(2));
    assert_eq!(one.genesis, two.genesis);
    let read = RollupGenesis::load(&one.config.genesis).expect("readable");
    assert_eq!(read, one.genesis);
    assert_eq!(
        read.root().expect("root"),
        two.genesis.root().expect("root")
    );
    // A second start loads what is there.
    assert_eq!(prepare_genesis(&one.config).expect("again"), one.genesis);
}

#[test]
fn a_changed_balance_or_another_rollup_is_refused() {
    let fixture = Fixture::new(2);
    let path = &fixture.config.genesis;
    let text = std::fs::read_to_string(path).expect("text");
    std::fs::write(path, text.replace("1000000000\n", "1000000001\n")).expect("written");
    let refused = RollupGenesis::load(path);
    assert!(
        matches!(refused, Err(RollupError::GenesisFile { .. })),
        "{refused:?}"
    );
    std::fs::write(path, text).expect("written");
    let mut other = config(fixture.folder.path(), 2);
    other.rollup.0 += 1;
    let refused = prepare_genesis(&other);
    assert!(matches!(refused, Err(RollupError::GenesisFile { .. })));
}

#[test]
fn a_wallet_without_its_file_comes_back_restored_and_rotates_first() {
    let fixture = Fixture::new(2);
    let address = fixture.address(2);
    let folder = fixture.config.data.join("wallets");
    std::fs::remove_file(folder.join("2.leaves")).expect("removed");
    let recovered =
        crate::devnet::recover_wallet(&fixture.config.data, fixture.devnet(), 2, address.key);
    let mut wallet = recovered.expect("restored").expect("the seed's");
    assert_eq!(wallet.owner(), address.key);
    assert_eq!(wallet.remaining(), 0);
    let draft = fixture.draft(2, 0, 3, 1);
    assert!(
        wallet.pay(&fixture.context, &draft).is_err(),
        "it must rotate first"
    );
    assert!(wallet.rotate(&fixture.context, &draft).is_ok());
}

#[test]
fn leaves_are_recorded_ahead_of_their_use() {
    let fixture = Fixture::new(2);
    let mut purse = fixture.purse(2);
    let used = 40;
    for nonce in 0..used {
        fixture.pay(&mut purse, nonce, 3, 1);
    }
    let before = purse.wallet.remaining();
    drop(purse);
    // As after a crash: what the disk holds excludes every leaf that was used.
    let after = fixture.purse(2).wallet.remaining();
    assert!(after <= before, "{after} leaves are free after {before}");
    assert!(after + 40 >= before, "a restart wastes at most a chunk");
}
