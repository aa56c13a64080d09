//! Exception ports (`mach/thread_act.h`, `mach/task.h`).

use super::mig;
use super::target::{code, put};
use super::threads::find;
use crate::exception::hardened;
use crate::exception::level::{Level, LevelKind};
use crate::exception::list::List;
use crate::exception::ports::{self, Registration};
use crate::ipc::name::{Name, SpaceId};
use crate::thread::kernel::Kernel;
use crate::thread::run;
use mach_wire::exception::{Behavior, ExceptionMask};
use mach_wire::kern_return::KernReturn;
use mach_wire::machine::Machine;
use mach_wire::thread_state::Flavor;
use mach_wire::types::*;

/// Output arrays of a get or swap, each with room for 14 entries.
struct Arrays {
    masks: *mut exception_mask_t,
    count: *mut mach_msg_type_number_t,
    handlers: *mut mach_port_name_t,
    behaviors: *mut exception_behavior_t,
    flavors: *mut thread_state_flavor_t,
}

impl Arrays {
    /// # Safety
    /// The arrays are valid for writes of 14 entries, the count for one.
    unsafe fn fill(&self, list: &List) {
        for (index, entry) in list.entries().iter().enumerate() {
            // SAFETY: a list has at most 14 entries; the caller vouches for the arrays.
            unsafe {
                put(self.masks.add(index), entry.mask.bits());
                put(self.handlers.add(index), entry.port.raw());
                put(self.behaviors.add(index), entry.behavior.raw());
                put(self.flavors.add(index), entry.flavor.raw);
            }
        }
        // SAFETY: as above.
        unsafe { put(self.count, list.entries().len() as u32) };
    }
}

/// Runs a routine of MIG's on the thread or task behind a name.
pub(super) fn on_level<T>(
    name: mach_port_name_t,
    kind: LevelKind,
    call: impl FnOnce(&mut Kernel<'_, '_>, SpaceId, Level) -> Result<T, KernReturn>,
) -> Result<T, KernReturn> {
    let process = mig::process()?;
    let mut held = process.mach.lock();
    let kernel = &mut Kernel::of(&mut held);
    let level = Level::find(kernel, process.space, Name::new(name), kind)?;
    if let Level::Thread(thread) = level {
        // D4: the exception ports of a terminated thread.
        run::check(kernel, thread).map_err(|_| KernReturn::FAILURE)?;
    }
    call(kernel, process.space, level)
}

fn registration(
    mask: exception_mask_t,
    port: mach_port_name_t,
    behavior: exception_behavior_t,
    flavor: thread_state_flavor_t,
) -> Registration {
    Registration {
        mask: ExceptionMask::from_bits_retain(mask),
        port: Name::new(port),
        behavior: Behavior::new(behavior),
        flavor: Flavor::new(Machine::NATIVE, flavor),
    }
}

pub unsafe fn task_register_hardened_exception_handler(
    task: mach_port_name_t,
    _signed_pc_key: u32,
    exceptions_allowed: exception_mask_t,
    behaviors_allowed: exception_behavior_t,
    flavors_allowed: thread_state_flavor_t,
    port: mach_port_name_t,
) -> kern_return_t {
    // The key signs program counters on arm64e alone.
    let registration = registration(exceptions_allowed, port, behaviors_allowed, flavors_allowed);
    code(on_level(
        task,
        LevelKind::Task,
        |kernel, space, level| match level {
            Level::Task(task) => hardened::register(kernel, space, task, registration),
            Level::Thread(_) => Err(KernReturn::INVALID_ARGUMENT),
        },
    ))
}

pub unsafe fn thread_adopt_exception_handler(
    thread: mach_port_name_t,
    port: mach_port_name_t,
    mask: exception_mask_t,
    behavior: exception_behavior_t,
    flavor: thread_state_flavor_t,
) -> kern_return_t {
    let registration = registration(mask, port, behavior, flavor);
    let adopt = || {
        let process = mig::process()?;
        let mut held = process.mach.lock();
        let kernel = &mut Kernel::of(&mut held);
        let thread = find(kernel, process, thread)?;
        hardened::adopt(kernel, process.space, thread, registration)
    };
    code(adopt())
}

macro_rules! exception_port_calls {
    ($kind:expr, $set:ident, $get:ident, $swap:ident) => {
        pub unsafe fn $set(
            target: mach_port_name_t,
            mask: exception_mask_t,
            port: mach_port_name_t,
            behavior: exception_behavior_t,
            flavor: thread_state_flavor_t,
        ) -> kern_return_t {
            let registration = registration(mask, port, behavior, flavor);
            code(on_level(target, $kind, |kernel, space, level| {
                ports::set(kernel, space, level, registration)
            }))
        }

        pub unsafe fn $get(
            target: mach_port_name_t,
            mask: exception_mask_t,
            masks: *mut exception_mask_t,
            count: *mut mach_msg_type_number_t,
            handlers: *mut mach_port_name_t,
            behaviors: *mut exception_behavior_t,
            flavors: *mut thread_state_flavor_t,
        ) -> kern_return_t {
            let arrays = Arrays {
                masks,
                count,
                handlers,
                behaviors,
                flavors,
            };
            let outcome = on_level(target, $kind, |kernel, space, level| {
                let mask = ExceptionMask::from_bits_retain(mask);
                ports::get(kernel, space, level, mask)
            });
            code(outcome.map(|list| {
                // SAFETY: the seam's contract: room for 14 entries each.
                unsafe { arrays.fill(&list) };
            }))
        }

        #[allow(clippy::too_many_arguments)]
        pub unsafe fn $swap(
            target: mach_port_name_t,
            mask: exception_mask_t,
            port: mach_port_name_t,
            behavior: exception_behavior_t,
            flavor: thread_state_flavor_t,
            masks: *mut exception_mask_t,
            count: *mut mach_msg_type_number_t,
            handlers: *mut mach_port_name_t,
            behaviors: *mut exception_behavior_t,
            flavors: *mut thread_state_flavor_t,
        ) -> kern_return_t {
            let arrays = Arrays {
                masks,
                count,
                handlers,
                behaviors,
                flavors,
            };
            let registration = registration(mask, port, behavior, flavor);
            let outcome = on_level(target, $kind, |kernel, space, level| {
                ports::swap(kernel, space, level, registration)
            });
            code(outcome.map(|list| {
                // SAFETY: the seam's contract: room for 14 entries each.
                unsafe { arrays.fill(&list) };
            }))
        }
    };
}

exception_port_calls!(
    LevelKind::Thread,
    thread_set_exception_ports,
    thread_get_exception_ports,
    thread_swap_exception_ports
);
exception_port_calls!(
    LevelKind::Task,
    task_set_exception_ports,
    task_get_exception_ports,
    task_swap_exception_ports
);

exception_port_calls!(
    LevelKind::Host,
    host_set_exception_ports,
    host_get_exception_ports,
    host_swap_exception_ports
);
