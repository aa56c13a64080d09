//! Threads to suspend, a port whose requests the test answers by hand, and the calls.

use mach_sys::exception::{EXCEPTION_STATE, MACH_EXCEPTION_CODES};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system};
use mach_sys::message::{MACH_RCV_MSG, MACH_RCV_TIMEOUT, MACH_SEND_MSG};
use mach_sys::mig::{self, Accept, ReplyTo};
use mach_sys::rights::{ReceiveRight, Right, ThreadRight};
use mach_sys::thread_state::{NativeState, ThreadState};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The name of a thread's port.
pub(crate) type Name = u32;

/// The calls, with typed results.
pub(crate) fn suspend(thread: Name) -> KernReturn {
    // SAFETY: no pointers.
    KernReturn::new(unsafe { kernel::thread_suspend(thread) })
}

pub(crate) fn resume(thread: Name) -> KernReturn {
    // SAFETY: no pointers.
    KernReturn::new(unsafe { kernel::thread_resume(thread) })
}

pub(crate) fn abort(thread: Name) -> KernReturn {
    // SAFETY: no pointers.
    KernReturn::new(unsafe { kernel::thread_abort(thread) })
}

pub(crate) fn abort_safely(thread: Name) -> KernReturn {
    // SAFETY: no pointers.
    KernReturn::new(unsafe { kernel::thread_abort_safely(thread) })
}

pub(crate) fn terminate(thread: Name) -> KernReturn {
    // SAFETY: no pointers; the tests terminate threads that hold nothing.
    KernReturn::new(unsafe { kernel::thread_terminate(thread) })
}

/// Returns the native state of a thread.
pub(crate) fn get(thread: Name) -> Result<NativeState, KernReturn> {
    let mut state = NativeState::default();
    let words = state.as_words_mut();
    let mut count = words.len() as u32;
    // SAFETY: room for `count` words.
    let outcome = unsafe {
        kernel::thread_get_state(thread, NativeState::FLAVOR, words.as_mut_ptr(), &mut count)
    };
    match KernReturn::new(outcome) {
        KernReturn::SUCCESS => Ok(state),
        error => Err(error),
    }
}

/// Sets the native state of a thread.
pub(crate) fn set(thread: Name, state: &NativeState) -> KernReturn {
    let words = state.as_words();
    // SAFETY: `count` words.
    KernReturn::new(unsafe {
        kernel::thread_set_state(
            thread,
            NativeState::FLAVOR,
            words.as_ptr(),
            words.len() as u32,
        )
    })
}

/// Returns the calling thread's name, which it keeps.
pub(crate) fn own_name() -> Name {
    // SAFETY: no arguments.
    unsafe { kernel::mach_thread_self() }
}

/// Runs `body` on a thread that is known to the kernel, and returns the thread's name once the body runs.
pub(crate) fn thread(body: impl FnOnce() + Send + 'static) -> (Name, JoinHandle<()>) {
    let (tell, told) = mpsc::channel();
    let handle = std::thread::spawn(move || {
        tell.send(own_name()).expect("heard");
        drop(tell);
        body();
    });
    (told.recv().expect("a name"), handle)
}

/// Asserts that a condition does not come true for a while: long enough for a thread that runs to show it.
pub(crate) fn assert_never(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_millis(60);
    while Instant::now() < end {
        assert!(!holds(), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// An exception port whose requests the test answers.
pub(crate) struct Handler {
    pub(crate) port: ReceiveRight,
}

/// A request, as it was received.
pub(crate) struct Request {
    pub(crate) words: Box<[u32; 2048]>,
    pub(crate) state: NativeState,
}

impl Request {
    /// Returns the name of the right to reply to.
    pub(crate) fn reply_name(&self) -> Name {
        self.words[2]
    }

    /// Returns the type of the exception, and its codes.
    pub(crate) fn raised(&self) -> (i32, [i64; 2]) {
        let bytes = &mach_sys::pod::word_bytes(&*self.words)[..self.words[1] as usize];
        let decoded = mig::decode(bytes, Accept::Both).expect("a good request");
        let codes = decoded.codes().try_into().expect("two codes");
        (decoded.exception().raw(), codes)
    }
}

impl Handler {
    pub(crate) fn new() -> Self {
        Self {
            port: ReceiveRight::new().expect("a port"),
        }
    }

    /// Makes this the handler of the calling thread.
    pub(crate) fn route_thread(&self, mask: u32) {
        let thread = ThreadRight::current().expect("the own thread");
        self.route(thread.name().raw(), mask);
    }

    /// Makes this the handler of a thread.
    pub(crate) fn route(&self, thread: Name, mask: u32) {
        let send = self.port.make_send().expect("a send right");
        // SAFETY: no pointers.
        let outcome = unsafe {
            kernel::thread_set_exception_ports(
                thread,
                mask,
                send.name().raw(),
                EXCEPTION_STATE | MACH_EXCEPTION_CODES,
                NativeState::FLAVOR,
            )
        };
        assert_eq!(KernReturn::new(outcome), KernReturn::SUCCESS);
    }

    /// Makes this the handler of the task.
    pub(crate) fn route_task(&self, mask: u32) {
        let send = self.port.make_send().expect("a send right");
        // SAFETY: no pointers.
        let outcome = unsafe {
            kernel::task_set_exception_ports(
                system::task_self(),
                mask,
                send.name().raw(),
                EXCEPTION_STATE | MACH_EXCEPTION_CODES,
                NativeState::FLAVOR,
            )
        };
        assert_eq!(KernReturn::new(outcome), KernReturn::SUCCESS);
    }

    /// Receives a request; `None` if there is none within `limit`.
    pub(crate) fn receive_within(&self, limit: Duration) -> Option<Request> {
        let mut words = Box::new([0_u32; 2048]);
        // SAFETY: the buffer is valid for its size.
        let outcome = unsafe {
            kernel::mach_msg(
                words.as_mut_ptr().cast(),
                MACH_RCV_MSG | MACH_RCV_TIMEOUT,
                0,
                size_of_val(&*words) as u32,
                self.port.name().raw(),
                limit.as_millis() as u32,
                0,
            )
        };
        if KernReturn::new(outcome) == KernReturn::RCV_TIMED_OUT {
            return None;
        }
        assert_eq!(KernReturn::new(outcome), KernReturn::SUCCESS);
        let size = words[1] as usize;
        let bytes = &mach_sys::pod::word_bytes(&*words)[..size];
        let decoded = mig::decode(bytes, Accept::Both).expect("a good request");
        let state = decoded.state().expect("the native state");
        Some(Request { words, state })
    }

    pub(crate) fn receive(&self) -> Request {
        self.receive_within(Duration::from_secs(20))
            .expect("a request")
    }

    /// Replies: with a state, handled; without one, not. Returns what the send returned.
    pub(crate) fn reply(&self, request: &Request, state: Option<&NativeState>) -> KernReturn {
        self.reply_with(request, state.ok_or(KernReturn::FAILURE))
    }

    /// Replies with a state, or with an error. Returns what the send returned.
    pub(crate) fn reply_with(
        &self,
        request: &Request,
        outcome: Result<&NativeState, KernReturn>,
    ) -> KernReturn {
        let size = request.words[1] as usize;
        let bytes = &mach_sys::pod::word_bytes(&*request.words)[..size];
        let decoded = mig::decode(bytes, Accept::Both).expect("a good request");
        let to = ReplyTo::request(&decoded);
        let mut reply = Box::new([0_u32; 2048]);
        let out = mach_sys::pod::word_bytes_mut(&mut *reply);
        let size = match outcome {
            Ok(state) => to.encode_state(out, NativeState::FLAVOR, state.as_words()),
            Err(code) => to.encode_status(out, code),
        };
        let size = size.expect("room for a reply") as u32;
        // SAFETY: the buffer holds a message of that size.
        KernReturn::new(unsafe {
            kernel::mach_msg(reply.as_mut_ptr().cast(), MACH_SEND_MSG, size, 0, 0, 0, 0)
        })
    }
}
