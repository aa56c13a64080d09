//! Semaphores (`mach/semaphore.h`, `mach/task.h`).
#![allow(unsafe_code)]

use super::mig;
use super::target::{code, on_space, process, put};
use crate::ipc::name::Name;
use crate::ipc::{lookup, semaphore};
use crate::process::Process;
use crate::thread::kernel::Kernel;
use crate::thread::object::ThreadId;
use crate::thread::run;
use core::ffi::c_int;
use core::time::Duration;
use mach_wire::kern_return::KernReturn;
use mach_wire::types::*;

/// `SYNC_POLICY_PREPOST`, which has no meaning any more.
const PREPOST: c_int = 0x4;
/// The bits of a policy that programs may set (`SYNC_POLICY_USER_MASK`).
const POLICIES: c_int = SYNC_POLICY_REVERSED | PREPOST;

pub unsafe fn semaphore_create(
    task: mach_port_name_t,
    semaphore: *mut semaphore_t,
    policy: c_int,
    value: c_int,
) -> kern_return_t {
    let created = on_space(mig::process(), task, |ipc, space| {
        match u32::try_from(value) {
            Ok(count) if policy & !POLICIES == 0 => {
                semaphore::create(ipc, space, count, policy & SYNC_POLICY_REVERSED != 0)
            }
            _ => Err(KernReturn::INVALID_ARGUMENT),
        }
    });
    code(created.map(|name| {
        // SAFETY: the seam's contract: `semaphore` is valid for a write.
        unsafe { put(semaphore, name.raw()) };
    }))
}

pub unsafe fn semaphore_destroy(task: mach_port_name_t, semaphore: semaphore_t) -> kern_return_t {
    code(on_space(mig::process(), task, |ipc, space| {
        semaphore::destroy(ipc, space, Name::new(semaphore))
    }))
}

pub unsafe fn semaphore_signal(semaphore: semaphore_t) -> kern_return_t {
    code(process().and_then(|process| {
        let mut held = process.mach.lock();
        semaphore::signal(&mut held.ipc(), process.space, Name::new(semaphore))
    }))
}

pub unsafe fn semaphore_signal_all(semaphore: semaphore_t) -> kern_return_t {
    code(process().and_then(|process| {
        let mut held = process.mach.lock();
        semaphore::signal_all(&mut held.ipc(), process.space, Name::new(semaphore))
    }))
}

pub unsafe fn semaphore_signal_thread(
    semaphore: semaphore_t,
    thread: mach_port_name_t,
) -> kern_return_t {
    code(process().and_then(|process| {
        let mut held = process.mach.lock();
        let kernel = &mut Kernel::of(&mut held);
        let thread = match thread {
            MACH_PORT_NULL => None,
            thread => Some(thread_behind(kernel, process, Name::new(thread))?),
        };
        run::signal_semaphore(kernel, process.space, Name::new(semaphore), thread)
    }))
}

/// Returns the thread behind a name, as the trap looks for it.
fn thread_behind(
    kernel: &Kernel<'_, '_>,
    process: &Process,
    name: Name,
) -> Result<ThreadId, KernReturn> {
    let port = lookup::send_right(&kernel.ipc, process.space, name);
    let thread = port.ok().map(|port| kernel.ipc.port(port));
    let thread = thread.and_then(ThreadId::behind);
    thread.ok_or(KernReturn::INVALID_ARGUMENT)
}

fn wait(
    semaphore: semaphore_t,
    other: Option<semaphore_t>,
    timeout: Option<mach_timespec_t>,
) -> kern_return_t {
    let timeout = match timeout {
        None => None,
        Some(time) if !(0..1_000_000_000).contains(&time.tv_nsec) => {
            return KernReturn::INVALID_VALUE.raw();
        }
        Some(time) => Some(Duration::new(time.tv_sec.into(), time.tv_nsec as u32)),
    };
    code(process().and_then(|process| {
        let (name, other) = (Name::new(semaphore), other.map(Name::new));
        semaphore::wait(&process.mach, process.space, name, other, timeout)
    }))
}

pub unsafe fn semaphore_wait(semaphore: semaphore_t) -> kern_return_t {
    wait(semaphore, None, None)
}

pub unsafe fn semaphore_timedwait(semaphore: semaphore_t, time: mach_timespec_t) -> kern_return_t {
    wait(semaphore, None, Some(time))
}

pub unsafe fn semaphore_wait_signal(semaphore: semaphore_t, signal: semaphore_t) -> kern_return_t {
    wait(semaphore, Some(signal), None)
}

pub unsafe fn semaphore_timedwait_signal(
    semaphore: semaphore_t,
    signal: semaphore_t,
    time: mach_timespec_t,
) -> kern_return_t {
    wait(semaphore, Some(signal), Some(time))
}
