//! Threads that are no pthreads (`mach/task.h`; D1.5).
#![allow(unsafe_code)]

use super::registers::{self, MOST_WORDS};
use super::target::{code, process, put};
use super::tasks::own_task;
use super::threads::{Suspended, thread_resume, thread_terminate};
use crate::host::raw;
use crate::ipc::mach_port;
use crate::ipc::name::Name;
use crate::process::Process;
use mach_wire::kern_return::KernReturn;
use mach_wire::types::*;

/// Answer of a thread that the kernel has no room for. Every name is larger.
const NO_ROOM: u32 = 1;

/// Begins a thread: makes it known, and waits for its first registers.
fn begin() {
    let name = process().ok().and_then(Process::new_raw_thread);
    raw::answer(name.map_or(NO_ROOM, Name::raw));
    if name.is_some() {
        raw::wait_to_be_suspended();
    }
}

/// Makes a thread, suspended once and with registers of 0. Returns its name, whose one reference is the caller's.
fn create(task: mach_port_name_t) -> Result<mach_port_name_t, KernReturn> {
    let process = own_task(task)?;
    let name = match raw::make(begin) {
        Ok(name) if name != NO_ROOM => name,
        _ => return Err(KernReturn::RESOURCE_SHORTAGE),
    };
    let suspended = Suspended::begin(process, name);
    let stopped = suspended.and_then(|suspended| match suspended {
        Some(suspended) => suspended.finish(process),
        None => Ok(()),
    });
    created(process, name, stopped.and_then(|()| registers::clear(name)))
}

/// Returns the name of a new thread, or releases the thread and its name after an error. That another thread has ended it already is none,
/// as XNU's call returns before that can be seen.
fn created(
    process: &Process,
    name: mach_port_name_t,
    outcome: Result<(), KernReturn>,
) -> Result<mach_port_name_t, KernReturn> {
    match outcome {
        Ok(()) | Err(KernReturn::TERMINATED | KernReturn::SEND_INVALID_DEST) => Ok(name),
        Err(error) => {
            // SAFETY: no pointers; the thread runs nothing of the caller's yet.
            unsafe { thread_terminate(name) };
            let mut held = process.mach.lock();
            let ipc = &mut held.ipc();
            let _ = mach_port::deallocate(ipc, process.space, Name::new(name));
            let _ = ipc.take_guard();
            Err(error)
        }
    }
}

pub unsafe fn thread_create(
    task: mach_port_name_t,
    thread: *mut mach_port_name_t,
) -> kern_return_t {
    code(create(task).map(|name| {
        // SAFETY: the seam's contract: `thread` is valid for a write.
        unsafe { put(thread, name) };
    }))
}

pub unsafe fn thread_create_running(
    task: mach_port_name_t,
    flavor: thread_state_flavor_t,
    state: *const natural_t,
    count: mach_msg_type_number_t,
    thread: *mut mach_port_name_t,
) -> kern_return_t {
    let count = count as usize;
    if count > registers::largest_state() {
        // MIG's stub does not send it (A9.6).
        return KernReturn::MIG_ARRAY_TOO_LARGE.raw();
    }
    let mut words = [0; MOST_WORDS];
    // SAFETY: the seam's contract: `state` holds `count` words.
    unsafe { core::ptr::copy_nonoverlapping(state, words.as_mut_ptr(), count) };
    let run = || {
        let name = create(task)?;
        let set = registers::set(name, flavor, &words[..count]);
        let resumed = set.and_then(|()| {
            // SAFETY: no pointers; the thread goes on with the registers that the caller gave it.
            match KernReturn::new(unsafe { thread_resume(name) }) {
                KernReturn::SUCCESS => Ok(()),
                error => Err(error),
            }
        });
        created(process()?, name, resumed)
    };
    code(run().map(|name| {
        // SAFETY: the seam's contract: `thread` is valid for a write.
        unsafe { put(thread, name) };
    }))
}
