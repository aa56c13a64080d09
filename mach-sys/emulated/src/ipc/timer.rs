//! Timers: ports to which the kernel sends a message at a time (`osfmk/kern/mk_timer.c`).
//!
//! A timer's port is an ordinary one in its task, with a queue; its receive right cannot be moved. The kernel keeps one send right for it.

use super::alarm::Message;
use super::copyout;
use super::entry::Rights;
use super::id::PortId;
use super::kmsg::Right;
use super::lookup;
use super::mach_port;
use super::name::{Name, SpaceId};
use super::notify;
use super::port::{MessagePort, PortKind, Timer};
use super::right;
use super::state::Ipc;
use mach_wire::kern_return::KernReturn;

/// Creates a timer, and names its receive right. `None` when the kernel or the space is full.
pub(crate) fn create(ipc: &mut Ipc<'_, '_>, space: SpaceId) -> Option<Name> {
    let mut queue = MessagePort::new();
    queue.timer = Some(Timer::default());
    queue.protection.immovable = ipc.rules.timers_are_immovable();
    let port = ipc.create_port(PortKind::Queue(queue))?;
    // The kernel's own, until the port dies.
    let _kept = right::make_send(ipc, port);
    match copyout::copyout(ipc, space, Right::Receive(port)) {
        Name::NULL => None,
        name => Some(name),
    }
}

fn of<'s>(ipc: &'s mut Ipc<'_, '_>, port: PortId) -> Option<&'s mut Timer> {
    ipc.port_mut(port).queue_mut()?.timer.as_mut()
}

/// Returns the port of the timer under the name of its receive right.
fn find(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name) -> Result<PortId, KernReturn> {
    let port = lookup::receive_right(ipc, space, name)?;
    match of(ipc, port) {
        Some(_) => Ok(port),
        None => Err(KernReturn::INVALID_ARGUMENT),
    }
}

/// Implements `mk_timer_arm`: the timer's message is sent at a time of the system clock, in nanoseconds, and at no other that was set before; at
/// once if that is not after `now`.
pub(crate) fn arm(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    time: u64,
    now: u64,
) -> Result<(), KernReturn> {
    let port = find(ipc, space, name)?;
    disarm(ipc, port);
    if time <= now {
        expire(ipc, port);
        return Ok(());
    }
    // There is room for one of each port.
    let armed = ipc.state.alarms.set(time, Message::Timer(port));
    if let Some(timer) = of(ipc, port) {
        timer.armed = armed;
    }
    armed.map(|_| ()).ok_or(KernReturn::RESOURCE_SHORTAGE)
}

/// Implements `mk_timer_cancel`: returns the time for which the timer was armed; 0 if it was not.
pub(crate) fn cancel(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name) -> Result<u64, KernReturn> {
    let port = find(ipc, space, name)?;
    Ok(disarm(ipc, port).unwrap_or(0))
}

/// Implements `mk_timer_destroy`: releases all rights under the timer's name, as `mach_port_destroy` does (C3.1).
pub(crate) fn destroy(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name) -> Result<(), KernReturn> {
    if ipc.rules.timers_are_destroyed_by_their_entry() {
        let entry = ipc.space(space).get(name).ok_or(KernReturn::INVALID_NAME)?;
        if !entry.rights.has(Rights::RECEIVE) {
            return Err(KernReturn::INVALID_RIGHT);
        }
    }
    find(ipc, space, name)?;
    mach_port::destroy(ipc, space, name)
}

/// Takes back the timer's alarm. Returns the time for which it was set.
fn disarm(ipc: &mut Ipc<'_, '_>, port: PortId) -> Option<u64> {
    let armed = of(ipc, port)?.armed.take()?;
    Some(ipc.state.alarms.take(armed).0)
}

/// Sends the message of a timer whose time has come, unless the last one is still queued.
pub(super) fn expire(ipc: &mut Ipc<'_, '_>, port: PortId) {
    let Some(timer) = of(ipc, port) else {
        return;
    };
    timer.armed = None;
    if core::mem::replace(&mut timer.queued, true) {
        return;
    }
    let to = right::copy_send(ipc, port);
    if let Err(to) = notify::timer_expired(ipc, to) {
        right::release(ipc, to);
        if let Some(timer) = of(ipc, port) {
            timer.queued = false;
        }
    }
}
