//! Serves the suspension signal (G2.2).
#![allow(unsafe_code)]

use super::crash;
use super::serve::{frame_of_answer, leave};
use crate::host::context::Context;
use crate::host::entry::entered::Entered;
use crate::host::slot::held;
use crate::host::slot::owner::{self, Caller};
use crate::host::slot::region::Slot;
use crate::host::suspend::{own, park};
use crate::host::sys::mask;

/// Serves the suspension signal: the thread waits here if it is suspended. One that is in a kernel call, where it may hold the lock, gets the
/// signal again when it leaves; one in its fault handler looks by itself.
///
/// # Safety
/// `entered` describes a signal frame that the kernel just wrote for the calling thread, `original` is the context in it, and `slot` the
/// thread's.
pub(super) unsafe fn serve(entered: &mut Entered, mut original: Context, slot: Slot) {
    let header = slot.header();
    let reblock = match header.suspension.note_arrival() {
        true => mask::suspension_mask(),
        false => 0,
    };
    original.block_signals(reblock);
    if entered.was_busy() {
        return;
    }
    if header.is_in_kernel() {
        header.suspension.defer();
        return leave(entered, header);
    }
    held::begin_to_keep(header);
    if !entered.is_known() {
        let registered = original.alternate_stack();
        owner::adopt(slot, Caller::InFault { registered });
    }
    crash::handler_returned(header);
    park::announce(slot);
    let address = entered.context;
    // SAFETY: the caller's promise. The original is looked at no more if there is a copy.
    match unsafe { frame_of_answer(entered, original, slot) } {
        Some((frame, mut context)) => {
            // The copy may be older.
            context.block_signals(reblock);
            stop(slot, &mut context);
            entered.frame = frame;
            entered.context = context.as_raw() as usize;
        }
        None => {
            // A frame larger than the copy area. It stays where it is, as the kernel keeps it.
            // SAFETY: as above.
            original = unsafe { Context::from_raw(address as *mut _) };
            stop(slot, &mut original);
        }
    }
    leave(entered, header);
}

fn stop(slot: Slot, context: &mut Context) {
    own::take_visitor(slot, context);
    park::look(slot, context);
}
