//! The kernel calls, each from the C arguments of the seam to the engine and back.
//!
//! User memory is read before the kernel's lock is taken, and written when it is free again.
#![allow(unsafe_code)]

mod exceptions;
mod memory;
mod messages;
mod ports;

pub use exceptions::*;
pub use memory::*;
pub use messages::*;
pub use ports::*;

use super::ipc::mach::{Locked, TaskId};
use super::ipc::object::Kind;
use super::process::{self, Process};
use mach_wire::kern_return::KernReturn;
use mach_wire::types::{MACH_PORT_DEAD, MACH_PORT_NULL, kern_return_t, mach_port_name_t};

/// What a call returns to C: `KERN_SUCCESS`, or what went wrong.
fn code(outcome: Result<(), KernReturn>) -> kern_return_t {
    match outcome {
        Ok(()) => KernReturn::SUCCESS.raw(),
        Err(error) => error.raw(),
    }
}

fn process() -> Result<&'static Process, KernReturn> {
    process::current().map_err(|_| KernReturn::RESOURCE_SHORTAGE)
}

/// Runs a call on the names of the task that `task` denotes (C0.5). Results are handed back by value: user memory is written
/// when the lock is free again.
fn on_task<T>(
    task: mach_port_name_t,
    call: impl FnOnce(&mut Locked<'_>, TaskId) -> Result<T, KernReturn>,
) -> Result<T, KernReturn> {
    let process = process()?;
    let mut kernel = process.mach.lock();
    let target = kernel.task_behind(process.task, task)?;
    call(&mut kernel, target)
}

impl Locked<'_> {
    /// The task whose control port a name of `caller`'s denotes.
    fn task_behind(
        &mut self,
        caller: TaskId,
        name: mach_port_name_t,
    ) -> Result<TaskId, KernReturn> {
        if name == MACH_PORT_NULL || name == MACH_PORT_DEAD {
            return Err(KernReturn::SEND_INVALID_DEST);
        }
        match self.kernel_object(caller, name)? {
            (Kind::Task, object) => Ok(self.object(object).task),
            _ => Err(KernReturn::INVALID_TASK),
        }
    }
}

/// Writes a result where the caller wants it.
///
/// # Safety
/// `to` is valid for a write.
unsafe fn put<T>(to: *mut T, value: T) {
    // SAFETY: the caller vouches for the pointer.
    unsafe { to.write(value) };
}
