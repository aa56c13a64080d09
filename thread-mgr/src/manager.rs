//! The manager.

use crate::attach::Attached;
use crate::emergency::Stacks;
use crate::ends::{EndCounters, EndStats};
use crate::error::{AttachError, BuildError, SpawnError};
use crate::promise::SurplusPromise;
use crate::record::Records;
use crate::redirect::{Counters, Filter, RedirectStats, Redirector};
use crate::registry::Registry;
use crate::thread::{Handle, ThreadBuilder};
use core::fmt;
use core::time::Duration;
use exc_server::{Delivery, Exception, PanicPolicy, Server, Stats};
use mach_sys::exception::ExceptionMask;
use mach_sys::thread_state::NativeState;
use mach_sys::types::mach_port_name_t;
use signal_redirect::{Arch, Entry, Key, Native, Trampoline};
use std::sync::Arc;

/// A managed thread, as the registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadInfo {
    /// The 64-bit identifier.
    pub id: u64,
    /// The name of its kernel port: a number, valid as long as the thread lives.
    pub port: mach_port_name_t,
    /// The name it was given.
    pub name: Option<String>,
    /// Whether the manager started it.
    pub spawned: bool,
}

/// What a manager and its threads have in common.
pub(crate) struct Inner {
    pub(crate) server: Server,
    pub(crate) mask: ExceptionMask,
    pub(crate) delivery: Delivery,
    pub(crate) promise: Option<SurplusPromise>,
    pub(crate) patience: Duration,
    pub(crate) records: Arc<Records>,
    pub(crate) stacks: Stacks,
    pub(crate) registry: Registry,
    pub(crate) ends: Arc<EndCounters>,
    counters: Arc<Counters>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("server", &self.server)
            .field("mask", &self.mask)
            .field("delivery", &self.delivery)
            .finish_non_exhaustive()
    }
}

/// Starts threads, takes in those that are there, and ends them in order. Clones share it; its exception server runs until the
/// last clone and the last of its threads are gone.
#[derive(Clone, Debug)]
pub struct Manager {
    pub(crate) inner: Arc<Inner>,
}

impl Manager {
    /// Configures a manager whose threads' faults become `entry`'s.
    pub fn builder(entry: Entry) -> Builder {
        Builder {
            entry,
            mask: ExceptionMask::BAD_ACCESS
                | ExceptionMask::BAD_INSTRUCTION
                | ExceptionMask::ARITHMETIC
                | ExceptionMask::BREAKPOINT,
            promise: None,
            patience: Duration::from_secs(5),
            on_panic: PanicPolicy::Decline,
            filter: None,
        }
    }

    /// Starts a thread. Returns once it runs and its faults are routed.
    ///
    /// # Errors
    /// The host refused the thread, or it could not be taken in.
    pub fn spawn<T, F>(&self, body: F) -> Result<Handle<T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.thread().spawn(body)
    }

    /// Configures a thread.
    pub fn thread(&self) -> ThreadBuilder<'_> {
        ThreadBuilder::new(self)
    }

    /// Takes the calling thread in, the main thread too.
    ///
    /// # Errors
    /// It is managed already, or something that it needs could not be had.
    pub fn attach(&self) -> Result<Attached, AttachError> {
        Attached::new(&self.inner)
    }

    /// The threads that are managed now.
    #[must_use]
    pub fn threads(&self) -> Vec<ThreadInfo> {
        self.inner.registry.list()
    }

    /// What the exception server did so far.
    #[must_use]
    pub fn server_stats(&self) -> Stats {
        self.inner.server.stats()
    }

    /// What the ends of its threads came to, those that nobody joined included.
    #[must_use]
    pub fn end_stats(&self) -> EndStats {
        self.inner.ends.read()
    }

    /// What became of the faults.
    #[must_use]
    pub fn redirect_stats(&self) -> RedirectStats {
        self.inner.counters.read()
    }
}

/// Configures a [`Manager`].
#[must_use]
pub struct Builder {
    entry: Entry,
    mask: ExceptionMask,
    promise: Option<SurplusPromise>,
    patience: Duration,
    on_panic: PanicPolicy,
    filter: Option<Box<Filter>>,
}

impl Builder {
    /// Which exceptions become the handler's; bad accesses, bad instructions, arithmetic and breakpoints unless said. A handler comes
    /// back by a trap, whose exception the mask must have.
    pub fn mask(mut self, mask: ExceptionMask) -> Self {
        self.mask = mask;
        self
    }

    /// Lets the end of a thread release forgotten references on its kernel port, not only report them.
    pub fn trim_surplus(mut self, promise: SurplusPromise) -> Self {
        self.promise = Some(promise);
        self
    }

    /// How long the end of a thread waits for answers under way; 5 seconds unless said.
    pub fn patience(mut self, limit: Duration) -> Self {
        self.patience = limit;
        self
    }

    /// What a panic in the filter does.
    pub fn on_panic(mut self, policy: PanicPolicy) -> Self {
        self.on_panic = policy;
        self
    }

    /// Redirects only what this wants; the rest is declined untouched, so that debuggers and crash reporters see the original
    /// fault. It runs on the server's thread while the faulting one is stopped: no allocation, no lock that a thread may hold.
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
                mask: self.mask,
                delivery: Delivery::state::<NativeState>(),
                promise: self.promise,
                patience: self.patience,
                records,
                stacks: Stacks::new(),
                registry: Registry::default(),
                ends: Arc::default(),
                counters,
            }),
        })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("entry", &self.entry)
            .field("mask", &self.mask)
            .field("promise", &self.promise)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
