//! The life of a cell's process.

use crate::faults::{Fault, SIGNALS};
use crate::note::Note;
use crate::policies::Policy;
use crate::surroundings::{Event, FROM_BEFORE, Habit, Surroundings};
use crate::threads::{HostState, Thread, block, on_raw_thread};
use core::time::Duration;
use exc_server::{Delivery, Exception, Routing, Server, Target, Timeout};
use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::emulated;
use mach_sys::exception::ExceptionMask;
use mach_sys::rights::{TaskRight, ThreadRight};
use mach_sys::thread_state::Registers;
use signal_redirect::Entry;
use std::any::Any;
use std::ffi::{c_int, c_void};
use std::sync::{Arc, Mutex};
use tests::faults::registers;
use thread_mgr::{Audit, HandlerStack, Manager};

/// Selects the library's part in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It is not there.
    Without,
    /// It wants no fault.
    Declines,
    /// It handles every fault.
    Handles,
}

/// One process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) surroundings: &'static Surroundings,
    pub(crate) policy: &'static Policy,
    pub(crate) thread: Thread,
    pub(crate) faults: &'static [Fault],
    pub(crate) mode: Mode,
}

const LIMIT: Timeout = Timeout::After(Duration::from_secs(20));

/// Returns the signal of the trap that a redirected handler returns by; `None` if it returns directly.
const fn return_signal(stack: HandlerStack) -> Option<c_int> {
    match stack {
        _ if cfg!(target_arch = "aarch64") => Some(libc::SIGILL),
        HandlerStack::Alternate => Some(libc::SIGSEGV),
        _ => None,
    }
}

/// The mask of all faults of the table.
fn all_faults() -> ExceptionMask {
    Manager::DEFAULT_MASK | ExceptionMask::BREAKPOINT
}

unsafe extern "C" fn handler(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
    Note::get().handle();
    set_errno(5);
    // SAFETY: the trampoline's own context.
    unsafe { registers(context) }.set_pc(Note::get().resume());
}

/// The cell's manager, for a destructor of thread-specific data.
static MANAGER: Mutex<Option<Arc<Manager>>> = Mutex::new(None);

fn manager() -> Option<Arc<Manager>> {
    MANAGER.lock().expect("unpoisoned").clone()
}

fn set_errno(value: c_int) {
    // SAFETY: the calling thread's own.
    unsafe { *libc::__errno_location() = value };
}

fn errno() -> c_int {
    // SAFETY: the calling thread's own.
    unsafe { *libc::__errno_location() }
}

impl Cell {
    fn has_library(&self) -> bool {
        self.mode != Mode::Without
    }

    /// Runs the cell, to its end or that of the process.
    pub(crate) fn live(self) {
        self.surroundings.before();
        let audit = self.has_library().then(|| {
            emulated::start_with(self.policy.config()).expect("the emulation");
            Audit::start().expect("a census")
        });
        let mut servers: Vec<Box<dyn Any>> = Vec::new();
        if self.has_library() {
            *MANAGER.lock().expect("unpoisoned") = Some(Arc::new(self.build()));
            if self.thread == Thread::Unknown {
                servers.push(task_server(self.mode));
            }
        }
        self.surroundings.after();
        if self.has_library() {
            if self.surroundings.event == Event::TaskDeclines {
                servers.push(task_server(Mode::Declines));
            }
            if self.surroundings.event == Event::Forwarder && self.thread == Thread::Unknown {
                servers.push(forwarder(true));
            }
            if self.thread == Thread::Unknown {
                // The policy about newcomers is applied when a thread becomes known: another one than that which faults.
                on_raw_thread(|| drop(ThreadRight::current().expect("the own thread")));
            }
        }
        if self.surroundings.event == Event::BlockedByTheThread && !self.thread.attaches() {
            block(&SIGNALS);
        }
        let key = (self.surroundings.event == Event::DestructorAttaches).then(make_key);
        self.thread
            .run(manager().as_deref(), move || self.body(key));
        while let Some(server) = servers.pop() {
            drop(server);
        }
        drop(MANAGER.lock().expect("unpoisoned").take());
        if let Some(audit) = audit {
            let left = audit.settle(LIMIT).expect("a census");
            assert!(left.is_leak_free(), "{left}");
        }
        Note::get().finish();
    }

    fn build(&self) -> Manager {
        // SAFETY: the handler is async-signal-safe and does not unwind.
        let builder = Manager::builder(unsafe { Entry::new(handler) }).mask(all_faults());
        let builder = match self.mode {
            Mode::Handles => builder,
            _ => builder.only_if(|_| {
                Note::get().decline();
                false
            }),
        };
        self.policy.apply(builder).build().expect("a manager")
    }

    /// Runs on the thread that faults.
    fn body(self, key: Option<libc::pthread_key_t>) {
        if let Some(key) = key {
            // SAFETY: the key was made; the value is never used as an address.
            unsafe { libc::pthread_setspecific(key, core::ptr::without_provenance(1)) };
        }
        block(&[libc::SIGUSR1]);
        if self.surroundings.event == Event::BlockedByTheThread && self.thread.attaches() {
            block(&SIGNALS);
        }
        let before = HostState::now();
        let manager = manager();
        let attached = manager
            .as_ref()
            .filter(|_| self.thread.attaches())
            .map(|manager| manager.attach().expect("attached"));
        let forwards = self.surroundings.event == Event::Forwarder && self.has_library();
        let server = (forwards && self.thread != Thread::Unknown).then(|| forwarder(false));
        match self.surroundings.event {
            Event::Fork => self.fork(),
            _ => self.fault_each(),
        }
        drop(server);
        if let Some(attached) = attached {
            let report = attached.detach().expect("a report");
            assert_eq!(report.restored, Ok(exc_server::Restored::Clean));
            assert_eq!(HostState::now(), before, "detached");
        }
    }

    fn fault_each(&self) {
        let note = Note::get();
        let mut seen: Vec<c_int> = Vec::new();
        for fault in self.faults {
            let (handled, visited) = (note.handled(), note.visited());
            let before = HostState::now();
            set_errno(77);
            fault.raise();
            assert_eq!(errno(), 77, "errno after {fault:?}");
            let mut after = HostState::now();
            if self.has_library() && self.thread == Thread::Unknown && before.stack.is_none() {
                // The first fault that is answered lends a thread without an alternate signal stack one.
                after.stack = None;
            }
            assert_eq!(after, before, "mask and stack after {fault:?}");
            if self.mode == Mode::Handles {
                assert_eq!(note.handled(), handled + 1, "{fault:?} is handled");
                let visits = note.visited() - visited;
                assert_eq!(
                    visits,
                    self.visits_of(*fault, &mut seen),
                    "visits of {fault:?}"
                );
            }
        }
    }

    /// Returns the number of visits of newcomers that come with a handled fault: where they are left in place, they run first, also
    /// when a redirected handler returns by a trap. One that puts back what it found sees each signal once.
    fn visits_of(&self, fault: Fault, seen: &mut Vec<c_int>) -> usize {
        if self.policy.takes_back() {
            return 0;
        }
        let mut signals = vec![fault.signal()];
        if self.thread != Thread::Unknown {
            signals.extend(return_signal(self.policy.stack));
        }
        if self.surroundings.newcomer_that(&[Habit::PutBack]) {
            signals.retain(|signal| {
                let is_new = !seen.contains(signal);
                seen.push(*signal);
                is_new
            });
        }
        signals.len() * self.surroundings.present()
    }

    /// The child faults, and its parent goes on.
    fn fork(&self) {
        let mut status = 0;
        // SAFETY: the child leaves by a signal or by `_exit`.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                self.fault_each();
                libc::_exit(7);
            }
            assert_eq!(libc::waitpid(child, &mut status, 0), child);
        }
        Note::get().set_child(status);
    }

    /// Returns whether the library is told of each fault, before anything else that may end the process.
    pub(crate) fn library_is_told(&self) -> bool {
        let is_in_place = self.policy.takes_back()
            || self.surroundings.newcomers.is_empty()
                && !matches!(
                    self.surroundings.event,
                    Event::Ignored | Event::SetToDefault
                );
        let is_ready = match self.surroundings.event {
            Event::Fork => false,
            Event::BlockedByTheThread => self.thread != Thread::Unknown,
            _ => true,
        };
        is_in_place && is_ready
    }

    /// The newcomers that a fault visits which is not handled, the last first, and the party from before.
    pub(crate) fn parties(&self) -> Vec<u8> {
        let newcomers = (0..self.surroundings.present() as u8).rev();
        newcomers.chain([FROM_BEFORE]).collect()
    }
}

fn make_key() -> libc::pthread_key_t {
    let mut key = 0;
    // SAFETY: the destructor is a function for as long as the process lives.
    let error = unsafe { libc::pthread_key_create(&mut key, Some(attach_at_the_end)) };
    assert_eq!(error, 0, "a key");
    key
}

/// Attaches a thread that is about to be gone, and forgets that.
unsafe extern "C" fn attach_at_the_end(_: *mut c_void) {
    if let Some(Ok(attached)) = manager().map(|manager| manager.attach()) {
        core::mem::forget(attached);
    }
}

/// A server at the task level that handles faults, or declines them.
fn task_server(mode: Mode) -> Box<dyn Any> {
    let server = Server::start(move |exception: Exception<'_>| {
        if mode != Mode::Handles {
            Note::get().decline();
            return exception.decline();
        }
        Note::get().handle();
        let mut state = exception.registers().expect("the registers");
        state.set_pc(Note::get().resume());
        // SAFETY: the code that faults goes on there.
        unsafe { exception.resume_with(&state) }
    });
    route(server.expect("a server"), true)
}

/// A server that asks the handler which it displaced.
fn forwarder(at_task: bool) -> Box<dyn Any> {
    let server = Server::start(|exception: Exception<'_>| exception.forward(LIMIT));
    route(server.expect("a server"), at_task)
}

fn route(server: Server, at_task: bool) -> Box<dyn Any> {
    let route = if at_task {
        let task = TaskRight::current().expect("the own task");
        let routing = Routing::new(all_faults(), Delivery::TASK);
        server.route(Target::Task(&task), &routing)
    } else {
        let thread = ThreadRight::current().expect("the own thread");
        let routing = Routing::new(all_faults(), Delivery::THREAD);
        server.route(Target::Thread(&thread), &routing)
    };
    let route = route.expect("a route");
    Box::new((route, server))
}
