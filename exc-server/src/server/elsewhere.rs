//! Runs code on a thread that ends at once.
//!
//! Rust's library leaves a thread-local variable with a destructor on each thread that starts another. The C library keeps a shared
//! library loaded until such threads have ended: the starter of a server would pin the library that contains this crate.
#![allow(unsafe_code)]

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::{null, null_mut};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What goes over, and comes back.
struct Call<F, R> {
    code: Option<F>,
    returned: Option<std::thread::Result<R>>,
}

/// Runs `code` on another thread, with the calling thread's signal mask, and waits for it.
///
/// # Errors
/// The system refused the thread.
pub(crate) fn elsewhere<R: Send>(code: impl FnOnce() -> R + Send) -> io::Result<R> {
    let mut call = Call {
        code: Some(code),
        returned: None,
    };
    let argument = (&raw mut call).cast::<c_void>();
    let mut thread = MaybeUninit::uninit();
    // SAFETY: the routine gets a pointer to `call`, of the types that it is instantiated with, and `call` outlives the thread, which is
    // joined below; both are `Send`.
    let error =
        unsafe { libc::pthread_create(thread.as_mut_ptr(), null(), routine(&call), argument) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    // SAFETY: the thread was created joinable, and nothing else joins or detaches it.
    unsafe { libc::pthread_join(thread.assume_init(), null_mut()) };
    match call.returned {
        Some(Ok(value)) => Ok(value),
        Some(Err(payload)) => std::panic::resume_unwind(payload),
        None => Err(io::ErrorKind::Interrupted.into()),
    }
}

/// The start routine for a call's types.
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
        let panicked = std::panic::catch_unwind(|| {
            elsewhere(|| std::panic::resume_unwind(Box::new(7))).map(|()| ())
        });
        let payload = panicked.expect_err("the panic");
        assert_eq!(payload.downcast_ref(), Some(&7));
    }
}
