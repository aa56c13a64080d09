//! The starting thread's part of the self-test: a fault in each of the situations that the entry tells apart.
#![allow(unsafe_code)]

use super::answer;
use super::judge;
use super::probe::{Probe, Return};
use crate::error::{SignalFrameError, StartError};
use crate::host::slot::owner;
use crate::host::slot::region::{self, Slot};
use crate::host::sys::altstack::{self, Stack};
use crate::host::sys::call::{call, page_size};
use crate::host::sys::copy::{self, CopyFault};
use crate::host::sys::mask::{self, How};
use crate::host::sys::reservation::Reservation;
use crate::host::sys::thread::gettid;

/// Size of the alternate stack that represents one of the thread's own, in bytes.
const STACK: usize = 64 * 1024;

/// Runs the self-test on the calling thread, which has the five signals unblocked and all others blocked, while the entry is installed and
/// the watching thread not yet started. Leaves the thread as it was.
///
/// Faults of other threads meanwhile go to the previous handlers, as before the start.
pub(in crate::host) fn run() -> Result<(), StartError> {
    let page = page_size();
    let memory = Reservation::new("the self-test", page + STACK)?;
    let base = memory.base().as_ptr() as usize;
    close(base);
    let own = Stack {
        base: base + page,
        flags: 0,
        size: STACK,
    };
    let before = altstack::registered();
    let outcome = in_situations(base, own);
    if !altstack::registered().is_same(&before) {
        // SAFETY: what was registered before. It is not in use: a thread that runs on its alternate stack cannot have changed it.
        let _ = unsafe { altstack::register(&before) };
    }
    give_slot_back();
    outcome.map_err(StartError::SignalFrame)
}

fn in_situations(page: usize, own: Stack) -> Result<(), SignalFrameError> {
    // SAFETY: memory of the test's own, which outlives its registration.
    if unsafe { altstack::register(&own) }.is_err() {
        // The start runs in a signal handler on the alternate stack: there is no other situation.
        probe(page, Return::InPlace, None)?;
        copy_of_bad_memory(page)?;
        return probe(page, Return::AsInService, None);
    }
    // First what no system ends a process for.
    probe(page, Return::InPlace, Some(own))?;
    copy_of_bad_memory(page)?;
    probe(page, Return::AsInService, Some(own))?;
    // There is none where all are other threads', or another handler stands between.
    let lent = own_slot().map(Slot::lent_stack);
    // SAFETY: nothing is registered in its place.
    let _ = unsafe { altstack::register(&Stack::NONE) };
    // The thread keeps the lent stack from here on.
    probe(page, Return::AsInService, lent)?;
    probe(page, Return::AsInService, lent)
}

/// Runs one fault. `stack` is the alternate stack to register afterwards.
fn probe(page: usize, how: Return, stack: Option<Stack>) -> Result<(), SignalFrameError> {
    let before = mask::change(How::Block, 0);
    let probe = Probe::new(page, how, before);
    answer::run(&probe);
    close_if_opened(&probe);
    probe.verdict.get()?;
    judge::effect(&probe.found(), &probe.answered(), probe.copied.get())?;
    if stack.is_some_and(|stack| !altstack::registered().is_same(&stack)) {
        return Err(SignalFrameError::AlternateStack);
    }
    if mask::change(How::Set, before) != before {
        return Err(SignalFrameError::Mask);
    }
    Ok(())
}

/// Copies memory that cannot be read: the one fault that the entry answers without a move.
fn copy_of_bad_memory(page: usize) -> Result<(), SignalFrameError> {
    match copy::read(page as u64, &mut [0]) {
        Err(CopyFault::ProtectionFailure) => Ok(()),
        _ => Err(SignalFrameError::Copy),
    }
}

fn protect(page: usize, access: i32) {
    // SAFETY: a page of the test's own memory that nothing is kept in.
    unsafe {
        call(
            libc::SYS_mprotect,
            [page, page_size(), access as usize, 0, 0, 0],
        )
    };
}

pub(super) fn close(page: usize) {
    protect(page, libc::PROT_NONE);
}

/// Makes the page readable: the way out of a fault that comes again.
pub(super) fn open(page: usize) {
    protect(page, libc::PROT_READ);
}

fn close_if_opened(probe: &Probe) {
    if probe.arrivals.get() > 1 {
        close(probe.page);
    }
}

/// Returns the slot that the calling thread's faults found.
fn own_slot() -> Option<Slot> {
    let tid = gettid();
    let keys = region::keys()?;
    let own = keys.taken().find(|seen| seen.identity().tid() == tid)?;
    Slot::of(region::from_index(own.index())?)
}

/// Frees the calling thread's slot: it has not registered, and may make no kernel call for the rest of its life. Before the watching thread
/// is started, which alone frees slots from then on.
fn give_slot_back() {
    let (Some(keys), Some(slot)) = (region::keys(), own_slot()) else {
        return;
    };
    let Some(seen) = keys.taken().find(|seen| seen.index() == slot.id().index()) else {
        return;
    };
    // Nothing looks this key up meanwhile: the thread is here.
    if let Some(seen) = keys.unmark(seen).filter(|seen| keys.begin_to_free(*seen)) {
        owner::release(slot, seen.identity());
        keys.free(seen);
    }
}
