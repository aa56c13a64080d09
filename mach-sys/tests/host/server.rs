//! A server over the raw kernel calls, which answers with what a closure makes of the state.

use mach_sys::exception::{EXCEPTION_STATE, MACH_EXCEPTION_CODES};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system};
use mach_sys::message::{MACH_RCV_MSG, MACH_SEND_MSG};
use mach_sys::mig::{self, Accept, ReplyTo};
use mach_sys::rights::{ReceiveRight, Right, ThreadRight};
use mach_sys::thread_state::{NativeState, ThreadState};
use std::sync::Arc;

/// The five kinds of exceptions that hardware raises.
pub(crate) const ALL: u32 = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 6;

/// An exception as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) exception: i32,
    pub(crate) codes: [i64; 2],
}

/// A running server. It is stopped by [`stop`](Server::stop), or ends with the process.
pub(crate) struct Server<T> {
    port: Arc<ReceiveRight>,
    thread: std::thread::JoinHandle<T>,
}

impl<T: Send + 'static> Server<T> {
    /// Starts one. `answer` says whether the exception is handled; what it made of `seen` is what [`stop`](Self::stop) returns.
    pub(crate) fn start(
        mut seen: T,
        mut answer: impl FnMut(&mut T, Fault, &mut NativeState) -> bool + Send + 'static,
    ) -> Self {
        let port = Arc::new(ReceiveRight::new().expect("a port"));
        let receive = Arc::clone(&port);
        let thread = std::thread::spawn(move || {
            serve(&receive, |fault, state| answer(&mut seen, fault, state));
            seen
        });
        Self { port, thread }
    }

    /// Makes this the handler of the calling thread.
    pub(crate) fn route_thread(&self) {
        let thread = ThreadRight::current().expect("the own thread");
        let send = self.port.make_send().expect("a send right");
        // SAFETY: no pointers.
        let outcome = unsafe {
            kernel::thread_set_exception_ports(
                thread.name().raw(),
                ALL,
                send.name().raw(),
                EXCEPTION_STATE | MACH_EXCEPTION_CODES,
                NativeState::FLAVOR,
            )
        };
        assert_eq!(KernReturn::new(outcome), KernReturn::SUCCESS);
    }

    /// Makes this the handler of the whole task.
    #[allow(dead_code)]
    pub(crate) fn route_task(&self) {
        let send = self.port.make_send().expect("a send right");
        // SAFETY: no pointers.
        let outcome = unsafe {
            kernel::task_set_exception_ports(
                system::task_self(),
                ALL,
                send.name().raw(),
                EXCEPTION_STATE | MACH_EXCEPTION_CODES,
                NativeState::FLAVOR,
            )
        };
        assert_eq!(KernReturn::new(outcome), KernReturn::SUCCESS);
    }

    /// Ends it, and returns what it saw.
    pub(crate) fn stop(self) -> T {
        let send = self.port.make_send().expect("a send right");
        let mut message = [19, 24, send.name().raw(), 0, 0, STOP];
        // SAFETY: the buffer holds a message of that size.
        let outcome =
            unsafe { kernel::mach_msg(message.as_mut_ptr().cast(), MACH_SEND_MSG, 24, 0, 0, 0, 0) };
        assert_eq!(KernReturn::new(outcome), KernReturn::SUCCESS);
        self.thread.join().expect("the server ended well")
    }
}

const STOP: u32 = 1;

pub(crate) fn serve(port: &ReceiveRight, mut answer: impl FnMut(Fault, &mut NativeState) -> bool) {
    system::enter_server_thread();
    let mut request = [0_u32; 2048];
    let mut reply = [0_u32; 2048];
    loop {
        // SAFETY: the buffer is valid for its size.
        let outcome = unsafe {
            kernel::mach_msg(
                request.as_mut_ptr().cast(),
                MACH_RCV_MSG,
                0,
                size_of_val(&request) as u32,
                port.name().raw(),
                0,
                0,
            )
        };
        assert_eq!(KernReturn::new(outcome), KernReturn::SUCCESS);
        if request[5] == STOP {
            return;
        }
        let size = request[1] as usize;
        let bytes = &mach_sys::pod::word_bytes(&request)[..size];
        let decoded = mig::decode(bytes, Accept::Both).expect("a good request");
        let [code, subcode] = *decoded.codes() else {
            panic!("two codes");
        };
        let fault = Fault {
            exception: decoded.exception().raw(),
            codes: [code, subcode],
        };
        let mut state: NativeState = decoded.state().expect("the native state");
        let to = ReplyTo::request(&decoded);
        let handled = answer(fault, &mut state);
        let out = mach_sys::pod::word_bytes_mut(&mut reply);
        let size = if handled {
            to.encode_state(out, NativeState::FLAVOR, state.as_words())
        } else {
            to.encode_status(out, KernReturn::FAILURE)
        };
        let size = size.expect("room for a reply") as u32;
        // SAFETY: the buffer holds a message of that size.
        let outcome =
            unsafe { kernel::mach_msg(reply.as_mut_ptr().cast(), MACH_SEND_MSG, size, 0, 0, 0, 0) };
        assert_eq!(KernReturn::new(outcome), KernReturn::SUCCESS);
    }
}
