//! Compares a fault that a server on another CPU repairs with the floor of such a round trip, a bare signal handler, and
//! server loops by hand. A report, no gate.
//!
//! `cargo bench -p exc-server --bench round_trip`. The code is in the package `measure`; `cargo run --release --bin bench_report` has this
//! row and all others.

fn main() -> std::process::ExitCode {
    measure::bench::run(measure::round_trip::spare_core)
}
