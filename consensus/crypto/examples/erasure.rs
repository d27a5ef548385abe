//! What coding a batch costs: `cargo run --release -p conclave-crypto --example erasure`.

use std::time::{Duration, Instant};

use conclave_crypto::{CodeShape, Coder};
use conclave_types::Threshold;

const BYTES: usize = 1 << 20;
const ROUNDS: u32 = 50;

fn main() {
    println!("milliseconds a MiB; shards are hashed and proven too");
    println!(
        "{:>4} {:>4} {:>12} {:>8} {:>8}",
        "n", "k", "shard bytes", "encode", "rebuild"
    );
    for total in [4, 7, 16, 100, 256] {
        let threshold = Threshold::for_total(total);
        let shape = threshold.ok().and_then(|of| CodeShape::new(of, BYTES));
        let Some(shape) = shape else { continue };
        let data: Vec<u8> = (0..=255).cycle().take(BYTES).collect();
        let mut coder = Coder::default();
        let codeword = coder.encode(shape, [data.as_slice()]);
        let encode = mean(|| drop(coder.encode(shape, [data.as_slice()])));
        // The last k: nothing is given, all is computed.
        let total = total as usize;
        let shards = codeword.shards(total - shape.needed()..total);
        let root = codeword.root();
        let rebuild = mean(|| drop(coder.rebuild(shape, &root, &shards)));
        println!(
            "{total:>4} {:>4} {:>12} {:>8.2} {:>8.2}",
            shape.needed(),
            shape.shard_bytes(),
            encode.as_secs_f64() * 1e3,
            rebuild.as_secs_f64() * 1e3
        );
    }
}

fn mean(mut run: impl FnMut()) -> Duration {
    run();
    let start = Instant::now();
    (0..ROUNDS).for_each(|_| run());
    start.elapsed() / ROUNDS
}
