//! The server thread's life: receive, hand over, make sure that an answer left.

use crate::answer::Outcome;
use crate::clock;
use crate::error::ReceiveError;
use crate::local::Local;
use crate::request::buffer::MessageBuffer;
use crate::request::exception::Exception;
use crate::request::receive::{Received, Source, receive};
use crate::route::id::RouteId;
use crate::route::table::Place;
use crate::server::handler::{Handler, PanicPolicy};
use crate::server::shared::Shared;
use mach_sys::kern_return::KernError;
use mach_sys::kernel::system::{self, OuterMask};
use mach_sys::rights::{ReplyPort, Right};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a server thread serves with.
pub(crate) struct Service<'a, H> {
    pub(crate) shared: &'a Local<Shared>,
    pub(crate) handler: &'a H,
    pub(crate) on_panic: PanicPolicy,
    /// The mask that the handler runs with.
    pub(crate) outer: OuterMask,
}

impl<H: Handler> Service<'_, H> {
    /// Serves until the server is stopped, or its set destroyed. However that ends, no thread is left waiting. `ready` is called once
    /// the thread has all names that it makes by itself.
    pub(crate) fn run(&self, ready: impl FnOnce()) {
        let shared = self.shared;
        shared
            .thread_id
            .store(system::thread_id(), Ordering::Release);
        let _closing = CloseAll(shared);
        let port = system::own_thread_port();
        shared.thread_port.store(port, Ordering::Release);
        // An exception's handler calls MIG routines; the reply port that the first would make is there from the start (G6.1).
        let _reply_port = ReplyPort::of_this_thread();
        ready();
        let source = Source {
            name: shared.set.name(),
            set: None,
            origin: shared.origin(),
            deferrals: Some(&shared.deferrals),
            // Only the handler defers, and no wait is under way then.
            shared: false,
        };
        let mut buffer = MessageBuffer::new();
        let mut due = None;
        while !shared.stopping.load(Ordering::Acquire) {
            let limit = self.look_around(&mut due);
            match receive(source, &mut buffer, limit) {
                Ok(received) => self.answer(received),
                Err(
                    ReceiveError::Malformed { .. }
                    | ReceiveError::TooLarge
                    | ReceiveError::NoRoom(_),
                ) => {
                    // The control port's message, whose only news is that it came, is among these.
                    if !shared.stopping.load(Ordering::Acquire) && !shared.take_wake() {
                        shared.counters.malformed();
                    }
                }
                Err(ReceiveError::Kernel(KernError::RCV_INTERRUPTED) | ReceiveError::TimedOut) => {}
                // Without its set there is nothing to serve. The child of a fork in a handler ends here too.
                Err(ReceiveError::PortGone | ReceiveError::Kernel(_)) => return,
            }
        }
    }

    /// Lets the handler look around if it was woken for that, or if the time is `due`. Returns how many milliseconds are left until the
    /// next time.
    fn look_around(&self, due: &mut Option<u64>) -> Option<u32> {
        let woken = self.shared.woken.swap(false, Ordering::AcqRel);
        if woken || due.is_some_and(|due| clock::now() >= due) {
            let pause = self.handler.look_around();
            *due = pause.map(|pause| clock::now().saturating_add(u64::from(pause) * 1_000_000));
        }
        due.map(|due| {
            let left = due.saturating_sub(clock::now()).div_ceil(1_000_000);
            u32::try_from(left).unwrap_or(u32::MAX)
        })
    }

    fn answer(&self, received: Received<'_>) {
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
            None,
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
        let handled =
            self.in_user_code(|| catch_unwind(AssertUnwindSafe(|| self.handler.handle(exception))));
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
            self.in_user_code(|| discard(payload));
        }
    }

    /// Runs user code: with the mask of the server's starter, unless it starts no threads.
    fn in_user_code<R>(&self, code: impl FnOnce() -> R) -> R {
        if self.handler.starts_nothing() {
            code()
        } else {
            self.outer.run(code)
        }
    }
}

/// A thread whose exceptions are routed to a server that ended would wait for ever.
struct CloseAll<'a>(&'a Local<Shared>);

impl Drop for CloseAll<'_> {
    fn drop(&mut self) {
        self.0.close_all();
    }
}

/// Drops what a panic threw. Its destructor is the user's, and may panic in turn; what that one throws is given up.
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        core::mem::forget(second);
    }
}
