//! Absolute time, and the host's clocks (`mach/mach_time.h`, `mach/clock.h`, `mach/mach_host.h`).
#![allow(unsafe_code)]

use super::mig;
use super::target::{code, kobject_behind, process, put};
use crate::host;
use crate::ipc::copyin::{self, Dead};
use crate::ipc::kmsg::Right;
use crate::ipc::kobject::{Kobject, KobjectType};
use crate::ipc::name::Name;
use crate::ipc::ring::{self, timespec};
use crate::ipc::{copyout, lookup, right, sleep};
use crate::process::Process;
use crate::thread::clock_port::{self, CLOCKS};
use crate::thread::kernel::Kernel;
use core::ffi::c_int;
use core::time::Duration;
use mach_wire::kern_return::KernReturn;
use mach_wire::message::Disposition;
use mach_wire::types::*;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub unsafe fn mach_absolute_time() -> u64 {
    host::nanoseconds()
}

pub unsafe fn mach_approximate_time() -> u64 {
    host::coarse_nanoseconds()
}

pub unsafe fn mach_continuous_time() -> u64 {
    host::nanoseconds_with_sleep()
}

pub unsafe fn mach_continuous_approximate_time() -> u64 {
    host::nanoseconds_with_sleep()
}

pub unsafe fn mach_timebase_info(info: *mut mach_timebase_info_data_t) -> kern_return_t {
    // SAFETY: the seam's contract: `info` is valid for a write.
    unsafe { put(info, mach_timebase_info_data_t { numer: 1, denom: 1 }) };
    KernReturn::SUCCESS.raw()
}

pub unsafe fn host_get_clock_service(
    host: mach_port_name_t,
    clock_id: clock_id_t,
    clock: *mut mach_port_name_t,
) -> kern_return_t {
    let found = mig::process().and_then(|process| {
        let mut held = process.mach.lock();
        let kernel = &mut Kernel::of(&mut held);
        kobject_behind(kernel, process, host, KobjectType::Host)?;
        let place = CLOCKS.iter().position(|clock| *clock == clock_id);
        let place = place.ok_or(KernReturn::INVALID_ARGUMENT)?;
        let port = clock_port::of(kernel, place).ok_or(KernReturn::RESOURCE_SHORTAGE)?;
        let name = copyout::name_send(&mut kernel.ipc, process.space, port);
        name.ok_or(KernReturn::RESOURCE_SHORTAGE)
    });
    code(found.map(|name| {
        // SAFETY: the seam's contract: `clock` is valid for a write.
        unsafe { put(clock, name.raw()) };
    }))
}

pub unsafe fn clock_get_time(clock: mach_port_name_t, time: *mut mach_timespec_t) -> kern_return_t {
    let found = mig::process().and_then(|process| {
        let mut held = process.mach.lock();
        let kernel = &mut Kernel::of(&mut held);
        kobject_behind(kernel, process, clock, KobjectType::Clock)
    });
    code(found.map(|object| {
        let now = match CLOCKS.get(object.value as usize) {
            Some(&CALENDAR_CLOCK) => SystemTime::now().duration_since(UNIX_EPOCH),
            _ => Ok(core::time::Duration::from_nanos(host::nanoseconds())),
        };
        // A system whose time is before 1970 has no such time.
        let now = now.unwrap_or_default();
        let now = mach_timespec_t {
            tv_sec: now.as_secs() as u32,
            tv_nsec: now.subsec_nanos() as i32,
        };
        // SAFETY: the seam's contract: `time` is valid for a write.
        unsafe { put(time, now) };
    }))
}

pub unsafe fn clock_get_attributes(
    clock: mach_port_name_t,
    flavor: clock_flavor_t,
    attribute: *mut c_int,
    count: *mut mach_msg_type_number_t,
) -> kern_return_t {
    /// Nanoseconds of a tick, which XNU tells whatever its clocks can do.
    const TICK: c_int = 1_000_000_000 / 100;
    let tell = || {
        let process = mig::process()?;
        let clock = {
            let mut held = process.mach.lock();
            let kernel = &mut Kernel::of(&mut held);
            kobject_behind(kernel, process, clock, KobjectType::Clock)?
        };
        // SAFETY: the seam's contract: `count` is readable.
        if unsafe { count.read() } != 1 {
            return Err(KernReturn::FAILURE);
        }
        match flavor {
            CLOCK_GET_TIME_RES => Ok(TICK),
            CLOCK_ALARM_CURRES | CLOCK_ALARM_MINRES | CLOCK_ALARM_MAXRES => {
                Ok(if has_alarms(&clock) { TICK } else { 0 })
            }
            _ => Err(KernReturn::INVALID_VALUE),
        }
    };
    code(tell().map(|nanoseconds| {
        // SAFETY: the seam's contract: room for the one word that `count` says.
        unsafe { put(attribute, nanoseconds) };
    }))
}

/// Returns whether threads can sleep by a clock, and set alarms: by the system clock only.
fn has_alarms(clock: &Kobject) -> bool {
    CLOCKS.get(clock.value as usize) == Some(&SYSTEM_CLOCK)
}

/// Nanoseconds of a second.
const NANOSECONDS: u64 = 1_000_000_000;

/// Returns the nanoseconds of the system clock at which a time comes. `KERN_INVALID_VALUE` if it is none.
fn due(kind: alarm_type_t, time: mach_timespec_t, now: u64) -> Result<u64, KernReturn> {
    let is_known = matches!(kind, TIME_ABSOLUTE | TIME_RELATIVE);
    if !is_known || !(0..1_000_000_000).contains(&time.tv_nsec) {
        return Err(KernReturn::INVALID_VALUE);
    }
    let nanoseconds =
        |time: mach_timespec_t| u64::from(time.tv_sec) * NANOSECONDS + time.tv_nsec as u64;
    if kind == TIME_ABSOLUTE {
        return Ok(nanoseconds(time));
    }
    let now = timespec(now);
    let fraction = (time.tv_nsec + now.tv_nsec) as u64;
    Ok(nanoseconds(mach_timespec_t {
        // In 32 bits, as XNU's (`ADD_MACH_TIMESPEC`): a time beyond them is past.
        tv_sec: (time.tv_sec.wrapping_add(now.tv_sec))
            .wrapping_add((fraction / NANOSECONDS) as u32),
        tv_nsec: (fraction % NANOSECONDS) as i32,
    }))
}

/// Waits until the system clock shows a time.
fn sleep_until(process: &Process, time: u64) -> Result<(), KernReturn> {
    let now = host::nanoseconds();
    if time <= now {
        return Ok(());
    }
    let thread = process.this_thread().ok_or(KernReturn::RESOURCE_SHORTAGE)?;
    let own = process.mach.lock().parts().1.thread(thread).port;
    // A time that the system cannot express does not come.
    let deadline = Instant::now().checked_add(Duration::from_nanos(time - now));
    sleep::until(&process.mach, own, deadline)
}

/// Waits for a time.
pub(super) fn sleep_for(process: &Process, time: Duration) -> Result<(), KernReturn> {
    let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    sleep_until(process, host::nanoseconds().saturating_add(time))
}

pub unsafe fn mach_wait_until(deadline: u64) -> kern_return_t {
    code(process().and_then(|process| sleep_until(process, deadline)))
}

pub unsafe fn clock_sleep(
    clock: mach_port_name_t,
    kind: sleep_type_t,
    time: mach_timespec_t,
    wakeup: *mut mach_timespec_t,
) -> kern_return_t {
    let prepare = || {
        let process = process()?;
        if clock != MACH_PORT_NULL {
            let found = {
                let mut held = process.mach.lock();
                let kernel = &mut Kernel::of(&mut held);
                kobject_behind(kernel, process, clock, KobjectType::Clock)
            };
            let clock = found.map_err(|_| KernReturn::INVALID_ARGUMENT)?;
            if !has_alarms(&clock) {
                return Err(KernReturn::FAILURE);
            }
        }
        Ok(process)
    };
    let process = match prepare() {
        Ok(process) => process,
        Err(error) => return error.raw(),
    };
    let (outcome, shown) = match due(kind, time, host::nanoseconds()) {
        Ok(due) => match sleep_until(process, due) {
            Ok(()) => (Ok(()), timespec(host::nanoseconds())),
            Err(error) => (Err(error), timespec(due)),
        },
        Err(error) => (Err(error), time),
    };
    // A trap copies out what it can: no place for the time is no error.
    if !wakeup.is_null() {
        // SAFETY: the seam's contract: `wakeup` is valid for a write.
        unsafe { put(wakeup, shown) };
    }
    code(outcome)
}

pub unsafe fn clock_alarm(
    clock: mach_port_name_t,
    kind: alarm_type_t,
    time: mach_timespec_t,
    port: mach_port_name_t,
) -> kern_return_t {
    let set = || {
        let process = mig::process()?;
        let mut held = process.mach.lock();
        let kernel = &mut Kernel::of(&mut held);
        let name = Name::new(clock);
        if !name.is_valid() {
            return Err(KernReturn::SEND_INVALID_DEST);
        }
        let target = lookup::call_target(&mut kernel.ipc, process.space, name)?;
        let to = take_alarm_right(kernel, process, Name::new(port))?;
        let object = kernel.ipc.port(target).kobject();
        let object = object.filter(|object| object.kind == KobjectType::Clock);
        let refused = match object {
            None => Some(KernReturn::INVALID_ARGUMENT),
            Some(clock) if !has_alarms(&clock) => Some(KernReturn::FAILURE),
            Some(_) if to.port().is_none() => Some(KernReturn::INVALID_CAPABILITY),
            Some(_) => None,
        };
        if let Some(error) = refused {
            // The request is destroyed, and the right that it carried.
            right::release(&mut kernel.ipc, to);
            return Err(error);
        }
        let now = host::nanoseconds();
        match due(kind, time, now) {
            Err(error) => ring::clock(&mut kernel.ipc, to, kind, error, now),
            Ok(due) if due <= now => {
                ring::clock(&mut kernel.ipc, to, kind, KernReturn::SUCCESS, now);
            }
            Ok(due) => {
                ring::set_clock(&mut kernel.ipc, due, kind, to)?;
                process.note_alarms(&kernel.ipc);
            }
        }
        Ok(())
    };
    code(set())
}

/// Takes the send-once right that an alarm's message goes through, as the request carries it.
fn take_alarm_right(
    kernel: &mut Kernel<'_, '_>,
    process: &Process,
    name: Name,
) -> Result<Right, KernReturn> {
    match name {
        Name::NULL => Ok(Right::Null),
        Name::DEAD => Ok(Right::Dead),
        name => copyin::copyin(
            &mut kernel.ipc,
            process.space,
            name,
            Disposition::MAKE_SEND_ONCE,
            Dead::Refused,
        )
        .map_err(|_| KernReturn::SEND_INVALID_RIGHT),
    }
}
