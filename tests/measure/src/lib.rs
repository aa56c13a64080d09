//! Measures the figures that the workspace has targets for: each beside its floor, and beside what a runtime would do without these
//! crates.
//!
//! Every ratio is taken in one run: short batches of each way alternate, and the medians of the batches are compared. The benches of
//! the crates and the program `bench_report` call the same functions.

pub mod allocations;
pub mod bare;
pub mod bench;
pub mod by_hand;
pub mod child;
pub mod codec;
pub mod cpus;
pub mod crowd;
pub mod effort;
pub mod faults;
pub mod floor;
pub mod leaks;
pub mod line;
pub mod machine;
pub mod memory;
pub mod messages;
pub mod redirect;
pub mod round_trip;
pub mod rounds;
pub mod row;
pub mod scale;
pub mod served;
pub mod threads;

/// An error of a measurement: what could not be done.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A row that cannot be measured on this machine, and why; nothing failed.
#[derive(Clone, Copy, Debug)]
pub struct NotHere(pub &'static str);

impl core::fmt::Display for NotHere {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(self.0)
    }
}

impl std::error::Error for NotHere {}
