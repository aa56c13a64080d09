//! Send-once rights.

use super::{Name, Right};
use crate::kern_return::KernReturn;
use crate::kernel;
use core::mem::ManuallyDrop;

/// A send-once right. The message sent through it uses it up ([`Right::into_name`] hands it to that message); dropping it unused
/// tells the receiver so, with a send-once notification (C8.8). For an exception's reply port that means: not handled (A6.8).
#[must_use = "dropping a send-once right notifies the receiver"]
#[derive(Debug)]
pub struct SendOnceRight {
    name: Name,
}

impl Right for SendOnceRight {
    fn name(&self) -> Name {
        self.name
    }

    unsafe fn from_name(name: Name) -> Self {
        Self { name }
    }

    fn into_name(self) -> Name {
        ManuallyDrop::new(self).name
    }
}

impl Drop for SendOnceRight {
    fn drop(&mut self) {
        // SAFETY: this value owns the right that goes.
        let _ = KernReturn::check(unsafe {
            kernel::mach_port_deallocate(kernel::system::task_self(), self.name.raw())
        });
    }
}
