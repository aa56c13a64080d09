//! The cases whose instructions are counted.
//!
//! Measured is what a receive loop does between receiving and sending: demultiplex message 2407 with two codes and 42 words
//! of state, decode it, call a handler that reads every argument and copies the state, and encode the reply. Apple's
//! MIG-generated C takes 190 instructions for the same (154 with a handler that does not copy), compiled with clang -O2.
//!
//! The bench and the package `measure` share this file. A program that has it calls [`child`] where [`CHILD`] is set.
#![allow(unsafe_code)]

use std::env;
use std::hint::black_box;
use std::process::Command;

use mach_wire::exception::ExceptionType;
use mach_wire::kern_return::KernReturn;
use mach_wire::message::Disposition;
use mach_wire::mig::Accept;
use mach_wire::mig::{
    HeaderPort, Identity, NewState, REPLY_SIZE_MAX, Raise, Request, Routine, mach_exc_server, serve,
};
use mach_wire::thread_state::{ThreadState, x86_thread_state64_t};

/// Set in the run under callgrind: which function to call.
pub(crate) const CHILD: &str = "MACH_SYS_BENCH_CHILD";
/// Calls of the measured function; the count is the mean.
const CALLS: u64 = 1000;
/// A case: its symbol, and what it is.
pub(crate) struct Case {
    pub(crate) symbol: &'static str,
    pub(crate) what: &'static str,
    run: extern "C" fn(&[u8; REPLY_SIZE_MAX], usize, &mut [u8; REPLY_SIZE_MAX]) -> usize,
}

pub(crate) const CASES: [Case; 3] = [
    Case {
        symbol: "measured_mach_exc",
        what: "mach_exc_server: handler copies the state",
        run: measured_mach_exc,
    },
    Case {
        symbol: "measured_both",
        what: "both subsystems, handler copies the state",
        run: measured_both,
    },
    Case {
        symbol: "measured_minimal",
        what: "mach_exc_server: handler copies nothing",
        run: measured_minimal,
    },
];

/// Reads what MIG passes to a C handler and copies the state.
#[inline(always)]
fn copying_handler(request: &Request<'_>, state: &mut NewState<'_>) -> KernReturn {
    let (thread, task) = match request.identity() {
        Identity::ThreadAndTask { thread, task } => (thread, task),
        _ => return KernReturn::FAILURE,
    };
    let &[code, subcode] = request.codes() else {
        return KernReturn::FAILURE;
    };
    // Every argument is used, at one instruction each.
    black_box(
        code ^ subcode
            ^ i64::from(request.exception_port() ^ thread ^ task)
            ^ i64::from(request.exception().raw()),
    );
    match request.flavor() {
        Some(flavor) if state.copy(flavor, request.old_state()).is_ok() => KernReturn::SUCCESS,
        _ => KernReturn::FAILURE,
    }
}

/// The measured function. Its name is callgrind's switch, so it is neither mangled nor inlined.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn measured_mach_exc(
    request: &[u8; REPLY_SIZE_MAX],
    length: usize,
    reply: &mut [u8; REPLY_SIZE_MAX],
) -> usize {
    let served = mach_exc_server(&request[..length], reply, copying_handler);
    served.map_or(0, |served| served.reply_size)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn measured_both(
    request: &[u8; REPLY_SIZE_MAX],
    length: usize,
    reply: &mut [u8; REPLY_SIZE_MAX],
) -> usize {
    let served = serve(Accept::Both, &request[..length], reply, copying_handler);
    served.map_or(0, |served| served.reply_size)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn measured_minimal(
    request: &[u8; REPLY_SIZE_MAX],
    length: usize,
    reply: &mut [u8; REPLY_SIZE_MAX],
) -> usize {
    let served = mach_exc_server(&request[..length], reply, |_, _| KernReturn::SUCCESS);
    served.map_or(0, |served| served.reply_size)
}

/// Message 2407 as the kernel delivers it for a null store on x86_64.
fn request() -> ([u8; REPLY_SIZE_MAX], usize) {
    let mut words = [0u32; x86_thread_state64_t::COUNT as usize];
    for (word, value) in words.iter_mut().zip(0xa000_0000u32..) {
        *word = value;
    }
    let raise = Raise {
        routine: Routine::MachExceptionRaiseStateIdentity,
        remote: HeaderPort::new(0x0b0b, Disposition::MOVE_SEND_ONCE),
        local: HeaderPort::new(0x1503, Disposition::MOVE_SEND),
        voucher: HeaderPort::NONE,
        identity: Identity::ThreadAndTask {
            thread: 0x1111,
            task: 0x2222,
        },
        disposition: Disposition::MOVE_SEND,
        exception: ExceptionType::BAD_ACCESS,
        codes: &[1, 0],
        flavor: x86_thread_state64_t::FLAVOR,
        state: &words,
    };
    let mut message = [0; REPLY_SIZE_MAX];
    let size = raise.encode(&mut message).expect("it fits");
    (message, size)
}

/// Calls a case's function, and checks that it did its work.
///
/// # Panics
/// If there is no such case, or it did not do its work.
pub(crate) fn child(symbol: &str) {
    let case = CASES.iter().find(|case| case.symbol == symbol);
    let case = case.expect("a case of this name");
    let (message, length) = request();
    let mut reply = [0; REPLY_SIZE_MAX];
    let words = if case.symbol == "measured_minimal" {
        0
    } else {
        42
    };
    for _ in 0..CALLS {
        let size = (case.run)(
            black_box(&message),
            black_box(length),
            black_box(&mut reply),
        );
        assert_eq!(size, 44 + 4 * words, "the reply's size");
    }
    let state = &message[length - 168..length];
    assert!(
        words == 0 || reply[44..212] == *state,
        "the state was not copied"
    );
}

/// Runs this program again under callgrind for a case, and returns the instructions of a call.
///
/// # Errors
/// It could not be run, or nothing was counted.
pub(crate) fn count(case: &Case) -> Result<u64, String> {
    let out = format!("{}-{}.callgrind", case.symbol, std::process::id());
    let out = env::temp_dir().join(out);
    let run = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--toggle-collect={}", case.symbol))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(env::current_exe().map_err(|why| why.to_string())?)
        .env(CHILD, case.symbol)
        .output()
        .map_err(|why| why.to_string())?;
    if !run.status.success() {
        return Err(String::from_utf8_lossy(&run.stderr).into_owned());
    }
    let profile = std::fs::read_to_string(&out).map_err(|why| why.to_string())?;
    let _ = std::fs::remove_file(&out);
    let mut lines = profile.lines();
    let summary = lines
        .find_map(|line| line.strip_prefix("summary: "))
        .ok_or("no summary")?;
    let total: u64 = summary.trim().parse().map_err(|_| "no number")?;
    if total < CALLS {
        return Err(format!("only {total} instructions were counted"));
    }
    Ok(total.div_ceil(CALLS))
}
