//! What can be chosen about the emulated kernel. Plain data, the same on every host, so that a portable program can name it.

use crate::rules::Generation;

/// How the emulated Mach is set up. Made by `default`, then changed:
///
/// ```
/// let mut config = mach_emulated::Config::default();
/// config.threads = 256;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Threads that can be known at a time, rounded up to a power of two and at least 1: 2048 by default. Each takes 256 KiB of
    /// address space (512 KiB where pages have 64 KiB), and memory for the pages that it touches of it: two or three as a rule. When
    /// all are taken, the next thread's kernel calls fail with `KERN_RESOURCE_SHORTAGE`, and its faults go to the previous signal
    /// handler.
    pub threads: u32,
    /// Whether the trap number and error code in the host's signal frames say what happened. Some sandboxes leave them 0; there the
    /// signal, its code and its address have to do. `None`, the default: one fault at the start tells.
    pub hardware_words: Option<bool>,
    /// What becomes of handlers that are installed over the emulation's after the start.
    pub displaced: WhenDisplaced,
    /// Which macOS the kernel behaves as, where versions differ: macOS 26 by default.
    pub generation: Generation,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threads: 2048,
            hardware_words: None,
            displaced: WhenDisplaced::default(),
            generation: Generation::default(),
        }
    }
}

impl Config {
    /// How many threads the kernel has room for: [`threads`](Self::threads), at least 1 and at most 65 536, rounded up to a power
    /// of two.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.threads.clamp(1, LARGEST).next_power_of_two()
    }
}

/// More would not fit the kernel's table of threads.
const LARGEST: u32 = 1 << 16;

/// What becomes of a handler that is installed over the emulation's after the start. Applied whenever a thread's first kernel call makes it
/// known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenDisplaced {
    /// It runs first, and the emulation sees a fault only if it chains.
    #[default]
    Leave,
    /// The emulation replaces it again, and it becomes the signal fallback: it runs for faults that no exception handler wants.
    TakeBack,
}
