//! The calling thread's stack.
#![allow(unsafe_code)]

use core::mem::MaybeUninit;
use core::ops::Range;

/// Lowest and highest address, without the guard. Allocates (glibc asks `/proc` about the main thread).
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
