//! The scenarios that come with the program.

/// A built-in scenario: its name and its file.
macro_rules! scenarios {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),*]
    };
}

/// What continuous integration runs, as `conclave chaos ci`.
pub const SHORT: [&str; 5] = [
    "leader-kill",
    "lossy",
    "sigstop",
    "even-partition",
    "byzantine",
];

/// All built-in scenarios, by name, with their files.
pub fn builtin() -> &'static [(&'static str, &'static str)] {
    scenarios![
        "calm",
        "leader-kill",
        "rolling-restart",
        "minority-partition",
        "even-partition",
        "asymmetric",
        "flapping",
        "lossy",
        "sigstop",
        "clock-jump",
        "slow-disk",
        "prover-crash",
        "prover-silent",
        "rollup-crash",
        "kill-under-load",
        "byzantine",
        "byzantine-votes",
        "byzantine-contents",
        "byzantine-talk",
        "twin",
        "seven",
        "sixteen",
    ]
}
