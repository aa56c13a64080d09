//! Stacks of threads: the calling thread's, and those to be made.
#![allow(unsafe_code)]

use super::call::page_size;
use core::mem::MaybeUninit;
use core::ops::Range;

/// Returns the lowest and the highest address, without the guard. Allocates (glibc asks `/proc` about the main thread).
pub(crate) fn bounds() -> Option<Range<usize>> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: the call initialises the attributes of the calling thread, if it answers 0.
    let error = unsafe { libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) };
    if error != 0 {
        return None;
    }
    let (mut base, mut size) = (core::ptr::null_mut(), 0);
    // SAFETY: initialised above; the results go to local variables, and the attributes are destroyed once.
    let error = unsafe {
        let error = libc::pthread_attr_getstack(attributes.as_ptr(), &mut base, &mut size);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        error
    };
    let base = base as usize;
    (error == 0).then(|| base..base.saturating_add(size))
}

/// Returns how many bytes the C library takes out of a new thread's stack: all thread-local variables that the loaded objects declare, as many as
/// may be in the part that every thread has from its start, and the C library's own record of the thread.
pub(crate) fn overhead() -> usize {
    /// Bytes that glibc has there beside variables: its record of the thread, and room for objects loaded later.
    const RECORD: usize = 16 * 1024;
    unsafe extern "C" fn add(
        object: *mut libc::dl_phdr_info,
        _: libc::size_t,
        sum: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: the loader hands over its own description of an object, and the pointer that it was given.
        let (headers, sum) = unsafe {
            let object = &*object;
            let count = usize::from(object.dlpi_phnum);
            let headers = match object.dlpi_phdr.is_null() {
                true => &[],
                false => core::slice::from_raw_parts(object.dlpi_phdr, count),
            };
            (headers, &mut *sum.cast::<usize>())
        };
        for header in headers
            .iter()
            .filter(|header| header.p_type == libc::PT_TLS)
        {
            let size = (header.p_memsz as usize).saturating_add(header.p_align as usize);
            *sum = sum.saturating_add(size);
        }
        0
    }
    let mut sum = RECORD;
    // SAFETY: the callback takes the sum for what it is, and does not outlive the call.
    unsafe { libc::dl_iterate_phdr(Some(add), (&raw mut sum).cast()) };
    sum
}

/// Returns the size of a stack of which a new thread has so many bytes: whole pages, beyond what the C library takes. `usize::MAX`, which every
/// system refuses, where there is no such size.
pub(crate) fn size_for(bytes: usize) -> usize {
    bytes
        .checked_add(overhead())
        .and_then(|size| size.checked_next_multiple_of(page_size()))
        .unwrap_or(usize::MAX)
}
