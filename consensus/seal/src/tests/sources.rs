//! Rules about the sources themselves: constant time for secrets, and no way to print them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{KeyGeneration, KeyShares, Participant, Tdh2};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the crate's own sources");
    let paths = entries.map(|entry| entry.expect("readable").path());
    paths
        .filter(|path| !path.ends_with("tests") && !path.ends_with("tests.rs"))
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .collect()
}

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name);
    fs::read_to_string(path).expect("the crate's own source")
}

#[test]
fn variable_time_arithmetic_is_in_one_file() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(sources.len() > 12);
    for path in sources {
        let text = fs::read_to_string(&path).expect("readable").to_lowercase();
        let allowed = path.ends_with("public.rs");
        assert_eq!(text.contains("vartime"), allowed, "{}", path.display());
    }
}

#[test]
fn code_that_handles_secrets_does_not_reach_for_it() {
    let files = [
        "sealing.rs",
        "keygen.rs",
        "channel.rs",
        "chain_keygen/participant.rs",
        "chain_keygen/proof.rs",
        "chain_keygen/secrets.rs",
        "keygen/dealing.rs",
        "keygen/message.rs",
    ];
    for name in files {
        assert!(!read(name).contains("public::"), "{name}");
    }
    let shares = read("shares.rs");
    for function in ["fn share_points(", "fn prove("] {
        let start = shares.find(function).expect("the function exists");
        let body = &shares[start..];
        let body = &body[..body.find("\n}\n").expect("it ends")];
        assert!(!body.contains("public::"), "{function}");
    }
}

#[test]
fn holders_of_secrets_cannot_be_printed() {
    // Fails to compile, as ambiguous, once a type implements Debug or Display.
    trait Unprintable<Marker> {
        fn checked() {}
    }
    struct Debug;
    struct Display;
    impl<T: ?Sized> Unprintable<()> for T {}
    impl<T: ?Sized + core::fmt::Debug> Unprintable<Debug> for T {}
    impl<T: ?Sized + core::fmt::Display> Unprintable<Display> for T {}
    <KeyShares as Unprintable<_>>::checked();
    <KeyGeneration as Unprintable<_>>::checked();
    <Participant as Unprintable<_>>::checked();
    <Tdh2 as Unprintable<_>>::checked();
}
