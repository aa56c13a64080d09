//! A system whose signal frames are not Linux's is recognised at the start, which fails, and leaves the process as it was.
//!
//! Such a system is made here by a parent that traces the starting process: it changes what the frame shows, or what becomes of it. One real
//! such system is valgrind.

use crate::support::{OwnStack, install, passes, registered_stack, test_name};
use mach_sys::emulated;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A difference between a system and Linux.
#[derive(Clone, Copy, Debug)]
enum Host {
    Linux,
    /// Handles faults itself, and delivers no signal to the process.
    Swallows,
    /// Shows another value of `rbx` at the nth fault.
    Shows(usize),
    /// Ignores a register in the frame at the nth return from a handler.
    IgnoresRegister(usize),
    /// Ignores the program counter, as above.
    IgnoresProgramCounter(usize),
    /// Ignores the stack pointer, as above.
    IgnoresStackPointer(usize),
    /// Ignores the signal mask, as above.
    IgnoresMask(usize),
}

/// Stack on which a start begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stack {
    None,
    Own,
    /// In a signal handler on the own one.
    InHandler,
}

const SIGNALS: [i32; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
];

extern "C" fn previous(_: i32) {}

/// State of the thread and the process that the start may change, and restores if it fails.
#[derive(PartialEq, Eq, Debug)]
struct Arrangement {
    handlers: Vec<(usize, i32, u64)>,
    stack: (usize, i32, usize),
    blocked: u64,
}

impl Arrangement {
    fn now() -> Self {
        let handlers = SIGNALS.map(|signal| {
            // SAFETY: the action goes to a local variable; a set begins with the kernel's.
            unsafe {
                let mut action: libc::sigaction = core::mem::zeroed();
                libc::sigaction(signal, core::ptr::null(), &mut action);
                let mask = (&raw const action.sa_mask).cast::<u64>().read();
                (action.sa_sigaction, action.sa_flags, mask)
            }
        });
        let stack = registered_stack();
        // SAFETY: the set goes to a local variable.
        let blocked = unsafe {
            let mut set: libc::sigset_t = core::mem::zeroed();
            libc::pthread_sigmask(libc::SIG_BLOCK, core::ptr::null(), &mut set);
            (&raw const set).cast::<u64>().read()
        };
        Self {
            handlers: handlers.to_vec(),
            stack: (stack.ss_sp as usize, stack.ss_flags, stack.ss_size),
            blocked,
        }
    }
}

/// Starts the emulation, and says how that went.
fn start() -> String {
    let before = Arrangement::now();
    let text = match emulated::start() {
        Ok(()) => "started".to_owned(),
        Err(error) => {
            assert_eq!(Arrangement::now(), before, "{error}");
            error.to_string()
        }
    };
    let after = Arrangement::now();
    assert_eq!((after.stack, after.blocked), (before.stack, before.blocked));
    text
}

static SAID: std::sync::Mutex<String> = std::sync::Mutex::new(String::new());

extern "C" fn start_in_handler(_: i32) {
    *SAID.lock().expect("the test's own") = start();
}

fn start_on(stack: Stack) -> String {
    install(
        libc::SIGILL,
        previous as *const (),
        libc::SA_NODEFER,
        &[libc::SIGUSR1],
    );
    // The harness's threads have the standard library's own.
    let none = libc::stack_t {
        ss_sp: core::ptr::null_mut(),
        ss_flags: libc::SS_DISABLE,
        ss_size: 0,
    };
    // SAFETY: disables the calling thread's stack.
    unsafe { libc::sigaltstack(&none, core::ptr::null_mut()) };
    let _own = (stack != Stack::None).then(|| OwnStack::register(0));
    if stack != Stack::InHandler {
        return start();
    }
    install(
        libc::SIGUSR2,
        start_in_handler as *const (),
        libc::SA_ONSTACK,
        &[],
    );
    // SAFETY: the signal has a handler.
    unsafe { libc::raise(libc::SIGUSR2) };
    SAID.lock().expect("the test's own").clone()
}

fn pipe() -> [OwnedFd; 2] {
    let mut ends = [0; 2];
    // SAFETY: the descriptors go to a local variable, and are these values' alone.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        ends.map(|end| OwnedFd::from_raw_fd(end))
    }
}

/// A fault whose thread has its address in `rax`, as the self-test's has: `mov rax, [rax]`.
const LENGTH: u64 = 3;

/// Starts the emulation in a child on such a system. Returns what the start said.
fn start_under(host: Host, stack: Stack) -> String {
    let [read, write] = pipe();
    // SAFETY: a child with one thread, which leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: system calls without memory but for the text.
        unsafe {
            libc::alarm(20);
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
            libc::raise(libc::SIGSTOP);
            let text = start_on(stack);
            libc::write(write.as_raw_fd(), text.as_ptr().cast(), text.len());
            libc::_exit(0);
        }
    }
    drop(write);
    let status = trace(child, host);
    let mut text = String::new();
    std::fs::File::from(read)
        .read_to_string(&mut text)
        .expect("text");
    assert!(
        libc::WIFEXITED(status),
        "{host:?} {stack:?}: {status:#x} {text}"
    );
    text
}

fn wait(child: i32) -> i32 {
    let mut status = 0;
    // SAFETY: the result goes to a local variable.
    let waited = unsafe { libc::waitpid(child, &mut status, libc::__WALL) };
    assert_eq!(waited, child);
    status
}

fn registers(child: i32) -> libc::user_regs_struct {
    // SAFETY: zeroes are valid registers, which go to a local variable; the child is stopped.
    unsafe {
        let mut registers = core::mem::zeroed();
        libc::ptrace(libc::PTRACE_GETREGS, child, 0_usize, &mut registers);
        registers
    }
}

/// Plays the system until the child is gone. Returns its status.
fn trace(child: i32, host: Host) -> i32 {
    const SYSCALL: i32 = libc::SIGTRAP | 0x80;
    // SAFETY: the child is stopped, and this process's own.
    let request = |request, data: usize| unsafe { libc::ptrace(request, child, 0_usize, data) };
    assert!(libc::WIFSTOPPED(wait(child)), "traced");
    request(
        libc::PTRACE_SETOPTIONS,
        libc::PTRACE_O_TRACESYSGOOD as usize,
    );
    let (mut faults, mut returns, mut returning) = (0, 0, false);
    let mut at_fault = registers(child);
    let mut passed = 0;
    loop {
        request(libc::PTRACE_SYSCALL, passed as usize);
        passed = 0;
        let status = wait(child);
        if !libc::WIFSTOPPED(status) {
            return status;
        }
        let mut now = registers(child);
        match libc::WSTOPSIG(status) {
            SYSCALL if returning => {
                returning = false;
                returns += 1;
                let before = now;
                match host {
                    Host::IgnoresRegister(which) if which == returns => now.rbx = at_fault.rbx,
                    Host::IgnoresProgramCounter(which) if which == returns => {
                        now.rip = at_fault.rip
                    }
                    Host::IgnoresStackPointer(which) if which == returns => now.rsp = at_fault.rsp,
                    Host::IgnoresMask(which) if which == returns => {
                        let mask = u64::MAX;
                        // SAFETY: the mask is a local variable of the size given.
                        unsafe {
                            libc::ptrace(libc::PTRACE_SETSIGMASK, child, 8_usize, &raw const mask)
                        };
                    }
                    _ => {}
                }
                if (now.rbx, now.rip, now.rsp) != (before.rbx, before.rip, before.rsp) {
                    request(libc::PTRACE_SETREGS, &raw const now as usize);
                }
            }
            SYSCALL => returning = now.orig_rax == libc::SYS_rt_sigreturn as u64,
            libc::SIGSEGV => {
                faults += 1;
                at_fault = now;
                passed = libc::SIGSEGV;
                match host {
                    Host::Swallows => {
                        passed = 0;
                        now.rip += LENGTH;
                        request(libc::PTRACE_SETREGS, &raw const now as usize);
                    }
                    Host::Shows(which) if which == faults => {
                        now.rbx += 1;
                        request(libc::PTRACE_SETREGS, &raw const now as usize);
                    }
                    _ => {}
                }
            }
            signal => passed = signal,
        }
    }
}

/// Each system, and what the start says there. A start in a signal handler on the alternate stack has one situation instead of four: its
/// faults are the first, a probed copy and the third.
const HOSTS: [(Host, &str); 15] = [
    (Host::Linux, "started"),
    (Host::Swallows, "a fault did not reach the signal handler"),
    (Host::Shows(1), "shows another value than rbx had"),
    (Host::Shows(3), "shows another value than rbx had"),
    (Host::Shows(4), "shows another value than rbx had"),
    (Host::Shows(5), "shows another value than rbx had"),
    (
        Host::IgnoresRegister(1),
        "rbx was written to the frame of a fault, and the thread went on with another value",
    ),
    (
        Host::IgnoresRegister(3),
        "rbx was written to the frame of a fault, and the thread went on with another value (the handler returned from a copy",
    ),
    (
        Host::IgnoresRegister(4),
        "rbx was written to the frame of a fault, and the thread went on with another value (the handler returned from a copy",
    ),
    (Host::IgnoresRegister(5), "rbx was written"),
    (Host::IgnoresProgramCounter(1), "rip was written"),
    (Host::IgnoresProgramCounter(3), "rip was written"),
    (Host::IgnoresStackPointer(1), "rsp was written"),
    (Host::IgnoresStackPointer(4), "rsp was written"),
    (Host::IgnoresMask(1), "the signal mask in the frame"),
];

#[test]
fn a_host_whose_signal_frames_are_not_linuxs_is_refused_and_nothing_is_left_behind() {
    let name =
        test_name!(a_host_whose_signal_frames_are_not_linuxs_is_refused_and_nothing_is_left_behind);
    passes(name, || {
        for stack in [Stack::None, Stack::Own, Stack::InHandler] {
            for (host, expected) in HOSTS {
                let has_it = !matches!(
                    host,
                    Host::Shows(4..) | Host::IgnoresRegister(4..) | Host::IgnoresStackPointer(4..)
                );
                let expected = if stack != Stack::InHandler || has_it {
                    expected
                } else {
                    "started"
                };
                let said = start_under(host, stack);
                assert!(said.contains(expected), "{host:?} {stack:?}: {said}");
            }
        }
    });
}
