//! Port sets.

use super::name::{Hold, Name, Right};
use super::receive::ReceiveRight;
use super::references::{allocate, modify_references};
use crate::kern_return::{KernError, KernReturn};
use crate::kernel;
use crate::kernel::system::Origin;
use crate::port::MACH_PORT_RIGHT_PORT_SET;
use core::fmt;
use core::mem::ManuallyDrop;

/// A port set: one place to receive from all its members. Dropping it leaves the members as they are (C9.3); a member that dies
/// leaves all its sets (C9.3), so membership is no borrow kept beside the port.
#[must_use = "dropping a port set destroys it"]
pub struct PortSet {
    name: Name,
    origin: Origin,
}

impl PortSet {
    /// Makes an empty set.
    ///
    /// # Errors
    /// `KERN_NO_SPACE`, `KERN_RESOURCE_SHORTAGE`: no name, or no memory.
    pub fn new() -> Result<Self, KernError> {
        let name = allocate(MACH_PORT_RIGHT_PORT_SET)?;
        Ok(Self::hold(name))
    }

    /// Puts a port into the set. Messages already queued on it are received through the set from now on (C9.5).
    ///
    /// # Errors
    /// `KERN_ALREADY_IN_SET`; `KERN_INVALID_RIGHT`, `KERN_INVALID_NAME`: other code destroyed one of the two.
    pub fn insert(&self, port: &ReceiveRight) -> Result<(), KernError> {
        // SAFETY: no pointers; both rights are borrowed for the call.
        KernReturn::check(unsafe {
            kernel::mach_port_insert_member(
                kernel::system::task_self(),
                port.name().raw(),
                self.name.raw(),
            )
        })
    }

    /// Takes a port out of the set again.
    ///
    /// # Errors
    /// `KERN_NOT_IN_SET`; otherwise as [`insert`](Self::insert).
    pub fn remove(&self, port: &ReceiveRight) -> Result<(), KernError> {
        // SAFETY: no pointers; both rights are borrowed for the call.
        KernReturn::check(unsafe {
            kernel::mach_port_extract_member(
                kernel::system::task_self(),
                port.name().raw(),
                self.name.raw(),
            )
        })
    }
}

impl Hold for PortSet {
    fn hold(name: Name) -> Self {
        Self {
            name,
            origin: Origin::current(),
        }
    }
}

impl Right for PortSet {
    fn name(&self) -> Name {
        self.name
    }

    unsafe fn from_name(name: Name) -> Self {
        Self::hold(name)
    }

    fn into_name(self) -> Name {
        ManuallyDrop::new(self).name
    }
}

impl Drop for PortSet {
    fn drop(&mut self) {
        if !self.origin.is_current() {
            return;
        }
        // SAFETY: the set is this value's. An error means that it is gone already.
        let _ = unsafe { modify_references(self.name.raw(), MACH_PORT_RIGHT_PORT_SET, -1) };
    }
}

impl fmt::Debug for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PortSet({})", self.name)
    }
}
