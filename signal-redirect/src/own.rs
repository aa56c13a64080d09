//! The calling task's memory, accessed through the kernel: a bad address is an error, never a fault.
#![allow(unsafe_code)]

use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{mach_vm_read_overwrite, mach_vm_write, system};
use mach_sys::types::{mach_port_name_t, mach_vm_size_t};

use crate::memory::{Memory, Unmapped};

/// The calling task's memory, with the stacks of its stopped threads.
///
/// It reads with `mach_vm_read_overwrite` and writes with `mach_vm_write` on the task itself, on every kernel. A bad stack pointer does
/// not make the server fault. It allocates nothing and takes no lock that user code can hold.
#[doc(alias("mach_vm_read_overwrite", "mach_vm_write"))]
#[derive(Debug)]
pub struct OwnMemory {
    task: mach_port_name_t,
}

impl OwnMemory {
    /// Returns access to the calling task's memory.
    ///
    /// # Safety
    /// The value is used to write only to stacks of stopped threads below their interrupted frames, to emergency stacks of these threads,
    /// and to their `errno`: memory that no reference points to. [`Redirect::apply`](crate::Redirect::apply) and
    /// [`TrampolinePlan::return_from`](crate::TrampolinePlan::return_from) write nowhere else, if the thread whose registers they get is
    /// stopped, and the stacks and the `errno` address that they get are that thread's.
    #[must_use]
    pub unsafe fn new() -> Self {
        Self {
            task: system::task_self(),
        }
    }
}

impl Memory for OwnMemory {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unmapped> {
        let size = into.len() as mach_vm_size_t;
        let mut copied = 0;
        // SAFETY: the kernel writes `size` bytes to `into`, which has as many, and a count to `copied`. It checks `address` itself and
        // returns an error for a bad one.
        let code = unsafe {
            mach_vm_read_overwrite(
                self.task,
                address,
                size,
                into.as_mut_ptr() as u64,
                &mut copied,
            )
        };
        if KernReturn::check(code).is_ok() && copied == size {
            Ok(())
        } else {
            Err(Unmapped { address })
        }
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Unmapped> {
        let unmapped = Unmapped { address };
        let size = u32::try_from(from.len()).map_err(|_| unmapped)?;
        // SAFETY: the kernel reads `size` bytes from `from`, which has as many. It checks `address` itself, and by the contract of `new` no
        // reference points to the bytes there.
        let code = unsafe { mach_vm_write(self.task, address, from.as_ptr() as usize, size) };
        KernReturn::check(code).map_err(|_| unmapped)
    }
}
