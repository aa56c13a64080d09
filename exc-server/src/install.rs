//! Registering exception ports, and putting back what was there.
#![allow(unsafe_code)]

use crate::delivery::Delivery;
use crate::error::InstallError;
use core::fmt;
use mach_sys::exception::{Behavior, ExceptionMask, ExceptionType};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel;
use mach_sys::rights::{Name, Right, SendRight, TaskRight, ThreadRight};
use mach_sys::types::{
    MACH_PORT_NULL, exception_behavior_t, exception_mask_t, mach_msg_type_number_t,
    mach_port_name_t, thread_state_flavor_t,
};

/// Whose exceptions.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// One thread's.
    Thread(&'a ThreadRight),
    /// Those of all threads of a task.
    Task(&'a TaskRight),
}

impl Target<'_> {
    fn whose(self) -> Whose {
        match self {
            Self::Thread(thread) => Whose::Thread(thread.name()),
            Self::Task(task) => Whose::Task(task.name()),
        }
    }
}

/// A target without its lifetime: the name of a right that the installation holds, or that is the task's own.
#[derive(Clone, Copy, Debug)]
enum Whose {
    Thread(Name),
    Task(Name),
}

/// A handler that was there before.
#[derive(Debug)]
pub struct PreviousHandler {
    /// For which exceptions.
    pub mask: ExceptionMask,
    /// Its port; `None` where a slot had a behavior and no port, or one that died.
    pub port: Option<SendRight>,
    /// As it was registered, modifiers included: it is put back exactly (B2.9).
    pub behavior: Behavior,
    /// As it was registered.
    pub flavor: thread_state_flavor_t,
}

/// Room that the calls need: they may fill as many entries as there are types, whatever they are told (B3.4).
const ROOM: usize = 32;

/// The handlers that were there before; holds their send rights.
#[derive(Debug, Default)]
pub struct Previous {
    handlers: Vec<PreviousHandler>,
}

impl Previous {
    /// Who was there for a kind of exception, if he has a port.
    #[must_use]
    pub fn handler(&self, kind: ExceptionType) -> Option<&PreviousHandler> {
        self.handlers
            .iter()
            .find(|handler| handler.mask.has(kind) && handler.port.is_some())
    }

    /// All of them.
    #[must_use]
    pub fn handlers(&self) -> &[PreviousHandler] {
        &self.handlers
    }
}

/// What putting back found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Restored {
    /// Ours were still in place; the previous ones are back.
    Clean,
    /// Somebody registered over us for these; his registrations were left alone.
    Displaced(ExceptionMask),
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clean => f.write_str("the previous handlers are back"),
            Self::Displaced(mask) => write!(f, "somebody else had registered for {mask}"),
        }
    }
}

/// Keeps handlers registered; dropping it puts the previous ones back.
///
/// It holds one reference on the thread's name until then, so that the name stays the thread's.
#[must_use = "dropping an installation uninstalls it"]
#[derive(Debug)]
pub struct Installation {
    whose: Whose,
    /// Keeps a thread's name valid. A task route is for a task whose right the caller keeps.
    _thread: Option<ThreadRight>,
    mask: ExceptionMask,
    port: Name,
    previous: Previous,
    installed: bool,
}

impl Installation {
    /// Registers a port, and keeps what was registered before (`{thread,task}_swap_exception_ports`).
    ///
    /// # Errors
    /// The kernel's refusal. Nothing was changed then.
    pub fn install(
        target: Target<'_>,
        mask: ExceptionMask,
        port: &SendRight,
        delivery: Delivery,
    ) -> Result<Self, InstallError> {
        let whose = target.whose();
        let refused = |code| install_error(mask, delivery.behavior(), code);
        let thread = match target {
            Target::Thread(thread) => Some(thread.try_clone().map_err(refused)?),
            Target::Task(_) => None,
        };
        let mut lists = Lists::default();
        let registration = (
            mask.bits(),
            port.name().raw(),
            delivery.behavior().raw(),
            delivery.flavor(),
        );
        KernReturn::check(lists.swap(whose, registration)).map_err(refused)?;
        Ok(Self {
            whose,
            _thread: thread,
            mask,
            port: port.name(),
            previous: Previous {
                handlers: lists.entries().collect(),
            },
            installed: true,
        })
    }

    /// Who was there before.
    #[must_use]
    pub fn previous(&self) -> &Previous {
        &self.previous
    }

    /// Puts the previous handlers back where ours are still in place, and releases the saved rights.
    ///
    /// # Errors
    /// The kernel's refusal, such as for a thread that is gone; the saved rights are released all the same.
    pub fn uninstall(mut self) -> Result<Restored, InstallError> {
        self.restore()
    }

    fn restore(&mut self) -> Result<Restored, InstallError> {
        if !core::mem::take(&mut self.installed) {
            return Ok(Restored::Clean);
        }
        let refused =
            |mask: ExceptionMask, behavior: Behavior, code| install_error(mask, behavior, code);
        let mut lists = Lists::default();
        KernReturn::check(lists.get(self.whose, self.mask.bits()))
            .map_err(|code| refused(self.mask, Behavior::new(0), code))?;
        let mut ours = ExceptionMask::empty();
        for current in lists.entries() {
            if current.port.as_ref().map(Right::name) == Some(self.port) {
                ours |= current.mask & self.mask;
            }
        }
        let mut outcome = Ok(());
        let mut covered = ExceptionMask::empty();
        for handler in &self.previous.handlers {
            let mask = handler.mask & ours;
            covered |= handler.mask;
            if mask.is_empty() {
                continue;
            }
            let port = handler.port.as_ref().map(Right::name);
            let code = set(
                self.whose,
                (
                    mask.bits(),
                    Name::raw_or_null(port),
                    handler.behavior.raw(),
                    handler.flavor,
                ),
            );
            if let Err(code) = KernReturn::check(code) {
                outcome = outcome.and(Err(refused(mask, handler.behavior, code)));
            }
        }
        // A thread that never had registrations returns no entries: its slots are cleared.
        let bare = ours & !covered;
        if !bare.is_empty() {
            let code = set(self.whose, (bare.bits(), MACH_PORT_NULL, 0, 0));
            if let Err(code) = KernReturn::check(code) {
                outcome = outcome.and(Err(refused(bare, Behavior::new(0), code)));
            }
        }
        self.previous.handlers.clear();
        outcome.map(|()| match self.mask & !ours {
            displaced if displaced.is_empty() => Restored::Clean,
            displaced => Restored::Displaced(displaced),
        })
    }

    /// Leaves the handlers registered for good: the previous ones' rights are released, and nothing is put back.
    pub fn leave_installed(mut self) {
        self.installed = false;
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        // A thread that is gone has no registrations to put back.
        let _ = self.restore();
    }
}

fn install_error(mask: ExceptionMask, behavior: Behavior, code: KernReturn) -> InstallError {
    match code {
        KernReturn::DENIED | KernReturn::NO_ACCESS => InstallError::Denied { behavior },
        KernReturn::SEND_INVALID_DEST | KernReturn::TERMINATED | KernReturn::FAILURE => {
            InstallError::TargetGone(code)
        }
        code => InstallError::Kernel {
            mask,
            behavior,
            code,
        },
    }
}

/// Mask, port, behavior, flavor.
type Registration = (
    exception_mask_t,
    mach_port_name_t,
    exception_behavior_t,
    thread_state_flavor_t,
);

fn set(whose: Whose, (mask, port, behavior, flavor): Registration) -> i32 {
    // SAFETY: no pointers. The port is a send right that the caller borrows, or none.
    unsafe {
        match whose {
            Whose::Thread(name) => {
                kernel::thread_set_exception_ports(name.raw(), mask, port, behavior, flavor)
            }
            Whose::Task(name) => {
                kernel::task_set_exception_ports(name.raw(), mask, port, behavior, flavor)
            }
        }
    }
}

/// The arrays that swap and get fill.
struct Lists {
    masks: [exception_mask_t; ROOM],
    ports: [mach_port_name_t; ROOM],
    behaviors: [exception_behavior_t; ROOM],
    flavors: [thread_state_flavor_t; ROOM],
    count: mach_msg_type_number_t,
}

impl Default for Lists {
    fn default() -> Self {
        Self {
            masks: [0; ROOM],
            ports: [0; ROOM],
            behaviors: [0; ROOM],
            flavors: [0; ROOM],
            count: ROOM as mach_msg_type_number_t,
        }
    }
}

impl Lists {
    fn swap(&mut self, whose: Whose, (mask, port, behavior, flavor): Registration) -> i32 {
        let call = match whose {
            Whose::Thread(_) => kernel::thread_swap_exception_ports,
            Whose::Task(_) => kernel::task_swap_exception_ports,
        };
        let (Whose::Thread(name) | Whose::Task(name)) = whose;
        // SAFETY: each array has room for as many entries as the kernel ever returns.
        unsafe {
            call(
                name.raw(),
                mask,
                port,
                behavior,
                flavor,
                self.masks.as_mut_ptr(),
                &mut self.count,
                self.ports.as_mut_ptr(),
                self.behaviors.as_mut_ptr(),
                self.flavors.as_mut_ptr(),
            )
        }
    }

    fn get(&mut self, whose: Whose, mask: exception_mask_t) -> i32 {
        let call = match whose {
            Whose::Thread(_) => kernel::thread_get_exception_ports,
            Whose::Task(_) => kernel::task_get_exception_ports,
        };
        let (Whose::Thread(name) | Whose::Task(name)) = whose;
        // SAFETY: as for swap.
        unsafe {
            call(
                name.raw(),
                mask,
                self.masks.as_mut_ptr(),
                &mut self.count,
                self.ports.as_mut_ptr(),
                self.behaviors.as_mut_ptr(),
                self.flavors.as_mut_ptr(),
            )
        }
    }

    /// The entries, each owning the send right that came with it (B3.5); to be asked for once. No list of them is made: putting back is
    /// part of a thread's end, which allocates nothing.
    fn entries(&self) -> impl Iterator<Item = PreviousHandler> + '_ {
        (0..(self.count as usize).min(ROOM)).map(|index| PreviousHandler {
            mask: ExceptionMask::from_bits_retain(self.masks[index]),
            port: Name::new(self.ports[index]).map(|name| {
                // SAFETY: the kernel gave one reference with each entry, and this one takes it.
                unsafe { SendRight::from_name(name) }
            }),
            behavior: Behavior::new(self.behaviors[index]),
            flavor: self.flavors[index],
        })
    }
}
