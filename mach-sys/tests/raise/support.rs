//! A server on another thread, and the client's calls.

use core::time::Duration;
use mach_sys::exception::ExceptionType;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self};
use mach_sys::message::{MACH_RCV_MSG, MACH_SEND_MSG, mach_msg_header_t};
use mach_sys::mig::ReplyTo;
use mach_sys::pod::{self, Pod};
use mach_sys::raise::{self, RaiseError};
use mach_sys::rights::{Borrowed, Census, Change, ReceiveRight, Right, SendRight, ThreadRight};
use test_support::isolated::isolated;
use test_support::wait::wait_for;

pub(crate) const LONG: Option<Duration> = Some(Duration::from_secs(60));
pub(crate) const SHORT: Option<Duration> = Some(Duration::from_millis(20));

/// Words of a buffer for any request.
pub(crate) const WORDS: usize = 2048;

/// Receives one message.
pub(crate) fn receive(port: &ReceiveRight, buffer: &mut [u32; WORDS]) -> KernReturn {
    // SAFETY: the buffer has the size that is passed.
    KernReturn::new(unsafe {
        kernel::mach_msg(
            buffer.as_mut_ptr().cast(),
            MACH_RCV_MSG,
            0,
            size_of_val(buffer) as u32,
            port.name().raw(),
            0,
            0,
        )
    })
}

/// Sends a message.
pub(crate) fn send(message: &mut [u8], option: i32) -> KernReturn {
    // SAFETY: the buffer has the size that is passed.
    KernReturn::new(unsafe {
        kernel::mach_msg(
            message.as_mut_ptr().cast(),
            MACH_SEND_MSG | option,
            message.len() as u32,
            0,
            0,
            0,
            0,
        )
    })
}

/// Releases the rights of a received request, but the reply right, which has left with the reply.
pub(crate) fn release(request: &mut [u32; WORDS]) {
    request[2] = 0;
    // SAFETY: the message was received, and nothing else owns its rights.
    unsafe { kernel::mach_msg_destroy(request.as_mut_ptr().cast()) };
}

/// Serves one request on a thread of its own while `client` runs. `answer` gets the request and returns the reply, or nothing if it
/// has used the reply right up otherwise.
pub(crate) fn with_server<R>(
    answer: impl FnOnce(&mut [u32; WORDS]) -> Option<Vec<u8>> + Send,
    client: impl FnOnce(&SendRight) -> R,
) -> R {
    let port = ReceiveRight::new().expect("a port");
    let handler = port.make_send().expect("a send right");
    std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let mut request = [0; WORDS];
            assert_eq!(receive(&port, &mut request), KernReturn::SUCCESS);
            let Some(mut reply) = answer(&mut request) else {
                return;
            };
            assert_eq!(send(&mut reply, 0), KernReturn::SUCCESS);
            release(&mut request);
        });
        let outcome = client(&handler);
        server.join().expect("the server");
        outcome
    })
}

pub(crate) fn thread() -> ThreadRight {
    ThreadRight::current().expect("the own thread")
}

pub(crate) fn raise(port: &SendRight, limit: Option<Duration>) -> Result<(), RaiseError> {
    let task = Borrowed::current_task();
    raise::mach_exception_raise(
        port,
        &thread(),
        &task,
        ExceptionType::BAD_ACCESS,
        &[1, 2],
        limit,
    )
}

/// Runs a body in a process of its own, and compares the census after its first run with that after four more. A thread of the first run
/// may still be there in the first census, so that there may be less in the second, but four leaks are more than such a thread.
pub(crate) fn leaves_nothing(name: &str, body: impl Fn()) {
    isolated(name, || {
        body();
        let before = Census::take().expect("a census");
        (0..4).for_each(|_| body());
        wait_for("a census without anything more", || {
            let now = Census::take().expect("a census");
            let more = |change: Change| change.names > 0 || change.references > 0;
            !now.since(&before).changes().any(|(_, change)| more(change))
        });
    });
}

/// A reply to the request in the buffer, with the given size and return code, behind a well-formed header.
pub(crate) fn reply(request: &[u32; WORDS], size: usize, code: i32) -> Vec<u8> {
    let header: mach_msg_header_t = pod::read(pod::word_bytes(request)).expect("a header");
    let mut bytes = vec![0; size.max(36)];
    let written = ReplyTo::header(&header).encode_status(&mut bytes, KernReturn::new(code));
    assert_eq!(written.map(|written| written.min(size)), Ok(size.min(36)));
    bytes.truncate(size);
    bytes
}

pub(crate) fn put(message: &mut [u8], at: usize, value: &impl Pod) {
    let bytes = pod::bytes_of(value);
    message[at..at + bytes.len()].copy_from_slice(bytes);
}

pub(crate) extern "C" fn nothing(_: libc::c_int) {}
