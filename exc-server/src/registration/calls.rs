//! The kernel's calls that register exception ports, and their results.
#![allow(unsafe_code)]

use crate::registration::previous::{Previous, PreviousHandler, Registration};
use crate::registration::target::Owner;
use mach_sys::capabilities::{Policy, policy_allows};
use mach_sys::exception::{Behavior, EXC_TYPES_COUNT, ExceptionMask};
use mach_sys::kern_return::{KernError, KernReturn};
use mach_sys::kernel::{self, system};
use mach_sys::machine::Machine;
use mach_sys::port::PortRight;
use mach_sys::rights::{Name, Right, SendRight, user_references};
use mach_sys::thread_state::Flavor;
use mach_sys::types::{
    MACH_PORT_DEAD, exception_behavior_t, exception_mask_t, mach_msg_type_number_t,
    mach_port_name_t, thread_state_flavor_t,
};

/// Number of entries in each array. The calls may fill as many entries as there are exception types, whatever count they are given (B3.4).
const ROOM: usize = 32;

/// The arrays that the swap and get calls fill.
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

    /// Returns the entries, each owning its send right (B3.5). Must be called only once: each call takes the same references.
    fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        (0..ROOM).take(self.count as usize).map(|index| Entry {
            dead: self.ports[index] == MACH_PORT_DEAD,
            handler: PreviousHandler {
                mask: ExceptionMask::from_bits_retain(self.masks[index]),
                port: Name::new(self.ports[index]).map(|name| {
                    // SAFETY: the kernel gave one reference with each entry, and this entry takes it.
                    unsafe { SendRight::from_name(name) }
                }),
                behavior: Behavior::new(self.behaviors[index]),
                flavor: Flavor::new(Machine::NATIVE, self.flavors[index]),
            },
        })
    }
}

/// An entry of the lists.
struct Entry {
    /// `true` if its port has died; the handler has no port then (B3.5).
    dead: bool,
    handler: PreviousHandler,
}

/// Returns `KERN_DENIED`, as the kernel does, for a behavior that this process's policy forbids: the kernel would end the process for
/// registering it (B5.3, B5.4). Does not check other tasks, whose policy only the kernel knows. A thread counts as one of this process.
fn permit(policy: Option<Policy>, own: bool, new: &Registration) -> Result<(), KernError> {
    if own && new.port.is_some() && !policy_allows(policy, new.behavior) {
        return Err(KernError::DENIED);
    }
    Ok(())
}

/// Returns whether the target is this process's task, or any thread.
fn may_be_own(target: &Owner) -> bool {
    matches!(target, Owner::Thread(_)) || target.is_own()
}

/// Registers `new`, and returns the handlers registered before (B3.2).
pub(crate) fn swap(target: &Owner, new: Registration) -> Result<Previous, KernError> {
    permit(system::policy(), may_be_own(target), &new)?;
    let call = match target {
        Owner::Thread(_) => kernel::thread_swap_exception_ports,
        Owner::Task(_) => kernel::task_swap_exception_ports,
    };
    let mut lists = Lists::new();
    // SAFETY: each array has room for the most entries that the kernel returns.
    KernReturn::check(unsafe {
        call(
            target.raw(),
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
    let mut dead = ExceptionMask::empty();
    let handlers = lists.entries().map(|entry| {
        if entry.dead {
            dead |= entry.handler.mask;
        }
        entry.handler
    });
    let handlers = handlers.collect();
    Ok(Previous::new(handlers, dead))
}

/// A registration that is in place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InPlace {
    /// The registration; without a port also if its port has died. Nothing here owns the port, so that another port may soon get its name.
    pub(crate) registration: Registration,
    /// `true` if its port has died.
    pub(crate) dead: bool,
}

/// Reads the registrations in place (B4), by exception type. Allocates nothing: a thread that exits calls this to put handlers back.
pub(crate) fn registered(
    target: &Owner,
    mask: ExceptionMask,
) -> Result<[InPlace; EXC_TYPES_COUNT], KernError> {
    let call = match target {
        Owner::Thread(_) => kernel::thread_get_exception_ports,
        Owner::Task(_) => kernel::task_get_exception_ports,
    };
    let mut lists = Lists::new();
    // SAFETY: as in `swap`.
    KernReturn::check(unsafe {
        call(
            target.raw(),
            mask.bits(),
            lists.masks.as_mut_ptr(),
            &mut lists.count,
            lists.ports.as_mut_ptr(),
            lists.behaviors.as_mut_ptr(),
            lists.flavors.as_mut_ptr(),
        )
    })?;
    // A thread that never had registrations returns no entries (B4.2).
    let mut found = [InPlace {
        registration: Registration::none(ExceptionMask::empty()),
        dead: false,
    }; EXC_TYPES_COUNT];
    for Entry { dead, handler } in lists.entries() {
        let in_place = InPlace {
            registration: Registration {
                mask: handler.mask,
                port: handler.port.as_ref().map(Right::name),
                behavior: handler.behavior,
                flavor: handler.flavor.raw,
            },
            dead,
        };
        for kind in handler.mask.kinds() {
            found[kind.raw() as usize] = in_place;
        }
    }
    Ok(found)
}

/// Returns whether this task holds the receive right of the port named `name`.
pub(crate) fn receives_from(name: Name) -> bool {
    user_references(name, PortRight::RECEIVE).is_ok_and(|references| references != 0)
}

/// Registers `new` (B3.1).
pub(crate) fn set(target: &Owner, new: Registration) -> Result<(), KernError> {
    permit(system::policy(), may_be_own(target), &new)?;
    let call = match target {
        Owner::Thread(_) => kernel::thread_set_exception_ports,
        Owner::Task(_) => kernel::task_set_exception_ports,
    };
    // SAFETY: the call takes no pointers. The port is a send right that the caller borrows, or null.
    KernReturn::check(unsafe {
        call(
            target.raw(),
            new.mask.bits(),
            Name::raw_or_null(new.port),
            new.behavior.raw(),
            new.flavor,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Delivery;

    #[test]
    fn b5_4_what_would_end_the_process_is_refused_and_nothing_else() {
        use mach_sys::thread_state::NativeState;

        let deadly = [Delivery::TASK, Delivery::identity()];
        let harmless = [
            Delivery::THREAD,
            Delivery::identity_protected(),
            Delivery::state_identity_protected::<NativeState>(),
        ];
        let deliveries = deadly.map(|delivery| (delivery, true));
        let deliveries = deliveries
            .into_iter()
            .chain(harmless.map(|delivery| (delivery, false)));
        for (delivery, deadly) in deliveries {
            for (policy, strict) in [
                (Some(Policy::Ordinary), false),
                (Some(Policy::HardenedRuntime), false),
                (Some(Policy::Restricted), true),
                (Some(Policy::Platform), true),
                (None, true),
            ] {
                for own in [false, true] {
                    for port in [None, Name::new(0x103)] {
                        let new = Registration {
                            mask: ExceptionMask::BAD_ACCESS,
                            port,
                            behavior: delivery.behavior(),
                            flavor: 0,
                        };
                        let refused = deadly && strict && own && port.is_some();
                        let expected = if refused {
                            Err(KernError::DENIED)
                        } else {
                            Ok(())
                        };
                        let found = permit(policy, own, &new);
                        assert_eq!(found, expected, "{delivery} {policy:?} {own} {port:?}");
                    }
                }
            }
        }
    }
}
