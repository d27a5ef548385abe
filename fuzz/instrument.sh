#!/usr/bin/env bash
# Cargo calls this instead of rustc for the crates of this workspace, and for these only: their
# dependencies are those of the ordinary build, and are built once. The pass and its options are
# LLVM's own; stable rustc hands them on. libFuzzer reads the counters and comparisons.
exec "$@" \
    -C passes=sancov-module \
    -C llvm-args=-sanitizer-coverage-level=4 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters \
    -C llvm-args=-sanitizer-coverage-pc-table \
    -C llvm-args=-sanitizer-coverage-trace-compares
