//! Shared parts of the tests.
#![allow(unsafe_code, dead_code)]

pub(crate) use test_support::isolated;

use test_support::wait::wait_for_ok;
use test_support::watchdog;

/// Runs a test in its own process, in which a thread that waits forever is a failure.
pub(crate) fn isolated(name: &str, body: impl FnOnce()) {
    isolated::isolated(name, || {
        watchdog::abort_after(Duration::from_secs(240));
        body();
    });
}

use exc_server::{
    AnswerError, Answered, Deferred, Delivery, Exception, Restored, Route, Routing, Server,
    StateError, Target,
};
use mach_sys::exception::{
    Behavior, BehaviorKind, BehaviorModifiers, ExceptionMask, ExceptionType,
};
use mach_sys::kern_return::{KernError, KernReturn};
use mach_sys::kernel;
use mach_sys::message::{Disposition, MACH_RCV_MSG, MACH_SEND_MSG};
use mach_sys::mig::{HeaderPort, Identity, Raise, Routine};
use mach_sys::pod;
use mach_sys::rights::{
    Census, Name, Queue, ReceiveRight, Right, SendRight, TaskRight, ThreadRight,
};
use mach_sys::thread_state::{NativeState, Registers, ThreadState};
use mach_sys::types::{MACH_PORT_NULL, mach_port_name_t};
use std::sync::mpsc;
use std::thread::Scope;
use std::time::Duration;
use test_support::instructions::{LENGTH, undefined};

/// The exception types of [`undefined`].
pub(crate) const UNDEFINED: ExceptionMask = ExceptionMask::BAD_INSTRUCTION;

/// Moves the program counter past the undefined instruction.
pub(crate) fn skip_undefined(state: &mut NativeState) {
    state.set_pc(state.pc() + LENGTH);
}

/// Skips the undefined instruction; a handler for a behavior with a state.
pub(crate) fn skip(mut exception: Exception<'_>) -> Answered {
    let mut state: NativeState = exception.state().expect("the native state");
    skip_undefined(&mut state);
    // SAFETY: the next instruction does not depend on the skipped one.
    unsafe { exception.set_state(&state) }.expect("a state-carrying request");
    exception.resume()
}

/// Resumes the thread after its undefined instruction.
pub(crate) fn resume(mut deferred: Deferred) -> Result<(), AnswerError> {
    let mut state: NativeState = match deferred.state() {
        Ok(state) => state,
        Err(StateError::Answered) => return Err(AnswerError::AlreadyDeclined),
        Err(error) => panic!("{error}"),
    };
    skip_undefined(&mut state);
    // SAFETY: the next instruction does not depend on the skipped one.
    match unsafe { deferred.set_state(&state) } {
        Ok(()) => deferred.resume(),
        Err(StateError::Answered) => Err(AnswerError::AlreadyDeclined),
        Err(error) => panic!("{error}"),
    }
}

/// Returns all behaviors with each width of codes that they have.
pub(crate) fn every_delivery() -> Vec<Delivery> {
    let wide = [
        Delivery::identity(),
        Delivery::THREAD,
        Delivery::TASK,
        Delivery::identity_protected(),
        Delivery::state_identity_protected::<NativeState>(),
    ];
    let narrow = wide.iter().filter_map(|delivery| delivery.narrow().ok());
    let all: Vec<_> = wide.iter().copied().chain(narrow).collect();
    assert_eq!(all.len(), 8);
    all
}

/// Runs `body` on a new thread, with that thread's right.
pub(crate) fn on_a_thread<R: Send>(body: impl FnOnce(&ThreadRight) -> R + Send) -> R {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| body(&ThreadRight::current().expect("the own thread")));
        thread.join().expect("the thread went on")
    })
}

/// Starts a thread that runs an undefined instruction when it gets a message.
pub(crate) fn thread_that_will_fault<'scope>(
    scope: &'scope Scope<'scope, '_>,
) -> (ThreadRight, mpsc::Sender<()>) {
    let (give, take) = mpsc::channel();
    let (go, wait_go) = mpsc::channel::<()>();
    scope.spawn(move || {
        let own = ThreadRight::current().expect("the own thread");
        give.send(own).expect("the test listens");
        wait_go.recv().expect("the word to go");
        undefined();
    });
    (take.recv().expect("a thread"), go)
}

/// Runs undefined instructions on a new thread with this routing.
pub(crate) fn faults_on_a_thread(server: &Server, routing: &Routing, faults: u32) {
    on_a_thread(|thread| {
        let route = server
            .route(Target::Thread(thread), routing)
            .expect("a route");
        for _ in 0..faults {
            undefined();
        }
        assert_eq!(route.close(), Ok(Restored::Clean));
    });
}

/// Starts a server at the task's level, which receives the exceptions that the thread's level declines.
pub(crate) fn fallback() -> (Server, Route) {
    let server = Server::start(skip).expect("a server");
    let task = TaskRight::current().expect("the own task");
    let route = server
        .route(
            Target::Task(&task),
            &Routing::new(UNDEFINED, Delivery::TASK),
        )
        .expect("a route");
    (server, route)
}

/// Returns a census. To be taken before a test starts threads, whose names may live on for a moment after they are joined.
pub(crate) fn census() -> Census {
    Census::take().expect("a census")
}

/// Waits until there is no leak since an earlier census; panics after a time limit.
pub(crate) fn wait_for_census(before: Census) {
    wait_for_ok("a task without leaks", || {
        let left = Census::take().expect("a census").since(&before);
        if left.is_leak_free() {
            Ok(())
        } else {
            Err(Box::new(left))
        }
    });
}

/// A reply, as the sender of the request receives it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) id: i32,
    pub(crate) size: u32,
    pub(crate) code: KernReturn,
}

/// Sends a message, written into a buffer, with a reply port, and waits for the reply.
pub(crate) fn exchange(write: impl FnOnce(&mut [u32], &ReceiveRight) -> usize) -> Reply {
    let reply = ReceiveRight::new().expect("a port");
    let mut message = [0_u32; 2048];
    let size = write(&mut message, &reply);
    // SAFETY: the buffer is valid for its size.
    let outcome = unsafe {
        kernel::mach_msg(
            message.as_mut_ptr().cast(),
            MACH_SEND_MSG | MACH_RCV_MSG,
            size as u32,
            size_of_val(&message) as u32,
            reply.name().raw(),
            0,
            0,
        )
    };
    assert_eq!(KernReturn::new(outcome), KernReturn::SUCCESS);
    Reply {
        id: message[5] as i32,
        size: message[1],
        code: KernReturn::new(message[8] as i32),
    }
}

/// Sends a message that is all zero but its header to a port that this task has the receive right of.
pub(crate) fn ask(port: Name, id: i32, words: usize) -> Reply {
    exchange(|message, reply| {
        let [make_send, make_send_once] = [Disposition::MAKE_SEND, Disposition::MAKE_SEND_ONCE];
        message[0] = make_send.raw() | make_send_once.raw() << 8;
        message[2] = port.raw();
        message[3] = reply.name().raw();
        message[5] = id as u32;
        4 * words
    })
}

/// Sends an exception request as the kernel would, to a port that this task has the receive right of.
pub(crate) fn raise(port: Name, raise: Raise<'_>) -> Reply {
    exchange(|message, reply| {
        let raise = Raise {
            remote: HeaderPort::new(port.raw(), Disposition::MAKE_SEND),
            local: HeaderPort::new(reply.name().raw(), Disposition::MAKE_SEND_ONCE),
            disposition: Disposition::COPY_SEND,
            ..raise
        };
        raise
            .encode(pod::word_bytes_mut(message))
            .expect("a good request")
    })
}

/// A page without access, which a handler opens.
pub(crate) struct GuardPage {
    address: usize,
}

impl GuardPage {
    pub(crate) fn new() -> Self {
        // SAFETY: a new mapping.
        let address = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                mach_sys::kernel::system::page_size(),
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANON,
                -1,
                0,
            )
        };
        assert_ne!(address, libc::MAP_FAILED);
        Self {
            address: address as usize,
        }
    }

    pub(crate) fn address(&self) -> usize {
        self.address
    }

    pub(crate) fn open(&self) {
        self.protect(libc::PROT_READ | libc::PROT_WRITE);
    }

    pub(crate) fn shut(&self) {
        self.protect(libc::PROT_NONE);
    }

    /// Stores into the page, which faults while it has no access.
    pub(crate) fn store(&self) {
        // SAFETY: this value owns the page, and the handler of the fault opens it.
        unsafe { (self.address as *mut u32).write_volatile(1) };
    }

    fn protect(&self, protection: i32) {
        let size = mach_sys::kernel::system::page_size();
        // SAFETY: the page is this value's, and nothing refers to it.
        let result = unsafe { libc::mprotect(self.address as *mut _, size, protection) };
        assert_eq!(result, 0);
    }
}

impl Drop for GuardPage {
    fn drop(&mut self) {
        // SAFETY: the page is this value's, and nothing refers to it.
        unsafe {
            libc::munmap(
                self.address as *mut _,
                mach_sys::kernel::system::page_size(),
            )
        };
    }
}

/// Returns a behavior with 64-bit codes.
pub(crate) fn wide(kind: BehaviorKind) -> Behavior {
    Behavior::of(kind, BehaviorModifiers::CODES)
}

/// Returns a thread's general registers.
pub(crate) fn get(thread: &ThreadRight) -> Result<NativeState, KernError> {
    let mut state = NativeState::default();
    let name = thread.name().raw();
    kernel::system::read_thread_state(name, NativeState::FLAVOR, state.as_words_mut())?;
    Ok(state)
}

pub(crate) fn set(thread: &ThreadRight, state: &NativeState, count: u32) -> Result<(), KernError> {
    // SAFETY: the state has at least as many words as the count says.
    KernReturn::check(unsafe {
        kernel::thread_set_state(
            thread.name().raw(),
            NativeState::FLAVOR,
            state.as_words().as_ptr(),
            count,
        )
    })
}

/// Returns a request that names no thread and no task.
pub(crate) fn request(routine: Routine, state: &NativeState) -> Raise<'_> {
    Raise {
        routine,
        remote: HeaderPort::NONE,
        local: HeaderPort::NONE,
        voucher: HeaderPort::NONE,
        identity: Identity::None,
        disposition: Disposition::COPY_SEND,
        exception: ExceptionType::EMULATION,
        codes: &[1, 2],
        flavor: NativeState::FLAVOR,
        state: if routine.has_state() {
            state.as_words()
        } else {
            &[]
        },
    }
}

/// Skips the undefined instruction, through the reply's state or the thread's right, as the behavior allows.
pub(crate) fn skip_somehow(exception: Exception<'_>) -> Answered {
    if exception.flavor().is_some() {
        return skip(exception);
    }
    let thread = exception.thread().expect("a thread");
    let mut state = get(thread).expect("it waits");
    skip_undefined(&mut state);
    set(thread, &state, NativeState::COUNT).expect("it waits");
    exception.resume()
}

/// Returns the port that is registered for an exception type: a name, `MACH_PORT_NULL` or `MACH_PORT_DEAD`. Keeps no reference.
pub(crate) fn registered(thread: &ThreadRight, kind: ExceptionType) -> mach_port_name_t {
    const ROOM: usize = 32;
    let (mut masks, mut ports) = ([0; ROOM], [0; ROOM]);
    let (mut behaviors, mut flavors) = ([0; ROOM], [0; ROOM]);
    let mut count = ROOM as u32;
    // SAFETY: each array has room for the most entries that the kernel returns (B3.4).
    let code = unsafe {
        kernel::thread_get_exception_ports(
            thread.name().raw(),
            kind.mask().bits(),
            masks.as_mut_ptr(),
            &mut count,
            ports.as_mut_ptr(),
            behaviors.as_mut_ptr(),
            flavors.as_mut_ptr(),
        )
    };
    assert_eq!(code, 0);
    assert!(count <= 1);
    if count == 0 {
        return MACH_PORT_NULL;
    }
    if let Some(name) = Name::new(ports[0]) {
        // SAFETY: the kernel gave one reference with the entry.
        drop(unsafe { SendRight::<Queue>::from_name(name) });
    }
    ports[0]
}
