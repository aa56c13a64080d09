//! The rows: what there is to measure.

use crate::effort::Effort;
use crate::line::Line;
use crate::{
    Error, allocations, codec, crowd, leaks, memory, redirect, round_trip, scale, threads,
};
use core::fmt;
use core::str::FromStr;
use test_support::counting::Counting;

/// A row. Each is measured in a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// Instructions to serve a message.
    Codec,
    /// A fault served by a thread on another CPU.
    RoundTrip,
    /// A fault served by a thread on the same CPU.
    OneCore,
    /// Faults of several threads at once.
    Crowd,
    /// A fault whose thread runs a handler and returns.
    Redirect,
    /// Dispatch to one of many routes.
    Scale,
    /// The life of a thread.
    Threads,
    /// Names and references that threads leave.
    Leaks,
    /// Heap allocations between a fault and its answer.
    Allocations,
    /// Memory of threads, routes and servers.
    Memory,
}

impl Row {
    /// All rows, in the order of the report.
    pub const ALL: [Self; 10] = [
        Self::Codec,
        Self::RoundTrip,
        Self::OneCore,
        Self::Crowd,
        Self::Redirect,
        Self::Scale,
        Self::Threads,
        Self::Leaks,
        Self::Allocations,
        Self::Memory,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Codec => "codec",
            Self::RoundTrip => "round-trip",
            Self::OneCore => "one-core",
            Self::Crowd => "crowd",
            Self::Redirect => "redirect",
            Self::Scale => "scale",
            Self::Threads => "threads",
            Self::Leaks => "leaks",
            Self::Allocations => "allocations",
            Self::Memory => "memory",
        }
    }

    /// Returns whether it needs a second CPU.
    #[must_use]
    pub const fn needs_spare_core(self) -> bool {
        matches!(self, Self::RoundTrip)
    }

    /// Measures the row. The allocator is the process's global one.
    ///
    /// # Errors
    /// An error of the kernel or of the system in one of the steps.
    pub fn measure(self, effort: Effort, allocator: &'static Counting) -> Result<Vec<Line>, Error> {
        match self {
            Self::Codec => codec::measure(),
            Self::RoundTrip => round_trip::spare_core(effort),
            Self::OneCore => round_trip::one_core(effort),
            Self::Crowd => crowd::measure(effort),
            Self::Redirect => redirect::measure(effort),
            Self::Scale => scale::measure(effort),
            Self::Threads => threads::measure(effort),
            Self::Leaks => leaks::measure(effort),
            Self::Allocations => allocations::measure(effort, allocator),
            Self::Memory => memory::measure(effort),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Row {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|row| row.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("there is no row {name}; the rows are {names}")
        })
    }
}
