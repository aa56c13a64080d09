//! Receive rights.

use super::held::{Held, right};
use super::label::Label;
use super::name::{Hold, Name, Right};
use super::owned::Change;
use super::references::{allocate, modify_references};
use super::send::SendRight;
use super::send_once::SendOnceRight;
use crate::kern_return::{KernError, KernReturn};
use crate::kernel;
use crate::message::{MACH_MSG_TYPE_MAKE_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE};
use crate::port::{PortOptionFlags, PortRight, mach_port_options_t};
use crate::types::mach_port_context_t;

right! {
    /// The receive right of a port. Dropping it destroys the port and its queued messages, whose reply rights notify their receivers; send
    /// rights become dead names (C1.6).
    ///
    /// ```
    /// use mach_sys::rights::{PortSet, ReceiveRight};
    ///
    /// let port = ReceiveRight::new()?;
    /// port.set_context(7)?;
    /// assert_eq!(port.context()?, 7);
    /// let set = PortSet::new()?;
    /// set.insert(&port)?;
    /// # Ok::<(), mach_sys::kern_return::KernError>(())
    /// ```
    ///
    /// The port is not guarded: in XNU the guard and the context are one field, and a strict guard hides the context, which identifies a
    /// route.
    #[must_use = "dropping the receive right destroys the port"]
    #[doc(alias("mach_port_allocate", "MACH_PORT_RIGHT_RECEIVE"))]
    pub struct ReceiveRight, released by |name| modify_references(name, PortRight::RECEIVE, -1)
}

impl ReceiveRight {
    /// Creates a port with an empty queue, no send rights, and a queue limit of 5 messages (C2.1).
    ///
    /// # Errors
    /// `KERN_NO_SPACE`: no name is left. `KERN_RESOURCE_SHORTAGE`: there is no memory.
    pub fn new() -> Result<Self, KernError> {
        let name = allocate(PortRight::RECEIVE)?;
        // SAFETY: the kernel just created the right, and no other code has the name.
        Ok(unsafe { Self::from_name(name) })
    }

    /// Creates a port with a context and a send right, which has the port's own name, by one call: as [`new`](Self::new),
    /// [`set_context`](Self::set_context) and [`make_send`](Self::make_send) do (C2.5).
    ///
    /// ```
    /// use mach_sys::rights::{ReceiveRight, Right};
    ///
    /// let (port, send) = ReceiveRight::with_context(7)?;
    /// assert_eq!(port.context()?, 7);
    /// assert_eq!(send.name(), port.name());
    /// # Ok::<(), mach_sys::kern_return::KernError>(())
    /// ```
    ///
    /// # Errors
    /// `KERN_NO_SPACE`: no name is left. `KERN_RESOURCE_SHORTAGE`: there is no memory.
    #[doc(alias("mach_port_construct", "MPO_INSERT_SEND_RIGHT"))]
    pub fn with_context(context: mach_port_context_t) -> Result<(Self, SendRight), KernError> {
        let mut options = mach_port_options_t {
            flags: PortOptionFlags::INSERT_SEND_RIGHT.bits(),
            ..Default::default()
        };
        let mut name = 0;
        // SAFETY: the options are read, and the result goes to a local variable.
        KernReturn::check(unsafe {
            kernel::mach_port_construct(
                kernel::system::task_self(),
                &mut options,
                context,
                &mut name,
            )
        })?;
        let name = Name::new(name).ok_or(KernError::NO_SPACE)?;
        // SAFETY: the kernel just created both rights, and no other code has the name.
        Ok(unsafe { (Self::from_name(name), SendRight::from_name(name)) })
    }

    /// Creates a send right to the port, under the port's own name (C6.1).
    ///
    /// # Errors
    /// `KERN_INVALID_CAPABILITY`, `KERN_INVALID_NAME`: other code destroyed the port. `KERN_UREFS_OVERFLOW`: the count would exceed 65535.
    #[doc(alias("mach_port_insert_right", "MACH_MSG_TYPE_MAKE_SEND"))]
    pub fn make_send(&self) -> Result<SendRight, KernError> {
        let name = self.held.name.raw();
        let change = Change::begin(self.held.name);
        // SAFETY: no pointers; the returned value owns the new right.
        let made = KernReturn::check(unsafe {
            kernel::mach_port_insert_right(
                kernel::system::task_self(),
                name,
                name,
                MACH_MSG_TYPE_MAKE_SEND,
            )
        });
        match made {
            Ok(()) => Ok(SendRight::taken(self.held.name, change)),
            Err(error) => {
                change.nothing();
                Err(error)
            }
        }
    }

    /// Creates a send-once right to the port, under a name of its own (C6.5).
    ///
    /// # Errors
    /// `KERN_INVALID_CAPABILITY`, `KERN_INVALID_NAME`: other code destroyed the port. `KERN_NO_SPACE`: no name is left.
    #[doc(alias("mach_port_extract_right", "MACH_MSG_TYPE_MAKE_SEND_ONCE"))]
    pub fn make_send_once(&self) -> Result<SendOnceRight, KernError> {
        let (mut right, mut kind) = (0, 0);
        // SAFETY: the results go to local variables.
        KernReturn::check(unsafe {
            kernel::mach_port_extract_right(
                kernel::system::task_self(),
                self.held.name.raw(),
                MACH_MSG_TYPE_MAKE_SEND_ONCE,
                &mut right,
                &mut kind,
            )
        })?;
        let name = Name::new(right).ok_or(KernError::NO_SPACE)?;
        // SAFETY: the kernel just created a send-once right under `name`, and no other code has the name.
        Ok(unsafe { SendOnceRight::from_name(name) })
    }

    /// Sets the port's context. The trailer of every message received from the port can carry it (C5.5, C11.9).
    ///
    /// # Errors
    /// `KERN_INVALID_NAME`, `KERN_INVALID_RIGHT`: other code destroyed the port.
    #[doc(alias = "mach_port_set_context")]
    pub fn set_context(&self, context: mach_port_context_t) -> Result<(), KernError> {
        // SAFETY: no pointers; this value owns the port, and so its context.
        KernReturn::check(unsafe {
            kernel::mach_port_set_context(
                kernel::system::task_self(),
                self.held.name.raw(),
                context,
            )
        })
    }

    /// Returns the port's context, which is 0 at first.
    ///
    /// # Errors
    /// `KERN_INVALID_NAME`, `KERN_INVALID_RIGHT`: other code destroyed the port.
    #[doc(alias = "mach_port_get_context")]
    pub fn context(&self) -> Result<mach_port_context_t, KernError> {
        let mut context = 0;
        // SAFETY: the result goes to a local variable.
        KernReturn::check(unsafe {
            kernel::mach_port_get_context(
                kernel::system::task_self(),
                self.held.name.raw(),
                &mut context,
            )
        })?;
        Ok(context)
    }

    /// Labels the port as that of a route, so that a [census](super::Census) counts it under [`Source::Route`](super::Source::Route).
    pub fn mark_route(&self) {
        if self.held.is_current() {
            self.held.label(Label::Route);
        }
    }

    /// Destroys the port. `Drop` does the same and ignores the error.
    ///
    /// # Errors
    /// `KERN_INVALID_NAME`, `KERN_INVALID_RIGHT`: other code destroyed the port, or this process is the child of a fork.
    pub fn destroy(self) -> Result<(), KernError> {
        if !self.held.is_current() {
            return Err(KernError::INVALID_NAME);
        }
        let name = self.into_name();
        // SAFETY: this value owned the receive right.
        unsafe { modify_references(name, PortRight::RECEIVE, -1) }
    }
}
