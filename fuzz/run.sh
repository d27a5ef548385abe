#!/usr/bin/env bash
# Fuzzes with coverage as the guide, on stable Rust:
#   fuzz/run.sh [SECONDS [TARGET...]]   all targets, or these, in about so many seconds; 60 if not said
#   fuzz/run.sh keep [TARGET...]        adds to the corpus what was found since and covers more
# What was found is in target/fuzz/TARGET, and an input that failed in target/fuzz/TARGET-*.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_INCREMENTAL=0

all=(proofs decoding text payments agreement sequencing)
what=${1:-60}
shift || true
[ $# -gt 0 ] || set -- "${all[@]}"

# With the features of the whole workspace, so that the dependencies of `cargo test` are used again.
RUSTC_WORKSPACE_WRAPPER=$PWD/fuzz/instrument.sh \
    cargo build --quiet --workspace --bin conclave-fuzz --features conclave-fuzz/libfuzzer
cp target/debug/conclave-fuzz target/conclave-fuzz-libfuzzer

fuzz() {
    local target=$1 options=(-max_len=4096 -timeout=30 -rss_limit_mb=2048)
    mkdir -p "target/fuzz/$target" "fuzz/corpus/$target"
    export CONCLAVE_FUZZ_TARGET=$target
    if [ "$what" = keep ]; then
        target/conclave-fuzz-libfuzzer "${options[@]}" -merge=1 \
            "fuzz/corpus/$target" "target/fuzz/$target" 2>&1 | tail -n 1
        return
    fi
    local log=target/fuzz/$target.log
    if target/conclave-fuzz-libfuzzer "${options[@]}" -max_total_time="$seconds" \
        -artifact_prefix="target/fuzz/$target-" -print_final_stats=1 \
        "target/fuzz/$target" "fuzz/corpus/$target" >"$log" 2>&1; then
        awk -v target="$target" '
            /cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") covered = $(i + 1) }
            /number_of_executed_units/ { runs = $2 }
            /average_exec_per_sec/ { rate = $2 }
            END { print target ": " runs " runs, " rate " a second, " covered " edges" }' "$log"
    else
        tail -n 40 "$log"
        echo "$target: failed; the input is target/fuzz/$target-*"
        return 1
    fi
}
export -f fuzz
export what seconds=0
[ "$what" = keep ] || seconds=$((what * $(nproc) / $#))
printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} bash -euo pipefail -c 'fuzz {}'
