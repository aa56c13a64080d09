//! Messages (`mach/message.h`).

use super::guards;
use super::mig;
use super::target::{code, process};
use crate::host::pages;
use crate::ipc::guarded;
use crate::ipc::insert;
use crate::ipc::mach_port;
use crate::ipc::name::{Name, SpaceId};
use crate::ipc::receive::{self, ReceiveRequest};
use crate::ipc::send::{self, SendRequest};
use crate::ipc::state::Ipc;
use crate::process::Process;
use core::ffi::c_void;
use core::mem::offset_of;
use mach_wire::message::*;
use mach_wire::pod;
use mach_wire::port::PortRight;
use mach_wire::types::*;

/// Sends a message, receives one, or both. In the generation of macOS 11 the receive buffer must have room for a header and the trailer that
/// the options request, whatever `receive_size` says: a message that is too large for it leaves both there (C11.5).
pub unsafe fn mach_msg(
    message: *mut c_void,
    option: mach_msg_option_t,
    send_size: mach_msg_size_t,
    receive_size: mach_msg_size_t,
    receive_name: mach_port_name_t,
    timeout: mach_msg_timeout_t,
    notify: mach_port_name_t,
) -> kern_return_t {
    // SAFETY: the same contract: what is received goes to the message's own buffer.
    unsafe {
        mach_msg_overwrite(
            message,
            option,
            send_size,
            receive_size,
            receive_name,
            timeout,
            notify,
            core::ptr::null_mut(),
            0,
        )
    }
}

/// Does what [`mach_msg`] does, with a buffer of its own for what is received, unless that is null.
#[allow(clippy::too_many_arguments)]
pub unsafe fn mach_msg_overwrite(
    message: *mut c_void,
    option: mach_msg_option_t,
    send_size: mach_msg_size_t,
    receive_size: mach_msg_size_t,
    receive_name: mach_port_name_t,
    timeout: mach_msg_timeout_t,
    _notify: mach_port_name_t,
    receive_message: *mut c_void,
    _scatter_size: mach_msg_size_t,
) -> kern_return_t {
    let into = if receive_message.is_null() {
        message
    } else {
        receive_message
    };
    let options = MessageOptions::from_bits_retain(option);
    let mut guard = None;
    let mut send_and_receive = || {
        let process = process()?;
        if options.contains(MessageOptions::SEND_MSG) {
            let request = SendRequest {
                address: message as u64,
                size: send_size,
                options,
                timeout,
            };
            send::send(&process.mach, process.space, request, &mut guard)?;
        }
        if options.contains(MessageOptions::RCV_MSG) {
            let request = ReceiveRequest {
                address: into as u64,
                size: receive_size,
                options,
                timeout,
                name: Name::new(receive_name),
            };
            receive::receive(&process.mach, process.space, request, &mut guard)?;
        }
        Ok(())
    };
    let outcome = send_and_receive();
    guards::note(guard);
    code(outcome)
}

pub unsafe fn mach_msg_destroy(message: *mut c_void) {
    let Ok(process) = process() else {
        return;
    };
    // SAFETY: the caller's message starts with a header.
    let header = unsafe { message.cast::<mach_msg_header_t>().read_unaligned() };
    let bits = header.msgh_bits;
    let destroy = |name, disposition| destroy_right(process, name, disposition);
    destroy(header.msgh_remote_port, MACH_MSGH_BITS_REMOTE(bits));
    destroy(header.msgh_voucher_port, MACH_MSGH_BITS_VOUCHER(bits));
    let size = header.msgh_size as usize;
    if !MACH_MSGH_BITS_IS_COMPLEX(bits) || size < size_of::<mach_msg_base_t>() {
        return;
    }
    // SAFETY: the message is readable for its size, which a base fits into.
    let base = unsafe { message.cast::<mach_msg_base_t>().read_unaligned() };
    let mut at = size_of::<mach_msg_base_t>();
    for _ in 0..base.body.msgh_descriptor_count {
        // SAFETY: the message is readable for its size.
        let Some((descriptor, length)) = (unsafe { descriptor_at(message, at, size) }) else {
            return;
        };
        at += length;
        match descriptor.kind() {
            DescriptorKind::PORT => {
                let port = descriptor.port();
                destroy(port.name, port.disposition.into());
            }
            DescriptorKind::OOL => {
                let memory = descriptor.out_of_line();
                if memory.deallocate != 0 {
                    // SAFETY: the caller's contract: the memory came with the message, or would have left with it.
                    unsafe { release(memory.address, memory.size as usize) };
                }
            }
            DescriptorKind::OOL_PORTS => {
                let ports = descriptor.ool_ports();
                let array = (ports.address, ports.count as usize);
                destroy_array(process, array, ports.disposition.into());
                if ports.deallocate != 0 {
                    let bytes = ports.count as usize * size_of::<mach_port_t>();
                    // SAFETY: as above.
                    unsafe { release(ports.address, bytes) };
                }
            }
            DescriptorKind::GUARDED_PORT => {
                let port = descriptor.guarded_port();
                if u32::from(port.flags) & MACH_MSG_GUARD_FLAGS_UNGUARDED_ON_SEND == 0 {
                    let mut held = process.mach.lock();
                    let ipc = &mut held.ipc();
                    let _ =
                        guarded::unguard(ipc, process.space, Name::new(port.name), port.context);
                    let guard = ipc.take_guard();
                    drop(held);
                    guards::note(guard);
                }
                destroy(port.name, port.disposition.into());
            }
            // Memory that is volatile stays.
            _ => {}
        }
    }
}

/// Reads the descriptor at an offset of a message of `size` bytes, and its length. `None` at the message's end, or for an unknown kind.
///
/// # Safety
/// The message is readable for `size` bytes.
unsafe fn descriptor_at(
    message: *const c_void,
    at: usize,
    size: usize,
) -> Option<(mach_msg_descriptor_t, usize)> {
    let left = size.checked_sub(at)?;
    let kind = offset_of!(mach_msg_type_descriptor_t, type_);
    if left <= kind {
        return None;
    }
    // SAFETY: the byte is within the message's size.
    let kind = unsafe { message.cast::<u8>().add(at + kind).read() };
    let length = match DescriptorKind::new(kind.into()) {
        DescriptorKind::PORT => size_of::<mach_msg_port_descriptor_t>(),
        DescriptorKind::OOL
        | DescriptorKind::OOL_VOLATILE
        | DescriptorKind::OOL_PORTS
        | DescriptorKind::GUARDED_PORT => size_of::<mach_msg_ool_descriptor_t>(),
        _ => return None,
    };
    if left < length {
        return None;
    }
    let mut bytes = [0; size_of::<mach_msg_descriptor_t>()];
    // SAFETY: the descriptor is within the message's size, and no longer than the union.
    unsafe {
        let from = message.cast::<u8>().add(at);
        core::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), length);
    }
    Some((pod::read(&bytes)?, length))
}

/// Releases memory of a message.
///
/// # Safety
/// The memory is the caller's to release.
unsafe fn release(address: u64, bytes: usize) {
    // SAFETY: the same contract. Memory that is not there is no error.
    let _ = unsafe { pages::release_around(address as usize, bytes) };
}

/// Releases the rights in an array of ports, as far as it is readable.
fn destroy_array(process: &Process, (address, count): (u64, usize), disposition: u32) {
    for index in 0..count {
        let blocked = {
            let held = process.mach.lock();
            held.blocked()
        };
        let mut name = [0; size_of::<mach_port_t>()];
        let at = address.wrapping_add((index * name.len()) as u64);
        if process.mach.copy_from_user(blocked, at, &mut name).is_err() {
            return;
        }
        destroy_right(process, mach_port_t::from_ne_bytes(name), disposition);
    }
}

/// Releases one right, looked up by itself.
fn destroy_right(process: &Process, name: mach_port_t, disposition: u32) {
    let (name, disposition) = (Name::new(name), Disposition::new(disposition));
    if disposition == Disposition::MAKE_SEND_ONCE && name.is_valid() {
        // `mach_port_extract_right`, a MIG routine.
        let _ = mig::process();
    }
    let guard = {
        let mut held = process.mach.lock();
        let ipc = &mut held.ipc();
        destroy_user_right(ipc, process.space, name, disposition);
        ipc.take_guard()
    };
    guards::note(guard);
}

/// Releases a right of a message as libsyscall's `mach_msg_destroy` does (C12.1). A right that is not there is no error.
fn destroy_user_right(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name, disposition: Disposition) {
    if !name.is_valid() {
        return;
    }
    let _ = match disposition {
        Disposition::MOVE_SEND | Disposition::MOVE_SEND_ONCE => {
            mach_port::deallocate(ipc, space, name)
        }
        Disposition::MOVE_RECEIVE => mach_port::mod_refs(ipc, space, name, PortRight::RECEIVE, -1),
        Disposition::MAKE_SEND => insert::insert_right(ipc, space, name, name, disposition)
            .and_then(|()| mach_port::deallocate(ipc, space, name)),
        Disposition::MAKE_SEND_ONCE => insert::extract_right(ipc, space, name, disposition)
            .and_then(|(once, _)| mach_port::deallocate(ipc, space, once)),
        _ => Ok(()),
    };
}
