//! The loop of the server's thread.
#![allow(unsafe_code)]

use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system};
use mach_sys::message::{MACH_RCV_MSG, MACH_SEND_MSG};
use mach_sys::mig::{self, Accept, ReplyTo};
use mach_sys::pod::{word_bytes, word_bytes_mut};
use mach_sys::rights::{ReceiveRight, Right};
use mach_sys::thread_state::{NativeState, ThreadState};

/// An exception as its request carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The exception type, `EXC_*`.
    pub exception: i32,
    /// The code and the subcode.
    pub codes: [i64; 2],
}

/// Size of the message that ends the server, in bytes: a header alone, which no request is.
const STOP: usize = 24;

/// Aborts the process if the server panics: the thread that it serves would wait for ever.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

/// Serves the port's requests until [`stop`]. `answer` changes the registers to those that the stopped thread resumes with, and returns whether
/// the exception is handled.
///
/// # Panics
/// Aborts the process at any error, and if `answer` panics.
pub fn serve(port: &ReceiveRight, mut answer: impl FnMut(Fault, &mut NativeState) -> bool) {
    let _abort = AbortOnPanic;
    system::enter_server_thread();
    let mut request = [0_u32; 2048];
    let mut reply = [0_u32; 2048];
    loop {
        message(&mut request, MACH_RCV_MSG, 0, port.name().raw());
        let size = request[1] as usize;
        if size == STOP {
            return;
        }
        let bytes = &word_bytes(&request)[..size];
        let decoded = mig::decode(bytes, Accept::Both).expect("a request");
        let &[code, subcode] = decoded.codes() else {
            panic!("two codes");
        };
        let fault = Fault {
            exception: decoded.exception().raw(),
            codes: [code, subcode],
        };
        let mut state: NativeState = decoded.state().expect("the native state");
        let to = ReplyTo::request(&decoded);
        let handled = answer(fault, &mut state);
        let out = word_bytes_mut(&mut reply);
        let size = match handled {
            true => to.encode_state(out, NativeState::FLAVOR, state.as_words()),
            false => to.encode_status(out, KernReturn::FAILURE),
        };
        message(
            &mut reply,
            MACH_SEND_MSG,
            size.expect("room for a reply"),
            0,
        );
    }
}

/// Ends the loop that serves the port, after the requests that are queued.
///
/// # Panics
/// If the kernel refuses the message.
pub fn stop(port: &ReceiveRight) {
    let send = port.make_send().expect("a send right");
    // COPY_SEND, to the port, no reply port.
    let mut header = [19, STOP as u32, send.name().raw(), 0, 0, 0];
    message(&mut header, MACH_SEND_MSG, STOP, 0);
}

/// Sends `send` bytes of the buffer, or receives into it from the port `from`.
fn message(buffer: &mut [u32], option: i32, send: usize, from: u32) {
    let room = match option {
        MACH_RCV_MSG => size_of_val(buffer),
        _ => 0,
    };
    assert!(send <= size_of_val(buffer));
    // SAFETY: the buffer is valid for both sizes.
    let code = unsafe {
        let message = buffer.as_mut_ptr().cast();
        kernel::mach_msg(message, option, send as u32, room as u32, from, 0, 0)
    };
    assert_eq!(KernReturn::check(code), Ok(()));
}
