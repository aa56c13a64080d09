//! A second port set with some of the server's ports, to receive from those only.
#![allow(unsafe_code)]

use mach_sys::kern_return::{KernError, KernReturn};
use mach_sys::kernel::{self, system};
use mach_sys::rights::{Name, PortSet, ReceiveRight, Right};

/// A port set that shares some ports with the server's, and is destroyed with the value. A port can be a member of several sets (C9.1).
#[derive(Debug)]
pub(crate) struct Lent<'a> {
    set: PortSet,
    /// The server's port set.
    of: &'a PortSet,
}

impl<'a> Lent<'a> {
    /// Makes a set that contains `port`, which need not be a member of `of`.
    pub(crate) fn with(port: &ReceiveRight, of: &'a PortSet) -> Result<Self, KernError> {
        let set = PortSet::new()?;
        set.insert(port)?;
        Ok(Self { set, of })
    }

    pub(crate) fn name(&self) -> Name {
        self.set.name()
    }

    /// Adds a port if it is a member of the server's set. If another thread destroys the port meanwhile, and another port gets its name,
    /// that port is removed again before anything is received.
    pub(crate) fn add(&self, port: Name) {
        let (task, set) = (system::task_self(), self.set.name().raw());
        // SAFETY: the call takes no pointers. Nothing receives from the set now, so that being a member has no effect on any port.
        let added = unsafe { kernel::mach_port_insert_member(task, port.raw(), set) };
        if KernReturn::check(added).is_ok() && !self.of.contains(port).unwrap_or(false) {
            // SAFETY: the call takes no pointers.
            unsafe { kernel::mach_port_extract_member(task, port.raw(), set) };
        }
    }
}
