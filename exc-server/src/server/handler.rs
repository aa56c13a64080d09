//! The handler that a server calls.

use crate::answer::Answered;
use crate::request::exception::Exception;
use std::sync::Arc;

/// A handler that answers exceptions on the server's thread.
///
/// The faulting thread is stopped at an arbitrary instruction and may hold any lock, including the allocator's. A handler that locks
/// or allocates is sound, but may deadlock with the thread that waits for its answer.
///
/// While the handler runs, the server's thread has the signal mask of the thread that started the server, so that threads and processes
/// that the handler starts inherit that mask. Otherwise the thread blocks all signals but those that its own faults raise.
///
/// A closure need not implement this trait: pass it to [`Server::start`](crate::Server::start). Pass a value that implements this trait, or
/// an `Arc` of it, to [`Server::start_handler`](crate::Server::start_handler).
///
/// ```
/// use exc_server::{Answered, Exception, Handler, Server};
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// #[derive(Default)]
/// struct Counting(AtomicU64);
///
/// impl Handler for Counting {
///     fn handle(&self, exception: Exception<'_>) -> Answered {
///         self.0.fetch_add(1, Ordering::Relaxed);
///         exception.decline()
///     }
/// }
///
/// let counting = Arc::new(Counting::default());
/// let server = Server::start_handler(Arc::clone(&counting))?;
/// assert_eq!(counting.0.load(Ordering::Relaxed), 0);
/// # server.shutdown();
/// # Ok::<(), exc_server::ServerStartError>(())
/// ```
#[doc(alias = "catch_mach_exception_raise")]
#[doc(alias = "catch_mach_exception_raise_state")]
#[doc(alias = "catch_mach_exception_raise_state_identity")]
#[doc(alias = "catch_exception_raise")]
#[diagnostic::on_unimplemented(
    note = "`Server::start` and `ServerBuilder::start` take a closure; the calls that end in `_handler` take a `Handler`"
)]
pub trait Handler: Send + Sync + 'static {
    /// Answers one exception, and returns the proof.
    fn handle(&self, exception: Exception<'_>) -> Answered;

    /// Returns whether [`handle`](Self::handle) never starts a thread or a process. If so, it runs with the server thread's own signal
    /// mask, which saves two system calls.
    #[doc(hidden)]
    fn starts_nothing(&self) -> bool {
        false
    }

    /// Does periodic work on the server's thread, between exceptions. It is called after [`Server::wake`](crate::Server::wake), and again
    /// after the milliseconds that it returns; for `None` not again until the next `wake`.
    #[doc(hidden)]
    fn look_around(&self) -> Option<u32> {
        None
    }
}

/// Implements `Handler` for a pointer to a handler, which passes every call on.
macro_rules! pointers {
    ($($pointer:ident)*) => {$(
        impl<H: Handler + ?Sized> Handler for $pointer<H> {
            fn handle(&self, exception: Exception<'_>) -> Answered {
                H::handle(self, exception)
            }

            fn starts_nothing(&self) -> bool {
                H::starts_nothing(self)
            }

            fn look_around(&self) -> Option<u32> {
                H::look_around(self)
            }
        }
    )*};
}

pointers! { Arc Box }

/// A handler that calls a closure. `Handler` is not implemented for closures themselves: the compiler infers a closure's argument only from
/// an `Fn` bound.
pub(crate) struct Closure<F>(pub(crate) F);

impl<F> Handler for Closure<F>
where
    F: for<'a> Fn(Exception<'a>) -> Answered + Send + Sync + 'static,
{
    fn handle(&self, exception: Exception<'_>) -> Answered {
        (self.0)(exception)
    }
}

/// The effect of a panic in the handler. In both cases the panic hook runs first, which writes and allocates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PanicPolicy {
    /// Declines the exception, counts the panic, and continues serving.
    #[default]
    Decline,
    /// Aborts the process.
    Abort,
}
