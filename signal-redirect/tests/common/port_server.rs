//! A server on an exception port, over the raw kernel calls: redirects a thread's exceptions and serves the return trap.

use mach_sys::exception::{EXCEPTION_STATE, ExceptionMask, MACH_EXCEPTION_CODES};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system};
use mach_sys::message::{MACH_RCV_MSG, MACH_SEND_MSG};
use mach_sys::mig::{self, Accept, ReplyTo};
use mach_sys::pod::{word_bytes, word_bytes_mut};
use mach_sys::rights::{ReceiveRight, Right, ThreadRight};
use mach_sys::thread_state::{NativeState, ThreadState};
use signal_redirect::{Fault, Frame, Machine, Native, OwnMemory, Redirect, Trampoline};

/// What the server did: threads sent to their handler, threads brought back, the depths of their frames.
#[derive(Default)]
pub(crate) struct Served {
    pub(crate) redirects: usize,
    pub(crate) returns: usize,
    pub(crate) deepest: u32,
}

fn message(buffer: &mut [u32], option: i32, send: usize, receive: usize, port: u32) {
    // SAFETY: the buffer is valid for the sizes, both of which are its own or less.
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

/// Serves until an empty message comes.
fn serve(port: &ReceiveRight, plan: &Redirect, trampoline: &Trampoline) -> Served {
    system::enter_server_thread();
    let mut served = Served::default();
    let mut innermost: Option<Frame> = None;
    let mut frames = Vec::new();
    // SAFETY: the one thread that is routed here is stopped while it is served, and only its stack is written to.
    let mut memory = unsafe { OwnMemory::new() };
    let mut request = [0u32; 2048];
    let mut reply = [0u32; 2048];
    loop {
        let room = size_of_val(&request);
        message(&mut request, MACH_RCV_MSG, 0, room, port.name().raw());
        let size = request[1] as usize;
        if size == 24 {
            return served;
        }
        let decoded = mig::decode(&word_bytes(&request)[..size], Accept::Both).unwrap();
        let state: NativeState = decoded.state().unwrap();
        let new = match trampoline.return_from(&state, &mut memory).unwrap() {
            Some(resumed) => {
                served.returns += 1;
                assert_eq!(Some(resumed.frame), innermost.as_ref().map(Frame::id));
                innermost = frames.pop().unwrap();
                assert_eq!(resumed.outer, innermost.as_ref().map(Frame::id));
                resumed.state
            }
            None => {
                served.redirects += 1;
                let fault = Fault::new(decoded.exception(), decoded.codes()[0], decoded.codes()[1]);
                let plan = plan.clone().inside(innermost.as_ref().map(Frame::id));
                let (entered, frame) = plan.apply(&state, &fault, &mut memory).unwrap();
                served.deepest = served.deepest.max(frame.depth);
                frames.push(innermost.replace(frame));
                entered
            }
        };
        let to = ReplyTo::request(&decoded);
        let out = word_bytes_mut(&mut reply);
        let size = to
            .encode_state(out, NativeState::FLAVOR, new.as_words())
            .unwrap();
        message(&mut reply, MACH_SEND_MSG, size, 0, 0);
    }
}

/// Runs a thread whose exceptions are served with `plan`.
pub(crate) fn with_server(
    plan: &Redirect,
    trampoline: &Trampoline,
    body: impl FnOnce() + Send,
) -> Served {
    let port = ReceiveRight::new().unwrap();
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| serve(&port, plan, trampoline));
        let faulting = scope.spawn(|| {
            let send = port.make_send().unwrap();
            let thread = ThreadRight::current().unwrap();
            let mask =
                ExceptionMask::BAD_INSTRUCTION | ExceptionMask::BAD_ACCESS | Native::RETURN_MASK;
            // SAFETY: no pointers.
            let code = unsafe {
                kernel::thread_set_exception_ports(
                    thread.name().raw(),
                    mask.bits(),
                    send.name().raw(),
                    EXCEPTION_STATE | MACH_EXCEPTION_CODES,
                    NativeState::FLAVOR,
                )
            };
            assert_eq!(KernReturn::check(code), Ok(()));
            body();
        });
        let outcome = faulting.join();
        // An empty message: COPY_SEND, to the port, no reply port, id 1.
        let send = port.make_send().unwrap();
        let mut stop = [19, 24, send.name().raw(), 0, 0, 1];
        message(&mut stop, MACH_SEND_MSG, 24, 0, 0);
        let served = serving.join();
        outcome.unwrap();
        served.unwrap()
    })
}
