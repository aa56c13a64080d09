//! What the tests share.
#![allow(unsafe_code, dead_code)]

#[path = "../../../tests/src/own_process.rs"]
pub(crate) mod own_process;

pub(crate) use own_process::in_own_process;

use mach_sys::kern_return::KernReturn;
use mach_sys::kernel;
use mach_sys::message::{MACH_RCV_MSG, MACH_SEND_MSG};
use mach_sys::rights::{Census, Name, ReceiveRight, Right};
use mach_sys::thread_state::{NativeState, Registers};
use std::time::{Duration, Instant};

#[cfg(target_arch = "x86_64")]
pub(crate) fn undefined_instruction() {
    // SAFETY: the handler skips it.
    unsafe { core::arch::asm!("ud2") };
}

#[cfg(target_arch = "aarch64")]
pub(crate) fn undefined_instruction() {
    // SAFETY: the handler skips it.
    unsafe { core::arch::asm!("udf #0") };
}

/// Moves the program counter behind the undefined instruction.
pub(crate) fn skip_undefined(state: &mut NativeState) {
    let length = if cfg!(target_arch = "x86_64") { 2 } else { 4 };
    state.set_pc(state.pc() + length);
}

/// The census once the threads that ended before are really gone.
pub(crate) fn settled_census() -> Census {
    let mut last = Census::take().expect("a census");
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(10));
        let now = Census::take().expect("a census");
        if now == last {
            return now;
        }
        last = now;
    }
    last
}

/// Waits, with a bound, until the census is what it was.
pub(crate) fn wait_for_census(expected: Census) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let now = Census::take().expect("a census");
        if now == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{now}, not {expected}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a message of `words` words to a port that this task has the receive right of, and returns the answer's id and RetCode.
pub(crate) fn ask(port: Name, id: i32, words: usize) -> (i32, KernReturn) {
    let reply = ReceiveRight::new().expect("a port");
    let mut message = [0_u32; 64];
    message[0] = 20 | 21 << 8;
    message[2] = port.raw();
    message[3] = reply.name().raw();
    message[5] = id as u32;
    // SAFETY: the buffer is valid for its size.
    let outcome = unsafe {
        kernel::mach_msg(
            message.as_mut_ptr().cast(),
            MACH_SEND_MSG | MACH_RCV_MSG,
            4 * words as u32,
            size_of_val(&message) as u32,
            reply.name().raw(),
            0,
            0,
        )
    };
    assert_eq!(KernReturn::new(outcome), KernReturn::SUCCESS);
    (message[5] as i32, KernReturn::new(message[8] as i32))
}
