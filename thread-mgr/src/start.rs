//! Creates the system's thread, and contains its start routine.
#![allow(unsafe_code)]

use crate::error::{AttachError, SpawnError};
use crate::exit::{self, Managed};
use crate::inner::Inner;
use crate::outcome::{Exit, Shared};
use crate::place::Place;
use crate::take_in::take_in;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use mach_sys::kernel::system;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The smallest stack in bytes: enough for the start and the exit of a thread in a debug build, and some for its body.
const SMALLEST_STACK: usize = 128 * 1024;

/// The argument of a new thread's start routine.
pub(crate) struct Start<F, T> {
    pub(crate) body: F,
    pub(crate) name: Option<String>,
    pub(crate) inner: Arc<Inner>,
    pub(crate) shared: Arc<Shared<T>>,
}

/// Creates the system's thread, with a stack of `stack_size` bytes or the system's default.
pub(crate) fn create<F, T>(
    stack_size: Option<usize>,
    start: Box<Start<F, T>>,
) -> Result<libc::pthread_t, SpawnError>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: the call initialises the attributes.
    let error = unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) };
    if error != 0 {
        return Err(SpawnError::Create(io::Error::from_raw_os_error(error)));
    }
    let own = stack_size.map_or_else(
        || {
            let mut default = 0;
            // SAFETY: initialised above, with the system's default; the result goes to a local variable.
            unsafe { libc::pthread_attr_getstacksize(attributes.as_ptr(), &mut default) };
            default
        },
        |size| size.max(SMALLEST_STACK),
    );
    // One of the systems refuses a size that is not whole pages. Both refuse a size that overflows.
    let size = system::stack_size_for(own);
    // SAFETY: initialised above.
    let sized = unsafe { libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), size) };
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    let pointer = Box::into_raw(start);
    let error = match sized {
        // SAFETY: the routine takes ownership of the pointer, which it gets exactly once if the thread is created. It is
        // `C-unwind`, so that a forced unwind may pass through it; libc's declaration has `C`, with the same calling convention.
        0 => unsafe {
            libc::pthread_create(
                thread.as_mut_ptr(),
                attributes.as_ptr(),
                core::mem::transmute::<
                    extern "C-unwind" fn(*mut c_void) -> *mut c_void,
                    extern "C" fn(*mut c_void) -> *mut c_void,
                >(run::<F, T>),
                pointer.cast(),
            )
        },
        error => error,
    };
    // SAFETY: initialised above, and not used afterwards.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    if error == 0 {
        // SAFETY: the call that succeeded filled it.
        return Ok(unsafe { thread.assume_init() });
    }
    // SAFETY: no thread was created, so that this function still owns the pointer.
    drop(unsafe { Box::from_raw(pointer) });
    let source = io::Error::from_raw_os_error(error);
    Err(match stack_size {
        Some(size) if sized != 0 => SpawnError::StackSize { size, source },
        _ => SpawnError::Create(source),
    })
}

/// Attaches the thread, runs its body and stores the result. The C library calls `pthread_exit` when this returns.
extern "C-unwind" fn run<F, T>(argument: *mut c_void) -> *mut c_void
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // SAFETY: `create` gave this box to this thread, once.
    let start = unsafe { Box::from_raw(argument.cast::<Start<F, T>>()) };
    let Start {
        body,
        name,
        inner,
        shared,
    } = *start;
    let taken = {
        let _group = system::group_calls();
        take_in(&inner, name, true).and_then(|running| {
            let id = running.id();
            let managed = Managed::started(running, Arc::clone(&shared.report));
            let place = exit::adopt(managed).map_err(AttachError::Hook)?;
            let look = inner.registry.leave(id, place.expose_provenance());
            Ok((place, id, look))
        })
    };
    if let Ok((_, _, true)) = taken {
        // From now on the server checks whether the thread is gone.
        inner.server.wake();
    }
    drop(inner);
    let (place, id) = match taken {
        Ok((place, id, _)) => (place, id),
        Err(error) => {
            // Nothing may unwind out of this function, and the body's captures have destructors.
            quietly(|| drop(body));
            shared.report_start(Err(error));
            return core::ptr::null_mut();
        }
    };
    shared.report_start(Ok(id));
    let mut call = Call {
        body: Some(body),
        outcome: None,
    };
    // SAFETY: the place is this thread's, and the record stays until the last pass of destructors.
    let spawned = unsafe { Place::value(place) }.and_then(Managed::spawned);
    if let Some(spawned) = spawned {
        let argument = core::ptr::from_mut(&mut call).cast();
        spawned.way_back.call(call_body::<F, T>, argument);
        shared.exit.put(match call.outcome.take() {
            Some(Ok(value)) => Ok(Exit::Returned(value)),
            Some(Err(payload)) => Err(payload),
            None => Ok(Exit::Exited(spawned.exit_value.get())),
        });
    }
    // The result of a detached thread is dropped here, and its destructor may panic.
    quietly(|| drop(shared));
    core::ptr::null_mut()
}

/// Runs destructors and catches their panics. The payload of a panic is leaked, because its own destructor may panic as well.
fn quietly(destructors: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(destructors)) {
        core::mem::forget(payload);
    }
}

/// The body of a thread, and its result.
struct Call<F, T> {
    body: Option<F>,
    /// The body's value or panic; `None` until it returned, and if it left by `exit_now`.
    outcome: Option<std::thread::Result<T>>,
}

extern "C" fn call_body<F: FnOnce() -> T, T>(argument: *mut c_void) {
    // SAFETY: `run` passed its own `Call`, which outlives this.
    let call = unsafe { &mut *argument.cast::<Call<F, T>>() };
    if let Some(body) = call.body.take() {
        call.outcome = Some(catch_unwind(AssertUnwindSafe(body)));
    }
}

#[cfg(test)]
mod tests {
    use crate::{AttachError, Manager, SpawnError};
    use core::ffi::c_int;
    use mach_sys::darwin::{siginfo_t, ucontext_t};
    use signal_redirect::Entry;

    unsafe extern "C" fn handler(_: c_int, _: *mut siginfo_t, _: *mut ucontext_t) {}

    struct PanicsWhenDropped;

    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            std::panic::panic_any(Self);
        }
    }

    #[test]
    fn a_thread_that_cannot_be_attached_drops_its_body_and_catches_its_panic() {
        // SAFETY: the handler does nothing.
        let entry = unsafe { Entry::new(handler) };
        let manager = Manager::builder(entry).build().expect("a manager");
        let records = &manager.inner.records;
        let last = std::iter::from_fn(|| records.open(7, 0..1, 0)).last();
        let captured = PanicsWhenDropped;
        let refused = manager.spawn(move || core::mem::forget(captured));
        assert!(matches!(
            refused,
            Err(SpawnError::Attach(AttachError::Full))
        ));
        records.close(last.expect("a place"));
        let handle = manager.spawn(|| 5).expect("a thread");
        assert_eq!(handle.join().expect("a thread").exit.returned(), Some(5));
    }
}
