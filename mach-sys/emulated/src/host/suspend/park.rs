//! The suspended thread's own side. Runs in the fault handler, on the emulation's stack: nothing is allocated, and no thread-local
//! storage is touched.

use crate::host::context::Context;
use crate::host::slot::region::{Slot, SlotId};
use crate::host::slot::suspension::{END, HOLD};
use crate::host::slot::watch_word;
use crate::host::sys::thread::end_this_thread;
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
                slot.header()
                    .exiting
                    .store(true, core::sync::atomic::Ordering::Release);
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
