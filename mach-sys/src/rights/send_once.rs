//! Send-once rights.

use super::held::Held;
use super::name::{Hold, Name, Right};
use crate::kern_return::KernReturn;
use crate::kernel;
use core::fmt;
use core::mem::ManuallyDrop;

/// A send-once right. The message that is sent through it consumes it: [`Right::into_name`] passes it to that message. Dropping it unused
/// sends a send-once notification to the receiver (C8.8). On an exception's reply port that means that the exception was not handled
/// (A6.8).
#[must_use = "dropping a send-once right notifies the receiver"]
#[doc(alias("MACH_PORT_RIGHT_SEND_ONCE", "mach_port_deallocate"))]
#[repr(transparent)]
pub struct SendOnceRight {
    held: Held,
}

// SAFETY: `repr(transparent)` over `Held`.
unsafe impl Hold for SendOnceRight {
    unsafe fn hold(name: Name) -> Self {
        Self {
            held: Held::new(name),
        }
    }
}

impl Right for SendOnceRight {
    fn name(&self) -> Name {
        self.held.name
    }

    unsafe fn from_name(name: Name) -> Self {
        Self {
            held: Held::owned(name),
        }
    }

    fn into_name(self) -> Name {
        ManuallyDrop::new(self).held.give_up()
    }
}

impl Drop for SendOnceRight {
    fn drop(&mut self) {
        if !self.held.is_current() {
            return;
        }
        self.held.release(|name| {
            // SAFETY: this value owns the right that is released.
            let _ = KernReturn::check(unsafe {
                kernel::mach_port_deallocate(kernel::system::task_self(), name.raw())
            });
        });
    }
}

impl fmt::Debug for SendOnceRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendOnceRight({})", self.held.name)
    }
}
