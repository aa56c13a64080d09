//! Names and rights (`mach/mach_port.h`, `mach/mach_init.h`).

use super::{code, on_task, process, put};
use crate::host::pages::Words;
use mach_wire::kern_return::KernReturn;
use mach_wire::types::*;

pub unsafe fn mach_thread_self() -> mach_port_name_t {
    let Ok(process) = process::current() else {
        return MACH_PORT_NULL;
    };
    let name = process
        .this_thread()
        .and_then(|thread| process.mach.lock().thread_self(thread));
    name.unwrap_or(MACH_PORT_NULL)
}

pub unsafe fn mach_port_allocate(
    task: mach_port_name_t,
    right: mach_port_right_t,
    name: *mut mach_port_name_t,
) -> kern_return_t {
    let outcome = on_task(task, |kernel, task| kernel.allocate(task, right));
    code(outcome.map(|value| {
        // SAFETY: the seam's contract: `name` is valid for a write.
        unsafe { put(name, value) };
    }))
}

pub unsafe fn mach_port_deallocate(
    task: mach_port_name_t,
    name: mach_port_name_t,
) -> kern_return_t {
    code(on_task(task, |kernel, task| kernel.deallocate(task, name)))
}

pub unsafe fn mach_port_mod_refs(
    task: mach_port_name_t,
    name: mach_port_name_t,
    right: mach_port_right_t,
    delta: mach_port_delta_t,
) -> kern_return_t {
    code(on_task(task, |kernel, task| {
        kernel.mod_refs(task, name, right, delta)
    }))
}

pub unsafe fn mach_port_get_refs(
    task: mach_port_name_t,
    name: mach_port_name_t,
    right: mach_port_right_t,
    references: *mut mach_port_urefs_t,
) -> kern_return_t {
    let outcome = on_task(task, |kernel, task| kernel.get_refs(task, name, right));
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
    code(on_task(task, |kernel, task| {
        kernel.insert_right(task, name, poly, disposition)
    }))
}

pub unsafe fn mach_port_extract_right(
    task: mach_port_name_t,
    name: mach_port_name_t,
    disposition: mach_msg_type_name_t,
    right: *mut mach_port_name_t,
    right_type: *mut mach_msg_type_name_t,
) -> kern_return_t {
    let outcome = on_task(task, |kernel, task| {
        kernel.extract_right(task, name, disposition)
    });
    code(outcome.map(|(made, kind)| {
        // SAFETY: the seam's contract: both results are valid for a write.
        unsafe {
            put(right, made);
            put(right_type, kind);
        }
    }))
}

pub unsafe fn mach_port_type(
    task: mach_port_name_t,
    name: mach_port_name_t,
    kind: *mut mach_port_type_t,
) -> kern_return_t {
    let outcome = on_task(task, |kernel, task| kernel.port_type(task, name));
    code(outcome.map(|value| {
        // SAFETY: the seam's contract: `kind` is valid for a write.
        unsafe { put(kind, value) };
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
        let process = process()?;
        let (target, mut room) = {
            let mut kernel = process.mach.lock();
            let target = kernel.task_behind(process.task, task)?;
            (target, kernel.name_count(target))
        };
        loop {
            // Memory is taken outside the lock; names made meanwhile may ask for more of it.
            room += 64;
            let shortage = |_| KernReturn::RESOURCE_SHORTAGE;
            let mut found_names = Words::new(room).map_err(shortage)?;
            let mut found_types = Words::new(room).map_err(shortage)?;
            let count = process.mach.lock().port_names(
                target,
                found_names.as_mut_slice(),
                found_types.as_mut_slice(),
            );
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

pub unsafe fn mach_port_insert_member(
    task: mach_port_name_t,
    name: mach_port_name_t,
    set: mach_port_name_t,
) -> kern_return_t {
    code(on_task(task, |kernel, task| {
        kernel.insert_member(task, name, set)
    }))
}

pub unsafe fn mach_port_extract_member(
    task: mach_port_name_t,
    name: mach_port_name_t,
    set: mach_port_name_t,
) -> kern_return_t {
    code(on_task(task, |kernel, task| {
        kernel.extract_member(task, name, set)
    }))
}

pub unsafe fn mach_port_move_member(
    task: mach_port_name_t,
    name: mach_port_name_t,
    after: mach_port_name_t,
) -> kern_return_t {
    code(on_task(task, |kernel, task| {
        kernel.move_member(task, name, after)
    }))
}

pub unsafe fn mach_port_set_context(
    task: mach_port_name_t,
    name: mach_port_name_t,
    context: mach_port_context_t,
) -> kern_return_t {
    code(on_task(task, |kernel, task| {
        kernel.set_context(task, name, context)
    }))
}

pub unsafe fn mach_port_get_context(
    task: mach_port_name_t,
    name: mach_port_name_t,
    context: *mut mach_port_context_t,
) -> kern_return_t {
    let outcome = on_task(task, |kernel, task| kernel.get_context(task, name));
    code(outcome.map(|value| {
        // SAFETY: the seam's contract: `context` is valid for a write.
        unsafe { put(context, value) };
    }))
}
