//! A server loop by hand on the raw calls, as runtimes have it that take exceptions without these crates.
#![allow(unsafe_code)]

use crate::cpus;
use crate::faults::{self, MASK};
use mach_sys::exception::{EXCEPTION_DEFAULT, EXCEPTION_STATE, MACH_EXCEPTION_CODES};
use mach_sys::kern_return::{KernError, KernReturn};
use mach_sys::kernel::{self, system};
use mach_sys::message::{MACH_RCV_MSG, MACH_SEND_MSG};
use mach_sys::mig::{self, Accept, Identity, ReplyTo};
use mach_sys::pod;
use mach_sys::rights::{Name, PortSet, ReceiveRight, Right, SendRight};
use mach_sys::thread_state::{NativeState, ThreadState};
use std::thread::JoinHandle;

/// The behavior that the loop registers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `EXCEPTION_STATE`, as CCL: the registers travel in the messages, and no rights come.
    State,
    /// `EXCEPTION_DEFAULT`, as wasmtime: the registers are read and set by calls; the rights of each message are kept.
    Default,
}

/// A server thread, and the ports that it listens to.
#[derive(Debug)]
pub struct ByHand {
    form: Form,
    ports: Vec<ReceiveRight>,
    _set: PortSet,
    first: SendRight,
    server: Option<JoinHandle<()>>,
}

impl ByHand {
    /// Starts a server with so many ports, at least one, in one set.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn start(form: Form, ports: usize) -> Result<Self, KernError> {
        let set = PortSet::new()?;
        let mut made = Vec::new();
        for _ in 0..ports.max(1) {
            let port = ReceiveRight::new()?;
            set.insert(&port)?;
            made.push(port);
        }
        let first = made[0].make_send()?;
        let name = set.name();
        let server = cpus::start_server(|| std::thread::spawn(move || serve(name)));
        Ok(Self {
            form,
            ports: made,
            _set: set,
            first,
            server: Some(server),
        })
    }

    /// The names of its ports.
    pub fn ports(&self) -> impl Iterator<Item = Name> + '_ {
        self.ports.iter().map(Right::name)
    }

    /// Returns what a thread needs to register this server for the timed faults.
    #[must_use]
    pub fn registration(&self) -> Registration {
        Registration {
            port: self.first.name().raw(),
            form: self.form,
        }
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        // A message that is no request: the server ends.
        let mut message = [19_u32, 24, self.first.name().raw(), 0, 0, 0];
        // SAFETY: the buffer holds a message of that size.
        unsafe { kernel::mach_msg(message.as_mut_ptr().cast(), MACH_SEND_MSG, 24, 0, 0, 0, 0) };
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

/// Registers a server for the calling thread.
#[derive(Clone, Copy, Debug)]
pub struct Registration {
    port: u32,
    form: Form,
}

impl Registration {
    /// Registers it for the timed faults.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn register(self) -> Result<(), KernError> {
        let (behavior, flavor) = match self.form {
            Form::State => (EXCEPTION_STATE, NativeState::FLAVOR),
            Form::Default => (EXCEPTION_DEFAULT, 0),
        };
        set_ports(self.port, behavior | MACH_EXCEPTION_CODES, flavor)
    }

    /// Takes the registration back.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn remove(self) -> Result<(), KernError> {
        set_ports(0, EXCEPTION_DEFAULT | MACH_EXCEPTION_CODES, 0)
    }
}

fn set_ports(port: u32, behavior: i32, flavor: i32) -> Result<(), KernError> {
    // SAFETY: no pointers.
    KernReturn::check(unsafe {
        kernel::thread_set_exception_ports(
            system::own_thread_port(),
            MASK.bits(),
            port,
            behavior,
            flavor,
        )
    })
}

/// Receives, answers, and receives again in the same call.
fn serve(set: Name) {
    system::enter_server_thread();
    let mut message = [0_u32; 512];
    let mut size = 0;
    loop {
        let option = if size > 0 {
            MACH_SEND_MSG | MACH_RCV_MSG
        } else {
            MACH_RCV_MSG
        };
        // SAFETY: the buffer holds a message of that size, and is valid for its own.
        let code = unsafe {
            kernel::mach_msg(
                message.as_mut_ptr().cast(),
                option,
                size,
                size_of_val(&message) as u32,
                set.raw(),
                0,
                0,
            )
        };
        match answer(&mut message) {
            Some(answer) if code == 0 => size = answer as u32,
            _ => return,
        }
    }
}

/// Makes a reply of the request in the buffer, and returns its size.
pub(crate) fn answer(message: &mut [u32]) -> Option<usize> {
    let request = mig::decode(pod::word_bytes(message), Accept::Both).ok()?;
    let to = ReplyTo::request(&request);
    if let Identity::ThreadAndTask { thread, .. } = request.identity() {
        let code = KernReturn::new(skip(thread));
        return to.encode_status(pod::word_bytes_mut(message), code).ok();
    }
    let mut state: NativeState = request.state().ok()?;
    faults::skip(&mut state);
    let reply = pod::word_bytes_mut(message);
    to.encode_state(reply, NativeState::FLAVOR, state.as_words())
        .ok()
}

/// Moves a stopped thread behind its instruction.
fn skip(thread: u32) -> i32 {
    let mut state = NativeState::default();
    let count = match system::read_thread_state(thread, NativeState::FLAVOR, state.as_words_mut()) {
        Ok(count) => count as u32,
        Err(error) => return error.raw(),
    };
    faults::skip(&mut state);
    let words = state.as_words().as_ptr();
    // SAFETY: the state has as many words as the count says.
    unsafe { kernel::thread_set_state(thread, NativeState::FLAVOR, words, count) }
}
