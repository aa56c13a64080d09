//! Setting the host layer up: every process-wide hook, in one place.
//!
//! The region of slots; handlers for the five synchronous signals; one thread-specific-data key; a `pthread_atfork` handler; one
//! watching thread.
#![allow(unsafe_code)]

use super::fault::{self, Trap, Verdict};
use super::previous::WhenDisplaced;
use super::signals::Blocked;
use super::slot::{self, SlotId};
use super::{exit, previous};
use crate::ipc::arena::ReserveError;

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
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threads: 2048,
            hardware_words: None,
            displaced: WhenDisplaced::default(),
        }
    }
}

impl Config {
    /// As many threads as there will be slots.
    pub(crate) fn slots(&self) -> u32 {
        self.threads.clamp(1, LARGEST).next_power_of_two()
    }
}

/// More would not fit the kernel's table of threads.
const LARGEST: u32 = 1 << 16;

/// What the layers above do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hooks {
    /// A thread faulted. Called on it, in its fault handler.
    pub(crate) trap: fn(&mut Trap<'_>) -> Verdict,
    /// A thread is gone. Called on the watching thread.
    pub(crate) ended: fn(SlotId),
}

/// The host refused something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No address space for the threads' slots.
    #[error(transparent)]
    Memory(#[from] ReserveError),
    /// `sigaction` failed.
    #[error("installing the fault handler failed with errno {0}")]
    Handler(i32),
    /// `pthread_key_create` or `pthread_atfork` failed.
    #[error("hooking the end of threads and fork failed with error {0}")]
    Hook(i32),
    /// The watching thread could not be created.
    #[error("starting the thread that watches for the end of others")]
    Watcher(#[source] std::io::Error),
}

/// Sets everything up; once.
pub(crate) fn start(config: &Config, hooks: Hooks) -> Result<(), StartError> {
    slot::reserve(config.slots())?;
    fault::set_hook(hooks.trap);
    exit::set_hook(hooks.ended);
    exit::make_key().map_err(StartError::Hook)?;
    // SAFETY: the handler is a function for as long as the process lives.
    match unsafe { libc::pthread_atfork(None, None, Some(forked)) } {
        0 => {}
        error => return Err(StartError::Hook(error)),
    }
    {
        // The watcher inherits the mask, so that no signal of the process's is ever delivered to it.
        let _blocked = Blocked::new();
        std::thread::Builder::new()
            .name("mach-sys".into())
            .spawn(|| exit::watch())
            .map_err(StartError::Watcher)?;
        exit::wait_for_watcher();
    }
    previous::set_policy(config.displaced);
    previous::install().map_err(StartError::Handler)?;
    fault::probe(config.hardware_words);
    Ok(())
}

/// In the child of a fork: none of the emulation's threads is here, and nobody would answer. Every fault goes to the handler that
/// was there before.
unsafe extern "C" fn forked() {
    slot::set_forked();
}
