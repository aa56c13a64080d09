//! Measures a fault that the server answers against one that a bare signal handler repairs: ratios, measured side by side in one run. A
//! report, not a gate.
//!
//! `cargo bench -p exc-server --bench round_trip`. The faulting thread and the server are pinned to two CPUs; batches of 1 000 faults
//! alternate between the two ways, and the medians of 41 batches each are compared. A single fault after a pause is also reported:
//! it includes the machine's wake-up from sleep. The last column is the ratio for a handler that may start threads, and so runs with the
//! signal mask of the server's starter: each of its exceptions costs the system calls that change the mask.
#![allow(unsafe_code)]

use exc_server::{Answered, Delivery, Exception, Handler, Routing, Server, Target};
use mach_sys::exception::ExceptionMask;
use mach_sys::kernel::{KERNEL, Kernel};
use mach_sys::rights::ThreadRight;
use mach_sys::thread_state::{NativeState, Registers};
use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const BATCH: u32 = 1000;
const BATCHES: usize = 41;

/// A measured case: a faulting instruction, and the repair of its fault.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    signal: i32,
    fault: fn(),
    length: u64,
}

#[cfg(target_arch = "x86_64")]
const ROWS: [Row; 2] = [
    Row {
        name: "ud2",
        signal: libc::SIGILL,
        // SAFETY: the handler of the fault skips the instruction.
        fault: || unsafe { core::arch::asm!("ud2") },
        length: 2,
    },
    Row {
        name: "page fault",
        signal: libc::SIGSEGV,
        // SAFETY: as above.
        fault: || unsafe { core::arch::asm!("mov [{}], eax", in(reg) black_box(0x18_usize)) },
        length: 0,
    },
];

#[cfg(target_arch = "aarch64")]
const ROWS: [Row; 2] = [
    Row {
        name: "udf",
        signal: libc::SIGILL,
        // SAFETY: the handler of the fault skips the instruction.
        fault: || unsafe { core::arch::asm!("udf #0") },
        length: 4,
    },
    Row {
        name: "page fault",
        signal: libc::SIGSEGV,
        // SAFETY: as above.
        fault: || unsafe { core::arch::asm!("str wzr, [{}]", in(reg) black_box(0x18_usize)) },
        length: 4,
    },
];

/// Returns the number of bytes to skip. For the store on x86_64 it depends on the register that the compiler chose (a REX prefix for the
/// upper eight).
fn length_at(pc: u64, length: u64) -> u64 {
    if length != 0 {
        return length;
    }
    // SAFETY: the program counter of an instruction that was just executed.
    let first = unsafe { (pc as *const u8).read() };
    if first & 0xf0 == 0x40 { 3 } else { 2 }
}

/// The offset of the program counter in Linux's `ucontext`, in bytes.
const PC: usize = if cfg!(target_arch = "x86_64") {
    168
} else {
    440
};

/// Repairs the fault in the signal handler itself: the floor of the comparison.
extern "C" fn bare(signal: i32, _: *mut libc::c_void, context: *mut libc::c_void) {
    for row in &ROWS {
        if row.signal == signal {
            // SAFETY: the kernel's context; the program counter is a field of it.
            unsafe {
                let pc = context.cast::<u8>().add(PC).cast::<u64>();
                pc.write(pc.read() + length_at(pc.read(), row.length));
            }
        }
    }
}

/// Installs an action for a signal, and returns the previous one.
fn swap(signal: i32, action: &libc::sigaction) -> libc::sigaction {
    // SAFETY: zeroes are a valid action; the handler is a function of three arguments.
    unsafe {
        let mut old = core::mem::zeroed();
        assert_eq!(libc::sigaction(signal, action, &mut old), 0);
        old
    }
}

fn bare_action() -> libc::sigaction {
    // SAFETY: zeroes are a valid action.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    action.sa_sigaction = bare as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
    action
}

fn time(row: Row, faults: u32) -> Duration {
    let start = Instant::now();
    for _ in 0..faults {
        (row.fault)();
    }
    start.elapsed() / faults
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

static SERVER_CPU: OnceLock<Option<core_affinity::CoreId>> = OnceLock::new();

fn serve(mut exception: Exception<'_>) -> Answered {
    thread_local! {
        static PINNED: core::cell::Cell<bool> = const { core::cell::Cell::new(false) };
    }
    if !PINNED.with(|pinned| pinned.replace(true)) {
        if let Some(Some(cpu)) = SERVER_CPU.get() {
            core_affinity::set_for_current(*cpu);
        }
    }
    let Ok(mut state) = exception.registers() else {
        return exception.decline();
    };
    let row = &ROWS
        [usize::from(exception.exception_type() == mach_sys::exception::ExceptionType::BAD_ACCESS)];
    state.set_pc(state.pc() + length_at(state.pc(), row.length));
    // SAFETY: the next instruction does not depend on the skipped one.
    match unsafe { exception.set_state(&state) } {
        Ok(()) => exception.resume(),
        Err(_) => exception.decline(),
    }
}

/// The handler, which runs with the server's own signal mask or its starter's.
struct Serve {
    starts_nothing: bool,
}

impl Handler for Serve {
    fn handle(&self, exception: Exception<'_>) -> Answered {
        serve(exception)
    }

    fn starts_nothing(&self) -> bool {
        self.starts_nothing
    }
}

fn main() {
    if KERNEL != Kernel::Emulated {
        println!("skipped: the floor is a signal handler under the emulated Mach");
        return;
    }
    let cpus = core_affinity::get_core_ids().unwrap_or_default();
    let _ = SERVER_CPU.set(cpus.get(1).copied());
    if let Some(cpu) = cpus.first() {
        core_affinity::set_for_current(*cpu);
    }
    println!(
        "{} CPUs; server {}",
        cpus.len(),
        if cpus.len() > 1 {
            "on another one"
        } else {
            "on the same one"
        }
    );
    let [server, opening] = [true, false]
        .map(|starts_nothing| Server::start_handler(Serve { starts_nothing }).expect("a server"));
    let thread = ThreadRight::current().expect("the own thread");
    let routing = Routing::new(
        ExceptionMask::BAD_ACCESS | ExceptionMask::BAD_INSTRUCTION,
        Delivery::state::<NativeState>(),
    );
    let by = |server: &Server, row, faults| {
        let route = server.route(Target::Thread(&thread), &routing);
        let _route = route.expect("a route");
        time(row, 10);
        time(row, faults)
    };
    println!(
        "{:<12} {:>12} {:>12} {:>7} {:>14} {:>12}",
        "fault", "bare", "server", "ratio", "isolated", "may start"
    );
    for row in ROWS {
        let (mut floor, mut served, mut isolated) = (Vec::new(), Vec::new(), Vec::new());
        let mut opened = Vec::new();
        by(&server, row, BATCH);
        by(&opening, row, BATCH);
        for _ in 0..BATCHES {
            served.push(by(&server, row, BATCH));
            opened.push(by(&opening, row, BATCH));
            let ours = swap(row.signal, &bare_action());
            floor.push(time(row, BATCH));
            swap(row.signal, &ours);
            let route = server.route(Target::Thread(&thread), &routing);
            let _route = route.expect("a route");
            std::thread::sleep(Duration::from_millis(2));
            isolated.push(time(row, 1));
        }
        let [floor, served, opened] = [floor, served, opened].map(median);
        let over_floor = |time: Duration| time.as_secs_f64() / floor.as_secs_f64();
        println!(
            "{:<12} {:>12.2?} {:>12.2?} {:>7.2} {:>14.2?} {:>12.2}",
            row.name,
            floor,
            served,
            over_floor(served),
            median(isolated),
            over_floor(opened)
        );
    }
}
