//! Compares a fault that a manager sends to its handler and brings back with one that a server skips. A report, no gate.
//!
//! `cargo bench -p thread-mgr --bench redirects`. The code is in the package `measure`; `cargo run --release --bin bench_report` has this row
//! and all others.

fn main() -> std::process::ExitCode {
    measure::bench::run(measure::redirect::measure)
}
