//! Results that are structures, written as 32-bit words into the caller's room.
#![allow(unsafe_code)]

use super::target::put;
use mach_wire::kern_return::KernReturn;
use mach_wire::pod::{self, Pod};
use mach_wire::types::*;

/// Writes a structure as words, if there is room for it (A9.6 has the same protocol).
///
/// # Safety
/// `to` has room for the words that `count` says, and `count` is valid.
pub(super) unsafe fn give<T: Pod>(
    value: &T,
    to: *mut integer_t,
    count: *mut mach_msg_type_number_t,
) -> Result<(), KernReturn> {
    let words = (size_of::<T>() / size_of::<integer_t>()) as u32;
    // SAFETY: the caller's promise.
    unsafe {
        if count.read() < words {
            return Err(KernReturn::INVALID_ARGUMENT);
        }
        give_words(value, words, to, count);
    }
    Ok(())
}

/// Writes the first words of a structure.
///
/// # Safety
/// `to` has room for them, and `count` is valid. The structure has as many.
pub(super) unsafe fn give_words<T: Pod>(
    value: &T,
    words: mach_msg_type_number_t,
    to: *mut integer_t,
    count: *mut mach_msg_type_number_t,
) {
    let bytes = &pod::bytes_of(value)[..words as usize * size_of::<integer_t>()];
    // SAFETY: the caller's promise.
    unsafe {
        core::ptr::copy_nonoverlapping(bytes.as_ptr(), to.cast(), bytes.len());
        put(count, words);
    }
}
