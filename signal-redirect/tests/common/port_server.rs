//! A server on an exception port, over the raw kernel calls.

use mach_sys::exception::{EXCEPTION_STATE, ExceptionMask, MACH_EXCEPTION_CODES};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system};
use mach_sys::message::{MACH_RCV_MSG, MACH_SEND_MSG};
use mach_sys::mig::{self, Accept, ReplyTo};
use mach_sys::pod::{word_bytes, word_bytes_mut};
use mach_sys::rights::{ReceiveRight, Right, ThreadRight};
use mach_sys::thread_state::{NativeState, ThreadState};
use signal_redirect::{Fault, Memory, OwnMemory};

pub(crate) fn message(buffer: &mut [u32], option: i32, send: usize, receive: usize, port: u32) {
    assert!(send.max(receive) <= size_of_val(buffer));
    // SAFETY: the buffer is valid for both sizes (asserted).
    let code = unsafe {
        kernel::mach_msg(
            buffer.as_mut_ptr().cast(),
            option,
            send as u32,
            receive as u32,
            port,
            0,
            0,
        )
    };
    assert_eq!(KernReturn::check(code), Ok(()));
}

/// A guard that aborts the process if the server panics: the thread that it serves would wait forever.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

/// Serves one thread until an empty message arrives. `answer` returns the registers with which the stopped thread resumes.
pub(crate) fn serve(
    port: &ReceiveRight,
    mut answer: impl FnMut(&NativeState, &Fault, &mut dyn Memory) -> NativeState,
) {
    let _abort = AbortOnPanic;
    system::enter_server_thread();
    // SAFETY: the one thread that is routed here is stopped while it is served, and writes go only to its stack.
    let mut memory = unsafe { OwnMemory::new() };
    let mut request = [0u32; 2048];
    let mut reply = [0u32; 2048];
    loop {
        let room = size_of_val(&request);
        message(&mut request, MACH_RCV_MSG, 0, room, port.name().raw());
        let size = request[1] as usize;
        if size == 24 {
            return;
        }
        let decoded = mig::decode(&word_bytes(&request)[..size], Accept::Both).unwrap();
        let state: NativeState = decoded.state().unwrap();
        let fault = Fault::new(decoded.exception(), decoded.codes()[0], decoded.codes()[1]);
        let new = answer(&state, &fault, &mut memory);
        let to = ReplyTo::request(&decoded);
        let out = word_bytes_mut(&mut reply);
        let size = to
            .encode_state(out, NativeState::FLAVOR, new.as_words())
            .unwrap();
        message(&mut reply, MACH_SEND_MSG, size, 0, 0);
    }
}

/// Routes exceptions of the calling thread to the port.
pub(crate) fn route_this_thread(port: &ReceiveRight, exceptions: ExceptionMask) {
    let send = port.make_send().unwrap();
    let thread = ThreadRight::current().unwrap();
    // SAFETY: no pointers.
    let code = unsafe {
        kernel::thread_set_exception_ports(
            thread.name().raw(),
            exceptions.bits(),
            send.name().raw(),
            EXCEPTION_STATE | MACH_EXCEPTION_CODES,
            NativeState::FLAVOR,
        )
    };
    assert_eq!(KernReturn::check(code), Ok(()));
}
