//! The server thread's life: receive, hand over, make sure that an answer left.

use crate::answer::Outcome;
use crate::buffer::MessageBuffer;
use crate::error::ReceiveError;
use crate::exception::Exception;
use crate::receiver::{Received, receive};
use crate::server::{Handler, PanicPolicy};
use crate::shared::Shared;
use crate::table::{Place, RouteId};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::system;
use mach_sys::rights::Right;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Serves until the server is stopped, or its set destroyed. However that ends, nobody is left waiting.
pub(crate) fn serve(shared: &Shared, handler: &impl Handler, on_panic: PanicPolicy) {
    system::enter_server_thread();
    shared
        .thread_id
        .store(system::thread_id(), Ordering::Release);
    let _closing = CloseAll(shared);
    let mut buffer = MessageBuffer::new();
    while !shared.stopping.load(Ordering::Acquire) {
        match receive(shared.set.name(), &mut buffer, None) {
            Ok(received) => answer(shared, handler, on_panic, received),
            Err(
                ReceiveError::Malformed { .. } | ReceiveError::TooLarge | ReceiveError::NoRoom(_),
            ) => {
                // The control port's message, whose only news is that it came, is among these.
                if !shared.stopping.load(Ordering::Acquire) {
                    shared.counters.malformed();
                }
            }
            Err(ReceiveError::Kernel(KernReturn::RCV_INTERRUPTED) | ReceiveError::TimedOut) => {}
            // Without its set there is nothing to serve.
            Err(ReceiveError::PortGone | ReceiveError::Kernel(_)) => return,
        }
    }
}

/// Whoever routes exceptions to a thread that is gone would wait for ever.
struct CloseAll<'a>(&'a Shared);

impl Drop for CloseAll<'_> {
    fn drop(&mut self) {
        self.0.close_all();
    }
}

fn answer(shared: &Shared, handler: &impl Handler, on_panic: PanicPolicy, received: Received<'_>) {
    let Received {
        request,
        context,
        scratch,
        question,
    } = received;
    let counters = &shared.counters;
    let id = RouteId::from_context(context);
    let entered = shared.table.enter(id);
    question.place = entered.map(|_| Place {
        table: Arc::clone(&shared.table),
        id,
    });
    let exception = Exception::new(
        Received {
            request,
            context,
            scratch,
            question: &mut *question,
        },
        entered.map_or(0, |entered| entered.tag),
        Some(counters),
    );
    let Some(entered) = entered else {
        // A late message of a route that is gone.
        counters.stale();
        let _ = exception.decline();
        return;
    };
    let task = exception.task().map(Right::name);
    if entered.task.is_some() && entered.task != task {
        // A child's, which inherited the registration (B6.3), or one that does not say whose it is.
        counters.foreign();
        let _ = exception.decline();
        return;
    }
    // An exception that a panic drops is declined on its way out.
    let handled = catch_unwind(AssertUnwindSafe(|| handler.handle(exception)));
    if !question.is_answered() {
        // Forgotten: the answer that the handler returned was another's. Dropping the reply right declines.
        counters.answered(Outcome::Declined);
        question.abandon();
    }
    if let Err(payload) = handled {
        counters.panicked();
        if on_panic == PanicPolicy::Abort {
            std::process::abort();
        }
        discard(payload);
    }
}

/// Drops what a panic threw. Its destructor is the user's, and may panic in turn; what that one throws is given up.
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        core::mem::forget(second);
    }
}
