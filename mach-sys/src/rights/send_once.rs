//! Send-once rights.

use super::held::{Held, right};
use super::name::{Hold, Name, Right};
use crate::kern_return::KernReturn;
use crate::kernel;

right! {
    /// A send-once right. The message that is sent through it consumes it: [`Right::into_name`] passes it to that message. Dropping it unused
    /// sends a send-once notification to the receiver (C8.8). On an exception's reply port that means that the exception was not handled
    /// (A6.8).
    #[must_use = "dropping a send-once right notifies the receiver"]
    #[doc(alias("MACH_PORT_RIGHT_SEND_ONCE", "mach_port_deallocate"))]
    pub struct SendOnceRight, released by |name| KernReturn::check(kernel::mach_port_deallocate(kernel::system::task_self(), name.raw()))
}
