//! `signal-redirect` alone: a stopped thread is sent through a handler and back, in a buffer, for arm64, on any machine.
//!
//! ```console
//! $ cargo run --release --bin only_rewriter
//! ```
//!
//! What to look at: no port, no server, no thread. The crate turns registers and stack memory into registers and stack memory. A debugger, a
//! simulator or a runtime with its own server does with them what it likes.

use clap::Parser;
use core::mem::offset_of;
use signal_redirect::{Arm64, Fault, Frame, Key, Memory, Redirect, Region, TrampolinePlan};
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
// The types of its signatures.
use mach_sys::darwin::{arm_mcontext64_t, siginfo_t, ucontext_t};
use mach_sys::exception::ExceptionType;
use mach_sys::pod::{self, Pod};
use mach_sys::thread_state::arm_thread_state64_t;

/// Rewrites a stopped thread of arm64.
#[derive(Debug, Parser)]
struct Options {
    /// The address that the thread accessed.
    #[arg(long, default_value_t = 0x18)]
    address: u32,
}

/// Addresses in the made-up process.
const STACK: u64 = 0x1_6fdf_0000;
const CODE: u64 = 0x1_0000_4000;
const HANDLER: u64 = 0x1_0000_8000;
const TRAMPOLINE: u64 = 0x1_0000_c000;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "only_rewriter: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let address = Options::parse().address;
    let mut bytes = vec![0; 0x4000];
    let mut memory = Region::new(STACK, &mut bytes);
    let stopped = arm_thread_state64_t {
        x: core::array::from_fn(|number| 0x100 + number as u64),
        sp: STACK + 0x3000,
        pc: CODE,
        ..Default::default()
    };
    print("the thread stopped", &stopped)?;

    // Into the handler.
    let trampoline = TrampolinePlan::<Arm64>::at(TRAMPOLINE, Key::random());
    let plan = Redirect::plan(HANDLER, trampoline);
    let fault = Fault::new(ExceptionType::BAD_ACCESS, 1, address.into());
    let (entered, frame) = plan.apply(&stopped, &fault, &mut memory)?;
    print(
        "it enters the trampoline, which calls the handler",
        &entered,
    )?;
    writeln!(
        io::stdout(),
        "  handler {HANDLER:#x}, frame {:#x}..{:#x}, {} bytes below the interrupted stack pointer",
        frame.low,
        frame.high,
        stopped.sp - frame.high
    )?;

    // What the handler finds there, and an edit: the thread is to go on behind the instruction.
    let info: siginfo_t = load(&memory, frame.siginfo)?;
    let context: ucontext_t = load(&memory, frame.ucontext)?;
    writeln!(
        io::stdout(),
        "  siginfo: si_signo {}, si_code {}, si_addr {:#x}",
        info.si_signo,
        info.si_code,
        info.si_addr
    )?;
    writeln!(
        io::stdout(),
        "  ucontext: uc_mcontext {:#x}, {} bytes",
        context.uc_mcontext,
        context.uc_mcsize
    )?;
    let at = registers_at(&frame);
    let mut saved: arm_thread_state64_t = load(&memory, at)?;
    saved.pc += 4;
    memory.write(at, pod::bytes_of(&saved))?;

    // And back: the trampoline traps, with the frame's address in x19 and in the stack pointer.
    let mut trapped = entered;
    trapped.pc = trampoline.trap();
    trapped.x[19] = entered.sp;
    print("the handler returned, and the trampoline traps", &trapped)?;
    let resumed = trampoline
        .return_from(&trapped, &mut memory)?
        .ok_or("not at the return trap")?;
    print("the thread goes on", &resumed.state)?;

    let expected = arm_thread_state64_t {
        pc: CODE + 4,
        ..stopped
    };
    if resumed.state != expected {
        return Err("a register was lost".into());
    }
    writeln!(
        io::stdout(),
        "every register is as it was, and the handler's edit is there"
    )?;
    match trampoline.return_from(&trapped, &mut memory) {
        Err(error) => writeln!(io::stdout(), "a second return from the same frame: {error}")?,
        Ok(_) => return Err("a frame was used twice".into()),
    }
    Ok(())
}

fn registers_at(frame: &Frame) -> u64 {
    frame.mcontext + offset_of!(arm_mcontext64_t, ss) as u64
}

fn load<T: Pod>(memory: &impl Memory, address: u64) -> Result<T, signal_redirect::Unmapped> {
    let mut value = pod::zeroed();
    memory.read(address, pod::bytes_of_mut(&mut value))?;
    Ok(value)
}

fn print(what: &str, state: &arm_thread_state64_t) -> io::Result<()> {
    writeln!(io::stdout(), "{what}")?;
    writeln!(
        io::stdout(),
        "  pc {:#x}, sp {:#x}, x0 {:#x}, x1 {:#x}, x2 {:#x}",
        state.pc,
        state.sp,
        state.x[0],
        state.x[1],
        state.x[2]
    )
}
