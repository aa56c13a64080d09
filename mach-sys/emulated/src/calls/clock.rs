//! Absolute time, and the host's clocks (`mach/mach_time.h`, `mach/clock.h`, `mach/mach_host.h`).
#![allow(unsafe_code)]

use super::mig;
use super::target::{code, put};
use crate::host;
use crate::ipc::kobject::{Kobject, KobjectType};
use crate::ipc::name::Name;
use crate::ipc::{copyout, lookup};
use crate::process::Process;
use crate::thread::clock_port::{self, CLOCKS};
use crate::thread::kernel::Kernel;
use mach_wire::kern_return::KernReturn;
use mach_wire::types::*;
use std::time::{SystemTime, UNIX_EPOCH};

pub unsafe fn mach_absolute_time() -> u64 {
    host::nanoseconds()
}

pub unsafe fn mach_timebase_info(info: *mut mach_timebase_info_data_t) -> kern_return_t {
    // SAFETY: the seam's contract: `info` is valid for a write.
    unsafe { put(info, mach_timebase_info_data_t { numer: 1, denom: 1 }) };
    KernReturn::SUCCESS.raw()
}

/// Returns the kernel object of a kind that a routine is sent to.
fn target(
    kernel: &mut Kernel<'_, '_>,
    process: &Process,
    name: mach_port_name_t,
    kind: KobjectType,
) -> Result<Kobject, KernReturn> {
    let name = Name::new(name);
    if !name.is_valid() {
        return Err(KernReturn::SEND_INVALID_DEST);
    }
    let port = lookup::call_target(&mut kernel.ipc, process.space, name)?;
    let object = kernel.ipc.port(port).kobject();
    let object = object.filter(|object| object.kind == kind);
    object.ok_or(KernReturn::INVALID_ARGUMENT)
}

pub unsafe fn host_get_clock_service(
    host: mach_port_name_t,
    clock_id: clock_id_t,
    clock: *mut mach_port_name_t,
) -> kern_return_t {
    let found = mig::process().and_then(|process| {
        let mut held = process.mach.lock();
        let kernel = &mut Kernel::of(&mut held);
        target(kernel, process, host, KobjectType::Host)?;
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
        target(kernel, process, clock, KobjectType::Clock)
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
