//! Messages (`mach/message.h`).

use super::guards;
use super::mig;
use super::target::{code, process};
use crate::ipc::insert;
use crate::ipc::mach_port;
use crate::ipc::name::{Name, SpaceId};
use crate::ipc::receive::{self, ReceiveRequest};
use crate::ipc::send::{self, SendRequest};
use crate::ipc::state::Ipc;
use core::ffi::c_void;
use mach_wire::message::*;
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
    _notify: mach_port_name_t,
) -> kern_return_t {
    let address = message as u64;
    let options = MessageOptions::from_bits_retain(option);
    let mut guard = None;
    let mut send_and_receive = || {
        let process = process()?;
        if options.contains(MessageOptions::SEND_MSG) {
            let request = SendRequest {
                address,
                size: send_size,
                options,
                timeout,
            };
            send::send(&process.mach, process.space, request, &mut guard)?;
        }
        if options.contains(MessageOptions::RCV_MSG) {
            let request = ReceiveRequest {
                address,
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
    // Each right is looked up by itself, and the message read with no lock held.
    let destroy = |name: mach_port_t, disposition: u32| {
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
    };
    // SAFETY: the caller's message starts with a header.
    let header = unsafe { message.cast::<mach_msg_header_t>().read_unaligned() };
    let bits = header.msgh_bits;
    destroy(header.msgh_remote_port, MACH_MSGH_BITS_REMOTE(bits));
    let Some(room) = (header.msgh_size as usize).checked_sub(size_of::<mach_msg_base_t>()) else {
        return;
    };
    if !MACH_MSGH_BITS_IS_COMPLEX(bits) {
        return;
    }
    // SAFETY: the message is readable for its size, which a base fits into.
    let base = unsafe { message.cast::<mach_msg_base_t>().read_unaligned() };
    let count = (base.body.msgh_descriptor_count as usize)
        .min(room / size_of::<mach_msg_port_descriptor_t>());
    for index in 0..count {
        // SAFETY: `index` is below the number of descriptors that the message's size has room for behind its base.
        let descriptor = unsafe {
            message
                .cast::<u8>()
                .add(size_of::<mach_msg_base_t>())
                .cast::<mach_msg_port_descriptor_t>()
                .add(index)
                .read_unaligned()
        };
        destroy(descriptor.name, u32::from(descriptor.disposition));
    }
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
