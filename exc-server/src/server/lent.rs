//! A set beside the server's, with some of its ports: what arrives there is received, and nothing else.
#![allow(unsafe_code)]

use mach_sys::kern_return::{KernError, KernReturn};
use mach_sys::kernel::{self, system};
use mach_sys::rights::{Name, PortSet, ReceiveRight, Right};

/// The set, which goes with the value. A port can be a member of several (C9.1).
#[derive(Debug)]
pub(crate) struct Lent<'a> {
    set: PortSet,
    /// The set whose ports are lent.
    of: &'a PortSet,
}

impl<'a> Lent<'a> {
    /// A set with this port.
    pub(crate) fn with(port: &ReceiveRight, of: &'a PortSet) -> Result<Self, KernError> {
        let set = PortSet::new()?;
        set.insert(port)?;
        Ok(Self { set, of })
    }

    pub(crate) fn name(&self) -> Name {
        self.set.name()
    }

    /// Adds a port of the lender's set, if it is a member there. Another thread may destroy it meanwhile, and its name be another
    /// port's: that one is taken out again before anything is received.
    pub(crate) fn add(&self, port: Name) {
        let (task, set) = (system::task_self(), self.set.name().raw());
        // SAFETY: no pointers. Whichever port has the name, being a member of a set that nothing receives from changes nothing for it.
        let added = unsafe { kernel::mach_port_insert_member(task, port.raw(), set) };
        if KernReturn::check(added).is_ok() && !self.of.contains(port).unwrap_or(false) {
            // SAFETY: no pointers.
            unsafe { kernel::mach_port_extract_member(task, port.raw(), set) };
        }
    }
}
