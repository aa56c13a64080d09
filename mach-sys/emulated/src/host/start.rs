//! Setting the host layer up: every process-wide hook, in one place.
//!
//! The region of slots; handlers for the five synchronous signals; one thread-specific-data key; a `pthread_atfork` handler; one
//! watching thread.
#![allow(unsafe_code)]

use super::fault::{self, Trap, Verdict};
use crate::config::Config;
use super::signals::Blocked;
use super::slot::{self, SlotId};
use super::{exit, previous};
use crate::error::HostError;

/// What the layers above do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hooks {
    /// A thread faulted. Called on it, in its fault handler.
    pub(crate) trap: fn(&mut Trap<'_>) -> Verdict,
    /// A thread is gone. Called on the watching thread.
    pub(crate) ended: fn(SlotId),
}

/// Sets everything up; once.
pub(crate) fn start(config: &Config, hooks: Hooks) -> Result<(), HostError> {
    slot::reserve(config.slots())?;
    fault::set_hook(hooks.trap);
    exit::set_hook(hooks.ended);
    exit::make_key().map_err(HostError::Hook)?;
    // SAFETY: the handler is a function for as long as the process lives.
    match unsafe { libc::pthread_atfork(None, None, Some(forked)) } {
        0 => {}
        error => return Err(HostError::Hook(error)),
    }
    {
        // The watcher inherits the mask, so that no signal of the process's is ever delivered to it.
        let _blocked = Blocked::new();
        std::thread::Builder::new()
            .name("mach-sys".into())
            .spawn(|| exit::watch())
            .map_err(HostError::Watcher)?;
        exit::wait_for_watcher();
    }
    previous::set_policy(config.displaced);
    previous::install().map_err(HostError::Handler)?;
    fault::probe(config.hardware_words);
    Ok(())
}

/// In the child of a fork: none of the emulation's threads is here, and nobody would answer. Every fault goes to the handler that
/// was there before.
unsafe extern "C" fn forked() {
    slot::set_forked();
}
