//! Compares a managed thread's life with a plain one's: spawn, route, exit and join. A report, no gate.
//!
//! `cargo bench -p thread-mgr --bench threads`. The code is in the package `measure`; `cargo run --release --bin bench_report` has this row
//! and all others.

fn main() -> std::process::ExitCode {
    measure::bench::run(measure::threads::measure)
}
