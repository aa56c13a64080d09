//! The shutdown of a managed thread, step by step. The crate's front page describes each step and the reason for its place.
//!
//! Not part of the API: no public function makes the first of these types. The module is public, but hidden, so that the doc tests
//! below can prove the order: each step is a type that only the step before can make, and another order does not compile.
//!
//! ```
//! use core::time::Duration;
//! use thread_mgr::Timeout;
//! use thread_mgr::shutdown::{Running, ShutdownReport};
//!
//! fn in_order(thread: Running) -> ShutdownReport {
//!     thread
//!         .quiesce(Timeout::After(Duration::from_secs(1)))
//!         .unroute()
//!         .close_port()
//!         .deregister()
//!         .release()
//!         .normalize()
//! }
//! ```
//!
//! No step can be left out. Each of these differs from the code above only in the step shown:
//!
//! ```compile_fail,E0599
//! fn normalized_first(thread: thread_mgr::shutdown::Running) {
//!     let _ = thread.normalize();
//! }
//! ```
//!
//! ```compile_fail,E0599
//! fn unrouted_with_answers_in_flight(thread: thread_mgr::shutdown::Running) {
//!     let _ = thread.unroute();
//! }
//! ```
//!
//! ```compile_fail,E0599
//! fn port_closed_while_the_kernel_still_sends_to_it(thread: thread_mgr::shutdown::Quiesced) {
//!     let _ = thread.close_port();
//! }
//! ```
//!
//! ```compile_fail,E0599
//! fn stack_released_before_the_port_is_closed(thread: thread_mgr::shutdown::Unrouted) {
//!     let _ = thread.release();
//! }
//! ```
//!
//! ```compile_fail,E0599
//! fn normalized_before_the_release(thread: thread_mgr::shutdown::Deregistered) {
//!     let _ = thread.normalize();
//! }
//! ```
//!
//! ```compile_fail,E0382
//! fn two_shutdowns_of_one_thread(thread: thread_mgr::shutdown::Quiesced) {
//!     let _ = thread.unroute();
//!     let _ = thread.unroute();
//! }
//! ```
//!
//! ```compile_fail,E0451
//! fn out_of_thin_air(rest: thread_mgr::shutdown::Released) -> thread_mgr::shutdown::Released {
//!     thread_mgr::shutdown::Released { ..rest }
//! }
//! ```

use crate::emergency::EmergencyStack;
use crate::inner::Inner;
use crate::normalize::{Normalization, look, trim};
use crate::record::Records;
pub use crate::report::ShutdownReport;
use exc_server::{InFlight, InstallError, Restored, Route, Timeout};
use mach_sys::kern_return::KernError;
use mach_sys::kernel::system::{self, CallGroup, Origin};
use mach_sys::rights::Name;
use std::sync::Arc;

/// The resources of a managed thread.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) inner: Arc<Inner>,
    /// The process that the thread was started or attached in.
    pub(crate) process: Origin,
    /// The name of the thread's kernel port.
    pub(crate) name: Name,
    /// Number of references on the name at the start; `None` if they could not be counted.
    pub(crate) references: Option<u32>,
    pub(crate) id: u64,
    pub(crate) route: Route,
    pub(crate) record: u32,
    pub(crate) stack: EmergencyStack,
}

/// A managed thread that runs.
#[derive(Debug)]
#[must_use]
pub struct Running {
    parts: Parts,
}

impl Running {
    pub(crate) fn new(parts: Parts) -> Self {
        Self { parts }
    }

    /// Returns the manager's records, and the index of the thread's own.
    pub(crate) fn record(&self) -> (Arc<Records>, u32) {
        (Arc::clone(&self.parts.inner.records), self.parts.record)
    }

    /// Returns the thread's identifier.
    pub(crate) fn id(&self) -> u64 {
        self.parts.id
    }

    /// Runs all steps for a thread that exits now, with the manager's time limit. Returns `None` in the child of a fork.
    pub(crate) fn end(self) -> Option<ShutdownReport> {
        let (released, group) = self.release_within(None)?;
        Some(released.normalize_in(group))
    }

    /// Runs all steps for a thread that keeps running, with the manager's time limit. Returns `None` in the child of a fork.
    pub(crate) fn detach(self) -> Option<ShutdownReport> {
        let (released, _) = self.release_within(None)?;
        Some(released.detach())
    }

    /// Runs all steps for a thread that is gone, on another thread, without waiting: none of its exceptions is in flight. Returns `None` in
    /// the child of a fork.
    pub(crate) fn abandon(self) -> Option<ShutdownReport> {
        let limit = Timeout::After(core::time::Duration::ZERO);
        let (released, _) = self.release_within(Some(limit))?;
        Some(released.abandon())
    }

    /// Runs all steps up to the release of the thread's memory. The second value is the group that the kernel calls are made in.
    fn release_within(self, limit: Option<Timeout>) -> Option<(Released, Option<CallGroup>)> {
        if !self.parts.process.is_current() {
            // The child of a fork has none of the ports: here the names belong to other rights, or to none.
            core::mem::forget(self);
            return None;
        }
        let limit = limit.unwrap_or(self.parts.inner.drain_timeout);
        let quiesced = self.quiesce(limit);
        // Nothing is in flight, so that none of the steps waits; none runs user code.
        let group = quiesced.in_flight.is_none().then(system::group_calls);
        let released = quiesced.unroute().close_port().deregister().release();
        Some((released, group))
    }

    /// Waits until no exception of the thread is in flight, at most `limit`.
    pub fn quiesce(self, limit: Timeout) -> Quiesced {
        let in_flight = self.parts.route.wait_idle(limit).err();
        Quiesced {
            parts: self.parts,
            in_flight,
        }
    }
}

/// A thread whose exceptions are answered, or whose wait for them timed out.
#[derive(Debug)]
#[must_use]
pub struct Quiesced {
    parts: Parts,
    in_flight: Option<InFlight>,
}

impl Quiesced {
    /// Puts the previous exception ports back, and releases the saved rights.
    pub fn unroute(self) -> Unrouted {
        let Parts {
            inner,
            name,
            references,
            id,
            route,
            record,
            stack,
            process: _,
        } = self.parts;
        let (port, restored) = route.unroute();
        Unrouted {
            port,
            rest: Rest {
                inner,
                name,
                references,
                id,
                record,
                in_flight: self.in_flight,
                restored,
            },
            stack,
        }
    }
}

/// The parts that remain once the route is gone.
#[derive(Debug)]
struct Rest {
    inner: Arc<Inner>,
    name: Name,
    references: Option<u32>,
    id: u64,
    record: u32,
    in_flight: Option<InFlight>,
    restored: Result<Restored, InstallError>,
}

/// A thread that has its previous exception ports again.
#[derive(Debug)]
#[must_use]
pub struct Unrouted {
    port: exc_server::DetachedRoute,
    rest: Rest,
    stack: EmergencyStack,
}

impl Unrouted {
    /// Removes the port from the server's port set, waits for the exceptions received meanwhile, and destroys the port, which declines the
    /// queued ones.
    pub fn close_port(self) -> PortClosed {
        let Self {
            port,
            mut rest,
            stack,
        } = self;
        port.stop_delivery();
        if rest.in_flight.is_none() {
            rest.in_flight = port.wait_idle(rest.inner.drain_timeout).err();
        }
        port.close_port();
        PortClosed { rest, stack }
    }
}

/// A thread without an exception port.
#[derive(Debug)]
#[must_use]
pub struct PortClosed {
    rest: Rest,
    stack: EmergencyStack,
}

impl PortClosed {
    /// Removes the thread from the manager's registry.
    pub fn deregister(self) -> Deregistered {
        self.rest.inner.registry.remove(self.rest.id);
        if self.rest.in_flight.is_none() {
            self.rest.inner.records.close(self.rest.record);
        }
        Deregistered {
            rest: self.rest,
            stack: self.stack,
        }
    }
}

/// A thread that is not in its manager's registry any more.
#[derive(Debug)]
#[must_use]
pub struct Deregistered {
    rest: Rest,
    stack: EmergencyStack,
}

impl Deregistered {
    /// Releases the thread's own memory: the emergency stack.
    pub fn release(self) -> Released {
        if self.rest.in_flight.is_some() || self.stack.is_in_use() {
            // A late answer may still write to the stack, or a handler that detaches its thread is running on it.
            core::mem::forget(self.stack);
        } else {
            self.rest.inner.stacks.give_back(self.stack);
        }
        Released { parts: self.rest }
    }
}

/// A thread that uses none of its manager's resources any more. It exits, or keeps running unmanaged.
#[derive(Debug)]
#[must_use]
pub struct Released {
    parts: Rest,
}

impl Released {
    /// Releases the references of the thread's kernel port that nothing owns, if the manager has the promise, and returns the report. For a
    /// thread that exits now: after this the thread may only run its way into the kernel.
    #[must_use]
    pub fn normalize(self) -> ShutdownReport {
        self.normalize_in(None)
    }

    /// Does the same as [`normalize`](Self::normalize), in a group of kernel calls.
    #[allow(unsafe_code)]
    fn normalize_in(self, mut group: Option<CallGroup>) -> ShutdownReport {
        let Rest {
            inner,
            name,
            references,
            in_flight,
            restored,
            ..
        } = self.parts;
        let promise = inner.promise;
        let ends = Arc::clone(&inner.ends);
        // If this was the last thread of a dropped manager, the server stops here, not after the normalization. That runs user code.
        if let Some(last) = Arc::into_inner(inner) {
            group = None;
            drop(last);
        }
        // Answers in flight may hold rights: nothing is trimmed if the wait for them timed out.
        let found = match (promise, in_flight) {
            // SAFETY: the promise is the contract of `trim`.
            (Some(_promise), None) => unsafe { trim(name) },
            _ => look(name),
        };
        let report = ShutdownReport {
            in_flight,
            restored,
            gained: gained(references, found.total),
            owned: found.owned,
            normalization: Some(found.normalization),
        };
        drop(group);
        ends.count(&report);
        report
    }

    /// Returns the report of a thread that is gone, on another thread. Does not read the name, which may belong to another right by now.
    fn abandon(self) -> ShutdownReport {
        let Rest {
            inner,
            in_flight,
            restored,
            ..
        } = self.parts;
        let report = ShutdownReport {
            in_flight,
            restored,
            gained: None,
            owned: 0,
            normalization: Some(Normalization::Invalid(KernError::INVALID_NAME)),
        };
        inner.ends.count(&report);
        report
    }

    /// Returns the report of a thread that keeps running unmanaged.
    #[must_use]
    pub fn detach(self) -> ShutdownReport {
        let Rest {
            inner,
            name,
            references,
            in_flight,
            restored,
            ..
        } = self.parts;
        let found = look(name);
        let report = ShutdownReport {
            in_flight,
            restored,
            gained: gained(references, found.total),
            owned: found.owned,
            normalization: None,
        };
        inner.ends.count(&report);
        report
    }
}

/// Returns the difference of two counts; `None` if one of them is unknown.
fn gained(before: Option<u32>, now: Option<u32>) -> Option<i64> {
    Some(i64::from(now?) - i64::from(before?))
}
