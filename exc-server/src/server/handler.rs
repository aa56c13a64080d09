//! What a server calls.

use crate::answer::Answered;
use crate::request::exception::Exception;
use std::sync::Arc;

/// Answers exceptions, on the server's thread.
///
/// The faulting thread is stopped at an arbitrary instruction and may hold any lock, the allocator's included. A handler that locks
/// or allocates is not unsound, but can wait for the thread that waits for it.
///
/// While it runs, the server's thread has the signal mask of the thread that started the server, so that threads and processes that
/// it starts inherit that one; otherwise the thread has all signals blocked but those that its own faults raise.
///
/// A closure needs no handler: [`Server::start`](crate::Server::start) takes it. A value that implements this trait is given to
/// [`Server::start_handler`](crate::Server::start_handler); an `Arc` of it can be kept.
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
    /// Answers one exception.
    fn handle(&self, exception: Exception<'_>) -> Answered;

    /// Returns whether [`handle`](Self::handle) never starts a thread or a process. It then runs with the server's own signal mask,
    /// which saves the system calls that change it.
    #[doc(hidden)]
    fn starts_nothing(&self) -> bool {
        false
    }

    /// Does what is to be done from time to time, on the server's thread, with no exception at hand: called after
    /// [`Server::wake`](crate::Server::wake), and then again after as many milliseconds as it returns; not again for `None`.
    #[doc(hidden)]
    fn look_around(&self) -> Option<u32> {
        None
    }
}

/// A pointer to a handler is one: it passes every call on.
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

/// A closure as a handler. `Handler` is not implemented for closures themselves: a bound that is no `Fn` infers no argument.
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
    /// Declines the exception, counts it, and goes on serving.
    #[default]
    Decline,
    /// Aborts the process.
    Abort,
}
