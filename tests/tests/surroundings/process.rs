//! Runs a cell in a process of its own, and traces it: the signal that ends it is seen with its siginfo.

use crate::cell::Cell;
use crate::note::{Note, Visit};
use core::ffi::c_int;

/// The signal that a process got last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    signal: c_int,
    code: c_int,
    /// Address of a fault; 0 for a signal that was sent.
    address: u64,
    /// The interrupted program counter of a fault.
    pc: u64,
}

/// The end of a cell's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The wait status.
    pub(crate) status: c_int,
    /// Exit status of the cell's own child.
    pub(crate) child: c_int,
    /// The last signal, on a host where processes can be traced.
    pub(crate) last: Option<Last>,
    pub(crate) visits: Vec<Visit>,
    pub(crate) finished: bool,
    pub(crate) text: String,
}

/// Returns how many faults the library of the last cell that was run declined.
pub(crate) fn declined() -> u32 {
    Note::get().declined()
}

/// The limit of a cell, in seconds.
const SECONDS: i64 = 20;

extern "C" fn interrupt(_: c_int) {}

/// Lets a timer interrupt waits. For the workers.
pub(crate) fn prepare() {
    // SAFETY: zeroes are a valid action; the handler has one argument.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = interrupt as *const () as usize;
        libc::sigaction(libc::SIGALRM, &action, core::ptr::null_mut());
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
}

/// Returns whether this system lets a child be traced.
pub(crate) fn can_trace() -> bool {
    // SAFETY: the child leaves by `_exit`, and touches nothing before.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            let refused = libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) != 0;
            libc::_exit(c_int::from(refused));
        }
        let mut status = -1;
        libc::waitpid(child, &mut status, 0);
        status == 0
    }
}

/// Runs a cell, and returns how it ended.
pub(crate) fn run(cell: &Cell, traced: bool) -> Outcome {
    let note = Note::get();
    note.clear();
    // SAFETY: this process has one thread; the child leaves by a signal or by `_exit`.
    let child = unsafe {
        let child = libc::fork();
        if child == 0 {
            live(cell, traced);
        }
        child
    };
    assert!(child > 0, "a process");
    set_timer(SECONDS);
    let (status, last) = follow(child);
    set_timer(0);
    Outcome {
        status,
        child: note.child(),
        last: last.filter(|_| traced),
        visits: note.visits(),
        finished: note.is_finished(),
        text: note.text(),
    }
}

fn live(cell: &Cell, traced: bool) -> ! {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the limit is a local variable; the parent waits for the stop.
    unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &none);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if traced {
            libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
            libc::raise(libc::SIGSTOP);
        }
    }
    std::panic::set_hook(Box::new(|panic| Note::get().say(&panic.to_string())));
    let cell = *cell;
    let outcome = std::panic::catch_unwind(move || cell.live());
    // SAFETY: nothing of this process's is to be flushed.
    unsafe { libc::_exit(if outcome.is_ok() { 0 } else { 101 }) }
}

fn set_timer(seconds: i64) {
    let mut timer = libc::itimerval {
        it_interval: libc::timeval {
            tv_sec: 0,
            tv_usec: 0,
        },
        it_value: libc::timeval {
            tv_sec: seconds as libc::time_t,
            tv_usec: 0,
        },
    };
    // SAFETY: the timer is a local variable.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw mut timer, core::ptr::null_mut()) };
}

/// Waits for a child to end, and lets it and its threads and children go on at each stop. Returns its status and the last signal that
/// one of them got.
fn follow(child: libc::pid_t) -> (c_int, Option<Last>) {
    let mut last = None;
    let mut known: Vec<libc::pid_t> = Vec::new();
    loop {
        let mut status = 0;
        // SAFETY: the result goes to a local variable.
        let stopped = unsafe { libc::waitpid(-1, &mut status, libc::__WALL) };
        if stopped < 0 {
            // The timer: it hangs.
            Note::get().say("it did not end");
            // SAFETY: a child that was not waited for.
            unsafe { libc::kill(child, libc::SIGKILL) };
            continue;
        }
        if !libc::WIFSTOPPED(status) {
            if stopped == child {
                return (status, last);
            }
            continue;
        }
        let signal = libc::WSTOPSIG(status);
        let is_new = !known.contains(&stopped);
        if is_new {
            known.push(stopped);
        }
        let is_first_stop = is_new && signal == libc::SIGSTOP;
        if is_first_stop && stopped == child {
            let options = libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_TRACEFORK;
            // SAFETY: the child is stopped.
            unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, stopped, 0, options) };
        }
        let passed = if is_first_stop || status >> 16 != 0 {
            0
        } else {
            if signal != libc::SIGCHLD {
                last = Some(signal_of(stopped));
            }
            signal
        };
        // SAFETY: the thread is stopped.
        unsafe { libc::ptrace(libc::PTRACE_CONT, stopped, 0, passed) };
    }
}

/// The signal that a stopped thread is about to get.
fn signal_of(thread: libc::pid_t) -> Last {
    const NT_PRSTATUS: usize = 1;
    const PC: usize = if cfg!(target_arch = "x86_64") { 16 } else { 32 };
    let mut registers = [0_u64; 64];
    let mut vector = libc::iovec {
        iov_base: registers.as_mut_ptr().cast(),
        iov_len: size_of_val(&registers),
    };
    // SAFETY: the thread is stopped; what is told of it goes to local variables, which have room for it.
    unsafe {
        let mut info: libc::siginfo_t = core::mem::zeroed();
        libc::ptrace(libc::PTRACE_GETSIGINFO, thread, 0, &raw mut info);
        libc::ptrace(libc::PTRACE_GETREGSET, thread, NT_PRSTATUS, &raw mut vector);
        let is_fault = info.si_code > 0;
        Last {
            signal: info.si_signo,
            code: info.si_code,
            address: if is_fault { info.si_addr() as u64 } else { 0 },
            pc: if is_fault { registers[PC] } else { 0 },
        }
    }
}
