//! One call of the handler, and those that it waits through.

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
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

/// What the handler is called with.
pub(crate) struct Calls<'a, H> {
    pub(crate) shared: &'a Local<Shared>,
    pub(crate) handler: &'a H,
    pub(crate) on_panic: PanicPolicy,
    /// Memory for requests that are served while the handler waits, one for each call that it may be entered again. Only the server's
    /// thread takes it.
    pub(crate) spare: Mutex<Vec<Box<MessageBuffer>>>,
}

/// Calls of the handler inside one that waits, at most.
const SPARE: usize = 3;
/// Stack that a call inside another needs, at least.
const STACK: usize = 48 * 1024;

/// Memory for as many calls inside others as a stack has room for.
pub(crate) fn spare(stack_size: usize) -> Mutex<Vec<Box<MessageBuffer>>> {
    let count = (stack_size / STACK).saturating_sub(1).min(SPARE);
    let spare = core::iter::repeat_with(Box::default).take(count);
    Mutex::new(spare.collect())
}

impl<H: Handler> Calls<'_, H> {
    pub(crate) fn source(&self) -> Source<'_> {
        Source {
            name: self.shared.set.name(),
            set: None,
            origin: self.shared.origin(),
            deferrals: Some(&self.shared.deferrals),
            // Only the handler defers, and no wait is under way then.
            shared: false,
        }
    }

    /// Calls the handler, with the mask of the server's starter, unless the thread has that already.
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
            // A late message of a route that is gone.
            counters.stale();
            let _ = exception.decline();
            return;
        };
        let task = exception.task().map(Right::name);
        if entered.task.is_some() && entered.task != task {
            // A child's, which inherited the registration (B6.3), or one that names no task.
            counters.foreign();
            let _ = exception.decline();
            return;
        }
        // An exception that a panic drops is declined on its way out.
        let handled = self.in_user_code(outer, || {
            catch_unwind(AssertUnwindSafe(|| self.handler.handle(exception)))
        });
        if !question.is_answered() {
            // Forgotten: the answer that the handler returned was another's. Dropping the reply right declines.
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

    /// Runs user code: with the mask of the server's starter, unless it starts no threads.
    fn in_user_code<R>(&self, outer: Option<&OuterMask>, code: impl FnOnce() -> R) -> R {
        match outer {
            Some(outer) if !self.handler.starts_nothing() => outer.run(code),
            _ => code(),
        }
    }
}

impl<H: Handler> Calls<'_, H> {
    /// Serves what other handlers of this process wait for, and nothing else, until the reply lies in the buffer.
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
            && self.spare.try_lock().is_ok_and(|spare| !spare.is_empty())
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
        let spare = || self.spare.try_lock().ok();
        let taken = spare().and_then(|mut spare| spare.pop());
        let mut buffer = taken.ok_or(NotServed::Unable)?;
        let end = milliseconds.map_or(Timeout::Never, |left| {
            Timeout::After(core::time::Duration::from_millis(left.into()))
        });
        let end = end.deadline(clock::now());
        let outcome = self.serve_into(&mut buffer, reply, end);
        match to {
            Some(to) if outcome.is_ok() => to.copy_from_slice(&buffer.request),
            None if outcome.is_ok() => discard_message(&mut buffer),
            _ => {}
        }
        if let Some(mut spare) = spare() {
            spare.push(buffer);
        }
        outcome
    }
}

/// Drops what a panic threw. Its destructor is the user's, and may panic in turn; what that one throws is given up.
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        core::mem::forget(second);
    }
}
