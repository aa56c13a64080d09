//! The kernel calls, each from the C arguments of the seam to the engine and back.
#![allow(unsafe_code)]

use super::exception::ports::{Level, List, Registration};
use super::host::context::Context;
use super::host::pages::{self, Words};
use super::ipc::mach::{Locked, TaskId};
use super::ipc::object::Kind;
use super::ipc::receive::{self, ReceiveRequest};
use super::ipc::send::{self, SendRequest};
use super::process::{self, Process};
use super::thread::state;
use crate::kern_return::KernReturn;
use crate::message::*;
use crate::port::MACH_PORT_RIGHT_RECEIVE;
use crate::rights::Name;
use crate::types::*;
use core::ffi::c_void;

/// What a call returns to C: `KERN_SUCCESS`, or what went wrong.
fn code(outcome: Result<(), KernReturn>) -> kern_return_t {
    match outcome {
        Ok(()) => KernReturn::SUCCESS.raw(),
        Err(error) => error.raw(),
    }
}

fn process() -> Result<&'static Process, KernReturn> {
    process::current().map_err(|_| KernReturn::RESOURCE_SHORTAGE)
}

/// Runs a call on the names of the task that `task` denotes (C0.5). Results are handed back by value: user memory is written
/// when the lock is free again.
fn on_task<T>(
    task: mach_port_name_t,
    call: impl FnOnce(&mut Locked<'_>, TaskId) -> Result<T, KernReturn>,
) -> Result<T, KernReturn> {
    let process = process()?;
    let mut kernel = process.mach.lock();
    let target = kernel.task_behind(process.task, task)?;
    call(&mut kernel, target)
}

impl Locked<'_> {
    /// The task whose control port a name of `caller`'s denotes.
    fn task_behind(
        &mut self,
        caller: TaskId,
        name: mach_port_name_t,
    ) -> Result<TaskId, KernReturn> {
        if name == MACH_PORT_NULL || name == MACH_PORT_DEAD {
            return Err(KernReturn::SEND_INVALID_DEST);
        }
        match self.kernel_object(caller, name)? {
            (Kind::Task, object) => Ok(self.object(object).task),
            _ => Err(KernReturn::INVALID_TASK),
        }
    }
}

/// Writes a result where the caller wants it.
///
/// # Safety
/// `to` is valid for a write.
unsafe fn put<T>(to: *mut T, value: T) {
    // SAFETY: the caller vouches for the pointer.
    unsafe { to.write(value) };
}

pub(crate) unsafe fn mach_thread_self() -> mach_port_name_t {
    let Ok(process) = process::current() else {
        return MACH_PORT_NULL;
    };
    let name = process
        .this_thread()
        .and_then(|thread| process.mach.lock().thread_self(thread));
    Name::raw_or_null(name.and_then(Name::new))
}

pub(crate) unsafe fn mach_msg(
    message: *mut c_void,
    option: mach_msg_option_t,
    send_size: mach_msg_size_t,
    receive_size: mach_msg_size_t,
    receive_name: mach_port_name_t,
    timeout: mach_msg_timeout_t,
    _notify: mach_port_name_t,
) -> kern_return_t {
    let address = message as u64;
    let send_and_receive = || {
        let process = process()?;
        if option & MACH_SEND_MSG != 0 {
            let request = SendRequest {
                address,
                size: send_size,
                options: option,
                timeout,
            };
            send::send(&process.mach, process.task, request)?;
        }
        if option & MACH_RCV_MSG != 0 {
            let request = ReceiveRequest {
                address,
                size: receive_size,
                options: option,
                timeout,
                name: receive_name,
            };
            receive::receive(&process.mach, process.task, request)?;
        }
        Ok(())
    };
    code(send_and_receive())
}

pub(crate) unsafe fn mach_msg_destroy(message: *mut c_void) {
    let word = |offset: usize| {
        // SAFETY: the caller's message is readable for its whole size, and every word looked at lies below that size.
        unsafe {
            message
                .cast::<u8>()
                .add(offset)
                .cast::<u32>()
                .read_unaligned()
        }
    };
    let Ok(process) = process() else {
        return;
    };
    // Each right is looked up by itself, and the message read with no lock held.
    let destroy = |name: mach_port_name_t, disposition: u32| {
        process
            .mach
            .lock()
            .destroy_user_right(process.task, name, disposition);
    };
    let (bits, size) = (word(0), word(4));
    destroy(word(8), bits & MACH_MSGH_BITS_REMOTE_MASK);
    if bits & MACH_MSGH_BITS_COMPLEX != 0 && size >= 28 {
        let count = word(24).min((size - 28) / 12);
        for index in 0..count as usize {
            let at = 28 + 12 * index;
            destroy(word(at), word(at + 8) >> 16 & 0xff);
        }
    }
}

impl Locked<'_> {
    /// Releases a right of a message as libsyscall's `mach_msg_destroy` does (C12.1). A right that is not there is no error.
    fn destroy_user_right(&mut self, task: TaskId, name: mach_port_name_t, disposition: u32) {
        if name == MACH_PORT_NULL || name == MACH_PORT_DEAD {
            return;
        }
        let _ = match disposition {
            MACH_MSG_TYPE_MOVE_SEND | MACH_MSG_TYPE_MOVE_SEND_ONCE => self.deallocate(task, name),
            MACH_MSG_TYPE_MOVE_RECEIVE => self.mod_refs(task, name, MACH_PORT_RIGHT_RECEIVE, -1),
            MACH_MSG_TYPE_MAKE_SEND => self
                .insert_right(task, name, name, MACH_MSG_TYPE_MAKE_SEND)
                .and_then(|()| self.deallocate(task, name)),
            MACH_MSG_TYPE_MAKE_SEND_ONCE => self
                .extract_right(task, name, disposition)
                .and_then(|(once, _)| self.deallocate(task, once)),
            _ => Ok(()),
        };
    }
}

pub(crate) unsafe fn mach_port_allocate(
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

pub(crate) unsafe fn mach_port_deallocate(
    task: mach_port_name_t,
    name: mach_port_name_t,
) -> kern_return_t {
    code(on_task(task, |kernel, task| kernel.deallocate(task, name)))
}

pub(crate) unsafe fn mach_port_mod_refs(
    task: mach_port_name_t,
    name: mach_port_name_t,
    right: mach_port_right_t,
    delta: mach_port_delta_t,
) -> kern_return_t {
    code(on_task(task, |kernel, task| {
        kernel.mod_refs(task, name, right, delta)
    }))
}

pub(crate) unsafe fn mach_port_get_refs(
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

pub(crate) unsafe fn mach_port_insert_right(
    task: mach_port_name_t,
    name: mach_port_name_t,
    poly: mach_port_name_t,
    disposition: mach_msg_type_name_t,
) -> kern_return_t {
    code(on_task(task, |kernel, task| {
        kernel.insert_right(task, name, poly, disposition)
    }))
}

pub(crate) unsafe fn mach_port_extract_right(
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

pub(crate) unsafe fn mach_port_type(
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

pub(crate) unsafe fn mach_port_names(
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

pub(crate) unsafe fn mach_port_insert_member(
    task: mach_port_name_t,
    name: mach_port_name_t,
    set: mach_port_name_t,
) -> kern_return_t {
    code(on_task(task, |kernel, task| {
        kernel.insert_member(task, name, set)
    }))
}

pub(crate) unsafe fn mach_port_extract_member(
    task: mach_port_name_t,
    name: mach_port_name_t,
    set: mach_port_name_t,
) -> kern_return_t {
    code(on_task(task, |kernel, task| {
        kernel.extract_member(task, name, set)
    }))
}

pub(crate) unsafe fn mach_port_move_member(
    task: mach_port_name_t,
    name: mach_port_name_t,
    after: mach_port_name_t,
) -> kern_return_t {
    code(on_task(task, |kernel, task| {
        kernel.move_member(task, name, after)
    }))
}

pub(crate) unsafe fn mach_port_set_context(
    task: mach_port_name_t,
    name: mach_port_name_t,
    context: mach_port_context_t,
) -> kern_return_t {
    code(on_task(task, |kernel, task| {
        kernel.set_context(task, name, context)
    }))
}

pub(crate) unsafe fn mach_port_get_context(
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

/// Where a get or swap writes its entries: arrays with room for 14.
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
                put(self.masks.add(index), entry.mask);
                put(self.handlers.add(index), entry.port);
                put(self.behaviors.add(index), entry.behavior);
                put(self.flavors.add(index), entry.flavor);
            }
        }
        // SAFETY: as above.
        unsafe { put(self.count, list.entries().len() as u32) };
    }
}

/// Runs a registration call on the thread or task behind a name.
fn on_level<T>(
    name: mach_port_name_t,
    kind: Kind,
    call: impl FnOnce(&mut Locked<'_>, TaskId, Level) -> Result<T, KernReturn>,
) -> Result<T, KernReturn> {
    let process = process()?;
    let mut kernel = process.mach.lock();
    let level = kernel.level(process.task, name, kind)?;
    call(&mut kernel, process.task, level)
}

macro_rules! exception_port_calls {
    ($kind:expr, $set:ident, $get:ident, $swap:ident) => {
        pub(crate) unsafe fn $set(
            target: mach_port_name_t,
            mask: exception_mask_t,
            port: mach_port_name_t,
            behavior: exception_behavior_t,
            flavor: thread_state_flavor_t,
        ) -> kern_return_t {
            let registration = Registration {
                mask,
                port,
                behavior,
                flavor,
            };
            code(on_level(target, $kind, |kernel, task, level| {
                kernel.set_exception_ports(task, level, registration)
            }))
        }

        pub(crate) unsafe fn $get(
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
            let outcome = on_level(target, $kind, |kernel, task, level| {
                kernel.get_exception_ports(task, level, mask)
            });
            code(outcome.map(|list| {
                // SAFETY: the seam's contract: room for 14 entries each.
                unsafe { arrays.fill(&list) };
            }))
        }

        #[allow(clippy::too_many_arguments)]
        pub(crate) unsafe fn $swap(
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
            let registration = Registration {
                mask,
                port,
                behavior,
                flavor,
            };
            let outcome = on_level(target, $kind, |kernel, task, level| {
                kernel.swap_exception_ports(task, level, registration)
            });
            code(outcome.map(|list| {
                // SAFETY: the seam's contract: room for 14 entries each.
                unsafe { arrays.fill(&list) };
            }))
        }
    };
}

exception_port_calls!(
    Kind::Thread,
    thread_set_exception_ports,
    thread_get_exception_ports,
    thread_swap_exception_ports
);
exception_port_calls!(
    Kind::Task,
    task_set_exception_ports,
    task_get_exception_ports,
    task_swap_exception_ports
);

/// Runs a register call on the thread behind a name, if it waits in an exception.
fn on_waiting_thread<T>(
    name: mach_port_name_t,
    call: impl FnOnce(&mut Context) -> Result<T, KernReturn>,
) -> Result<T, KernReturn> {
    on_level(name, Kind::Thread, |kernel, _, level| {
        let Level::Thread(thread) = level else {
            return Err(KernReturn::INVALID_ARGUMENT);
        };
        match kernel.state.threads[thread].context {
            0 => Err(KernReturn::NOT_SUPPORTED),
            context => {
                // SAFETY: the thread put its context here before it began to wait and takes it back under the lock that is held
                // now; until then nobody else uses it.
                let mut context = unsafe { Context::from_raw(context as *mut c_void) };
                call(&mut context)
            }
        }
    })
}

/// The largest state, in words (A6.4).
const STATE_WORDS: usize = 1296;

pub(crate) unsafe fn thread_get_state(
    thread: mach_port_name_t,
    flavor: thread_state_flavor_t,
    state: *mut natural_t,
    count: *mut mach_msg_type_number_t,
) -> kern_return_t {
    // SAFETY: the seam's contract: `count` is valid.
    let room = unsafe { count.read() as usize };
    let mut words = [0; STATE_WORDS];
    let outcome = on_waiting_thread(thread, |context| {
        let mut length = 0;
        state::get(
            context,
            flavor,
            &mut words[..room.min(STATE_WORDS)],
            &mut length,
        )
        .map(|()| length)
    });
    code(outcome.map(|length| {
        // SAFETY: the seam's contract: `state` has room for the words that `count` promised, and no more were read.
        unsafe {
            core::ptr::copy_nonoverlapping(words.as_ptr(), state, length as usize);
            put(count, length);
        }
    }))
}

pub(crate) unsafe fn thread_set_state(
    thread: mach_port_name_t,
    flavor: thread_state_flavor_t,
    state: *const natural_t,
    count: mach_msg_type_number_t,
) -> kern_return_t {
    let count = count as usize;
    if count > STATE_WORDS {
        return KernReturn::INVALID_ARGUMENT.raw();
    }
    let mut words = [0; STATE_WORDS];
    // SAFETY: the seam's contract: `state` holds `count` words.
    unsafe { core::ptr::copy_nonoverlapping(state, words.as_mut_ptr(), count) };
    code(on_waiting_thread(thread, |context| {
        state::set(context, flavor, &words[..count])
    }))
}

/// The process, if the task that a name denotes is its own: the only one whose memory is here.
fn own_memory(task: mach_port_name_t) -> Result<&'static Process, KernReturn> {
    let process = process()?;
    let target = process.mach.lock().task_behind(process.task, task)?;
    if target == process.task {
        Ok(process)
    } else {
        Err(KernReturn::NOT_SUPPORTED)
    }
}

pub(crate) unsafe fn mach_vm_read_overwrite(
    task: mach_port_name_t,
    address: mach_vm_address_t,
    size: mach_vm_size_t,
    data: mach_vm_address_t,
    copied: *mut mach_vm_size_t,
) -> kern_return_t {
    let outcome =
        own_memory(task).and_then(|process| process.mach.copy_within_user(address, data, size));
    code(outcome.map(|()| {
        // SAFETY: the seam's contract: `copied` is valid for a write.
        unsafe { put(copied, size) };
    }))
}

pub(crate) unsafe fn mach_vm_write(
    task: mach_port_name_t,
    address: mach_vm_address_t,
    data: usize,
    count: mach_msg_type_number_t,
) -> kern_return_t {
    code(own_memory(task).and_then(|process| {
        let size = u64::from(count);
        process.mach.copy_within_user(data as u64, address, size)
    }))
}

pub(crate) unsafe fn mach_vm_deallocate(
    task: mach_port_name_t,
    address: mach_vm_address_t,
    size: mach_vm_size_t,
) -> kern_return_t {
    code(own_memory(task).and_then(|_| {
        // SAFETY: the seam's contract: the memory is the caller's to release.
        unsafe { pages::release(address as usize, size as usize) }
            .map_err(|_| KernReturn::INVALID_ADDRESS)
    }))
}
