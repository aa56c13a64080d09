//! Receive rights: options, attributes, guards, notifications (`mach/mach_port.h`).

use super::mig;
use super::target::{code, on_space, process, put};
use crate::ipc::attributes;
use crate::ipc::construct::{self, Options};
use crate::ipc::guarded;
use crate::ipc::name::Name;
use crate::ipc::request_notification::{self, Wish};
use mach_wire::message::Disposition;
use mach_wire::port::{GuardFlags, PortFlavor, PortOptionFlags, mach_port_options_t};
use mach_wire::types::*;

pub unsafe fn mach_port_construct(
    task: mach_port_name_t,
    options: *mut mach_port_options_t,
    context: mach_port_context_t,
    name: *mut mach_port_name_t,
) -> kern_return_t {
    // SAFETY: the seam's contract: `options` is readable.
    let options = unsafe { options.read_unaligned() };
    let options = Options {
        flags: PortOptionFlags::from_bits_retain(options.flags),
        limit: options.mpl.mpl_qlimit,
        context,
    };
    let outcome = on_space(process(), task, |ipc, space| {
        construct::construct(ipc, space, options)
    });
    code(outcome.map(|value| {
        // SAFETY: the seam's contract: `name` is valid for a write.
        unsafe { put(name, value.raw()) };
    }))
}

pub unsafe fn mach_port_destruct(
    task: mach_port_name_t,
    name: mach_port_name_t,
    send_delta: mach_port_delta_t,
    guard: mach_port_context_t,
) -> kern_return_t {
    code(on_space(process(), task, |ipc, space| {
        construct::destruct(ipc, space, Name::new(name), send_delta, guard)
    }))
}

pub unsafe fn mach_port_guard(
    task: mach_port_name_t,
    name: mach_port_name_t,
    guard: mach_port_context_t,
    strict: boolean_t,
) -> kern_return_t {
    let flags = if strict == 0 {
        GuardFlags::empty()
    } else {
        GuardFlags::STRICT
    };
    code(on_space(process(), task, |ipc, space| {
        guarded::guard(ipc, space, Name::new(name), guard, flags)
    }))
}

pub unsafe fn mach_port_guard_with_flags(
    task: mach_port_name_t,
    name: mach_port_name_t,
    guard: mach_port_context_t,
    flags: u64,
) -> kern_return_t {
    let flags = GuardFlags::from_bits_retain(flags);
    code(on_space(mig::process(), task, |ipc, space| {
        guarded::guard(ipc, space, Name::new(name), guard, flags)
    }))
}

pub unsafe fn mach_port_unguard(
    task: mach_port_name_t,
    name: mach_port_name_t,
    guard: mach_port_context_t,
) -> kern_return_t {
    code(on_space(process(), task, |ipc, space| {
        guarded::unguard(ipc, space, Name::new(name), guard)
    }))
}

pub unsafe fn mach_port_swap_guard(
    task: mach_port_name_t,
    name: mach_port_name_t,
    old: mach_port_context_t,
    new: mach_port_context_t,
) -> kern_return_t {
    code(on_space(mig::process(), task, |ipc, space| {
        guarded::swap_guard(ipc, space, Name::new(name), old, new)
    }))
}

pub unsafe fn mach_port_set_context(
    task: mach_port_name_t,
    name: mach_port_name_t,
    context: mach_port_context_t,
) -> kern_return_t {
    code(on_space(mig::process(), task, |ipc, space| {
        guarded::set_context(ipc, space, Name::new(name), context)
    }))
}

pub unsafe fn mach_port_get_context(
    task: mach_port_name_t,
    name: mach_port_name_t,
    context: *mut mach_port_context_t,
) -> kern_return_t {
    let outcome = on_space(mig::process(), task, |ipc, space| {
        guarded::get_context(ipc, space, Name::new(name))
    });
    code(outcome.map(|value| {
        // SAFETY: the seam's contract: `context` is valid for a write.
        unsafe { put(context, value) };
    }))
}

pub unsafe fn mach_port_get_attributes(
    task: mach_port_name_t,
    name: mach_port_name_t,
    flavor: mach_port_flavor_t,
    info: *mut integer_t,
    count: *mut mach_msg_type_number_t,
) -> kern_return_t {
    let mut words = [0; attributes::LARGEST];
    // SAFETY: the seam's contract: `count` is valid.
    let room = unsafe { count.read() };
    let outcome = on_space(process(), task, |ipc, space| {
        let flavor = PortFlavor::new(flavor);
        attributes::get(ipc, space, Name::new(name), flavor, room, &mut words)
    });
    code(outcome.map(|length| {
        // SAFETY: the seam's contract: `info` has room for the words that `count` promised, and no more were read.
        unsafe {
            core::ptr::copy_nonoverlapping(words.as_ptr().cast(), info, length as usize);
            put(count, length);
        }
    }))
}

pub unsafe fn mach_port_set_attributes(
    task: mach_port_name_t,
    name: mach_port_name_t,
    flavor: mach_port_flavor_t,
    info: *const integer_t,
    count: mach_msg_type_number_t,
) -> kern_return_t {
    let mut words = [0; attributes::LARGEST];
    let length = (count as usize).min(words.len());
    // SAFETY: the seam's contract: `info` holds `count` words.
    unsafe { core::ptr::copy_nonoverlapping(info.cast(), words.as_mut_ptr(), length) };
    code(on_space(mig::process(), task, |ipc, space| {
        let flavor = PortFlavor::new(flavor);
        attributes::set(ipc, space, Name::new(name), flavor, &words[..length])
    }))
}

pub unsafe fn mach_port_set_mscount(
    task: mach_port_name_t,
    name: mach_port_name_t,
    count: mach_port_mscount_t,
) -> kern_return_t {
    code(on_space(mig::process(), task, |ipc, space| {
        attributes::set_make_send_count(ipc, space, Name::new(name), count)
    }))
}

pub unsafe fn mach_port_set_seqno(
    task: mach_port_name_t,
    name: mach_port_name_t,
    number: mach_port_seqno_t,
) -> kern_return_t {
    code(on_space(mig::process(), task, |ipc, space| {
        attributes::set_sequence(ipc, space, Name::new(name), number)
    }))
}

pub unsafe fn mach_port_get_srights(
    task: mach_port_name_t,
    name: mach_port_name_t,
    count: *mut mach_port_rights_t,
) -> kern_return_t {
    let outcome = on_space(mig::process(), task, |ipc, space| {
        attributes::send_rights(ipc, space, Name::new(name))
    });
    code(outcome.map(|value| {
        // SAFETY: the seam's contract: `count` is valid for a write.
        unsafe { put(count, value) };
    }))
}

pub unsafe fn mach_port_request_notification(
    task: mach_port_name_t,
    name: mach_port_name_t,
    id: mach_msg_id_t,
    sync: mach_port_mscount_t,
    notify: mach_port_name_t,
    disposition: mach_msg_type_name_t,
    previous: *mut mach_port_name_t,
) -> kern_return_t {
    let wish = Wish {
        id,
        sync,
        notify: Name::new(notify),
        disposition: Disposition::new(disposition),
    };
    let outcome = on_space(process(), task, |ipc, space| {
        request_notification::request(ipc, space, Name::new(name), wish)
    });
    code(outcome.map(|value| {
        // SAFETY: the seam's contract: `previous` is valid for a write.
        unsafe { put(previous, value.raw()) };
    }))
}
