use conclave_tests::{Coverage, Options, run};
fn main() {
    let args: Vec<u64> = std::env::args()
        .skip(1)
        .filter_map(|a| a.parse().ok())
        .collect();
    let log = args.get(1).is_none();
    let mut coverage = Coverage::default();
    for seed in
        (args[0]..=*args.get(1).unwrap_or(&args[0])).step_by(*args.get(2).unwrap_or(&1) as usize)
    {
        let start = std::time::Instant::now();
        let outcome = run(Options { seed, log });
        for line in &outcome.log {
            println!("{line}");
        }
        coverage.add(&outcome.coverage);
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
    for (what, times) in coverage.iter() {
        println!("{times:>7} {what}");
    }
}
