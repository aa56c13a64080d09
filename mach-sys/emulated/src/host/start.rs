//! Setting the host layer up: every process-wide hook, in one place.
//!
//! The region of slots; a page that tells children of a fork; handlers for the five synchronous signals; one thread-specific-data key;
//! a `pthread_atfork` handler; one watching thread.
#![allow(unsafe_code)]

use super::context::Context;
use super::entry::entered::{Handlers, set_handlers};
use super::exit::{key, watcher};
use super::fault::{
    Trap, Verdict, arrived, chained, crash, posted, previous, self_test, serve, trap,
};
use super::raw;
use super::slot::inside;
use super::slot::keys::Keys;
use super::slot::region::{self, Slot, SlotId};
use super::slot::{origin, owner, watch_word};
use super::suspend::{park, signal};
use super::sys::altstack::{self, Stack};
use super::sys::mask::{self, How, Mask, SYNCHRONOUS_MASK};
use super::sys::{main_stack, needed, object, thread};
use crate::config::Config;
use crate::error::{StartError, StopError, SystemError};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io;

/// Functions of the layers above.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hooks {
    /// A thread faulted. Called on it, in its fault handler.
    pub(crate) trap: fn(&mut Trap<'_>) -> Verdict,
    /// A thread is gone. Called on the watching thread, or on a thread that got its identifier, in the fault handler for example.
    pub(crate) ended: fn(SlotId),
    /// A thread is about to wait, suspended, with these registers; or has them back. Called on it, in its fault handler.
    pub(crate) parked: fn(SlotId, Option<&mut Context>),
    /// Does what is due, and returns the time until there is more. Called on the watching thread, in each round.
    pub(crate) tick: fn() -> Option<Duration>,
}

/// True once `pthread_atfork` was called.
static HOOKED: AtomicBool = AtomicBool::new(false);

/// Sets everything up; once until [`stop`]. `outer` is the signal mask of the starter. Where that fails the signal handlers from before
/// are installed again, and the key, the watching thread and, unless a handler was installed meanwhile, the memory are given back.
pub(crate) fn start(config: &Config, outer: Mask, hooks: Hooks) -> Result<(), StartError> {
    needed::try_all().map_err(|(name, source)| SystemError::Call { name, source })?;
    // Before anything could call into the object that this is in.
    object::pin();
    origin::mark().map_err(SystemError::from)?;
    region::reserve(config.slots()).map_err(SystemError::from)?;
    set_handlers(Handlers {
        serve: serve::serve,
        serve_chained: chained::serve,
    });
    trap::set_hook(hooks.trap);
    owner::set_hook(hooks.ended);
    park::set_hook(hooks.parked);
    watcher::set_tick(hooks.tick);
    // SAFETY: no arguments.
    park::note_pthread(unsafe { libc::pthread_self() });
    previous::set_policy(config.displaced);
    posted::configure(config.fallback_signals);
    main_stack::find();
    // What is most often refused, before any fault can enter the emulation: nothing of it is in use yet.
    if let Err(error) = hook_and_watch(outer) {
        key::delete();
        if !previous::may_be_entered() {
            // SAFETY: no thread has entered the fault handler, or registered: there is no kernel yet.
            unsafe { region::give_back() };
            object::unpin();
        }
        return Err(error.into());
    }
    let outcome = install_and_test(config);
    match outcome {
        Ok(()) => {
            signal::take(config.suspension_signal);
            crash::start(config.crashes, config.generation);
        }
        Err(_) => {
            // Another thread may still be in the fault handler: the slots stay.
            let displaced = previous::uninstall();
            watcher::stop();
            origin::forget_watching_thread();
            key::delete();
            if displaced.is_empty() {
                object::unpin();
            }
        }
    }
    outcome
}

/// Installs the fault handler, and tries it.
fn install_and_test(config: &Config) -> Result<(), StartError> {
    previous::install()
        .map_err(|errno| SystemError::Handler(io::Error::from_raw_os_error(errno)))?;
    // A blocked signal would kill at the test's faults.
    let before = mask::change(How::Unblock, SYNCHRONOUS_MASK);
    let outcome = self_test::run();
    if outcome.is_ok() {
        arrived::probe(config.hardware_words);
    }
    mask::change(How::Set, before);
    outcome
}

/// Hooks the end of threads and `fork`, and starts the watching thread.
fn hook_and_watch(outer: Mask) -> Result<(), SystemError> {
    key::make().map_err(hook_error)?;
    // The C library forgets it when the object is unloaded, and not before.
    if !HOOKED.load(Ordering::Acquire) {
        // SAFETY: the handler is a function for as long as the object is loaded.
        match unsafe { libc::pthread_atfork(None, None, Some(forked)) } {
            0 => HOOKED.store(true, Ordering::Release),
            error => return Err(hook_error(error)),
        }
    }
    watcher::start(outer).map_err(SystemError::Watcher)?;
    Ok(())
}

/// Number of waits of 1 ms for threads that have ended to free their slots.
const TRIES: u32 = 100;

/// Returns whether the emulation may stop: no server's thread is left, and no thread needs its slot but the calling one.
pub(crate) fn may_stop() -> Result<(), StopError> {
    if inside::ever_served() {
        return Err(StopError::Servers { count: 1 });
    }
    let here = altstack::registered();
    let in_kernel = inside::slot().is_some_and(|slot| slot.header().is_in_kernel());
    if in_kernel || here.is_in_use() {
        return Err(StopError::SignalHandler);
    }
    for _ in 0..TRIES {
        if needed().is_ok() {
            break;
        }
        watch_word::hurry();
        std::thread::sleep(Duration::from_millis(1));
    }
    needed()
}

/// Counts the threads that need the emulation.
fn needed() -> Result<(), StopError> {
    let (mut servers, mut threads) = (0, 0);
    let this = inside::slot().map(Slot::id);
    let taken = region::keys().into_iter().flat_map(Keys::taken);
    for seen in taken {
        let Some(slot) = region::from_index(seen.index()).and_then(Slot::of) else {
            continue;
        };
        let header = slot.header();
        // Where a sandbox refuses the question, a thread counts until the watching thread knows better.
        let is_gone = thread::exists(seen.identity().tid()) == Some(false);
        if header.owner() != seen.identity() || is_gone {
            continue;
        }
        let has_lent = header.has_lent.load(Ordering::Acquire) && Some(slot.id()) != this;
        if header.served() != 0 {
            servers += 1;
        } else if has_lent || header.is_waiting() || header.readied.load(Ordering::Acquire) != 0 {
            threads += 1;
        }
    }
    match (servers, threads) {
        (0, 0) => Ok(()),
        (0, count) => Err(StopError::Threads { count }),
        (count, _) => Err(StopError::Servers { count }),
    }
}

/// Undoes [`start`], but for the memory that [`give_back`] gives back. No fault enters the emulation afterwards, and no end of a thread.
/// Returns the signals that other handlers are installed for.
pub(crate) fn stop() -> Vec<i32> {
    let mut displaced = previous::uninstall();
    displaced.extend(crash::stop());
    signal::give_back();
    watcher::stop();
    key::delete();
    if let Some(slot) =
        inside::slot().filter(|slot| altstack::registered().is_same(&slot.lent_stack()))
    {
        debug_assert!(slot.header().has_lent.load(Ordering::Acquire));
        // SAFETY: no stack at all, as before it was lent. The thread does not run on it.
        let _ = unsafe { altstack::register(&Stack::NONE) };
    }
    displaced
}

/// Gives the memory back, after [`stop`], and lets the object be unloaded unless handlers may still chain to it.
///
/// # Safety
/// No other thread uses the emulation, and nothing of this start is used afterwards.
pub(crate) unsafe fn give_back(displaced: &[i32]) {
    // SAFETY: the caller's promise.
    unsafe {
        origin::unmark();
        region::give_back();
    }
    owner::forget_all();
    raw::forget_ended();
    if displaced.is_empty() {
        object::unpin();
    }
}

/// Converts an error number of pthreads.
fn hook_error(errno: i32) -> SystemError {
    SystemError::Hook(io::Error::from_raw_os_error(errno))
}

/// Runs in the child of a fork, which has none of the emulation's threads to answer a fault. Every fault goes to the handler that was
/// there before.
unsafe extern "C" fn forked() {
    origin::wipe();
}
