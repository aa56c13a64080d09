//! Messages (`mach/message.h`).

use super::{code, process};
use crate::ipc::mach::{Locked, TaskId};
use crate::ipc::receive::{self, ReceiveRequest};
use crate::ipc::send::{self, SendRequest};
use core::ffi::c_void;
use mach_wire::message::*;
use mach_wire::port::MACH_PORT_RIGHT_RECEIVE;
use mach_wire::types::*;

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

pub unsafe fn mach_msg_destroy(message: *mut c_void) {
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
