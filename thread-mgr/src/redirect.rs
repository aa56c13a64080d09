//! Connects a route to a redirect: the server's handler of the exceptions of managed threads.
#![allow(unsafe_code)]

use crate::record::{Record, Records};
use crate::registry::Registry;
use exc_server::{Answered, Exception, Handler};
use mach_sys::kernel::system;
use mach_sys::thread_state::{NativeState, Registers, ThreadState};
use mach_sys::types::mach_port_name_t;
use signal_redirect::{
    Fault, Machine, Native, OwnMemory, Redirect, RedirectError, Stack, Trampoline,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Decides whether an exception is the runtime's.
pub(crate) type Filter = dyn Fn(&Exception<'_>) -> bool + Send + Sync;
/// Answers the exceptions that the filter does not want.
pub(crate) type Otherwise = dyn Fn(Exception<'_>) -> Answered + Send + Sync;

/// Selects the stack that handlers run on. A handler that overflows the emergency stack is not entered again: the exception is declined, as
/// any whose frame fits nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandlerStack {
    /// The interrupted stack, below the interrupted frame and its red zone; the thread's emergency stack if the frame does not fit
    /// there, or the stack pointer is bad.
    #[default]
    Interrupted,
    /// Always the thread's emergency stack, as an alternate signal stack. A handler that is interrupted on it is nested: the next one
    /// runs below its frame.
    #[doc(alias("sigaltstack", "SA_ONSTACK"))]
    Alternate,
}

/// Counts what became of the exceptions of a manager's threads, since the manager was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedirectStats {
    /// Exceptions whose thread was sent to the handler.
    pub entered: u64,
    /// Handlers that returned.
    pub returned: u64,
    /// Exceptions that the filter did not want.
    pub filtered: u64,
    /// Exceptions that were declined because no frame could be written, a handler overflowed the emergency stack, the kernel would not take
    /// the thread's stack pointer back (x86_64: 0x7ffffffff000 or more), XNU sends no signal for them, or they were no managed thread's own: other code had its exception port registered for another thread.
    pub refused: u64,
    /// Exceptions that were declined because their thread held redirects off ([`redirect_mask`](crate::redirect_mask)).
    pub held: u64,
    /// Returns that were declined because their frame was forged or used before.
    pub forged: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    entered: AtomicU64,
    returned: AtomicU64,
    filtered: AtomicU64,
    refused: AtomicU64,
    held: AtomicU64,
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
            held: read(&self.held),
            forged: read(&self.forged),
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The server's handler.
pub(crate) struct Redirector {
    /// What all redirects have in common.
    pub(crate) plan: Redirect,
    pub(crate) stack: HandlerStack,
    pub(crate) trampoline: Trampoline,
    pub(crate) records: Arc<Records>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) filter: Option<Box<Filter>>,
    pub(crate) otherwise: Option<Box<Otherwise>>,
    pub(crate) registry: Arc<Registry>,
    /// Ends the attached threads that are gone without having come to their end.
    pub(crate) end_gone: fn(&Registry) -> Option<u32>,
}

impl Handler for Redirector {
    fn starts_nothing(&self) -> bool {
        // Only the filter, and what answers in its place, are user code.
        self.filter.is_none()
    }

    fn look_around(&self) -> Option<u32> {
        (self.end_gone)(&self.registry)
    }

    fn handle(&self, exception: Exception<'_>) -> Answered {
        let (Some(record), Ok(state)) = (self.records.get(exception.tag()), exception.registers())
        else {
            return exception.decline();
        };
        // SAFETY: it is used only once the record's thread is known to be stopped with these registers, until the exception is answered.
        // That thread's own stack, below the interrupted frame, its emergency stack and its errno are written to, and nothing else.
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
        if !is_stopped_so(record.thread(), state) {
            count(&self.counters.refused);
            return exception.decline();
        }
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
            return match &self.otherwise {
                Some(otherwise) => otherwise(exception),
                None => exception.decline(),
            };
        }
        // A handler that has overflowed the emergency stack is not entered again: another frame there would overwrite those that it is
        // inside of.
        if !is_stopped_so(record.thread(), state) || record.emergency_guard().contains(&state.sp())
        {
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
        let fault = match exception_state(record.thread()) {
            Some(found) => fault.looked_up(found),
            None => fault,
        };
        let plan = self.plan.clone().inside(inside).tag(exception.tag());
        let plan = plan.errno_at(record.errno());
        let plan = match self.stack {
            HandlerStack::Interrupted => plan.emergency(record.emergency_stack()),
            HandlerStack::Alternate => plan.stack(Stack::Alternate(record.emergency_stack())),
        };
        match plan.apply_unless_held(record.mask(), state, &fault, memory) {
            Ok((entered, frame)) => {
                record.set_innermost(Some(frame.id()));
                count(&self.counters.entered);
                resume_with(exception, &entered)
            }
            Err(reason) => {
                let counters = &self.counters;
                match reason {
                    RedirectError::Held => count(&counters.held),
                    _ => count(&counters.refused),
                }
                exception.decline()
            }
        }
    }
}

fn resume_with(exception: Exception<'_>, state: &NativeState) -> Answered {
    // SAFETY: the state enters the trampoline on a frame made for it, or goes back to the interrupted code as its handler left it;
    // the contract of `Entry::new` covers what the handler leaves.
    unsafe { exception.resume_with(state) }
}

/// The processor's description of the trap that a thread is stopped for: whether it was a write is not in the codes.
fn exception_state(thread: mach_port_name_t) -> Option<<Native as Machine>::ExceptionState> {
    type Found = <Native as Machine>::ExceptionState;
    let mut found = Found::default();
    let words = system::read_thread_state(thread, Found::FLAVOR, found.as_words_mut()).ok()?;
    (words == Found::COUNT as usize).then_some(found)
}

/// Returns whether the thread is stopped with these registers. The message names no thread, and whoever finds a send right on the port
/// can register it for another thread, or forward that one's exceptions to it: then two threads would run on one emergency stack. A
/// thread that is not the one in the message has another stack pointer.
fn is_stopped_so(thread: mach_port_name_t, state: &NativeState) -> bool {
    let mut now = NativeState::default();
    system::read_thread_state(thread, NativeState::FLAVOR, now.as_words_mut()).is_ok()
        && (now.sp(), now.pc()) == (state.sp(), state.pc())
}
