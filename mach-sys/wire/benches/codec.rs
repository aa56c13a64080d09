//! Number of instructions to serve one exception message, counted by callgrind.
//!
//! It measures the work of a receive loop between receiving and sending: it demultiplexes message 2407 with two codes and 42 words of
//! state, decodes it, calls a handler that reads every argument and copies the state, and encodes the reply. Apple's MIG-generated C
//! takes 190 instructions for the same work (154 with a handler that does not copy), compiled with clang -O2.
//!
//! `cargo bench -p mach-wire --bench codec` runs itself under `valgrind --tool=callgrind`, collecting only inside the measured
//! function, and fails above the limit. Without valgrind it prints that it is skipped. The numbers include the C library's memcpy,
//! which copies the state.
#![allow(unsafe_code)]

use std::env;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};

use mach_wire::exception::ExceptionType;
use mach_wire::kern_return::KernReturn;
use mach_wire::message::Disposition;
use mach_wire::mig::Accept;
use mach_wire::mig::{
    HeaderPort, Identity, NewState, REPLY_SIZE_MAX, Raise, Request, Routine, mach_exc_server, serve,
};
use mach_wire::thread_state::{ThreadState, x86_thread_state64_t};

/// Environment variable of the run under callgrind: the function to call.
const CHILD: &str = "MACH_SYS_BENCH_CHILD";
/// Number of calls of the measured function. The result is the mean.
const CALLS: u64 = 1000;
/// The largest number of instructions allowed for message 2407.
const LIMIT: u64 = 150;

/// A case to measure: its symbol, its description, and the largest number of instructions allowed, if there is a limit.
struct Case {
    symbol: &'static str,
    what: &'static str,
    limit: Option<u64>,
    run: extern "C" fn(&[u8; REPLY_SIZE_MAX], usize, &mut [u8; REPLY_SIZE_MAX]) -> usize,
}

const CASES: [Case; 3] = [
    Case {
        symbol: "measured_mach_exc",
        what: "mach_exc_server: 2407, 42 words, handler copies the state",
        limit: Some(LIMIT),
        run: measured_mach_exc,
    },
    Case {
        symbol: "measured_both",
        what: "server of both subsystems: the same",
        limit: None,
        run: measured_both,
    },
    Case {
        symbol: "measured_minimal",
        what: "mach_exc_server: the same, handler reads nothing and copies nothing",
        limit: None,
        run: measured_minimal,
    },
];

/// Reads every argument that MIG passes to a C handler, and copies the state.
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

/// Serves the message. Callgrind finds the function by its name, so it is neither mangled nor inlined.
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

/// Returns message 2407 as the kernel delivers it for a null store on x86_64, and its size.
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

/// Calls a case's function, and checks its result.
fn child(symbol: &str) -> ExitCode {
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
    ExitCode::SUCCESS
}

/// Runs a case under callgrind, and returns the number of instructions per call.
fn count(case: &Case) -> Result<u64, String> {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.callgrind", case.symbol));
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

fn main() -> ExitCode {
    if let Ok(symbol) = env::var(CHILD) {
        return child(&symbol);
    }
    // `cargo test --all-targets` also runs benches, without optimisation.
    if !env::args().any(|argument| argument == "--bench") {
        println!("codec: skipped, only `cargo bench` counts");
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("codec: skipped, valgrind is not installed");
        return ExitCode::SUCCESS;
    }
    let mut failed = false;
    for case in &CASES {
        match (count(case), case.limit) {
            (Ok(found), Some(limit)) if found > limit => {
                println!(
                    "codec: {found} instructions, more than {limit}: {}",
                    case.what
                );
                failed = true;
            }
            (Ok(found), Some(limit)) => {
                println!("codec: {found} instructions (limit {limit}): {}", case.what);
            }
            (Ok(found), None) => println!("codec: {found} instructions: {}", case.what),
            (Err(why), _) => {
                println!("codec: {} could not be counted: {why}", case.symbol);
                failed = true;
            }
        }
    }
    println!("codec: MIG-generated C takes 190 for the first, 154 for the last");
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
