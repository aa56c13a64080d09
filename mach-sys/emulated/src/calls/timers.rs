//! Timers (`mach/mk_timer.h`).
#![allow(unsafe_code)]

use super::guards;
use super::target::{code, process, put};
use crate::host;
use crate::ipc::name::{Name, SpaceId};
use crate::ipc::state::Ipc;
use crate::ipc::timer;
use crate::process::Process;
use mach_wire::kern_return::KernReturn;
use mach_wire::types::*;

/// Runs a trap on the names of the calling task.
fn on_own_space<T>(
    call: impl FnOnce(&Process, &mut Ipc<'_, '_>, SpaceId) -> Result<T, KernReturn>,
) -> Result<T, KernReturn> {
    let process = process()?;
    let (outcome, guard) = {
        let mut held = process.mach.lock();
        let ipc = &mut held.ipc();
        (call(process, ipc, process.space), ipc.take_guard())
    };
    guards::note(guard);
    outcome
}

pub unsafe fn mk_timer_create() -> mach_port_name_t {
    let created = on_own_space(|_, ipc, space| {
        timer::create(ipc, space).ok_or(KernReturn::RESOURCE_SHORTAGE)
    });
    created.map_or(MACH_PORT_NULL, Name::raw)
}

pub unsafe fn mk_timer_destroy(name: mach_port_name_t) -> kern_return_t {
    code(on_own_space(|_, ipc, space| {
        timer::destroy(ipc, space, Name::new(name))
    }))
}

fn arm(name: mach_port_name_t, time: u64) -> kern_return_t {
    code(on_own_space(|process, ipc, space| {
        timer::arm(ipc, space, Name::new(name), time, host::nanoseconds())?;
        process.note_alarms(ipc);
        Ok(())
    }))
}

pub unsafe fn mk_timer_arm(name: mach_port_name_t, expire_time: u64) -> kern_return_t {
    arm(name, expire_time)
}

pub unsafe fn mk_timer_arm_leeway(
    name: mach_port_name_t,
    _flags: u64,
    expire_time: u64,
    _leeway: u64,
) -> kern_return_t {
    arm(name, expire_time)
}

pub unsafe fn mk_timer_cancel(name: mach_port_name_t, result_time: *mut u64) -> kern_return_t {
    let cancelled = on_own_space(|_, ipc, space| timer::cancel(ipc, space, Name::new(name)));
    code(cancelled.map(|time| {
        if !result_time.is_null() {
            // SAFETY: the seam's contract: `result_time` is null or valid for a write.
            unsafe { put(result_time, time) };
        }
    }))
}
