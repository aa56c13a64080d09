//! Semaphores: a count, and threads that wait for it to rise (`osfmk/kern/sync_sema.c`).
//!
//! A signal goes to a thread that waits already, if there is one, and never to one that comes later; the order among those that wait is not
//! specified here.

use super::abandoned::Holding;
use super::copyout;
use super::id::PortId;
use super::kmsg::Right;
use super::lookup;
use super::mach_port;
use super::monitor::Monitor;
use super::name::{Name, SpaceId};
use super::port::{PortKind, Semaphore};
use super::right;
use super::state::Ipc;
use super::wait_word::Waited;
use super::waitq::WaitOn;
use crate::host::CallWait;
use core::time::Duration;
use mach_wire::kern_return::KernReturn;
use std::time::Instant;

/// The largest count, that of an `int`.
const LARGEST: u32 = i32::MAX as u32;

impl Semaphore {
    /// Gives one signal: to a thread that waits, or to the count. Returns whether a thread waits for it.
    fn signal(&mut self) -> bool {
        if self.waiters > self.granted {
            self.granted += 1;
            self.bound = self.next;
            return true;
        }
        self.count = (self.count + 1).min(LARGEST);
        false
    }

    /// Lets all threads go on that wait.
    fn signal_all(&mut self) {
        self.granted = self.waiters;
        self.bound = self.next;
    }

    /// Ends the wait of a thread that is gone. A signal that no other thread waits for is not lost.
    pub(super) fn leave(&mut self) {
        self.waiters -= 1;
        if self.granted > self.waiters {
            self.granted = self.waiters;
            self.count = (self.count + 1).min(LARGEST);
        }
    }

    /// Takes a signal that was given since the thread with this ticket began to wait.
    fn take(&mut self, ticket: u64) -> bool {
        let given = self.granted > 0 && ticket < self.bound;
        if given {
            self.granted -= 1;
        }
        given
    }
}

fn of<'s>(ipc: &'s mut Ipc<'_, '_>, port: PortId) -> Result<&'s mut Semaphore, KernReturn> {
    let port = ipc.port_mut(port);
    match &mut port.kind {
        PortKind::Semaphore(semaphore) if port.alive && !semaphore.destroyed => Ok(semaphore),
        _ => Err(KernReturn::TERMINATED),
    }
}

/// Returns the semaphore's port under a name of a send right.
fn find(ipc: &Ipc<'_, '_>, space: SpaceId, name: Name) -> Result<PortId, KernReturn> {
    let port = lookup::send_right(ipc, space, name)?;
    match ipc.port(port).kind {
        PortKind::Semaphore(_) => Ok(port),
        _ => Err(KernReturn::INVALID_CAPABILITY),
    }
}

/// Creates a semaphore, and names it in a space.
pub(crate) fn create(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    count: u32,
) -> Result<Name, KernReturn> {
    let semaphore = Semaphore {
        count,
        ..Semaphore::default()
    };
    let port = ipc.create_port(PortKind::Semaphore(semaphore));
    let port = port.ok_or(KernReturn::RESOURCE_SHORTAGE)?;
    let name = copyout::name_send(ipc, space, port);
    if name.is_none() {
        right::release(ipc, Right::Receive(port));
    }
    name.ok_or(KernReturn::RESOURCE_SHORTAGE)
}

/// Destroys a semaphore: each thread that waits goes on with `KERN_TERMINATED`. Consumes a user reference of the name.
pub(crate) fn destroy(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name) -> Result<(), KernReturn> {
    if !name.is_valid() {
        return Err(KernReturn::INVALID_ARGUMENT);
    }
    let found = find(ipc, space, name);
    if matches!(
        found,
        Err(KernReturn::INVALID_NAME | KernReturn::INVALID_RIGHT)
    ) {
        // The message that asks for it cannot be sent.
        return Err(KernReturn::SEND_INVALID_RIGHT);
    }
    let outcome = match found {
        Ok(port) => {
            if let Ok(semaphore) = of(ipc, port) {
                semaphore.destroyed = true;
                ipc.wake(WaitOn::Port(port));
            }
            Ok(())
        }
        Err(_) => Err(KernReturn::INVALID_ARGUMENT),
    };
    // A name whose last reference must stay is an error of the guard that this raises.
    let _ = mach_port::deallocate(ipc, space, name);
    outcome
}

fn signal_port(ipc: &mut Ipc<'_, '_>, port: PortId) -> Result<(), KernReturn> {
    if of(ipc, port)?.signal() {
        ipc.wake(WaitOn::Port(port));
    }
    Ok(())
}

/// Lets one waiting thread go on, or raises the count.
pub(crate) fn signal(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name) -> Result<(), KernReturn> {
    let port = find(ipc, space, name)?;
    signal_port(ipc, port)
}

/// Lets all waiting threads go on. The count does not rise.
pub(crate) fn signal_all(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
) -> Result<(), KernReturn> {
    let port = find(ipc, space, name)?;
    of(ipc, port)?.signal_all();
    ipc.wake(WaitOn::Port(port));
    Ok(())
}

/// Takes one from the count, and waits while it is 0: for as long as `timeout` says. Another semaphore is signalled before the wait, in one
/// step with its beginning.
pub(crate) fn wait<T>(
    kernel: &Monitor<T>,
    space: SpaceId,
    name: Name,
    other: Option<Name>,
    timeout: Option<Duration>,
) -> Result<(), KernReturn> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut held = kernel.lock();
    let ipc = &mut held.ipc();
    let other = other.map(|other| find(ipc, space, other)).transpose()?;
    let port = find(ipc, space, name)?;
    // The ticket of this thread, or what the call is over with.
    let begun = of(ipc, port).and_then(|semaphore| match semaphore.count {
        1.. => {
            semaphore.count -= 1;
            Ok(None)
        }
        0 if timeout == Some(Duration::ZERO) => Err(KernReturn::OPERATION_TIMED_OUT),
        0 => {
            semaphore.waiters += 1;
            semaphore.next += 1;
            Ok(Some(semaphore.next - 1))
        }
    });
    let signalled = other.map_or(Ok(()), |other| signal_port(ipc, other));
    let Some(ticket) = begun? else {
        return Ok(());
    };
    let object = WaitOn::Port(port);
    // While this thread waits the port may die; its slot must not become another's.
    ipc.retain(object);
    let outcome = loop {
        let ipc = &mut held.ipc();
        match of(ipc, port).map(|semaphore| semaphore.take(ticket)) {
            Ok(true) => break Ok(()),
            // The other semaphore is gone: this wait might never end.
            Ok(false) if signalled.is_err() => break signalled,
            Ok(false) => {}
            Err(error) => break Err(error),
        }
        let sequence = ipc.wait_word(object).sequence();
        let wait = CallWait::begin(Holding::Waiter.in_wait_for(object));
        drop(held);
        let waited = kernel.wait(object, sequence, deadline, false);
        held = kernel.lock();
        let error = match waited.with(wait.end()) {
            Waited::Event => continue,
            Waited::TimedOut => KernReturn::OPERATION_TIMED_OUT,
            Waited::Interrupted => KernReturn::ABORTED,
        };
        // A signal that came in time is not lost.
        break match of(&mut held.ipc(), port).map(|semaphore| semaphore.take(ticket)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(error),
            Err(gone) => Err(gone),
        };
    };
    let ipc = &mut held.ipc();
    if let PortKind::Semaphore(semaphore) = &mut ipc.port_mut(port).kind {
        semaphore.waiters -= 1;
    }
    ipc.release(object);
    outcome
}
