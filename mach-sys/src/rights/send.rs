//! Send rights.

use super::borrowed::Borrowed;
use super::name::{Hold, Name, Right};
use super::owned::{self, Change};
use super::references::{modify_references, user_references};
use crate::kern_return::{KernError, KernReturn};
use crate::kernel;
use crate::kernel::system::Origin;
use crate::port::{MACH_PORT_RIGHT_DEAD_NAME, MACH_PORT_RIGHT_SEND};
use crate::types::mach_port_urefs_t;
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;

mod sealed {
    pub trait Sealed {}
}

/// What a send right leads to. It decides which calls the right offers, nothing else.
pub trait Object: sealed::Sealed + 'static {
    /// For messages: "send right for a …".
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
    /// An ordinary message queue.
    Queue = "port";
    /// A thread's control port.
    Thread = "thread";
    /// A task's control port.
    Task = "task";
    /// A task identity token: what `EXCEPTION_*_IDENTITY_PROTECTED` sends in place of the task (A3.4).
    TaskIdToken = "task identity token";
}

/// One user reference of a send right. Dropping it releases that reference: also when the port died meanwhile and the name
/// became a dead name, which keeps its references (C1.1).
///
/// The references that values of this type own are counted by name ([`owned_references`](super::owned_references)).
#[must_use = "dropping a right releases it"]
pub struct SendRight<O: Object = Queue> {
    name: Name,
    origin: Origin,
    object: PhantomData<fn() -> O>,
}

/// One reference on a thread's control port.
pub type ThreadRight = SendRight<Thread>;
/// One reference on a task's control port.
pub type TaskRight = SendRight<Task>;

impl<O: Object> SendRight<O> {
    /// Takes one more user reference under the same name.
    ///
    /// # Errors
    /// `KERN_INVALID_RIGHT`: the port died.
    pub fn try_clone(&self) -> Result<Self, KernError> {
        let change = Change::begin(self.name);
        // SAFETY: adding a reference takes nothing from any owner.
        match unsafe { modify_references(self.name.raw(), MACH_PORT_RIGHT_SEND, 1) } {
            Ok(()) => Ok(Self::taken(self.name, change)),
            Err(error) => {
                change.nothing();
                Err(error)
            }
        }
    }

    /// Returns all user references that this task holds on the port's send right, whatever took them. 0 when the port died.
    ///
    /// # Errors
    /// `KERN_INVALID_NAME`: other code released this value's reference, and the name is gone.
    pub fn user_references(&self) -> Result<mach_port_urefs_t, KernError> {
        user_references(self.name.raw(), MACH_PORT_RIGHT_SEND)
    }

    /// Returns whether the port died: the name is a dead name now.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        user_references(self.name.raw(), MACH_PORT_RIGHT_DEAD_NAME)
            .is_ok_and(|references| references > 0)
    }

    /// Converts to a right of the same reference, without what is known about its object.
    pub fn into_queue(self) -> SendRight<Queue> {
        let right = ManuallyDrop::new(self);
        SendRight {
            name: right.name,
            origin: right.origin,
            object: PhantomData,
        }
    }

    /// The owner of a reference that the kernel made within `change`.
    pub(super) fn taken(name: Name, change: Change) -> Self {
        let right = Self::hold(name);
        change.taken();
        right
    }
}

impl SendRight<Thread> {
    /// Takes a right on the calling thread's port: `mach_thread_self`, whose new reference this value releases (D1.1).
    ///
    /// # Errors
    /// `KERN_RESOURCE_SHORTAGE`: the kernel could not make a name for it (it answers `MACH_PORT_NULL`).
    pub fn current() -> Result<Self, KernError> {
        // SAFETY: the calling thread is there.
        let known = unsafe { kernel::system::thread_port(libc::pthread_self()) };
        let change = Name::new(known).map(|name| (name, Change::begin(name)));
        // SAFETY: no arguments.
        let name = Name::new(unsafe { kernel::mach_thread_self() });
        match (name, change) {
            (Some(name), Some((known, change))) if name == known => Ok(Self::taken(name, change)),
            (name, change) => {
                if let Some((_, change)) = change {
                    change.nothing();
                }
                let name = name.ok_or(KernError::RESOURCE_SHORTAGE)?;
                // SAFETY: the reference that the kernel just made. No other code knew the name before.
                Ok(unsafe { Self::from_name(name) })
            }
        }
    }
}

impl SendRight<Task> {
    /// Borrows the calling task's own right. `mach_task_self` takes no reference, so none is released.
    #[must_use]
    pub fn current() -> Borrowed<'static, Self> {
        // The kernel names every task before its first instruction; where the emulation could not be set up, calls on an
        // unused name are refused.
        let name = Name::new(kernel::system::task_self()).unwrap_or(Name::UNUSED);
        // SAFETY: the task's own name is held by the system's library for as long as the process lives.
        unsafe { Borrowed::from_name(name) }
    }
}

impl<O: Object> Hold for SendRight<O> {
    fn hold(name: Name) -> Self {
        Self {
            name,
            origin: Origin::current(),
            object: PhantomData,
        }
    }
}

impl<O: Object> Right for SendRight<O> {
    fn name(&self) -> Name {
        self.name
    }

    unsafe fn from_name(name: Name) -> Self {
        owned::enter(name);
        Self::hold(name)
    }

    fn into_name(self) -> Name {
        let right = ManuallyDrop::new(self);
        if right.origin.is_current() {
            owned::leave(right.name);
        }
        right.name
    }
}

impl<O: Object> Drop for SendRight<O> {
    fn drop(&mut self) {
        if !self.origin.is_current() {
            return;
        }
        let change = Change::begin(self.name);
        // SAFETY: this value owns the reference that goes. A refusal (a pinned last reference, D5.3) leaves it where it was, without
        // an owner.
        let _ = KernReturn::check(unsafe {
            kernel::mach_port_deallocate(kernel::system::task_self(), self.name.raw())
        });
        change.released();
    }
}

impl<O: Object> fmt::Debug for SendRight<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendRight({} {})", O::NAME, self.name)
    }
}
