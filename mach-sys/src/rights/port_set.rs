//! Port sets.

use super::array::Array;
use super::held::{Held, right};
use super::name::{Hold, Name, Right};
use super::receive::ReceiveRight;
use super::references::{allocate, modify_references};
use crate::kern_return::{KernError, KernReturn};
use crate::kernel;
use crate::port::PortRight;

right! {
    /// A port set, from which messages of all its members can be received. Dropping it does not change the members (C9.3). A member that
    /// dies leaves all its sets (C9.3), so a set does not borrow its members.
    #[must_use = "dropping a port set destroys it"]
    #[doc(alias("MACH_PORT_RIGHT_PORT_SET", "mach_port_allocate"))]
    pub struct PortSet, released by |name| modify_references(name, PortRight::PORT_SET, -1)
}

impl PortSet {
    /// Creates an empty set.
    ///
    /// # Errors
    /// `KERN_NO_SPACE`: no name is left. `KERN_RESOURCE_SHORTAGE`: there is no memory.
    pub fn new() -> Result<Self, KernError> {
        let name = allocate(PortRight::PORT_SET)?;
        // SAFETY: the kernel just created the right, and no other code has the name.
        Ok(unsafe { Self::from_name(name) })
    }

    /// Adds a port to the set. Messages that are already queued on it can be received through the set (C9.5).
    ///
    /// # Errors
    /// `KERN_ALREADY_IN_SET`: the port is in this set. `KERN_INVALID_RIGHT`, `KERN_INVALID_NAME`: other code destroyed one of the two.
    #[doc(alias = "mach_port_insert_member")]
    pub fn insert(&self, port: &ReceiveRight) -> Result<(), KernError> {
        // SAFETY: no pointers; both rights are borrowed for the call.
        KernReturn::check(unsafe {
            kernel::mach_port_insert_member(
                kernel::system::task_self(),
                port.name().raw(),
                self.held.name.raw(),
            )
        })
    }

    /// Removes a port from the set.
    ///
    /// # Errors
    /// `KERN_NOT_IN_SET`: the port is not in this set. `KERN_INVALID_RIGHT`, `KERN_INVALID_NAME`: other code destroyed one of the two.
    #[doc(alias = "mach_port_extract_member")]
    pub fn remove(&self, port: &ReceiveRight) -> Result<(), KernError> {
        // SAFETY: no pointers; both rights are borrowed for the call.
        KernReturn::check(unsafe {
            kernel::mach_port_extract_member(
                kernel::system::task_self(),
                port.name().raw(),
                self.held.name.raw(),
            )
        })
    }

    /// Returns `true` if the port with the receive right `port` is a member. Other threads may change that meanwhile.
    ///
    /// ```
    /// use mach_sys::rights::{PortSet, ReceiveRight, Right};
    ///
    /// let (set, port) = (PortSet::new()?, ReceiveRight::new()?);
    /// assert!(!set.contains(port.name())?);
    /// set.insert(&port)?;
    /// assert!(set.contains(port.name())?);
    /// # Ok::<(), mach_sys::kern_return::KernError>(())
    /// ```
    ///
    /// # Errors
    /// `KERN_RESOURCE_SHORTAGE`: no memory for the list of members. `KERN_INVALID_NAME`, `KERN_INVALID_RIGHT`: other code destroyed the
    /// set.
    #[doc(alias = "mach_port_get_set_status")]
    pub fn contains(&self, port: Name) -> Result<bool, KernError> {
        set_contains(self.held.name, port)
    }
}

/// Returns `true` if the port named `port` is a member of the port set named `set`: [`PortSet::contains`] by names.
///
/// # Errors
/// `KERN_RESOURCE_SHORTAGE`: no memory for the list of members. `KERN_INVALID_NAME`, `KERN_INVALID_RIGHT`: `set` names no set.
pub fn set_contains(set: Name, port: Name) -> Result<bool, KernError> {
    let mut members = Array::new();
    // SAFETY: the call below is the one that fills it, with an array of the kernel's, or not at all.
    let (to, count) = unsafe { members.out() };
    // SAFETY: the results go to fields of a local variable.
    KernReturn::check(unsafe {
        kernel::mach_port_get_set_status(kernel::system::task_self(), set.raw(), to, count)
    })?;
    Ok(members.words().contains(&port.raw()))
}
