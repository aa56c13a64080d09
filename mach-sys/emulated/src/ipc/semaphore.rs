//! Semaphores: a count, and threads that wait for it to rise (`osfmk/kern/sync_sema.c`).
//!
//! A signal goes to one thread that waits already, if there is any, and never to one that comes later: to the first that came, or the last where
//! the semaphore's policy is `SYNC_POLICY_REVERSED`.

use super::abandoned::Holding;
use super::copyout;
use super::id::{PortId, WaiterId};
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
use crate::host::{CallWait, Waits};
use core::time::Duration;
use mach_wire::kern_return::KernReturn;
use std::time::Instant;

/// The largest count, that of an `int`.
const LARGEST: u32 = i32::MAX as u32;

/// A thread's wait for a semaphore.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    /// True once a signal was given to it. It is in no list then.
    given: bool,
    /// Neighbours among those that wait, in the order in which they are given signals.
    previous: Option<WaiterId>,
    next: Option<WaiterId>,
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
    reversed: bool,
) -> Result<Name, KernReturn> {
    let semaphore = Semaphore {
        count,
        reversed,
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

/// Adds a wait to those for a semaphore. `None` when there are as many waits as there may be.
fn add_waiter(ipc: &mut Ipc<'_, '_>, port: PortId) -> Result<WaiterId, KernReturn> {
    let &mut Semaphore {
        reversed,
        first,
        last,
        ..
    } = of(ipc, port)?;
    let (previous, next) = if reversed {
        (None, first)
    } else {
        (last, None)
    };
    let waiter = ipc.state.waiters.insert(Waiter {
        given: false,
        previous,
        next,
    });
    let waiter = waiter.ok_or(KernReturn::RESOURCE_SHORTAGE)?;
    link(ipc, port, previous, Some(waiter));
    link(ipc, port, Some(waiter), next);
    Ok(waiter)
}

/// Makes two waits for a semaphore neighbours. `None` stands for the ends of its list.
fn link(ipc: &mut Ipc<'_, '_>, port: PortId, before: Option<WaiterId>, after: Option<WaiterId>) {
    let waiters = &mut ipc.state.waiters;
    let PortKind::Semaphore(semaphore) = &mut ipc.state.ports[port].kind else {
        return;
    };
    match before {
        Some(before) => waiters[before].next = after,
        None => semaphore.first = after,
    }
    match after {
        Some(after) => waiters[after].previous = before,
        None => semaphore.last = before,
    }
}

/// Takes a wait out of the list of its semaphore.
fn unlist(ipc: &mut Ipc<'_, '_>, port: PortId, waiter: WaiterId) {
    let Waiter { previous, next, .. } = ipc.state.waiters[waiter];
    link(ipc, port, previous, next);
}

/// Gives a signal to a thread that waits. The caller wakes those that wait for the semaphore.
fn give(ipc: &mut Ipc<'_, '_>, port: PortId, waiter: WaiterId) {
    unlist(ipc, port, waiter);
    ipc.state.waiters[waiter].given = true;
}

/// Ends the wait of a thread that goes on, or that is gone. Returns whether it was given a signal, which is used up.
pub(super) fn end_wait(ipc: &mut Ipc<'_, '_>, port: PortId, waiter: WaiterId) -> bool {
    let given = ipc.state.waiters[waiter].given;
    if !given {
        unlist(ipc, port, waiter);
    }
    ipc.state.waiters.remove(waiter);
    given
}

fn signal_port(ipc: &mut Ipc<'_, '_>, port: PortId) -> Result<(), KernReturn> {
    let semaphore = of(ipc, port)?;
    match semaphore.first {
        Some(waiter) => {
            give(ipc, port, waiter);
            ipc.wake(WaitOn::Port(port));
        }
        None => semaphore.count = (semaphore.count + 1).min(LARGEST),
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
    while let Some(waiter) = of(ipc, port)?.first {
        give(ipc, port, waiter);
    }
    ipc.wake(WaitOn::Port(port));
    Ok(())
}

/// Lets a thread go on if it waits for the semaphore, by its wait in a kernel call; without one the thread that is the next. Nothing is counted
/// where that thread does not wait.
pub(crate) fn signal_thread(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    thread: Option<Waits>,
) -> Result<(), KernReturn> {
    let port = find(ipc, space, name)?;
    let first = of(ipc, port)?.first;
    let waiter = match thread {
        None => first,
        Some(waits) => Holding::waiter_for(waits, WaitOn::Port(port))
            .filter(|waiter| !ipc.state.waiters[*waiter].given),
    };
    give(ipc, port, waiter.ok_or(KernReturn::NOT_WAITING)?);
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
    let mut held = kernel.lock();
    let ipc = &mut held.ipc();
    let other = other.map(|other| find(ipc, space, other)).transpose()?;
    let port = find(ipc, space, name)?;
    // The wait of this thread, or what the call is over with.
    let begun = match of(ipc, port) {
        Ok(semaphore) if semaphore.count > 0 => {
            semaphore.count -= 1;
            Ok(None)
        }
        Ok(_) if timeout == Some(Duration::ZERO) => Err(KernReturn::OPERATION_TIMED_OUT),
        Ok(_) => add_waiter(ipc, port).map(Some),
        Err(error) => Err(error),
    };
    let signalled = other.map_or(Ok(()), |other| signal_port(ipc, other));
    let Some(waiter) = begun? else {
        return Ok(());
    };
    let object = WaitOn::Port(port);
    // While this thread waits the port may die; its slot must not become another's.
    ipc.retain(object);
    let mut deadline = None;
    let outcome = loop {
        let ipc = &mut held.ipc();
        if ipc.state.waiters[waiter].given {
            break Ok(());
        }
        if let Err(error) = of(ipc, port) {
            break Err(error);
        }
        if signalled.is_err() {
            // The other semaphore is gone: this wait might never end.
            break signalled;
        }
        let sequence = ipc.wait_word(object).sequence();
        let wait = CallWait::begin(Holding::Waiter(waiter).in_wait_for(object));
        drop(held);
        // As of sends and receives, the clock is read by those that wait.
        deadline = deadline.or_else(|| Instant::now().checked_add(timeout?));
        let waited = kernel.wait(object, sequence, deadline, false);
        held = kernel.lock();
        let error = match waited.with(wait.end()) {
            Waited::Event => continue,
            Waited::TimedOut => KernReturn::OPERATION_TIMED_OUT,
            Waited::Interrupted => KernReturn::ABORTED,
        };
        break of(&mut held.ipc(), port).map(|_| ()).and(Err(error));
    };
    let ipc = &mut held.ipc();
    // A signal that came in time is not lost.
    let given = end_wait(ipc, port, waiter);
    ipc.release(object);
    if given { Ok(()) } else { outcome }
}
