//! Alarms that ring: their messages, when their time has come.

use super::alarm::Message;
use super::kmsg::Right;
use super::notify;
use super::right;
use super::state::Ipc;
use super::timer;
use mach_wire::kern_return::KernReturn;
use mach_wire::types::{alarm_type_t, mach_timespec_t};

/// Returns a number of nanoseconds as a time of the clock.
pub(crate) fn timespec(nanoseconds: u64) -> mach_timespec_t {
    mach_timespec_t {
        tv_sec: (nanoseconds / 1_000_000_000) as u32,
        tv_nsec: (nanoseconds % 1_000_000_000) as i32,
    }
}

/// Sends the message of the first alarm whose time has come. Returns whether there was one.
pub(crate) fn due(ipc: &mut Ipc<'_, '_>, now: u64) -> bool {
    match ipc.state.alarms.take_due(now) {
        None => return false,
        Some(Message::Clock(kind, to)) => clock(ipc, to, kind, KernReturn::SUCCESS, now),
        Some(Message::Timer(port)) => timer::expire(ipc, port),
    }
    true
}

/// Sets an alarm of `clock_alarm`, which takes the right. `KERN_RESOURCE_SHORTAGE` when as many are set as there may be.
pub(crate) fn set_clock(
    ipc: &mut Ipc<'_, '_>,
    time: u64,
    kind: alarm_type_t,
    to: Right,
) -> Result<(), KernReturn> {
    let ports = &ipc.state.ports;
    let is_dead = |to: Right| to.port().is_some_and(|port| !ports[port].alive);
    if let Some(dead) = ipc.state.alarms.take_dead(is_dead) {
        right::release(ipc, dead);
    }
    if ipc
        .state
        .alarms
        .set(time, Message::Clock(kind, to))
        .is_none()
    {
        right::release(ipc, to);
        return Err(KernReturn::RESOURCE_SHORTAGE);
    }
    Ok(())
}

/// Sends the message of an alarm of `clock_alarm`: a result, and the time that the clock shows.
pub(crate) fn clock(
    ipc: &mut Ipc<'_, '_>,
    to: Right,
    kind: alarm_type_t,
    code: KernReturn,
    now: u64,
) {
    notify::clock_alarm(ipc, to, code, kind, timespec(now));
}
