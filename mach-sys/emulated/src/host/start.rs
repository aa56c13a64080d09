//! Setting the host layer up: every process-wide hook, in one place.
//!
//! The region of slots; a page that tells children of a fork; handlers for the five synchronous signals; one thread-specific-data key;
//! a `pthread_atfork` handler; one watching thread.
#![allow(unsafe_code)]

use super::entry::entered::{Handlers, set_handlers};
use super::exit::{key, watcher};
use super::fault::{Trap, Verdict, arrived, chained, previous, self_test, serve, trap};
use super::slot::inside::InKernel;
use super::slot::region::{self, SlotId};
use super::slot::{origin, owner};
use super::sys::mask::{self, How, SYNCHRONOUS_MASK};
use super::sys::stack;
use crate::config::Config;
use crate::error::{HostError, StartError};
use std::io;

/// What the layers above do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hooks {
    /// A thread faulted. Called on it, in its fault handler.
    pub(crate) trap: fn(&mut Trap<'_>) -> Verdict,
    /// A thread is gone. Called on the watching thread, or on a thread that got its identifier, in the fault handler for example.
    pub(crate) ended: fn(SlotId),
}

/// Sets everything up; once. Where that fails the signal handlers from before are installed again.
pub(crate) fn start(config: &Config, hooks: Hooks) -> Result<(), StartError> {
    origin::mark().map_err(HostError::from)?;
    region::reserve(config.slots()).map_err(HostError::from)?;
    set_handlers(Handlers {
        serve: serve::serve,
        serve_chained: chained::serve,
    });
    trap::set_hook(hooks.trap);
    owner::set_hook(hooks.ended);
    previous::set_policy(config.displaced);
    let outcome = install_and_test(config).and_then(|()| Ok(hook_and_watch()?));
    if outcome.is_err() {
        previous::uninstall();
    }
    outcome
}

/// Installs the fault handler, and tries it.
fn install_and_test(config: &Config) -> Result<(), StartError> {
    previous::install().map_err(|errno| HostError::Handler(io::Error::from_raw_os_error(errno)))?;
    // A blocked signal would kill at the test's faults.
    let before = mask::change(How::Unblock, SYNCHRONOUS_MASK);
    let outcome = self_test::run();
    if outcome.is_ok() {
        arrived::probe(config.hardware_words);
    }
    mask::change(How::Set, before);
    outcome
}

/// Bytes of stack that the watching thread has for its own, many times what it takes.
const WATCHER_STACK: usize = 256 * 1024;

/// Hooks the end of threads and `fork`, and starts the watching thread.
fn hook_and_watch() -> Result<(), HostError> {
    key::make().map_err(hook_error)?;
    // SAFETY: the handler is a function for as long as the process lives.
    match unsafe { libc::pthread_atfork(None, None, Some(forked)) } {
        0 => {}
        error => return Err(hook_error(error)),
    }
    // The watcher inherits the mask, so that no signal of the process's is ever delivered to it.
    let _blocked = InKernel::enter();
    std::thread::Builder::new()
        .name("mach-sys".into())
        .stack_size(stack::size_for(WATCHER_STACK))
        .spawn(|| watcher::watch())
        .map_err(HostError::Watcher)?;
    watcher::wait_until_it_watches();
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
