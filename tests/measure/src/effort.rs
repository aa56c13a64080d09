//! The amount of work in a measurement.

/// Sizes of the measurements.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Faults in a batch.
    pub batch: u32,
    /// Batches of each way, whose median counts.
    pub rounds: usize,
    /// Threads started and joined in a batch.
    pub lives: u32,
    /// Threads that are alive while dispatch is measured; each has ten routes.
    pub live_threads: usize,
    /// Threads started and ended while leaks are counted.
    pub leak_threads: u32,
    /// Threads, routes by tens, and server threads by tenths, while memory is measured.
    pub memory_threads: usize,
}

impl Effort {
    /// The sizes that the targets are for. Batches are short, so that most of them are not interrupted on a machine that does other work.
    pub const FULL: Self = Self {
        batch: 250,
        rounds: 101,
        lives: 100,
        live_threads: 1000,
        leak_threads: 2000,
        memory_threads: 500,
    };

    /// Sizes that show that everything runs, and nothing else.
    pub const QUICK: Self = Self {
        batch: 20,
        rounds: 3,
        lives: 5,
        live_threads: 10,
        leak_threads: 20,
        memory_threads: 20,
    };
}
