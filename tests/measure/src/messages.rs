//! The two messages of a round trip, with one thread for all: their cost where nothing faults, and no other CPU has the memory.
#![allow(unsafe_code)]

use crate::Error;
use crate::by_hand::answer;
use crate::rounds::batch;
use mach_sys::exception::{Behavior, BehaviorKind, ExceptionType};
use mach_sys::kern_return::{KernError, KernReturn};
use mach_sys::kernel::{self, system};
use mach_sys::message::{Disposition, MACH_RCV_MSG, MACH_SEND_MSG};
use mach_sys::mig::{HeaderPort, Identity, Raise, Routine};
use mach_sys::pod;
use mach_sys::rights::{Name, ReceiveRight, Right};
use mach_sys::thread_state::{NativeState, ThreadState};

const WORDS: usize = 512;

/// A request with the general registers, the port that it goes to, and the one that its reply goes to.
#[derive(Debug)]
pub struct Messages {
    port: ReceiveRight,
    reply: ReceiveRight,
    request: [u32; WORDS],
    size: usize,
    received: [u32; WORDS],
}

impl Messages {
    /// Makes the ports, and writes the request.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new() -> Result<Self, Error> {
        let (port, reply) = (ReceiveRight::new()?, ReceiveRight::new()?);
        let state = NativeState::default();
        let header = |port: &ReceiveRight, how| HeaderPort::new(port.name().raw(), how);
        let behavior = Behavior::with_codes(BehaviorKind::STATE);
        let raise = Raise {
            routine: Routine::for_behavior(behavior).ok_or("no routine")?,
            remote: header(&port, Disposition::MAKE_SEND),
            local: header(&reply, Disposition::MAKE_SEND_ONCE),
            voucher: HeaderPort::NONE,
            identity: Identity::None,
            disposition: Disposition::PORT_SEND,
            exception: ExceptionType::BAD_ACCESS,
            codes: &[1, 0],
            flavor: NativeState::FLAVOR,
            state: state.as_words(),
        };
        let mut request = [0; WORDS];
        let size = raise.encode(pod::word_bytes_mut(&mut request))?;
        Ok(Self {
            port,
            reply,
            request,
            size,
            received: [0; WORDS],
        })
    }

    /// Returns the nanoseconds of one exchange, from so many.
    ///
    /// # Errors
    /// The kernel's.
    pub fn time(&mut self, times: u32) -> Result<f64, Error> {
        // As on a server's thread and in the fault handler: no system call for the signal mask.
        let _group = system::group_calls();
        let mut outcome = Ok(());
        let figure = batch(times, || {
            if outcome.is_ok() {
                outcome = self.exchange();
            }
        });
        outcome.map(|()| figure)
    }

    /// Sends the request, receives it, answers it as a server by hand does, and receives the reply.
    fn exchange(&mut self) -> Result<(), Error> {
        send(&mut self.request, self.size)?;
        receive(&mut self.received, self.port.name())?;
        let size = answer(&mut self.received).ok_or("no request")?;
        send(&mut self.received, size)?;
        receive(&mut self.received, self.reply.name())?;
        Ok(())
    }
}

fn send(message: &mut [u32; WORDS], size: usize) -> Result<(), KernError> {
    let at = message.as_mut_ptr().cast();
    // SAFETY: the buffer holds a message of that size.
    KernReturn::check(unsafe { kernel::mach_msg(at, MACH_SEND_MSG, size as u32, 0, 0, 0, 0) })
}

fn receive(message: &mut [u32; WORDS], from: Name) -> Result<(), KernError> {
    let (at, size) = (message.as_mut_ptr().cast(), size_of_val(message) as u32);
    // SAFETY: the buffer is valid for its size.
    KernReturn::check(unsafe { kernel::mach_msg(at, MACH_RCV_MSG, 0, size, from.raw(), 0, 0) })
}
