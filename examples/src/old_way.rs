//! The old way: what a runtime did that served `EXCEPTION_DEFAULT` by hand.
//!
//! Each message brings a send right for the thread and one for the task. Nothing releases them: the task's count grows with every
//! fault, and every thread that ends leaves a dead name.
#![allow(unsafe_code)]

use mach_sys::exception::{EXC_MASK_BAD_INSTRUCTION, EXCEPTION_DEFAULT, MACH_EXCEPTION_CODES};
use mach_sys::kern_return::{KernError, KernReturn};
use mach_sys::kernel::{self, Config, system};
use mach_sys::message::{MACH_RCV_MSG, MACH_SEND_MSG};
use mach_sys::mig::{self, Accept, Identity, ReplyTo};
use mach_sys::pod;
use mach_sys::rights::{Census, CensusError, ReceiveRight, Right, SendRight, Source};
use mach_sys::thread_state::{NativeState, Registers, ThreadState};
use std::error::Error;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A server of the old kind, and the threads that it serves.
#[derive(Debug)]
pub struct OldWay {
    send: SendRight,
    server: JoinHandle<()>,
    /// Names of threads before the server's.
    threads: u32,
}

impl OldWay {
    /// Starts the server.
    ///
    /// # Errors
    /// The kernel did not start, or the error of a call.
    pub fn start() -> Result<Self, Box<dyn Error>> {
        // The first call of a kernel that could not start says less about the reason.
        kernel::configure(Config::default())?;
        let threads = Self::threads()?;
        let port = ReceiveRight::new()?;
        let send = port.make_send()?;
        let server = std::thread::spawn(move || serve(&port));
        Ok(Self {
            send,
            server,
            threads,
        })
    }

    /// Runs so many threads to their end, one after the other. Each takes so many faults.
    ///
    /// # Errors
    /// The kernel's error, or a thread's panic.
    pub fn run(&self, threads: u64, faults: u64) -> Result<(), Box<dyn Error>> {
        for _ in 0..threads {
            let port = self.send.name().raw();
            std::thread::spawn(move || fault(port, faults))
                .join()
                .map_err(|_| "a thread of the old way panicked")??;
        }
        // The kernel's own end of the threads may take a moment.
        std::thread::sleep(Duration::from_millis(20));
        Ok(())
    }

    /// Ends the server. What it left in the name space stays there; its thread's own name is gone on return, or after five seconds is
    /// waited for no longer.
    ///
    /// # Errors
    /// The server's panic, or the error of a census.
    pub fn stop(self) -> Result<(), Box<dyn Error>> {
        stop(&self.send);
        self.server.join().map_err(|_| "the old server panicked")?;
        // The kernel ends a thread a moment after its join. A census in between counts a name that goes away later.
        let start = Instant::now();
        while Self::threads()? > self.threads && start.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn threads() -> Result<u32, CensusError> {
        Ok(Census::take()?.of(Source::Thread).names)
    }
}

/// A thread's body: asks for its exceptions to be sent, and faults.
fn fault(port: u32, faults: u64) -> Result<(), KernError> {
    // SAFETY: no pointers.
    let code = unsafe {
        kernel::thread_set_exception_ports(
            own_name(),
            EXC_MASK_BAD_INSTRUCTION,
            port,
            EXCEPTION_DEFAULT | MACH_EXCEPTION_CODES,
            0,
        )
    };
    KernReturn::check(code)?;
    for _ in 0..faults {
        undefined_instruction();
    }
    Ok(())
}

/// `mach_thread_self`, whose reference the old code forgot as well: one for each thread.
fn own_name() -> u32 {
    // SAFETY: no arguments.
    unsafe { kernel::mach_thread_self() }
}

#[cfg(target_arch = "x86_64")]
fn undefined_instruction() {
    // SAFETY: the server skips it.
    unsafe { core::arch::asm!("ud2") };
}

#[cfg(target_arch = "aarch64")]
fn undefined_instruction() {
    // SAFETY: the server skips it.
    unsafe { core::arch::asm!("udf #0") };
}

/// The old server: reads and sets the thread's registers through its right, answers, and forgets.
fn serve(port: &ReceiveRight) {
    system::enter_server_thread();
    let mut message = [0_u32; 256];
    let mut reply = [0_u32; 16];
    loop {
        // SAFETY: the buffer is valid for its size.
        let code = unsafe {
            kernel::mach_msg(
                message.as_mut_ptr().cast(),
                MACH_RCV_MSG,
                0,
                size_of_val(&message) as u32,
                port.name().raw(),
                0,
                0,
            )
        };
        let bytes = pod::word_bytes(&message);
        let Ok(request) = mig::decode(bytes, Accept::Both) else {
            return;
        };
        if code != 0 {
            return;
        }
        let skipped = match request.identity() {
            Identity::ThreadAndTask { thread, .. } => skip(thread),
            _ => KernReturn::FAILURE.raw(),
        };
        let to = ReplyTo::request(&request);
        let Ok(size) = to.encode_status(pod::word_bytes_mut(&mut reply), KernReturn::new(skipped))
        else {
            return;
        };
        // SAFETY: the buffer holds a message of that size.
        unsafe {
            kernel::mach_msg(
                reply.as_mut_ptr().cast(),
                MACH_SEND_MSG,
                size as u32,
                0,
                0,
                0,
                0,
            )
        };
        // Here the rights on thread and task should have been released.
    }
}

/// Moves a stopped thread behind the undefined instruction.
fn skip(thread: u32) -> i32 {
    let mut state = NativeState::default();
    let read = kernel::system::read_thread_state(thread, NativeState::FLAVOR, state.as_words_mut());
    let count = match read {
        Ok(count) => count as u32,
        Err(error) => return error.raw(),
    };
    let length = if cfg!(target_arch = "x86_64") { 2 } else { 4 };
    state.set_pc(state.pc() + length);
    // SAFETY: the state has as many words as the count says.
    unsafe {
        kernel::thread_set_state(
            thread,
            NativeState::FLAVOR,
            state.as_words().as_ptr(),
            count,
        )
    }
}

/// Sends a message that is no request: the server ends.
fn stop(send: &SendRight) {
    let mut message = [19_u32, 24, send.name().raw(), 0, 0, 0];
    // SAFETY: the buffer holds a message of that size.
    unsafe { kernel::mach_msg(message.as_mut_ptr().cast(), MACH_SEND_MSG, 24, 0, 0, 0, 0) };
}
