//! The manager and its builder.

use crate::attach::Attached;
use crate::emergency::{DEFAULT_SIZE, Stacks};
use crate::ends::EndStats;
use crate::error::{AttachError, BuildError, SpawnError};
use crate::handle::Handle;
use crate::inner::{Counted, Inner};
use crate::promise::SurplusPromise;
use crate::record::Records;
use crate::redirect::{Counters, Filter, HandlerStack, Otherwise, RedirectStats, Redirector};
use crate::registry::{Registry, ThreadInfo};
use crate::thread::ThreadBuilder;
use core::fmt;
use core::time::Duration;
use exc_server::{Answered, Deferrals, Delivery, Exception, PanicPolicy, Server, Stats, Timeout};
use mach_sys::capabilities::Capabilities;
use mach_sys::exception::ExceptionMask;
use mach_sys::kernel::system::{self, Origin};
use mach_sys::thread_state::NativeState;
use signal_redirect::{Entry, Key, Native, Redirect, Rewriter, Trampoline};
use std::sync::Arc;

/// A manager of threads: starts them, attaches existing ones, and shuts them down in order. Clones share one manager. Its exception server
/// runs until the last clone and the last of its threads are gone. In the child of a fork it manages no thread, and dropping it does nothing.
///
/// ```
/// use core::ffi::c_int;
/// use thread_mgr::mach_sys::darwin::{siginfo_t, ucontext_t};
/// use thread_mgr::signal_redirect::Entry;
/// use thread_mgr::{Exit, Manager};
///
/// /// Lets the faulting instruction run again. A runtime's handler repairs the cause first.
/// unsafe extern "C" fn handler(_: c_int, _: *mut siginfo_t, _: *mut ucontext_t) {}
///
/// // SAFETY: the handler touches nothing, and the thread resumes as it was interrupted.
/// let manager = Manager::builder(unsafe { Entry::new(handler) }).build()?;
/// let thread = manager.thread().name("worker").spawn(|| 6 * 7)?;
/// let ended = thread.join()?;
/// assert!(matches!(ended.exit, Exit::Returned(42)));
/// println!("{:?}", ended.report.and_then(|report| report.normalization));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping it stops its exception server, once its threads are gone"]
#[derive(Clone, Debug)]
pub struct Manager {
    pub(crate) inner: Arc<Inner>,
}

impl Manager {
    /// The exception types that are sent to the handler by default: bad accesses, bad instructions and arithmetic.
    ///
    /// Breakpoints are not among them. A debugger uses the task's exception ports, and the kernel delivers to the thread's first: a runtime
    /// that takes `EXC_BREAKPOINT` takes the debugger's breakpoints and single steps away (G5.9). A runtime whose own code traps that way
    /// adds [`ExceptionMask::BREAKPOINT`] with [`ManagerBuilder::mask`], and declines others' with [`ManagerBuilder::only_if`].
    pub const DEFAULT_MASK: ExceptionMask = ExceptionMask::BAD_ACCESS
        .union(ExceptionMask::BAD_INSTRUCTION)
        .union(ExceptionMask::ARITHMETIC);

    /// Returns a builder of a manager that sends its threads' faults to `entry`.
    pub fn builder(entry: Entry) -> ManagerBuilder {
        ManagerBuilder {
            entry,
            mask: Self::DEFAULT_MASK,
            promise: None,
            drain_timeout: Timeout::After(Duration::from_secs(5)),
            thread_stack_size: None,
            filter: None,
            otherwise: None,
            stack: HandlerStack::default(),
            emergency_stack_size: DEFAULT_SIZE,
            room: 0,
            blocked: None,
            float: None,
            server: Server::builder().name("thread-mgr"),
        }
    }

    /// Starts a thread with the default settings. Returns once it runs and its exceptions are routed.
    ///
    /// # Errors
    /// The same as for [`ThreadBuilder::spawn`].
    pub fn spawn<T, F>(&self, body: F) -> Result<Handle<T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.thread().spawn(body)
    }

    /// Returns a builder of a thread.
    pub fn thread(&self) -> ThreadBuilder<'_> {
        ThreadBuilder::new(&self.inner)
    }

    /// Attaches the calling thread, and returns once its exceptions of the manager's mask are routed to the manager's handler. They are
    /// until the returned value is detached or dropped on this thread, or until the thread exits.
    ///
    /// The thread may be any that this crate did not start: the main thread, a thread of a pool, a thread of an application that calls into the
    /// runtime. A thread is managed by one manager at a time: an inner call on an attached thread is [`AttachError::Already`], whichever
    /// manager it asks. Attaching makes a receive right, puts it into the server's port set, registers it for the thread, and takes an
    /// emergency stack ([`ManagerBuilder::emergency_stack_size`]). Attach once where the thread enters the runtime, not for each job.
    ///
    /// | how it ends | what happens |
    /// |---|---|
    /// | [`Attached::detach`], or dropping the value | answers in flight are waited for, at most [`ManagerBuilder::drain_timeout`]; the exception ports, alternate signal stack and signal mask are those of before; the thread's references are not normalized. `detach` returns the report |
    /// | the thread exits while it is attached | all steps of the [shutdown](crate#the-shutdown-of-a-thread), normalization included, run in its last pass over thread-specific-data destructors; [`end_stats`](Self::end_stats) counts the result |
    /// | it exits without destructors: by a bare system call, or attached in that last pass | the exception server's thread detaches it within about a second after it is gone |
    /// | `main` returns, or the process calls `exit` | nothing runs: drop the main thread's value before |
    ///
    /// Nothing else must be done before the thread ends. The handler's whole contract is that of
    /// [`Entry::new`](signal_redirect::Entry::new); it runs on the thread's own stack.
    ///
    /// # Errors
    /// - [`AttachError::Already`]: the thread is managed already.
    /// - [`AttachError::Exiting`]: the thread was managed before, and is in the last pass over its thread-specific-data destructors.
    /// - [`AttachError::ServerThread`]: the thread belongs to an exception server.
    /// - [`AttachError::Forked`]: the calling process is the child of a fork.
    /// - [`AttachError::Right`]: the thread's kernel port could not be named.
    /// - [`AttachError::Stack`]: the emergency stack could not be mapped.
    /// - [`AttachError::Full`]: the manager has 65536 threads.
    /// - [`AttachError::Route`]: the thread's exceptions could not be routed.
    /// - [`AttachError::Hook`]: the exit destructor could not be registered.
    #[doc(alias("thread_set_exception_ports", "thread_swap_exception_ports"))]
    pub fn attach(&self) -> Result<Attached, AttachError> {
        Attached::new(&self.inner)
    }

    /// Returns the threads that are managed now; an empty list in the child of a fork.
    #[must_use]
    pub fn threads(&self) -> Vec<ThreadInfo> {
        if !self.inner.process.is_current() {
            return Vec::new();
        }
        crate::exit::end_gone(&self.inner.registry);
        self.inner.registry.list()
    }

    /// Returns the exception server's counters.
    #[must_use]
    pub fn server_stats(&self) -> Stats {
        self.inner.server.stats()
    }

    /// Returns the exception server's table of deferred exceptions: those that the function of
    /// [`otherwise`](ManagerBuilder::otherwise) deferred.
    #[must_use]
    pub fn deferrals(&self) -> &Deferrals {
        self.inner.server.deferrals()
    }

    /// Returns totals over all threads that exited or were detached, whether joined or not.
    #[must_use]
    pub fn end_stats(&self) -> EndStats {
        self.inner.ends.read()
    }

    /// Returns the counts of exceptions redirected, returned from, and declined.
    #[must_use]
    pub fn redirect_stats(&self) -> RedirectStats {
        let directly = self.inner.records.returned_directly();
        self.inner.counters.read(directly)
    }
}

/// Configures a [`Manager`]: the exceptions, the handler's stack and context, the shutdown of threads, the exception server.
///
/// ```
/// # use core::ffi::c_int;
/// # use thread_mgr::mach_sys::darwin::{siginfo_t, ucontext_t};
/// use thread_mgr::exc_server::PanicPolicy;
/// use thread_mgr::mach_sys::darwin::DarwinSignal;
/// use thread_mgr::mach_sys::exception::ExceptionMask;
/// use thread_mgr::{HandlerStack, Manager};
/// # unsafe extern "C" fn handler(_: c_int, _: *mut siginfo_t, _: *mut ucontext_t) {}
/// # let entry = unsafe { thread_mgr::signal_redirect::Entry::new(handler) };
///
/// let manager = Manager::builder(entry)
///     .mask(ExceptionMask::BAD_ACCESS | ExceptionMask::BAD_INSTRUCTION)
///     .handler_stack(HandlerStack::Alternate)
///     .emergency_stack_size(256 * 1024)
///     .block_signals(DarwinSignal::USR1.mask())
///     .server_name("my runtime")
///     .on_panic(PanicPolicy::Abort)
///     .build()?;
/// # Ok::<(), thread_mgr::BuildError>(())
/// ```
#[must_use = "it does nothing until it is built"]
pub struct ManagerBuilder {
    entry: Entry,
    mask: ExceptionMask,
    promise: Option<SurplusPromise>,
    drain_timeout: Timeout,
    thread_stack_size: Option<usize>,
    filter: Option<Box<Filter>>,
    otherwise: Option<Box<Otherwise>>,
    stack: HandlerStack,
    emergency_stack_size: usize,
    room: u64,
    blocked: Option<u32>,
    float: Option<<Native as Rewriter>::FloatState>,
    server: exc_server::ServerBuilder,
}

impl ManagerBuilder {
    /// Sets the exception types that are sent to the handler; [`Manager::DEFAULT_MASK`] by default, which leaves breakpoints to debuggers.
    /// The mask must contain this process's [`Rewriter::return_mask`], the types that handlers return by. With `EXC_CRASH`, which the kernel
    /// never delivers to the task itself, no thread can be attached or started
    /// ([`InstallError::OwnCrash`](exc_server::InstallError::OwnCrash)).
    #[doc(alias = "exception_mask_t")]
    pub fn mask(mut self, mask: ExceptionMask) -> Self {
        self.mask = mask;
        self
    }

    /// Redirects only the exceptions that `wants` returns `true` for. The others are declined untouched, so that debuggers and crash
    /// reporters see the original fault, or answered by the function of [`otherwise`](Self::otherwise).
    ///
    /// `wants` runs on the server's thread while the faulting thread is stopped at an arbitrary instruction: it must not allocate, nor take
    /// a lock that a managed thread may hold. It cannot attach or join a thread ([`AttachError::ServerThread`],
    /// [`JoinError::ServerThread`](crate::JoinError::ServerThread)). All exceptions are redirected by default.
    pub fn only_if(
        mut self,
        wants: impl Fn(&Exception<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.filter = Some(Box::new(wants));
        self
    }

    /// Answers the exceptions that the filter of [`only_if`](Self::only_if) rejects with `answer`, which may resume, forward, defer or
    /// decline them. It runs on the server's thread, under the filter's conditions. They are declined by default.
    ///
    /// An exception cannot be kept without an answer. Use [`Exception::defer`] to answer it later:
    ///
    /// ```compile_fail,E0308
    /// # use thread_mgr::{Manager, exc_server::Exception, signal_redirect::Entry};
    /// # fn kept(entry: Entry) {
    /// Manager::builder(entry).otherwise(|exception: Exception<'_>| core::mem::forget(exception));
    /// # }
    /// ```
    ///
    /// ```compile_fail,E0521
    /// # use std::sync::Mutex;
    /// # use thread_mgr::{Manager, exc_server::Exception, signal_redirect::Entry};
    /// # fn kept(entry: Entry, exceptions: &'static Mutex<Vec<Exception<'static>>>) {
    /// Manager::builder(entry).otherwise(|exception| {
    ///     exceptions.lock().unwrap().push(exception);
    ///     loop {}
    /// });
    /// # }
    /// ```
    pub fn otherwise<F>(mut self, answer: F) -> Self
    where
        F: for<'a> Fn(Exception<'a>) -> Answered + Send + Sync + 'static,
    {
        self.otherwise = Some(Box::new(answer));
        self
    }

    /// Sets the stack that handlers run on; [`HandlerStack::Interrupted`] by default.
    #[doc(alias("sigaltstack", "SA_ONSTACK"))]
    pub fn handler_stack(mut self, stack: HandlerStack) -> Self {
        self.stack = stack;
        self
    }

    /// Sets the size of each thread's emergency stack in bytes; 128 KiB by default, at least 32 KiB. It is rounded up to whole pages.
    /// A size that the system cannot provide makes [`Manager::attach`] and [`ThreadBuilder::spawn`] fail with [`AttachError::Stack`].
    pub fn emergency_stack_size(mut self, bytes: usize) -> Self {
        self.emergency_stack_size = bytes;
        self
    }

    /// Sets the number of bytes that the handler needs on its stack. If they are not writable on the interrupted stack, the handler runs
    /// on the emergency stack. If that is too small, the exception is declined. 0 by default.
    pub fn handler_room(mut self, bytes: u64) -> Self {
        self.room = bytes;
        self
    }

    /// Blocks `signals` while a handler runs, in addition to the interrupted code's signal mask, as `sa_mask` does for a Unix signal
    /// handler. `signals` has Darwin's bits ([`DarwinSignal::mask`](mach_sys::darwin::DarwinSignal::mask)). The five signals that the
    /// thread's own faults raise are never blocked. `uc_sigmask` shows the interrupted mask. It is restored, with the handler's edits, when
    /// the handler returns. A handler that leaves by a jump, or by [`exit_now`](crate::exit_now), calls
    /// [`restore_signal_mask`](signal_redirect::restore_signal_mask) first. Each redirect costs two more system calls.
    ///
    /// By default a handler runs with the interrupted mask, `uc_sigmask` is 0, and edits of it have no effect. With 0 for `signals`
    /// nothing more is blocked, and `uc_sigmask` shows the interrupted mask.
    ///
    /// Threads and processes that a handler starts inherit its mask, as those of a signal handler do. To start them with the interrupted
    /// mask, a handler calls `restore_signal_mask` first.
    #[doc(alias("sa_mask", "sigprocmask", "uc_sigmask"))]
    pub fn block_signals(mut self, signals: u32) -> Self {
        self.blocked = Some(signals);
        self
    }

    /// Sets the vector registers and floating-point control words that threads resume with when their handler returns, in place of the
    /// interrupted ones. The handler sees them in its machine context and may edit them. An all-zero state means that of a new thread. The
    /// interrupted ones are kept by default. A handler itself always starts with the floating-point environment of a new thread.
    ///
    /// # Safety
    /// Interrupted code that keeps a value in a vector register loses it. At every instruction at which an exception of the mask can
    /// stop a managed thread, the code must not rely on any vector register, nor on another rounding mode, when the handler returns.
    #[allow(unsafe_code)]
    pub unsafe fn resume_float_state(mut self, state: <Native as Rewriter>::FloatState) -> Self {
        self.float = Some(state);
        self
    }

    /// Lets the exit of a thread release forgotten references on its kernel port. They are only reported by default.
    #[doc(alias = "mach_port_mod_refs")]
    pub fn trim_surplus(mut self, promise: SurplusPromise) -> Self {
        self.promise = Some(promise);
        self
    }

    /// Sets the time that the exit of a thread waits for answers in flight; 5 seconds by default.
    pub fn drain_timeout(mut self, limit: Timeout) -> Self {
        self.drain_timeout = limit;
        self
    }

    /// Sets the name of the exception server's thread; `thread-mgr` by default. A name with a NUL makes [`build`](Self::build) fail.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server = self.server.name(name);
        self
    }

    /// Sets the stack size in bytes of the threads that the manager starts; the system's default by default. The C library's own share of a
    /// stack is added to either. A thread may have a size of its own: see [`ThreadBuilder::stack_size`], also for the limits.
    #[doc(alias = "pthread_attr_setstacksize")]
    pub fn thread_stack_size(mut self, bytes: usize) -> Self {
        self.thread_stack_size = Some(bytes);
        self
    }

    /// Sets the size of the exception server's stack in bytes; 256 KiB by default. The filter runs on it. The C library's own share of a
    /// stack, such as a program's static thread-local variables, is added. A size that is too small or too large makes
    /// [`build`](Self::build) fail.
    pub fn server_stack_size(mut self, bytes: usize) -> Self {
        self.server = self.server.stack_size(bytes);
        self
    }

    /// Reserves room for `capacity` exceptions deferred by the function of [`otherwise`](Self::otherwise), about 10 KiB each; 0 by default.
    /// A capacity that is too large makes [`build`](Self::build) fail.
    pub fn deferrals(mut self, capacity: usize) -> Self {
        self.server = self.server.deferrals(capacity);
        self
    }

    /// Sets the effect of a panic in the filter, or in the function of [`otherwise`](Self::otherwise); [`PanicPolicy::Decline`] by default.
    pub fn on_panic(mut self, policy: PanicPolicy) -> Self {
        self.server = self.server.on_panic(policy);
        self
    }

    /// Builds the manager, and starts its exception server.
    ///
    /// # Errors
    /// - [`BuildError::ReturnTrap`]: the mask lacks the exception types that handlers return by.
    /// - [`BuildError::Server`]: the exception server did not start, for example because one of its settings is out of range.
    /// - [`BuildError::Key`]: the process has no more keys for thread-specific data.
    pub fn build(self) -> Result<Manager, BuildError> {
        let capabilities = system::capabilities();
        check_mask(self.mask, &capabilities)?;
        crate::exit::make_key().map_err(BuildError::Key)?;
        let key = Key::random();
        let trampoline = Trampoline::native(key);
        let records = Arc::new(Records::new(key));
        let counters = Arc::new(Counters::default());
        let mut plan = Redirect::to(self.entry, trampoline)
            .room(self.room)
            .only_resumable();
        if let Some(signals) = self.blocked {
            plan = plan.block_signals(signals);
        }
        if let Some(state) = self.float {
            plan = plan.float_state(state);
        }
        let registry = Arc::new(Registry::default());
        let server = self.server.start_handler(Redirector {
            plan,
            stack: self.stack,
            trampoline,
            capabilities,
            records: Arc::clone(&records),
            counters: Arc::clone(&counters),
            filter: self.filter,
            otherwise: self.otherwise,
            registry: Arc::clone(&registry),
            end_gone: crate::exit::end_gone,
        })?;
        Ok(Manager {
            inner: Arc::new(Inner {
                server,
                process: Origin::current(),
                mask: self.mask,
                delivery: Delivery::state::<NativeState>(),
                promise: self.promise,
                drain_timeout: self.drain_timeout,
                thread_stack_size: self.thread_stack_size,
                records,
                stacks: Stacks::new(self.emergency_stack_size),
                registry,
                ends: Arc::default(),
                counters,
                _counted: Counted::new(),
            }),
        })
    }
}

/// Returns [`BuildError::ReturnTrap`] for a mask that lacks the types that handlers return by in a process with these capabilities.
fn check_mask(mask: ExceptionMask, capabilities: &Capabilities) -> Result<(), BuildError> {
    let needed = Native::return_mask(capabilities);
    if mask.contains(needed) {
        Ok(())
    } else {
        Err(BuildError::ReturnTrap { needed, mask })
    }
}

impl fmt::Debug for ManagerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagerBuilder")
            .field("entry", &self.entry)
            .field("mask", &self.mask)
            .field("promise", &self.promise)
            .field("drain_timeout", &self.drain_timeout)
            .field("stack", &self.stack)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn under_rosetta_a_mask_needs_both_exceptions_that_the_return_trap_may_raise() {
        let access = ExceptionMask::BAD_ACCESS;
        let instruction = ExceptionMask::BAD_INSTRUCTION;
        for (translated, both) in [(Some(false), false), (Some(true), true), (None, true)] {
            let mut capabilities = Capabilities::ORDINARY;
            capabilities.translated = translated;
            for mask in [access, instruction] {
                let taken = !both && mask == Native::RETURN_MASK;
                let found = check_mask(mask, &capabilities);
                assert_eq!(found.is_ok(), taken, "{translated:?} {mask}");
                if let Err(BuildError::ReturnTrap { needed, .. }) = found {
                    assert_eq!(needed == access | instruction, both, "{translated:?}");
                }
            }
            for mask in [access | instruction, Manager::DEFAULT_MASK] {
                assert!(check_mask(mask, &capabilities).is_ok(), "{translated:?}");
            }
        }
    }
}
