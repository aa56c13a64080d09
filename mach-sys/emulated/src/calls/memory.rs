//! Memory of the own task (`mach/mach_vm.h`).

use super::mig;
use super::target::{code, process, put, refused, task_behind};
use crate::host::pages;
use crate::process::Process;
use crate::thread::kernel::Kernel;
use mach_wire::kern_return::KernReturn;
use mach_wire::types::*;

/// Returns the copy (from, to, size) within the memory of the task that a name denotes, if that is the process's own: the only one whose
/// memory is here.
fn own_memory(
    process: Result<&'static Process, KernReturn>,
    task: mach_port_name_t,
) -> Result<impl FnOnce(u64, u64, u64) -> Result<(), KernReturn>, KernReturn> {
    let process = process?;
    let (target, blocked) = {
        let mut held = process.mach.lock();
        let target = task_behind(&mut Kernel::of(&mut held), process.task, task);
        (target, held.blocked())
    };
    let target = refused(target)?;
    if target == process.task {
        Ok(move |from, to, size| process.mach.copy_within_user(blocked, from, to, size))
    } else {
        Err(KernReturn::NOT_SUPPORTED)
    }
}

pub unsafe fn mach_vm_read_overwrite(
    task: mach_port_name_t,
    address: mach_vm_address_t,
    size: mach_vm_size_t,
    data: mach_vm_address_t,
    copied: *mut mach_vm_size_t,
) -> kern_return_t {
    let outcome = own_memory(mig::process(), task).and_then(|copy| copy(address, data, size));
    code(outcome.map(|()| {
        // SAFETY: the seam's contract: `copied` is valid for a write.
        unsafe { put(copied, size) };
    }))
}

pub unsafe fn mach_vm_write(
    task: mach_port_name_t,
    address: mach_vm_address_t,
    data: usize,
    count: mach_msg_type_number_t,
) -> kern_return_t {
    code(
        own_memory(mig::process(), task)
            .and_then(|copy| copy(data as u64, address, u64::from(count))),
    )
}

pub unsafe fn mach_vm_deallocate(
    task: mach_port_name_t,
    address: mach_vm_address_t,
    size: mach_vm_size_t,
) -> kern_return_t {
    code(own_memory(process(), task).and_then(|_| {
        // SAFETY: the seam's contract: the memory is the caller's to release.
        unsafe { pages::release(address as usize, size as usize) }
            .map_err(|_| KernReturn::INVALID_ARGUMENT)
    }))
}
