//! The memory of the own task, as the target of a call.

use super::target::{refused, task_behind};
use crate::process::Process;
use crate::thread::kernel::Kernel;
use mach_wire::kern_return::KernReturn;
use mach_wire::types::*;

/// Returns the copy (from, to, size) within the memory of the task that a name denotes, if that is the process's own: the only one whose
/// memory is here.
pub(super) fn own_memory(
    process: Result<&'static Process, KernReturn>,
    task: mach_port_name_t,
) -> Result<impl FnOnce(u64, u64, u64) -> Result<(), KernReturn>, KernReturn> {
    let process = process?;
    let (target, blocked) = {
        let mut held = process.mach.lock();
        let target = task_behind(&mut Kernel::of(&mut held), process.task, task);
        (target, held.blocked())
    };
    let target = refused(target).map_err(|error| match error {
        // Another port than a task's is a map that is not there.
        KernReturn::INVALID_TASK => KernReturn::INVALID_ARGUMENT,
        error => error,
    })?;
    if target == process.task {
        Ok(move |from, to, size| process.mach.copy_within_user(blocked, from, to, size))
    } else {
        Err(KernReturn::NOT_SUPPORTED)
    }
}

/// Checks that a name is the own task's.
pub(super) fn check_task(
    process: Result<&'static Process, KernReturn>,
    task: mach_port_name_t,
) -> Result<&'static Process, KernReturn> {
    let checked = process?;
    let _ = own_memory(Ok(checked), task)?;
    Ok(checked)
}
