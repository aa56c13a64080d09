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
    /// Threads that can be known at a time, rounded up to a power of two and at least 1: 2048 by default. Each takes 64 KiB of
    /// address space, and memory for what it touches of it. What the next thread does when all are taken: its kernel calls fail,
    /// and its faults go to the handler that was installed before.
    pub threads: u32,
    /// Whether the trap number and error code in the host's signal frames say what happened. Some sandboxes leave them 0; there the
    /// signal, its code and its address have to do. `None`, the default: one fault at the start tells.
    pub hardware_words: Option<bool>,
    /// What becomes of handlers that somebody installs over the emulation's later.
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

/// What becomes of a handler that somebody installs over the emulation's. Looked at whenever a thread's first kernel call makes it
/// known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenDisplaced {
    /// He is asked first, and the emulation only if he chains.
    #[default]
    Leave,
    /// The emulation goes over him again, and he becomes its host level: asked about what nobody wants.
    TakeBack,
}
