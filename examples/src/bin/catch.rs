//! Catches a fault, prints it decoded, and goes on, or dies of it.
//!
//! ```console
//! $ cargo run --release --bin catch
//! $ cargo run --release --bin catch -- divide-by-zero
//! $ cargo run --release --bin catch -- stack-overflow --then die
//! ```
//!
//! What to look at: the exception's type and codes, which the kernel sends to the server's thread; the signal that the handler gets for
//! it; the registers; and the backtrace, which crosses from the handler into the function that faulted.
//!
//! With `--then die` the handler changes nothing. The instruction faults again, the server declines the second time, and the kernel goes
//! on to the next levels: the task's handler, then the process's signal handler. So the exit status is that of any other crash. The handler sees
//! Darwin's signal on every host; the process dies by the host's own: a stack overflow is SIGBUS to the handler, and ends a process on Linux by
//! SIGSEGV (139 in a shell).
//!
//! Printing and allocating in a handler is for faults whose place is known, as here. A runtime's handler is as careful as a signal
//! handler.
#![allow(unsafe_code)]

use clap::{Parser, ValueEnum};
use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use examples::escape::{self, Point};
use examples::fault::{Fault, go_on};
use examples::program::exit_code;
use examples::registers;
use examples::say;
use mach_sys::darwin::{DarwinSignal, siginfo_t, ucontext_t};
use mach_sys::exception::{ExceptionMask, ExceptionType, Meaning};
use mach_sys::kernel::KERNEL;
use mach_sys::machine::Machine;
use mach_sys::thread_state::{NativeState, Registers};
use serde_json::json;
use signal_redirect::Entry;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Mutex;
use thread_mgr::Manager;

/// Catches a fault, prints it decoded, and goes on, or dies of it.
#[derive(Clone, Copy, Debug, Parser)]
struct Options {
    /// The fault to take.
    #[arg(value_enum, default_value = "null-store")]
    fault: Fault,
    /// Reaction to the fault.
    #[arg(long, value_enum, default_value = "resume")]
    then: Then,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
    /// Frames of the backtrace to print.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..))]
    frames: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Then {
    /// Go on behind the instruction that faulted
    Resume,
    /// Leave it to the next level
    Die,
}

/// The exception as the server's thread saw it, for the handler to print.
#[derive(Clone, Copy, Debug)]
struct Seen {
    exception: ExceptionType,
    codes: [i64; 2],
    meaning: Meaning,
}

static OPTIONS: Mutex<Option<Options>> = Mutex::new(None);
static SEEN: Mutex<Option<Seen>> = Mutex::new(None);
static FAULTS: AtomicU32 = AtomicU32::new(0);
static WENT_ON: AtomicBool = AtomicBool::new(false);
/// Place at which the thread goes on after a stack overflow.
static BOTTOM: Point = Point::new();

fn main() -> ExitCode {
    exit_code("catch", run(Options::parse()))
}

fn run(options: Options) -> Result<bool, Box<dyn Error>> {
    if !options.fault.traps() {
        return Err(format!("{} does not trap on {}", options.fault, Machine::NATIVE).into());
    }
    *OPTIONS.lock()? = Some(options);
    // SAFETY: the handler is for this program's one fault, which is taken where no lock is held: it may print and allocate. It does not
    // unwind.
    let entry = unsafe { Entry::new(handle) };
    let manager = Manager::builder(entry)
        .mask(Manager::DEFAULT_MASK | ExceptionMask::BREAKPOINT)
        // A backtrace needs more stack than an overflow leaves.
        .emergency_stack_size(1 << 20)
        .handler_room(512 << 10)
        .only_if(note)
        .build()?;
    let thread = manager.spawn(move || {
        // SAFETY: the handler moves the thread behind the fault, or out of the call.
        unsafe { escape::call(&BOTTOM, None, || options.fault.take()) };
        WENT_ON.store(true, Ordering::Relaxed);
    })?;
    let _ = thread.join()?;
    if FAULTS.load(Ordering::Relaxed) == 0 {
        return Err(format!("this processor did not trap: {}", options.fault).into());
    }
    if !options.json {
        say!("the thread went on, and ended as any other");
    }
    Ok(WENT_ON.load(Ordering::Relaxed) && FAULTS.load(Ordering::Relaxed) == 1)
}

/// Runs on the server's thread. Wants the first fault only: one that comes again is the next level's.
fn note(exception: &exc_server::Exception<'_>) -> bool {
    if let Ok(mut seen) = SEEN.lock() {
        *seen = Some(Seen {
            exception: exception.exception_type(),
            codes: exception.codes(),
            meaning: exception.meaning(),
        });
    }
    FAULTS.fetch_add(1, Ordering::Relaxed) == 0
}

/// Runs on the thread that faulted, as a signal handler does.
///
/// # Safety
/// For the one fault of this program, taken in [`Fault::take`].
unsafe extern "C" fn handle(signal: c_int, info: *mut siginfo_t, context: *mut ucontext_t) {
    // SAFETY: the trampoline hands over structures on this thread's stack, which nothing else uses until the handler returns.
    let (info, state) = unsafe { (&*info, (*context).registers_mut()) };
    let options = OPTIONS.lock().ok().and_then(|options| *options);
    let seen = SEEN.lock().ok().and_then(|seen| *seen);
    let (Some(options), Some(seen)) = (options, seen) else {
        return;
    };
    let frames = backtrace(state, options.frames.into());
    let signal = DarwinSignal::new(signal);
    if options.json {
        print_json(seen, signal, info, state, &frames);
    } else {
        print(seen, signal, info, state, &frames);
    }
    match (options.then, options.fault) {
        (Then::Die, _) => {}
        (Then::Resume, Fault::StackOverflow) => {
            let _ = BOTTOM.leave(state, 1);
        }
        (Then::Resume, _) => go_on(state),
    }
}

/// The names of the functions that the thread was in, the innermost first. Unwinding starts in the handler, and crosses the trampoline;
/// the handler's own frames are left out.
fn backtrace(state: &NativeState, limit: usize) -> Vec<String> {
    let mut names = Vec::new();
    let mut interrupted = false;
    backtrace::trace(|frame| {
        interrupted |= frame.ip() as u64 == state.pc();
        if interrupted && !frame.ip().is_null() {
            let mut name = None;
            backtrace::resolve_frame(frame, |symbol| {
                if name.is_none() {
                    name = symbol.name().map(|name| format!("{name:#}"));
                }
            });
            names.push(name.unwrap_or_else(|| format!("{:p}", frame.ip())));
        }
        names.len() < limit
    });
    names
}

fn print(
    seen: Seen,
    signal: DarwinSignal,
    info: &siginfo_t,
    state: &NativeState,
    frames: &[String],
) {
    let [code, subcode] = seen.codes;
    say!("kernel: {KERNEL:?}, {}", Machine::NATIVE);
    say!("exception  {}: {}", seen.exception, seen.meaning);
    say!("codes      {code:#x}, {subcode:#x}");
    say!(
        "signal     {signal}, si_code {}, si_addr {:#x}",
        info.si_code,
        info.si_addr
    );
    say!("registers\n{}", registers::table(state));
    say!("backtrace");
    for (number, frame) in frames.iter().enumerate() {
        say!("{number:>6} {frame}");
    }
}

fn print_json(
    seen: Seen,
    signal: DarwinSignal,
    info: &siginfo_t,
    state: &NativeState,
    frames: &[String],
) {
    let registers: serde_json::Map<_, _> = registers::named(state)
        .into_iter()
        .map(|(name, value)| (name, json!(format!("{value:#x}"))))
        .collect();
    let report = json!({
        "exception": seen.exception.to_string(),
        "codes": seen.codes,
        "meaning": seen.meaning.to_string(),
        "signal": signal.to_string(),
        "si_code": info.si_code,
        "si_addr": format!("{:#x}", info.si_addr),
        "pc": format!("{:#x}", state.pc()),
        "registers": registers,
        "backtrace": frames,
    });
    say!("{report:#}");
}
