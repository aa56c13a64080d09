//! The kernel's calls that register exception ports, and what they return.
#![allow(unsafe_code)]

use crate::delivery::Delivery;
use alloc::vec::Vec;
use mach_sys::exception::{Behavior, ExceptionMask, ExceptionType};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel;
use mach_sys::rights::{Name, Right, SendRight, TaskRight, ThreadRight};
use mach_sys::types::{
    exception_behavior_t, exception_mask_t, mach_msg_type_number_t, mach_port_name_t,
    thread_state_flavor_t,
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
    pub(crate) fn to_owned(self) -> Result<Whose, KernReturn> {
        match self {
            Self::Thread(thread) => thread.try_clone().map(Whose::Thread),
            Self::Task(task) => task.try_clone().map(Whose::Task),
        }
    }
}

/// A target of one's own: its reference keeps the name the target's.
#[derive(Debug)]
pub(crate) enum Whose {
    Thread(ThreadRight),
    Task(TaskRight),
}

impl Whose {
    fn raw(&self) -> mach_port_name_t {
        match self {
            Self::Thread(thread) => thread.name().raw(),
            Self::Task(task) => task.name().raw(),
        }
    }
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

impl PreviousHandler {
    /// The same with a reference of its own. A port that died meanwhile is none.
    pub(crate) fn duplicate(&self) -> Self {
        Self {
            mask: self.mask,
            port: self.port.as_ref().and_then(|port| port.try_clone().ok()),
            behavior: self.behavior,
            flavor: self.flavor,
        }
    }

    pub(crate) fn registration(&self, mask: ExceptionMask) -> Registration {
        Registration {
            mask,
            port: self.port.as_ref().map(Right::name),
            behavior: self.behavior,
            flavor: self.flavor,
        }
    }
}

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

    pub(crate) fn duplicate(&self) -> Self {
        Self {
            handlers: self
                .handlers
                .iter()
                .map(PreviousHandler::duplicate)
                .collect(),
        }
    }
}

/// What a slot is to hold.
#[derive(Clone, Copy)]
pub(crate) struct Registration {
    pub(crate) mask: ExceptionMask,
    pub(crate) port: Option<Name>,
    pub(crate) behavior: Behavior,
    pub(crate) flavor: thread_state_flavor_t,
}

impl Registration {
    /// A port, with what it is to be sent.
    pub(crate) fn of(mask: ExceptionMask, port: &SendRight, delivery: Delivery) -> Self {
        Self {
            mask,
            port: Some(port.name()),
            behavior: delivery.behavior(),
            flavor: delivery.flavor(),
        }
    }

    /// Nobody.
    pub(crate) const fn none(mask: ExceptionMask) -> Self {
        Self {
            mask,
            port: None,
            behavior: Behavior::new(0),
            flavor: 0,
        }
    }
}

/// Room that the calls need: they may fill as many entries as there are types, whatever they are told (B3.4).
const ROOM: usize = 32;

/// The arrays that swap and get fill.
#[derive(Default)]
struct Lists {
    masks: [exception_mask_t; ROOM],
    ports: [mach_port_name_t; ROOM],
    behaviors: [exception_behavior_t; ROOM],
    flavors: [thread_state_flavor_t; ROOM],
    count: mach_msg_type_number_t,
}

impl Lists {
    fn new() -> Self {
        Self {
            count: ROOM as mach_msg_type_number_t,
            ..Self::default()
        }
    }

    /// The entries, each owning the send right that came with it (B3.5); to be asked for once.
    fn entries(&self) -> impl Iterator<Item = PreviousHandler> + '_ {
        (0..ROOM)
            .take(self.count as usize)
            .map(|index| PreviousHandler {
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

/// Registers, and returns who was there before (B3.2).
pub(crate) fn swap(whose: &Whose, new: Registration) -> Result<Previous, KernReturn> {
    let call = match whose {
        Whose::Thread(_) => kernel::thread_swap_exception_ports,
        Whose::Task(_) => kernel::task_swap_exception_ports,
    };
    let mut lists = Lists::new();
    // SAFETY: each array has room for as many entries as the kernel ever returns.
    KernReturn::check(unsafe {
        call(
            whose.raw(),
            new.mask.bits(),
            Name::raw_or_null(new.port),
            new.behavior.raw(),
            new.flavor,
            lists.masks.as_mut_ptr(),
            &mut lists.count,
            lists.ports.as_mut_ptr(),
            lists.behaviors.as_mut_ptr(),
            lists.flavors.as_mut_ptr(),
        )
    })?;
    let handlers = lists.entries().collect();
    Ok(Previous { handlers })
}

/// For which exceptions of the mask a port is registered (B4). Makes no list: putting back is part of a thread's end, which allocates
/// nothing.
pub(crate) fn registered(
    whose: &Whose,
    mask: ExceptionMask,
    port: &SendRight,
) -> Result<ExceptionMask, KernReturn> {
    let call = match whose {
        Whose::Thread(_) => kernel::thread_get_exception_ports,
        Whose::Task(_) => kernel::task_get_exception_ports,
    };
    let mut lists = Lists::new();
    // SAFETY: as for swap.
    KernReturn::check(unsafe {
        call(
            whose.raw(),
            mask.bits(),
            lists.masks.as_mut_ptr(),
            &mut lists.count,
            lists.ports.as_mut_ptr(),
            lists.behaviors.as_mut_ptr(),
            lists.flavors.as_mut_ptr(),
        )
    })?;
    let theirs = lists
        .entries()
        .filter(|handler| handler.port.as_ref().map(Right::name) == Some(port.name()))
        .fold(ExceptionMask::empty(), |mask, handler| mask | handler.mask);
    Ok(theirs & mask)
}

/// Registers (B3.1).
pub(crate) fn set(whose: &Whose, new: Registration) -> Result<(), KernReturn> {
    let call = match whose {
        Whose::Thread(_) => kernel::thread_set_exception_ports,
        Whose::Task(_) => kernel::task_set_exception_ports,
    };
    // SAFETY: no pointers. The port is a send right that the caller borrows, or none.
    KernReturn::check(unsafe {
        call(
            whose.raw(),
            new.mask.bits(),
            Name::raw_or_null(new.port),
            new.behavior.raw(),
            new.flavor,
        )
    })
}
