//! Runs code on a short-lived thread.
//!
//! Rust's standard library leaves a thread-local variable with a destructor on each thread that starts another. The C library keeps a
//! shared library loaded until such threads have exited: the starter of a server would pin the library that contains this crate.
#![allow(unsafe_code)]

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use mach_sys::kernel::system;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The code to run, and its result.
struct Call<F, R> {
    code: Option<F>,
    returned: Option<std::thread::Result<R>>,
}

/// Returns the size of the thread's stack in bytes. It is small because the C library keeps the stack for a later thread.
fn stack_size() -> usize {
    (STACK + system::stack_overhead()).next_multiple_of(system::page_size())
}

/// The stack in bytes that starting a thread needs in a debug build.
const STACK: usize = 64 * 1024;

/// Runs `code` on another thread, with the calling thread's signal mask, waits for it, and returns its value. A panic of `code` continues
/// on the calling thread.
///
/// # Errors
/// The error of `pthread_attr_init` or `pthread_create`, or `Interrupted` if the thread exited without running `code` to its end.
pub(crate) fn elsewhere<R: Send>(code: impl FnOnce() -> R + Send) -> io::Result<R> {
    let mut call = Call {
        code: Some(code),
        returned: None,
    };
    let argument = (&raw mut call).cast::<c_void>();
    let mut thread = MaybeUninit::uninit();
    let mut attributes = MaybeUninit::uninit();
    // SAFETY: the attributes are initialised before they are used. The routine gets a pointer to `call`, of the types that it is
    // instantiated with, and `call` outlives the thread, which is joined; both are `Send`. Nothing else joins or detaches the thread.
    let error = unsafe {
        match libc::pthread_attr_init(attributes.as_mut_ptr()) {
            0 => {
                // If the size is refused, the thread has the default one.
                libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), stack_size());
                let routine = routine(&call);
                let attributes = attributes.as_mut_ptr();
                let error =
                    libc::pthread_create(thread.as_mut_ptr(), attributes, routine, argument);
                libc::pthread_attr_destroy(attributes);
                if error == 0 {
                    libc::pthread_join(thread.assume_init(), null_mut());
                }
                error
            }
            error => error,
        }
    };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    match call.returned {
        Some(Ok(value)) => Ok(value),
        Some(Err(payload)) => std::panic::resume_unwind(payload),
        None => Err(io::ErrorKind::Interrupted.into()),
    }
}

/// Returns the start routine for a call's types.
fn routine<F: FnOnce() -> R, R>(_: &Call<F, R>) -> extern "C" fn(*mut c_void) -> *mut c_void {
    run::<F, R>
}

extern "C" fn run<F: FnOnce() -> R, R>(argument: *mut c_void) -> *mut c_void {
    // SAFETY: `elsewhere` passes its own call, and does not touch it until this thread has ended.
    let call = unsafe { &mut *argument.cast::<Call<F, R>>() };
    if let Some(code) = call.code.take() {
        call.returned = Some(catch_unwind(AssertUnwindSafe(code)));
    }
    null_mut()
}

#[cfg(test)]
mod tests {
    use super::elsewhere;

    #[test]
    fn code_runs_on_another_thread_and_its_value_or_panic_comes_back() {
        let here = std::thread::current().id();
        let there = elsewhere(|| std::thread::current().id()).expect("a thread");
        assert_ne!(here, there);
        let panicked =
            std::panic::catch_unwind(|| elsewhere::<()>(|| std::panic::resume_unwind(Box::new(7))));
        let payload = panicked.expect_err("the panic");
        assert_eq!(payload.downcast_ref(), Some(&7));
    }
}
