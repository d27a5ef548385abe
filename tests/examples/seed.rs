use conclave_tests::{Options, run};
fn main() {
    let args: Vec<u64> = std::env::args()
        .skip(1)
        .filter_map(|a| a.parse().ok())
        .collect();
    let log = args.get(1).is_none();
    for seed in args[0]..=*args.get(1).unwrap_or(&args[0]) {
        let start = std::time::Instant::now();
        let outcome = run(Options { seed, log });
        for line in &outcome.log {
            println!("{line}");
        }
        println!(
            "seed {seed} blocks {} ack {} delivered {} ranges {} {:?} {:?}",
            outcome.blocks,
            outcome.acknowledged,
            outcome.delivered,
            outcome.settled_ranges,
            outcome.violation.map(|v| v.to_string()),
            start.elapsed()
        );
    }
}
