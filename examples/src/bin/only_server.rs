//! `exc-server` alone: one thread's faults, answered at once or later.
//!
//! ```console
//! $ cargo run --release --bin only_server
//! ```
//!
//! What to look at: the handler gets each exception by value, and must answer it. It skips the first store on the spot. The second it
//! defers, as a debugger does: the thread waits until the main thread answers. In the counters each request has one answer. One
//! dependency is enough: `exc_server::mach_sys` has the types.
#![allow(unsafe_code)]

use clap::Parser;
use exc_server::mach_sys::exception::ExceptionMask;
use exc_server::mach_sys::rights::ThreadRight;
use exc_server::mach_sys::thread_state::{NativeState, Registers};
use exc_server::{Deferred, Delivery, Routing, Server, Target, Timeout};
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

/// Serves a thread's faults, at once and later.
#[derive(Debug, Parser)]
struct Options {
    /// Time that the thread waits for its second answer, in milliseconds.
    #[arg(long, default_value_t = 100)]
    wait: u64,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The reason is the last of an error's sources.
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(error) = source {
                text.push_str(&format!(": {error}"));
                source = error.source();
            }
            let _ = writeln!(io::stderr(), "only_server: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let wait = Duration::from_millis(Options::parse().wait);
    let (send, deferred) = mpsc::sync_channel::<Deferred>(1);
    let server = Server::builder().deferrals(1).start(move |exception| {
        let (exception_type, meaning) = (exception.exception_type(), exception.meaning());
        say(&format!("server: {exception_type} ({meaning})"));
        let Ok(mut state) = exception.registers() else {
            return exception.decline();
        };
        if state.argument(0) == Some(FIRST) {
            skip(&mut state);
            // SAFETY: the next instruction needs nothing of the store.
            return unsafe { exception.resume_with(&state) };
        }
        match exception.defer(Timeout::Never) {
            Ok((answered, key)) => {
                // A key that does not arrive is dropped, which declines.
                let _ = send.try_send(key);
                answered
            }
            Err(refused) => refused.exception.decline(),
        }
    })?;

    let thread = std::thread::scope(|scope| {
        let thread = scope.spawn(|| -> Result<(), Box<dyn Error + Send + Sync>> {
            let thread = ThreadRight::current()?;
            let routing = Routing::new(ExceptionMask::BAD_ACCESS, Delivery::THREAD);
            let route = server.route(Target::Thread(&thread), &routing)?;
            store(FIRST);
            say("thread: went on behind the first store");
            store(SECOND);
            say("thread: went on behind the second store");
            let _ = route.close()?;
            Ok(())
        });
        let key = deferred.recv_timeout(Duration::from_secs(10))?;
        for pending in server.deferrals().pending() {
            say(&format!(
                "main: {} waits for an answer",
                pending.exception_type
            ));
        }
        std::thread::sleep(wait);
        let mut state = key.state::<NativeState>()?;
        skip(&mut state);
        // SAFETY: as above.
        unsafe { key.resume_with(&state) }?;
        Ok::<_, Box<dyn Error>>(thread.join())
    })?;
    thread
        .map_err(|_| "the thread panicked")?
        .map_err(|error| error.to_string())?;
    // Here nothing waits any more, and what could not be printed is said.
    writeln!(io::stdout(), "{:?}", server.shutdown())?;
    Ok(())
}

/// Prints a line, or not: a thread that waits for its answer gets it all the same.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

const FIRST: u64 = 8;
const SECOND: u64 = 16;

/// Stores to an address, which is in the first argument register.
fn store(address: u64) {
    // SAFETY: nothing is stored at the addresses used here; the server skips the instruction.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!("mov [rdi], eax", in("rdi") address);
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!("str wzr, [x0]", in("x0") address);
    }
}

/// Moves a thread behind the store.
fn skip(state: &mut NativeState) {
    state.set_pc(state.pc() + if cfg!(target_arch = "x86_64") { 2 } else { 4 });
}
