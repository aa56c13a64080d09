//! Calls of the handler, including nested calls while it waits for a reply.

use crate::answer::Outcome;
use crate::clock;
use crate::error::ReceiveError;
use crate::local::Local;
use crate::request::asking::asked_in;
use crate::request::buffer::MessageBuffer;
use crate::request::exception::Exception;
use crate::request::meanwhile::{Looks, Meanwhile, NotServed};
use crate::request::receive::{Received, Source, discard_message, receive_beside};
use crate::route::id::RouteId;
use crate::route::table::Place;
use crate::server::handler::{Handler, PanicPolicy};
use crate::server::lent::Lent;
use crate::server::shared::Shared;
use crate::timeout::Timeout;
use mach_sys::kern_return::KernError;
use mach_sys::kernel::system::{self, OuterMask};
use mach_sys::rights::{ReceiveRight, Right};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The data that a call of the handler needs.
pub(crate) struct Calls<'a, H> {
    pub(crate) shared: &'a Local<Shared>,
    pub(crate) handler: &'a H,
    pub(crate) on_panic: PanicPolicy,
    /// Number of further nested calls that the stack has room for. Only the server's thread changes it.
    pub(crate) room: AtomicUsize,
}

/// The largest number of nested calls of the handler.
const NESTED: usize = 3;
/// The stack in bytes that a nested call needs. A fourth of it is its message buffer.
const STACK: usize = 64 * 1024;
const _: () = assert!(size_of::<MessageBuffer>() < STACK / 3);

/// Returns the number of nested calls that a stack of `stack_size` bytes has room for.
pub(crate) fn nested_calls(stack_size: usize) -> usize {
    (stack_size / STACK).saturating_sub(1).min(NESTED)
}

/// A nested call, from the room for them. Dropping it gives the room back.
struct Nested<'a>(&'a AtomicUsize);

impl<'a> Nested<'a> {
    fn enter(room: &'a AtomicUsize) -> Option<Self> {
        let less = |room: usize| room.checked_sub(1);
        let taken = room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.is_ok().then_some(Self(room))
    }
}

impl Drop for Nested<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl<H: Handler> Calls<'_, H> {
    /// Returns the server's port set, to receive from.
    pub(crate) fn source(&self) -> Source<'_> {
        Source {
            name: self.shared.set.name(),
            set: None,
            origin: self.shared.origin(),
            deferrals: Some(&self.shared.deferrals),
            // Only the handler defers, and the server's thread is not waiting then.
            shared: false,
        }
    }

    /// Calls the handler, and makes sure that the request is answered. `outer` is the signal mask to call it with; `None` if the thread has
    /// that mask already.
    pub(crate) fn answer(&self, received: Received<'_>, outer: Option<&OuterMask>) {
        let shared = self.shared;
        let Received {
            request,
            context,
            scratch,
            question,
        } = received;
        let counters = &shared.counters;
        let id = RouteId::from_context(context);
        let entered = shared.table.enter(id);
        question.set_place(entered.map(|_| Place {
            table: Arc::clone(&shared.table),
            id,
        }));
        let exception = Exception::new(
            Received {
                request,
                context,
                scratch,
                question: &mut *question,
            },
            entered.map_or(0, |entered| entered.tag),
            Some(counters),
            Some(&shared.deferrals),
            Some(&shared.set),
            Some(self),
        );
        let Some(entered) = entered else {
            // A late message of a closed route.
            counters.stale();
            let _ = exception.decline();
            return;
        };
        let task = exception.task().map(Right::name);
        if entered.task.is_some() && entered.task != task {
            // From a child, which inherited the registration (B6.3), or from a task that the request does not name.
            counters.foreign();
            let _ = exception.decline();
            return;
        }
        // If the handler panics, dropping the exception declines it.
        let handled = self.in_user_code(outer, || {
            catch_unwind(AssertUnwindSafe(|| self.handler.handle(exception)))
        });
        if !question.is_answered() {
            // The handler forgot the exception, and returned another's `Answered`. Dropping the reply right declines.
            counters.answered(Outcome::Declined);
            question.abandon();
        }
        if let Err(payload) = handled {
            counters.panicked();
            if self.on_panic == PanicPolicy::Abort {
                std::process::abort();
            }
            self.in_user_code(outer, || discard(payload));
        }
    }

    /// Runs user code with the signal mask `outer`, unless there is none or the handler starts no threads.
    fn in_user_code<R>(&self, outer: Option<&OuterMask>, code: impl FnOnce() -> R) -> R {
        match outer {
            Some(outer) if !self.handler.starts_nothing() => outer.run(code),
            _ => code(),
        }
    }
}

impl<H: Handler> Calls<'_, H> {
    /// Serves only the requests that other handlers of this process wait for, until the reply is in the buffer or the time `end` on the
    /// clock.
    fn serve_into(
        &self,
        buffer: &mut MessageBuffer,
        reply: &ReceiveRight,
        end: u64,
    ) -> Result<(), NotServed> {
        let lent = Lent::with(reply, &self.shared.set).map_err(|_| NotServed::Unable)?;
        let source = Source {
            name: lent.name(),
            ..self.source()
        };
        let mut looks = Looks::new();
        loop {
            asked_in(self.shared.set.name()).for_each(|port| lent.add(port));
            let left = Timeout::until(end).milliseconds();
            let (limit, is_last) = looks.next_within(left);
            match receive_beside(source, buffer, Some(limit), reply.name()) {
                Ok(Some(received)) => {
                    self.answer(received, None);
                    looks = Looks::new();
                }
                Ok(None) => return Ok(()),
                Err(ReceiveError::Kernel(code @ KernError::RCV_TOO_LARGE)) => {
                    return Err(NotServed::Lost(code));
                }
                Err(
                    ReceiveError::Malformed { .. }
                    | ReceiveError::TooLarge
                    | ReceiveError::NoRoom(_),
                ) => self.shared.note_malformed(),
                Err(ReceiveError::TimedOut) if is_last => return Err(NotServed::TimedOut),
                Err(ReceiveError::TimedOut | ReceiveError::Kernel(KernError::RCV_INTERRUPTED)) => {}
                Err(ReceiveError::PortGone | ReceiveError::Kernel(_)) => {
                    return Err(NotServed::Unable);
                }
            }
        }
    }
}

impl<H: Handler> Meanwhile for Calls<'_, H> {
    fn can_serve(&self) -> bool {
        self.shared.thread_id.load(Ordering::Acquire) == system::thread_id()
            && self.room.load(Ordering::Relaxed) > 0
    }

    fn serve_until(
        &self,
        reply: &ReceiveRight,
        to: Option<&mut [u32]>,
        milliseconds: Option<u32>,
    ) -> Result<(), NotServed> {
        if self.shared.thread_id.load(Ordering::Acquire) != system::thread_id() {
            return Err(NotServed::Unable);
        }
        let nested = Nested::enter(&self.room).ok_or(NotServed::Unable)?;
        let end = milliseconds.map_or(Timeout::Never, |left| {
            Timeout::After(core::time::Duration::from_millis(left.into()))
        });
        let end = end.deadline(clock::now());
        self.serve_nested(nested, reply, to, end)
    }
}

impl<H: Handler> Calls<'_, H> {
    /// Serves like [`serve_until`](Meanwhile::serve_until), until the time `end` on the clock. The buffer is on the stack, of which a server that
    /// forwards nothing then never uses this part. It is not inlined, so that only a nested call has it.
    #[inline(never)]
    fn serve_nested(
        &self,
        _nested: Nested<'_>,
        reply: &ReceiveRight,
        to: Option<&mut [u32]>,
        end: u64,
    ) -> Result<(), NotServed> {
        // A constant is copied into place, also without optimization.
        let mut buffer = const { MessageBuffer::new() };
        let outcome = self.serve_into(&mut buffer, reply, end);
        match to {
            Some(to) if outcome.is_ok() => to.copy_from_slice(&buffer.request),
            None if outcome.is_ok() => discard_message(&mut buffer),
            _ => {}
        }
        outcome
    }
}

/// Drops the payload of a panic. Its destructor is user code, and may panic; the payload of that panic is leaked.
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        core::mem::forget(second);
    }
}
