//! Setting the host layer up: every process-wide hook, in one place.
//!
//! The region of slots; a page that tells children of a fork; handlers for the five synchronous signals; one thread-specific-data key;
//! a `pthread_atfork` handler; one watching thread.
#![allow(unsafe_code)]

use super::entry::entered::{Handlers, set_handlers};
use super::exit::{key, watcher};
use super::fault::{Trap, Verdict, arrived, chained, previous, serve, trap};
use super::slot::region::{self, SlotId};
use super::slot::{origin, owner};
use super::sys::mask::{self, How, Mask, SYNCHRONOUS_MASK};
use crate::config::Config;
use crate::error::HostError;
use std::io;

/// What the layers above do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hooks {
    /// A thread faulted. Called on it, in its fault handler.
    pub(crate) trap: fn(&mut Trap<'_>) -> Verdict,
    /// A thread is gone. Called on the watching thread, or on a thread that got its identifier, in the fault handler for example.
    pub(crate) ended: fn(SlotId),
}

/// Sets everything up; once. `outer` is the signal mask of the starter.
pub(crate) fn start(config: &Config, outer: Mask, hooks: Hooks) -> Result<(), HostError> {
    origin::mark()?;
    region::reserve(config.slots())?;
    set_handlers(Handlers {
        serve: serve::serve,
        serve_chained: chained::serve,
    });
    trap::set_hook(hooks.trap);
    owner::set_hook(hooks.ended);
    key::make().map_err(hook_error)?;
    // SAFETY: the handler is a function for as long as the process lives.
    match unsafe { libc::pthread_atfork(None, None, Some(forked)) } {
        0 => {}
        error => return Err(hook_error(error)),
    }
    watcher::start(outer).map_err(HostError::Watcher)?.detach();
    previous::set_policy(config.displaced);
    previous::install().map_err(|errno| HostError::Handler(io::Error::from_raw_os_error(errno)))?;
    // A blocked signal would kill at the probe's fault.
    let before = mask::change(How::Unblock, SYNCHRONOUS_MASK);
    arrived::probe(config.hardware_words);
    mask::change(How::Set, before);
    Ok(())
}

/// What pthreads answered: an error number.
fn hook_error(errno: i32) -> HostError {
    HostError::Hook(io::Error::from_raw_os_error(errno))
}

/// In the child of a fork: none of the emulation's threads is here, and none would answer. Every fault goes to the handler that was
/// there before.
unsafe extern "C" fn forked() {
    origin::wipe();
}
