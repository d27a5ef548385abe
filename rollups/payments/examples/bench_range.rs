//! Measures ranges of the sizes given as arguments, or 16, 64 and 256 payments.

fn main() {
    let sizes: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|size| size.parse().ok())
        .collect();
    let sizes = if sizes.is_empty() {
        vec![16, 64, 256]
    } else {
        sizes
    };
    for size in sizes {
        match conclave_payments::bench_range(size) {
            Ok(report) => println!(
                "{} payments: {:.2} ms a payment ({:.2} s; execute {:.3} ms, trace {:.3} ms a \
                 payment), verify {:.2} ms, {} bytes, {} rows x {} columns, {} proven bits, {} \
                 conjectured",
                report.payments,
                report.cpu_per_payment().as_secs_f64() * 1e3,
                report.prove_cpu.as_secs_f64(),
                report.execute_cpu.as_secs_f64() * 1e3 / report.payments as f64,
                report.trace_cpu.as_secs_f64() * 1e3 / report.payments as f64,
                report.verify_cpu.as_secs_f64() * 1e3,
                report.proof_bytes,
                report.rows,
                report.columns,
                report.security.proven,
                report.security.conjectured,
            ),
            Err(error) => eprintln!("{size} payments: {error}"),
        }
    }
}
