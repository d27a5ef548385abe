# Everything that continuous integration checks.
check:
    bash .ci/run

# The main job.
devnet *ARGS:
    cargo run --release -- devnet {{ARGS}}

test:
    cargo test --workspace

fmt:
    cargo fmt --all

bench:
    cargo run --release -- bench order
    cargo run --release -- bench prove

# Coverage-guided fuzzing: `just fuzz 600 proofs`.
fuzz *ARGS:
    bash fuzz/run.sh {{ARGS}}

# Faults on real processes: `just chaos leader-kill`.
chaos *ARGS:
    cargo run --release -- chaos {{ARGS}}
