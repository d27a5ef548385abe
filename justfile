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
