//! Names and rights (`mach/mach_port.h`, `mach/mach_init.h`).

use super::mig;
use super::target::{code, on_space, process, put, task_behind};
use crate::host::pages::Words;
use crate::ipc::copyin::{self, Dead};
use crate::ipc::name::Name;
use crate::ipc::names::Listing;
use crate::ipc::{insert, mach_port, right, sets};
use crate::thread::kernel::Kernel;
use crate::thread::life;
use mach_wire::kern_return::KernReturn;
use mach_wire::message::{Disposition, MAX_TRAILER_SIZE};
use mach_wire::port::{KobjectType, PortRight, QOS_NAME, QOS_PREALLOC, mach_port_qos_t};
use mach_wire::types::*;

pub unsafe fn mach_thread_self() -> mach_port_name_t {
    let Ok(process) = process() else {
        return MACH_PORT_NULL;
    };
    let name = process.this_thread().and_then(|thread| {
        let mut held = process.mach.lock();
        life::thread_self(&mut Kernel::of(&mut held), thread)
    });
    name.map_or(MACH_PORT_NULL, Name::raw)
}

pub unsafe fn mach_port_allocate(
    task: mach_port_name_t,
    right: mach_port_right_t,
    name: *mut mach_port_name_t,
) -> kern_return_t {
    let outcome = on_space(process(), task, |ipc, space| {
        mach_port::allocate(ipc, space, PortRight::new(right))
    });
    code(outcome.map(|value| {
        // SAFETY: the seam's contract: `name` is valid for a write.
        unsafe { put(name, value.raw()) };
    }))
}

pub unsafe fn mach_port_deallocate(
    task: mach_port_name_t,
    name: mach_port_name_t,
) -> kern_return_t {
    code(on_space(process(), task, |ipc, space| {
        mach_port::deallocate(ipc, space, Name::new(name))
    }))
}

pub unsafe fn mach_port_allocate_name(
    task: mach_port_name_t,
    right: mach_port_right_t,
    name: mach_port_name_t,
) -> kern_return_t {
    code(on_space(mig::process(), task, |ipc, space| {
        mach_port::allocate_name(ipc, space, PortRight::new(right), Name::new(name))
    }))
}

/// Allocates as `mach_port_allocate_full` says, under the name that `wanted` reads if the caller chooses one (C2.4).
fn allocate_full(
    task: mach_port_name_t,
    right: mach_port_right_t,
    prototype: mach_port_name_t,
    qos: &mut mach_port_qos_t,
    wanted: impl FnOnce() -> mach_port_name_t,
) -> Result<Name, KernReturn> {
    const LARGEST: u32 = u32::MAX - MAX_TRAILER_SIZE;
    let named = qos.flags & QOS_NAME != 0;
    let wanted = Name::new(if named { wanted() } else { MACH_PORT_NULL });
    let right = PortRight::new(right);
    let name = on_space(mig::process(), task, |ipc, space| {
        let prototype = Name::new(prototype);
        if prototype != Name::NULL {
            if prototype != Name::DEAD {
                // It travels as a send right.
                let taken = copyin::copyin(
                    ipc,
                    space,
                    prototype,
                    Disposition::COPY_SEND,
                    Dead::Accepted,
                );
                let taken = taken.map_err(|_| KernReturn::SEND_INVALID_RIGHT)?;
                right::release(ipc, taken);
            }
            return Err(KernReturn::INVALID_VALUE);
        }
        if named && !wanted.is_valid() {
            return Err(KernReturn::INVALID_VALUE);
        }
        if qos.flags & QOS_PREALLOC != 0 {
            if qos.len > LARGEST {
                return Err(KernReturn::RESOURCE_SHORTAGE);
            }
            if right != PortRight::RECEIVE {
                return Err(KernReturn::INVALID_VALUE);
            }
        }
        if named && right != PortRight::DEAD_NAME {
            return mach_port::allocate_name(ipc, space, right, wanted).map(|()| wanted);
        }
        mach_port::allocate(ipc, space, right)
    })?;
    qos.flags &= !QOS_PREALLOC;
    Ok(name)
}

pub unsafe fn mach_port_allocate_full(
    task: mach_port_name_t,
    right: mach_port_right_t,
    prototype: mach_port_name_t,
    qos: *mut mach_port_qos_t,
    name: *mut mach_port_name_t,
) -> kern_return_t {
    // SAFETY: the seam's contract: `qos` is valid.
    let mut wishes = unsafe { qos.read_unaligned() };
    let outcome = allocate_full(task, right, prototype, &mut wishes, || {
        // SAFETY: the seam's contract: `name` is valid, and has a name where the wishes say so.
        unsafe { name.read() }
    });
    code(outcome.map(|made| {
        // SAFETY: the seam's contract: both are valid for a write.
        unsafe {
            qos.write_unaligned(wishes);
            put(name, made.raw());
        }
    }))
}

pub unsafe fn mach_port_allocate_qos(
    task: mach_port_name_t,
    right: mach_port_right_t,
    qos: *mut mach_port_qos_t,
    name: *mut mach_port_name_t,
) -> kern_return_t {
    // SAFETY: the seam's contract: `qos` is valid.
    let flags = unsafe { qos.read_unaligned() }.flags;
    if flags & QOS_NAME != 0 {
        // The task is looked at before.
        let found = on_space(mig::process(), task, |_, _| {
            Err(KernReturn::INVALID_ARGUMENT)
        });
        return code(found);
    }
    // SAFETY: the seam's contract, which is the same.
    unsafe { mach_port_allocate_full(task, right, MACH_PORT_NULL, qos, name) }
}

pub unsafe fn mach_reply_port() -> mach_port_name_t {
    let Ok(process) = process() else {
        return MACH_PORT_NULL;
    };
    let mut held = process.mach.lock();
    let name = mach_port::allocate(&mut held.ipc(), process.space, PortRight::RECEIVE);
    name.map_or(MACH_PORT_NULL, Name::raw)
}

pub unsafe fn mach_port_destroy(task: mach_port_name_t, name: mach_port_name_t) -> kern_return_t {
    code(on_space(mig::process(), task, |ipc, space| {
        mach_port::destroy(ipc, space, Name::new(name))
    }))
}

pub unsafe fn mach_port_mod_refs(
    task: mach_port_name_t,
    name: mach_port_name_t,
    right: mach_port_right_t,
    delta: mach_port_delta_t,
) -> kern_return_t {
    code(on_space(process(), task, |ipc, space| {
        mach_port::mod_refs(ipc, space, Name::new(name), PortRight::new(right), delta)
    }))
}

pub unsafe fn mach_port_get_refs(
    task: mach_port_name_t,
    name: mach_port_name_t,
    right: mach_port_right_t,
    references: *mut mach_port_urefs_t,
) -> kern_return_t {
    let outcome = on_space(mig::process(), task, |ipc, space| {
        mach_port::get_refs(ipc, space, Name::new(name), PortRight::new(right))
    });
    code(outcome.map(|value| {
        // SAFETY: the seam's contract: `references` is valid for a write.
        unsafe { put(references, value) };
    }))
}

pub unsafe fn mach_port_insert_right(
    task: mach_port_name_t,
    name: mach_port_name_t,
    poly: mach_port_name_t,
    disposition: mach_msg_type_name_t,
) -> kern_return_t {
    code(on_space(process(), task, |ipc, space| {
        let (name, poly) = (Name::new(name), Name::new(poly));
        insert::insert_right(ipc, space, name, poly, Disposition::new(disposition))
    }))
}

pub unsafe fn mach_port_extract_right(
    task: mach_port_name_t,
    name: mach_port_name_t,
    disposition: mach_msg_type_name_t,
    right: *mut mach_port_name_t,
    right_type: *mut mach_msg_type_name_t,
) -> kern_return_t {
    let outcome = on_space(mig::process(), task, |ipc, space| {
        insert::extract_right(ipc, space, Name::new(name), Disposition::new(disposition))
    });
    code(outcome.map(|(made, kind)| {
        // SAFETY: the seam's contract: both results are valid for a write.
        unsafe {
            put(right, made.raw());
            put(right_type, kind.raw());
        }
    }))
}

pub unsafe fn mach_port_type(
    task: mach_port_name_t,
    name: mach_port_name_t,
    kind: *mut mach_port_type_t,
) -> kern_return_t {
    let outcome = on_space(process(), task, |ipc, space| {
        mach_port::port_type(ipc, space, Name::new(name))
    });
    code(outcome.map(|value| {
        // SAFETY: the seam's contract: `kind` is valid for a write.
        unsafe { put(kind, value.bits()) };
    }))
}

pub unsafe fn mach_port_names(
    task: mach_port_name_t,
    names: *mut *mut mach_port_name_t,
    names_count: *mut mach_msg_type_number_t,
    types: *mut *mut mach_port_type_t,
    types_count: *mut mach_msg_type_number_t,
) -> kern_return_t {
    let list = || {
        let process = mig::process()?;
        let (space, mut room) = {
            let mut held = process.mach.lock();
            let kernel = &mut Kernel::of(&mut held);
            let target = task_behind(kernel, process.task, task)?;
            let space = kernel.tables.task(target).space;
            (space, kernel.ipc.space(space).names() as usize)
        };
        loop {
            // Memory is taken outside the lock; names made meanwhile may ask for more of it.
            room += 64;
            let shortage = |_| KernReturn::RESOURCE_SHORTAGE;
            let mut found_names = Words::new(room).map_err(shortage)?;
            let mut found_types = Words::new(room).map_err(shortage)?;
            let (names, types) = (found_names.as_mut_slice(), found_types.as_mut_slice());
            let mut listing = Listing::new();
            let mut count = 0;
            let mut more = true;
            while more {
                let mut held = process.mach.lock();
                more = listing.step(&held.ipc(), space, |name, kind| {
                    if let (Some(to_name), Some(to_type)) =
                        (names.get_mut(count), types.get_mut(count))
                    {
                        *to_name = name.raw();
                        *to_type = kind.bits();
                    }
                    count += 1;
                });
            }
            if count > room {
                room = count;
                continue;
            }
            return Ok((found_names, found_types, count));
        }
    };
    code(list().map(|(found_names, found_types, count)| {
        // SAFETY: the seam's contract: all four results are valid for a write.
        unsafe {
            put(names, found_names.give_out(count));
            put(names_count, count as u32);
            put(types, found_types.give_out(count));
            put(types_count, count as u32);
        }
    }))
}

pub unsafe fn mach_port_get_set_status(
    task: mach_port_name_t,
    name: mach_port_name_t,
    members: *mut *mut mach_port_name_t,
    members_count: *mut mach_msg_type_number_t,
) -> kern_return_t {
    let list = || {
        let mut room = 0;
        loop {
            // Memory is taken outside the lock; ports that join meanwhile may ask for more of it.
            room += 64;
            let mut found = Words::new(room).map_err(|_| KernReturn::RESOURCE_SHORTAGE)?;
            let words = found.as_mut_slice();
            let mut listing = Listing::new();
            let mut count = 0;
            let mut more = true;
            while more {
                more = on_space(mig::process(), task, |ipc, space| {
                    listing.step_members(ipc, space, Name::new(name), |member| {
                        if let Some(to) = words.get_mut(count) {
                            *to = member.raw();
                        }
                        count += 1;
                    })
                })?;
            }
            if count <= room {
                return Ok((found, count));
            }
            room = count;
        }
    };
    code(list().map(|(found, count)| {
        // SAFETY: the seam's contract: both results are valid for a write.
        unsafe {
            put(members, found.give_out(count));
            put(members_count, count as u32);
        }
    }))
}

pub unsafe fn mach_port_insert_member(
    task: mach_port_name_t,
    name: mach_port_name_t,
    set: mach_port_name_t,
) -> kern_return_t {
    code(on_space(process(), task, |ipc, space| {
        sets::insert_member(ipc, space, Name::new(name), Name::new(set))
    }))
}

pub unsafe fn mach_port_extract_member(
    task: mach_port_name_t,
    name: mach_port_name_t,
    set: mach_port_name_t,
) -> kern_return_t {
    code(on_space(process(), task, |ipc, space| {
        sets::extract_member(ipc, space, Name::new(name), Name::new(set))
    }))
}

pub unsafe fn mach_port_move_member(
    task: mach_port_name_t,
    name: mach_port_name_t,
    after: mach_port_name_t,
) -> kern_return_t {
    code(on_space(process(), task, |ipc, space| {
        sets::move_member(ipc, space, Name::new(name), Name::new(after))
    }))
}

pub unsafe fn mach_port_kobject(
    task: mach_port_name_t,
    name: mach_port_name_t,
    kind: *mut natural_t,
    address: *mut mach_vm_address_t,
) -> kern_return_t {
    let outcome = on_space(mig::process(), task, |ipc, space| {
        mach_port::kobject(ipc, space, Name::new(name))
    });
    code(outcome.map(|object| {
        let shown = object.map_or(KobjectType::NONE, |object| object.kind.shown());
        // SAFETY: the seam's contract: both results are valid for a write. Addresses are shown by XNU's development kernels only.
        unsafe {
            put(kind, shown.raw());
            put(address, 0);
        }
    }))
}
