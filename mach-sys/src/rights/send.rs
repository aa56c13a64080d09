//! Send rights.

use super::borrowed::Borrowed;
use super::held::Held;
use super::name::{Hold, Name, Right};
use super::owned::{self, Change};
use super::references::{modify_references, user_references};
use crate::kern_return::{KernError, KernReturn};
use crate::kernel;
use crate::port::PortRight;
use crate::types::mach_port_urefs_t;
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;

mod sealed {
    pub trait Sealed {}
}

/// The kind of object behind a send right. It only decides which methods the right has. Sealed.
pub trait Object: sealed::Sealed + 'static {
    /// The name of the kind, for the right's `Debug` form.
    const NAME: &'static str;
}

macro_rules! objects {
    ($($(#[$meta:meta])* $name:ident = $text:literal;)*) => {$(
        $(#[$meta])*
        #[derive(Debug)]
        pub enum $name {}
        impl sealed::Sealed for $name {}
        impl Object for $name {
            const NAME: &'static str = $text;
        }
    )*};
}

objects! {
    /// An ordinary port.
    Queue = "port";
    /// A thread's control port.
    Thread = "thread";
    /// A task's control port.
    Task = "task";
    /// A task identity token, which `EXCEPTION_*_IDENTITY_PROTECTED` sends in place of the task (A3.4).
    TaskIdToken = "task identity token";
}

/// One user reference of a send right. Dropping it releases that reference, also if the port has died and the name has become a dead
/// name, which keeps its references (C1.1).
///
/// ```
/// use mach_sys::rights::{ReceiveRight, Right};
///
/// let port = ReceiveRight::new()?;
/// let send = port.make_send()?;
/// let another = send.try_clone()?;
/// assert_eq!(another.name(), port.name());
/// assert_eq!(send.user_references()?, 2);
/// drop(another);
/// assert_eq!(send.user_references()?, 1);
/// # Ok::<(), mach_sys::kern_return::KernError>(())
/// ```
///
/// The references that values of this type own are counted by name ([`owned_references`](super::owned_references)).
#[must_use = "dropping a right releases it"]
#[doc(alias("mach_port_deallocate", "mach_port_t", "MACH_PORT_RIGHT_SEND"))]
#[repr(transparent)]
pub struct SendRight<O: Object = Queue> {
    held: Held,
    object: PhantomData<fn() -> O>,
}

/// One user reference of the send right to a thread's control port.
#[doc(alias("thread_t", "thread_act_t"))]
pub type ThreadRight = SendRight<Thread>;
/// One user reference of the send right to a task's control port.
#[doc(alias = "task_t")]
pub type TaskRight = SendRight<Task>;

impl<O: Object> SendRight<O> {
    /// Adds a user reference under the same name, and returns its owner.
    ///
    /// # Errors
    /// `KERN_INVALID_RIGHT`: the port died. `KERN_UREFS_OVERFLOW`: the count would exceed 65535.
    #[doc(alias = "mach_port_mod_refs")]
    pub fn try_clone(&self) -> Result<Self, KernError> {
        let change = Change::begin(self.held.name);
        // SAFETY: adding a reference removes none from any owner.
        match unsafe { modify_references(self.held.name, PortRight::SEND, 1) } {
            Ok(()) => Ok(Self::taken(self.held.name, change)),
            Err(error) => {
                change.nothing();
                Err(error)
            }
        }
    }

    /// Returns the number of user references that this task holds on the port's send right, whatever code added them; 0 if the port has
    /// died.
    ///
    /// # Errors
    /// `KERN_INVALID_NAME`: other code released this value's reference, and the name does not exist any more.
    pub fn user_references(&self) -> Result<mach_port_urefs_t, KernError> {
        user_references(self.held.name, PortRight::SEND)
    }

    /// Returns `true` if the port has died, so that the name is a dead name.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        user_references(self.held.name, PortRight::DEAD_NAME).is_ok_and(|references| references > 0)
    }

    /// Converts the right to one for an ordinary port, which owns the same reference.
    pub fn into_queue(self) -> SendRight<Queue> {
        let right = ManuallyDrop::new(self);
        SendRight {
            held: right.held,
            object: PhantomData,
        }
    }

    /// Creates the owner of a reference that the kernel added within `change`, and ends the change.
    pub(super) fn taken(name: Name, change: Change) -> Self {
        // SAFETY: the kernel just added the reference for the caller, which is in this crate and has no other owner for it.
        let right = unsafe { Self::hold(name) };
        change.taken();
        right
    }
}

impl SendRight<Thread> {
    /// Adds a user reference to the calling thread's port, and returns its owner (D1.1).
    ///
    /// # Errors
    /// `KERN_RESOURCE_SHORTAGE`: the kernel could not create a name for it (it returns `MACH_PORT_NULL`).
    #[doc(alias = "mach_thread_self")]
    pub fn current() -> Result<Self, KernError> {
        let change =
            Name::new(kernel::system::own_thread_port()).map(|name| (name, Change::begin(name)));
        // SAFETY: no arguments.
        let name = Name::new(unsafe { kernel::mach_thread_self() });
        match (name, change) {
            (Some(name), Some((known, change))) if name == known => Ok(Self::taken(name, change)),
            (name, change) => {
                if let Some((_, change)) = change {
                    change.nothing();
                }
                let name = name.ok_or(KernError::RESOURCE_SHORTAGE)?;
                // SAFETY: the kernel just added the reference. No other code had the name before.
                Ok(unsafe { Self::from_name(name) })
            }
        }
    }
}

impl SendRight<Task> {
    /// Adds a user reference to the calling task's own port, and returns its owner. [`Borrowed::current_task`] returns the right without a
    /// new reference, as `mach_task_self()` does.
    ///
    /// # Errors
    /// `KERN_RESOURCE_SHORTAGE` or `KERN_INVALID_TASK`: the emulated kernel could not be started. `KERN_UREFS_OVERFLOW`: the
    /// count would exceed 65535.
    #[doc(alias("mach_task_self", "current_task"))]
    pub fn current() -> Result<Self, KernError> {
        Borrowed::current_task().try_clone()
    }
}

impl Borrowed<'static, TaskRight> {
    /// Borrows the calling task's own right, as `mach_task_self()` returns it. It adds no reference and releases none;
    /// [`TaskRight::current`] adds one.
    #[must_use]
    #[doc(alias = "mach_task_self")]
    pub fn current_task() -> Self {
        // Every task has a name before its first instruction. If the emulation could not be started, calls on an unused name are
        // refused.
        let name = Name::new(kernel::system::task_self()).unwrap_or(Name::UNUSED);
        // SAFETY: the system's library holds the task's own name as long as the process lives.
        unsafe { Self::from_name(name) }
    }
}

// SAFETY: `repr(transparent)` over `Held`; `PhantomData` has no size and no alignment.
unsafe impl<O: Object> Hold for SendRight<O> {
    unsafe fn hold(name: Name) -> Self {
        Self {
            held: Held::new(name),
            object: PhantomData,
        }
    }
}

impl<O: Object> Right for SendRight<O> {
    fn name(&self) -> Name {
        self.held.name
    }

    unsafe fn from_name(name: Name) -> Self {
        owned::enter(name);
        // SAFETY: the same contract, passed on unchanged.
        unsafe { Self::hold(name) }
    }

    fn into_name(self) -> Name {
        let right = ManuallyDrop::new(self);
        if right.held.is_current() {
            owned::leave(right.held.name);
        }
        right.held.name
    }
}

impl<O: Object> Drop for SendRight<O> {
    fn drop(&mut self) {
        if !self.held.is_current() {
            return;
        }
        let change = Change::begin(self.held.name);
        // SAFETY: this value owns the reference that is released. If the kernel refuses (a pinned last reference, D5.3), the reference
        // stays, without an owner.
        let _ = KernReturn::check(unsafe {
            kernel::mach_port_deallocate(kernel::system::task_self(), self.held.name.raw())
        });
        change.released();
    }
}

impl<O: Object> fmt::Debug for SendRight<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendRight({} {})", O::NAME, self.held.name)
    }
}
