//! The thread-specific key that announces a thread's end.
#![allow(unsafe_code)]

use crate::host::slot::inside;
use crate::host::slot::region::{self, Slot, SlotId};
use crate::host::slot::watch_word;
use core::ffi::c_void;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Passes over the destructors that are counted: all that the C library makes (`PTHREAD_DESTRUCTOR_ITERATIONS`). ThreadSanitizer lets go of
/// a thread at the beginning of the last one, and code that it instruments cannot run there any more.
const PASSES: usize = if cfg!(thread_sanitizer) { 3 } else { 4 };

/// The key, plus one; 0 before it was made.
static KEY: AtomicUsize = AtomicUsize::new(0);

/// Makes the key. Fails with the C library's error number.
pub(in crate::host) fn make() -> Result<(), i32> {
    let mut key = 0;
    // SAFETY: the key goes to a local variable; the destructor is a function for as long as the process lives.
    match unsafe { libc::pthread_key_create(&mut key, Some(destructor)) } {
        0 => {
            KEY.store(key as usize + 1, Ordering::Release);
            Ok(())
        }
        error => Err(error),
    }
}

/// Deletes the key: no destructor of the emulation's is called any more at the end of a thread.
pub(in crate::host) fn delete() {
    if let Some(key) = KEY.swap(0, Ordering::AcqRel).checked_sub(1) {
        // SAFETY: the key was made, and is deleted once.
        unsafe { libc::pthread_key_delete(key as libc::pthread_key_t) };
    }
}

/// Returns the key's value: which slot, and which pass.
fn value(slot: SlotId, pass: usize) -> *const c_void {
    ((slot.index() * PASSES + pass) + 1) as *const c_void
}

/// Arms the calling thread's announcement. Returns whether that worked.
pub(in crate::host) fn arm(slot: SlotId) -> bool {
    set(value(slot, 0))
}

fn set(value: *const c_void) -> bool {
    let Some(key) = KEY.load(Ordering::Acquire).checked_sub(1) else {
        return false;
    };
    // SAFETY: the key was made, and is not deleted while the emulation runs; its value is a number, not a pointer.
    unsafe { libc::pthread_setspecific(key as libc::pthread_key_t, value) == 0 }
}

/// Runs in each pass until the last, and there announces the end. Other libraries' destructors of that pass may still run after
/// it: the thread is served until it is gone.
unsafe extern "C" fn destructor(value_now: *mut c_void) {
    let number = value_now as usize - 1;
    let Some(slot) = region::from_index(number / PASSES) else {
        return;
    };
    if inside::slot().map(Slot::id) != Some(slot) {
        // Of a thread that ended without its destructors, and whose stack the C library gave to this one.
        return;
    }
    let pass = number % PASSES;
    if pass + 1 < PASSES {
        set(value(slot, pass + 1));
        return;
    }
    if let Some(slot) = Slot::of(slot) {
        slot.header().exiting.store(true, Ordering::Release);
        watch_word::announce();
    }
}
