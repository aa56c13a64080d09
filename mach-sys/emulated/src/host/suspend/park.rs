//! The suspended thread's own side (G4.2, A8.7, A8.10). Runs in the fault handler, on the emulation's stack: nothing is allocated, and no thread-local
//! storage is touched.

use crate::host::context::Context;
use crate::host::slot::region::{Slot, SlotId};
use crate::host::slot::suspension::{END, HOLD};
use crate::host::slot::watch_word;
use crate::host::sys::mask::{self, ALL_MASK, How};
use crate::host::sys::thread::{end_this_thread, thread_pointer};
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::OnceLock;

/// Hook of the layers above: the registers of a thread that is about to wait, or `None` when it has them back. Called on that
/// thread.
type Hook = fn(SlotId, Option<&mut Context>);

static SHOW: OnceLock<Hook> = OnceLock::new();

/// Sets the function that is shown the registers of a thread that waits.
pub(in crate::host) fn set_hook(show: Hook) {
    SHOW.get_or_init(|| show);
}

fn show(slot: Slot, context: Option<&mut Context>) {
    if let Some(show) = SHOW.get() {
        show(slot.id(), context);
    }
}

/// Makes the calling thread known to the layers above, if it was not: the suspension signal found it.
pub(in crate::host) fn announce(slot: Slot) {
    let header = slot.header();
    if header.pthread.load(Ordering::Relaxed) == 0 {
        let pthread = thread_pointer().wrapping_add(PTHREAD.load(Ordering::Relaxed));
        header.pthread.store(pthread as u64, Ordering::Release);
    }
    show(slot, None);
}

/// Distance from a thread's pointer to its `pthread_t`, which is the same for all threads of a C library.
static PTHREAD: AtomicUsize = AtomicUsize::new(0);

/// Notes that distance, on a thread of the C library's.
pub(in crate::host) fn note_pthread(this: libc::pthread_t) {
    PTHREAD.store(
        (this as usize).wrapping_sub(thread_pointer()),
        Ordering::Relaxed,
    );
}

/// Waits as long as the calling thread is suspended, with its registers in `context`, which others may change meanwhile. Does not return
/// if the thread is terminated. A load where nothing is wanted.
pub(in crate::host) fn look(slot: Slot, context: &mut Context) {
    let suspension = &slot.header().suspension;
    if suspension.enter_program() != 0 {
        stay(slot, context);
    }
}

#[cold]
fn stay(slot: Slot, context: &mut Context) {
    let suspension = &slot.header().suspension;
    loop {
        show(slot, Some(context));
        suspension.leave_program();
        loop {
            let wanted = suspension.wanted();
            if wanted & END != 0 {
                mask::change(How::Block, ALL_MASK);
                slot.header().leave_for_good();
                slot.header().exiting.store(true, Ordering::Release);
                watch_word::hurry();
                end_this_thread();
            }
            if wanted & HOLD == 0 {
                break;
            }
            suspension.sleep(wanted);
        }
        show(slot, None);
        if suspension.enter_program() == 0 {
            return;
        }
    }
}
