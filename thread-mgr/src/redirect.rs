//! The exception server's handler: redirects the exceptions of managed threads.
#![allow(unsafe_code)]

use crate::record::{Record, Records};
use crate::registry::Registry;
use exc_server::{Answered, Exception, Handler};
use mach_sys::capabilities::Capabilities;
use mach_sys::kernel::system;
use mach_sys::thread_state::{NativeState, Registers, ThreadState};
use mach_sys::types::mach_port_name_t;
use signal_redirect::{
    Fault, Native, OwnMemory, Redirect, RedirectError, Rewriter, Stack, Trampoline,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Returns whether an exception is to be redirected.
pub(crate) type Filter = dyn Fn(&Exception<'_>) -> bool + Send + Sync;
/// Answers the exceptions that the filter rejects.
pub(crate) type Otherwise = dyn Fn(Exception<'_>) -> Answered + Send + Sync;

/// The stack that handlers run on. After a handler overflowed the emergency stack, the thread's exception is declined, like any exception
/// whose frame fits on no stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandlerStack {
    /// The interrupted stack, below the interrupted frame and its red zone; the thread's emergency stack if the frame does not fit
    /// there, or the stack pointer is bad.
    #[default]
    Interrupted,
    /// The thread's emergency stack, like an alternate signal stack. A nested handler, which interrupts one on that stack, runs below its
    /// frame. Code on the thread's own alternate signal stack (`sigaltstack`) is interrupted there: it is the handler of a signal, which may
    /// itself have interrupted one on the emergency stack. That is the alternate signal stack that the thread had when it was started or
    /// attached; on one that it registers later no instruction may fault while a handler is on the emergency stack.
    #[doc(alias("sigaltstack", "SA_ONSTACK"))]
    Alternate,
}

/// Counts of the exceptions of a manager's threads since the manager was built, by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedirectStats {
    /// Exceptions redirected to the handler.
    pub entered: u64,
    /// Handlers that returned.
    pub returned: u64,
    /// Exceptions that the filter rejected.
    pub filtered: u64,
    /// Exceptions declined because no frame could be written, a handler overflowed the emergency stack, the kernel would refuse the thread's
    /// stack pointer (x86_64: 0x7ffffffff000 or more), XNU sends no signal for them, or they did not come from the route's own thread:
    /// other code registered the route's port for another thread.
    pub refused: u64,
    /// Exceptions declined because their thread held redirects off ([`redirect_mask`](crate::redirect_mask)).
    pub held: u64,
    /// Handler returns declined because their frame was forged or used before.
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
    /// Returns the counts; `returned_directly` handlers returned without the server.
    pub(crate) fn read(&self, returned_directly: u64) -> RedirectStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RedirectStats {
            entered: read(&self.entered),
            returned: read(&self.returned) + returned_directly,
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
    /// The settings of all redirects.
    pub(crate) plan: Redirect,
    pub(crate) stack: HandlerStack,
    pub(crate) trampoline: Trampoline,
    pub(crate) capabilities: Capabilities,
    pub(crate) records: Arc<Records>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) filter: Option<Box<Filter>>,
    pub(crate) otherwise: Option<Box<Otherwise>>,
    pub(crate) registry: Arc<Registry>,
    /// Shuts down the threads that are gone and did not shut themselves down ([`end_gone`](crate::exit::end_gone)).
    pub(crate) end_gone: fn(&Registry) -> Option<u32>,
}

impl Handler for Redirector {
    fn starts_nothing(&self) -> bool {
        // Only the filter and `otherwise` are user code, and `otherwise` runs only after the filter.
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
        // SAFETY: the value is used only after the record's thread was found stopped with these registers, and until the exception is
        // answered. It writes to that thread's own stack, below the interrupted frame, to its emergency stack and to its errno only.
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
                record.innermost().set(resumed.outer);
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
        // After a handler overflowed the emergency stack, no handler is entered: another frame there would overwrite the frames in use.
        if !is_stopped_so(record.thread(), state) || record.emergency_guard().contains(&state.sp())
        {
            count(&self.counters.refused);
            return exception.decline();
        }
        let innermost = record.innermost().get();
        // The handler of a signal, which may have interrupted a handler on the emergency stack.
        let in_signal_handler = record.is_on_signal_stack(state.sp());
        let inside = match in_signal_handler {
            true => innermost,
            // A handler that left by a jump is not inside its frame any more (R27).
            false => innermost.and_then(|frame| {
                self.trampoline
                    .still_inside(frame, state.sp(), memory)
                    .unwrap_or(None)
            }),
        };
        let [code, subcode] = exception.codes();
        let fault = Fault::new(exception.exception_type(), code, subcode)
            .look_up(|| exception_state(record.thread()));
        let plan = self
            .plan
            .clone()
            .inside(inside)
            .tag(exception.tag())
            .errno_at(record.errno());
        // SAFETY: record and errno are the thread's, and the record lives as long as the thread is managed, which no handler ends
        // (`Entry::new`).
        let plan = unsafe { plan.return_directly(record.innermost(), &self.capabilities) };
        let plan = match self.stack {
            // Another frame at the top of the emergency stack would overwrite those of the handler that it interrupted.
            _ if in_signal_handler && innermost.is_some() => plan,
            _ if in_signal_handler => plan.emergency(record.emergency_stack()),
            HandlerStack::Interrupted => plan.emergency(record.emergency_stack()),
            HandlerStack::Alternate => plan.stack(Stack::Alternate(record.emergency_stack())),
        };
        match plan.apply_unless_held(record.mask(), state, &fault, memory) {
            Ok((entered, frame)) => {
                record.innermost().set(Some(frame.id()));
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
    // SAFETY: the state enters the trampoline on a frame made for it, or returns to the interrupted code with the handler's edits, which
    // the contract of `Entry::new` covers.
    unsafe { exception.resume_with(state) }
}

/// Returns the exception state of a stopped thread: the processor's description of the trap. It tells a write from a read; the codes do
/// not.
fn exception_state(thread: mach_port_name_t) -> Option<<Native as Rewriter>::ExceptionState> {
    type Found = <Native as Rewriter>::ExceptionState;
    let mut found = Found::default();
    let words = system::read_thread_state(thread, Found::FLAVOR, found.as_words_mut()).ok()?;
    (words == Found::COUNT as usize).then_some(found)
}

/// Returns whether the thread is stopped with these registers. The request names no thread. Any code with a send right to the port can
/// register it for another thread, or forward that thread's exceptions to it; then two threads would run on one emergency stack. A thread
/// other than the one in the request has another stack pointer.
fn is_stopped_so(thread: mach_port_name_t, state: &NativeState) -> bool {
    let mut now = NativeState::default();
    system::read_thread_state(thread, NativeState::FLAVOR, now.as_words_mut()).is_ok()
        && (now.sp(), now.pc()) == (state.sp(), state.pc())
}
