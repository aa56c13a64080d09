//! Receive rights in messages.

use crate::support::Name;
use mach_sys::kernel::{self, system::task_self};
use mach_sys::message::{
    MACH_MSG_TYPE_MAKE_SEND, MACH_MSG_TYPE_MOVE_RECEIVE, MACH_MSGH_BITS_COMPLEX, MACH_RCV_MSG,
    MACH_SEND_MSG,
};
use mach_sys::port::MACH_PORT_RIGHT_RECEIVE;

pub(crate) fn carrier() -> Name {
    let mut name = 0;
    // SAFETY: the result goes to a local variable.
    let code =
        unsafe { kernel::mach_port_allocate(task_self(), MACH_PORT_RIGHT_RECEIVE, &mut name) };
    assert_eq!(code, 0);
    name
}

pub(crate) fn send_receive_right(to: Name, moved: Name) {
    let bits = MACH_MSG_TYPE_MAKE_SEND | MACH_MSGH_BITS_COMPLEX;
    let descriptor = [moved, 0, MACH_MSG_TYPE_MOVE_RECEIVE << 16];
    let mut message = [0_u32; 10];
    message[..7].copy_from_slice(&[bits, 40, to, 0, 0, 7, 1]);
    message[7..].copy_from_slice(&descriptor);
    // SAFETY: the buffer holds a message of that size.
    let code =
        unsafe { kernel::mach_msg(message.as_mut_ptr().cast(), MACH_SEND_MSG, 40, 0, 0, 0, 0) };
    assert_eq!(code, 0);
}

pub(crate) fn receive_receive_right(from: Name) -> Name {
    let mut words = [0_u32; 64];
    // SAFETY: the buffer is valid for its size.
    let code =
        unsafe { kernel::mach_msg(words.as_mut_ptr().cast(), MACH_RCV_MSG, 0, 256, from, 0, 0) };
    assert_eq!(code, 0);
    words[7]
}
