//! The manager.

use crate::attach::Attached;
use crate::emergency::Stacks;
use crate::ends::EndStats;
use crate::error::{AttachError, BuildError, SpawnError};
use crate::handle::Handle;
use crate::inner::Inner;
use crate::promise::SurplusPromise;
use crate::record::Records;
use crate::redirect::{Counters, Filter, RedirectStats, Redirector};
use crate::registry::{Registry, ThreadInfo};
use crate::thread::ThreadBuilder;
use core::fmt;
use core::time::Duration;
use exc_server::{Delivery, Exception, PanicPolicy, Server, Stats};
use mach_sys::exception::ExceptionMask;
use mach_sys::kernel::system::Origin;
use mach_sys::thread_state::NativeState;
use signal_redirect::{Entry, Key, Machine, Native, Trampoline};
use std::sync::Arc;

/// Starts threads, attaches existing ones, and ends them in order. Clones share it; its exception server runs until the last clone and the
/// last of its threads are gone. In the child of a fork it manages no thread, and dropping it does nothing.
#[derive(Clone, Debug)]
pub struct Manager {
    pub(crate) inner: Arc<Inner>,
}

impl Manager {
    /// Configures a manager that sends its threads' faults to `entry`.
    pub fn builder(entry: Entry) -> ManagerBuilder {
        ManagerBuilder {
            entry,
            mask: ExceptionMask::BAD_ACCESS
                | ExceptionMask::BAD_INSTRUCTION
                | ExceptionMask::ARITHMETIC
                | ExceptionMask::BREAKPOINT,
            promise: None,
            drain_timeout: Duration::from_secs(5),
            on_panic: PanicPolicy::Decline,
            filter: None,
        }
    }

    /// Starts a thread. Returns once it runs and its faults are routed.
    ///
    /// # Errors
    /// As [`ThreadBuilder::spawn`].
    pub fn spawn<T, F>(&self, body: F) -> Result<Handle<T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.thread().spawn(body)
    }

    /// Configures a thread.
    pub fn thread(&self) -> ThreadBuilder<'_> {
        ThreadBuilder::new(&self.inner)
    }

    /// Attaches the calling thread, which may be the main thread.
    ///
    /// # Errors
    /// The thread is managed already, or is an exception server's own; its stack, record or route could not be had; or this is the child of
    /// a fork.
    pub fn attach(&self) -> Result<Attached, AttachError> {
        Attached::new(&self.inner)
    }

    /// Returns the threads that are managed now; none in the child of a fork.
    #[must_use]
    pub fn threads(&self) -> Vec<ThreadInfo> {
        if !self.inner.process.is_current() {
            return Vec::new();
        }
        self.inner.registry.list()
    }

    /// Returns what the exception server did so far.
    #[must_use]
    pub fn server_stats(&self) -> Stats {
        self.inner.server.stats()
    }

    /// Returns totals over all threads that exited or were detached, whether joined or not.
    #[must_use]
    pub fn end_stats(&self) -> EndStats {
        self.inner.ends.read()
    }

    /// Returns what became of the faults.
    #[must_use]
    pub fn redirect_stats(&self) -> RedirectStats {
        self.inner.counters.read()
    }
}

/// Configures a [`Manager`].
#[must_use]
pub struct ManagerBuilder {
    entry: Entry,
    mask: ExceptionMask,
    promise: Option<SurplusPromise>,
    drain_timeout: Duration,
    on_panic: PanicPolicy,
    filter: Option<Box<Filter>>,
}

impl ManagerBuilder {
    /// Which exceptions become the handler's; bad accesses, bad instructions, arithmetic and breakpoints unless said. A handler comes
    /// back by a trap, whose exception the mask must have.
    pub fn mask(mut self, mask: ExceptionMask) -> Self {
        self.mask = mask;
        self
    }

    /// Lets the exit of a thread release forgotten references on its kernel port, not only report them.
    pub fn trim_surplus(mut self, promise: SurplusPromise) -> Self {
        self.promise = Some(promise);
        self
    }

    /// Sets how long the exit of a thread waits for answers under way; 5 seconds by default. A time that no clock reaches waits without
    /// limit.
    pub fn drain_timeout(mut self, limit: Duration) -> Self {
        self.drain_timeout = limit;
        self
    }

    /// Sets what a panic in the filter does.
    pub fn on_panic(mut self, policy: PanicPolicy) -> Self {
        self.on_panic = policy;
        self
    }

    /// Redirects only what this wants; the rest is declined untouched, so that debuggers and crash reporters see the original
    /// fault. It runs on the server's thread while the faulting one is stopped: no allocation, no lock that a thread may hold. There a
    /// thread cannot be attached or joined ([`AttachError::ServerThread`], [`JoinError::ServerThread`](crate::JoinError)).
    pub fn only_if(
        mut self,
        wants: impl Fn(&Exception<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.filter = Some(Box::new(wants));
        self
    }

    /// Makes the manager, and starts its exception server.
    ///
    /// # Errors
    /// The mask lacks what the way back needs; the server did not start.
    pub fn build(self) -> Result<Manager, BuildError> {
        let needed = Native::RETURN_MASK;
        if !self.mask.contains(needed) {
            return Err(BuildError::ReturnTrap {
                needed,
                mask: self.mask,
            });
        }
        crate::exit::make_key().map_err(BuildError::Key)?;
        let records = Arc::new(Records::new());
        let counters = Arc::new(Counters::default());
        let server = Server::builder()
            .on_panic(self.on_panic)
            .start(Redirector {
                entry: self.entry,
                trampoline: Trampoline::native(Key::random()),
                records: Arc::clone(&records),
                counters: Arc::clone(&counters),
                filter: self.filter,
            })?;
        Ok(Manager {
            inner: Arc::new(Inner {
                server,
                process: Origin::current(),
                mask: self.mask,
                delivery: Delivery::state::<NativeState>(),
                promise: self.promise,
                drain_timeout: self.drain_timeout,
                records,
                stacks: Stacks::new(),
                registry: Registry::default(),
                ends: Arc::default(),
                counters,
            }),
        })
    }
}

impl fmt::Debug for ManagerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagerBuilder")
            .field("entry", &self.entry)
            .field("mask", &self.mask)
            .field("promise", &self.promise)
            .field("drain_timeout", &self.drain_timeout)
            .finish_non_exhaustive()
    }
}
