//! The glue between a route and a redirect: what the server does with an exception of a managed thread.
#![allow(unsafe_code)]

use crate::record::{Record, Records};
use exc_server::{Answered, Exception, Handler};
use mach_sys::thread_state::{NativeState, Registers};
use signal_redirect::{Entry, Fault, OwnMemory, Redirect, Trampoline};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Decides whether an exception is the runtime's at all; what is not is declined untouched.
pub(crate) type Filter = dyn Fn(&Exception<'_>) -> bool + Send + Sync;

/// Counters since the manager was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedirectStats {
    /// Threads sent into the handler.
    pub entered: u64,
    /// Handlers that returned.
    pub returned: u64,
    /// Exceptions that the filter declined.
    pub filtered: u64,
    /// Frames that could not be built, on the thread's stack or its emergency stack, or because a handler has overflowed the latter:
    /// declined.
    pub refused: u64,
    /// Returns with a forged or used-up frame: declined.
    pub forged: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    entered: AtomicU64,
    returned: AtomicU64,
    filtered: AtomicU64,
    refused: AtomicU64,
    forged: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> RedirectStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RedirectStats {
            entered: read(&self.entered),
            returned: read(&self.returned),
            filtered: read(&self.filtered),
            refused: read(&self.refused),
            forged: read(&self.forged),
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The server's handler.
pub(crate) struct Redirector {
    pub(crate) entry: Entry,
    pub(crate) trampoline: Trampoline,
    pub(crate) records: Arc<Records>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) filter: Option<Box<Filter>>,
}

impl Handler for Redirector {
    fn starts_nothing(&self) -> bool {
        // Only a filter is user code.
        self.filter.is_none()
    }

    fn handle(&self, exception: Exception<'_>) -> Answered {
        let (Some(record), Ok(state)) = (self.records.get(exception.tag()), exception.registers())
        else {
            return exception.decline();
        };
        // SAFETY: the thread whose registers these are is stopped in this exception until it is answered; its own stack, below
        // the interrupted frame, and its emergency stack are written to, and nothing else.
        let mut memory = unsafe { OwnMemory::new() };
        if state.pc() == self.trampoline.trap() {
            self.come_back(exception, &state, record, &mut memory)
        } else {
            self.enter(exception, &state, record, &mut memory)
        }
    }
}

impl Redirector {
    fn come_back(
        &self,
        exception: Exception<'_>,
        state: &NativeState,
        record: &Record,
        memory: &mut OwnMemory,
    ) -> Answered {
        match self.trampoline.return_from(state, memory) {
            Ok(Some(resumed)) => {
                record.set_innermost(resumed.outer);
                count(&self.counters.returned);
                resume_with(exception, &resumed.state)
            }
            Ok(None) | Err(_) => {
                count(&self.counters.forged);
                exception.decline()
            }
        }
    }

    fn enter(
        &self,
        exception: Exception<'_>,
        state: &NativeState,
        record: &Record,
        memory: &mut OwnMemory,
    ) -> Answered {
        if self.filter.as_ref().is_some_and(|wants| !wants(&exception)) {
            count(&self.counters.filtered);
            return exception.decline();
        }
        if record.emergency_guard().contains(&state.sp()) {
            // A handler has overflowed the emergency stack. Another frame there would overwrite those that it is inside of.
            count(&self.counters.refused);
            return exception.decline();
        }
        // A handler that left by a jump of its own has left its frame (R27).
        let inside = record.innermost().and_then(|frame| {
            self.trampoline
                .still_inside(frame, state.sp(), memory)
                .unwrap_or(None)
        });
        let [code, subcode] = exception.codes();
        let fault = Fault::new(exception.exception_type(), code, subcode);
        let plan = Redirect::to(self.entry, self.trampoline)
            .emergency(record.emergency_stack())
            .inside(inside)
            .tag(exception.tag());
        match plan.apply(state, &fault, memory) {
            Ok((entered, frame)) => {
                record.set_innermost(Some(frame.id()));
                count(&self.counters.entered);
                resume_with(exception, &entered)
            }
            Err(_) => {
                count(&self.counters.refused);
                exception.decline()
            }
        }
    }
}

fn resume_with(mut exception: Exception<'_>, state: &NativeState) -> Answered {
    // SAFETY: the state enters the trampoline on a frame made for it, or goes back to the interrupted code as its handler left it;
    // the contract of `Entry::new` covers what the handler leaves.
    match unsafe { exception.set_state(state) } {
        Ok(()) => exception.resume(),
        // A delivery without state: the manager routes none.
        Err(_) => exception.decline(),
    }
}
