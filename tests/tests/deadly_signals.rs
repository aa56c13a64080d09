//! R28: signals of the process while all its threads wait for the answer to a fault, or belong to a server or to the emulation, and have
//! their signals blocked for that reason only. What Apple's kernel does with such signals is its own: there are no tests here for it.
#![cfg(not(target_vendor = "apple"))]
#![allow(unsafe_code)]

use exc_server::{Answered, Delivery, Exception, Routing, Server, Target};
use mach_sys::exception::ExceptionMask;
use mach_sys::kernel::{self, Config, CrashPolicy};
use mach_sys::rights::ThreadRight;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};
use tests::emulator::is_emulated;
use tests::faults::undefined;
use tests::instructions::skip_undefined;
use tests::isolated::{isolated, report_skipped};
use tests::sandbox::refuse;
use tests::watchdog::abort_after;

/// Time that the fault waits for its answer where the process lives on: longer than the emulation takes to find the signal.
const ANSWER: Duration = Duration::from_millis(1500);
/// The same where the signal ends the process: an answer would let it arrive.
const NO_ANSWER: Duration = Duration::from_secs(45);
/// Time after which the signal is sent, in microseconds.
const SENT: u32 = 300_000;
/// The status of a process that lived on.
const LIVED: i32 = 9;

fn answered_late(exception: Exception<'_>, after: Duration) -> Answered {
    match exception.defer(after.into()) {
        Ok((answered, deferred)) => {
            // Dropping it declines.
            core::mem::forget(deferred);
            answered
        }
        Err(refused) => refused.exception.decline(),
    }
}

/// The signal fallback: the declined fault is over.
unsafe extern "C" fn skip(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel's own context.
    unsafe { skip_undefined(context) };
}

static SEEN: AtomicI32 = AtomicI32::new(0);

extern "C" fn seen(signal: i32) {
    SEEN.store(signal, Ordering::SeqCst);
}

/// The process's arrangement for the signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arranged {
    Default,
    /// The default action, and the signal is sent to the thread that faults, not to the process.
    Directed,
    Ignored,
    Handled,
    /// The thread that faults has it blocked itself.
    Blocked,
    /// A sandbox refuses `tgkill`.
    Sandboxed,
    /// The default action, and the emulation raises `EXC_CRASH`, for which it takes `SIGABRT`.
    Crashing {
        directed: bool,
    },
}

/// Returns whether the signal ends the process.
fn is_deadly(signal: i32, arranged: Arranged) -> bool {
    let ignored = [libc::SIGCHLD, libc::SIGCONT, libc::SIGURG, libc::SIGWINCH];
    let lives = [Arranged::Ignored, Arranged::Handled, Arranged::Blocked];
    !ignored.contains(&signal) && !lives.contains(&arranged)
}

fn install(signal: i32, handler: usize, flags: i32) {
    // SAFETY: zeroes are a valid action; the handlers of this test are async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(signal, &action, core::ptr::null_mut()), 0);
    }
}

fn mask_with(signal: i32, how: i32) {
    // SAFETY: zeroes are a valid set; the calling thread's own mask is changed.
    unsafe {
        let mut set: libc::sigset_t = core::mem::zeroed();
        libc::sigaddset(&mut set, signal);
        libc::pthread_sigmask(how, &set, core::ptr::null_mut());
    }
}

fn is_pending(signal: i32) -> bool {
    // SAFETY: zeroes are a valid set, which is filled before it is read.
    unsafe {
        let mut set: libc::sigset_t = core::mem::zeroed();
        libc::sigpending(&mut set);
        libc::sigismember(&set, signal) == 1
    }
}

/// Sends this process a signal after a while, from a child; or its first thread alone.
fn send_later(signal: i32, directed: bool) {
    // SAFETY: the child makes nothing but system calls.
    unsafe {
        let parent = libc::getpid();
        match libc::fork() {
            0 => {
                libc::usleep(SENT);
                match directed {
                    true => {
                        libc::syscall(libc::SYS_tgkill, parent, parent, signal);
                    }
                    false => {
                        libc::kill(parent, signal);
                    }
                }
                libc::_exit(0)
            }
            child => assert!(child > 0),
        }
    }
}

/// The only thread that is not a server's faults, waits, and meanwhile the process is sent a signal.
fn fault_while_sent(signal: i32, arranged: Arranged) {
    install(libc::SIGILL, skip as *const () as usize, libc::SA_SIGINFO);
    install(signal, libc::SIG_DFL, 0);
    match arranged {
        Arranged::Default | Arranged::Directed => mask_with(signal, libc::SIG_UNBLOCK),
        Arranged::Ignored => install(signal, libc::SIG_IGN, 0),
        Arranged::Handled => install(signal, seen as *const () as usize, 0),
        Arranged::Blocked => mask_with(signal, libc::SIG_BLOCK),
        Arranged::Sandboxed => {
            mask_with(signal, libc::SIG_UNBLOCK);
            assert!(refuse(&[libc::SYS_tgkill]), "filters of system calls");
        }
        Arranged::Crashing { .. } => {
            mask_with(signal, libc::SIG_UNBLOCK);
            let mut config = Config::default();
            config.crashes = CrashPolicy::OwnReceivers;
            kernel::configure(config).expect("started");
        }
    }
    let after = if is_deadly(signal, arranged) {
        NO_ANSWER
    } else {
        ANSWER
    };
    let server = Server::builder().deferrals(1);
    let server = server.start(move |exception: Exception<'_>| answered_late(exception, after));
    let server = server.expect("a server");
    let this = ThreadRight::current().expect("the own thread");
    let routing = Routing::new(ExceptionMask::BAD_INSTRUCTION, Delivery::THREAD);
    let route = server.route(Target::Thread(&this), &routing);
    let _route = route.expect("a route");
    let threads = std::fs::read_dir("/proc/self/task").expect("threads");
    assert_eq!(threads.count(), 3, "this, the server's, the emulation's");
    let directed = matches!(
        arranged,
        Arranged::Directed | Arranged::Crashing { directed: true }
    );
    send_later(signal, directed);
    undefined();
    assert_eq!(server.shutdown().expired, 1);
    assert_eq!(is_pending(signal), arranged == Arranged::Blocked);
    let seen = SEEN.load(Ordering::SeqCst);
    assert_eq!(seen == signal, arranged == Arranged::Handled);
    // SAFETY: ends the process.
    unsafe { libc::_exit(LIVED) };
}

/// Runs it in the child of a fork, which has one thread, and returns the child's status. This process has not started the emulation.
fn status(signal: i32, arranged: Arranged) -> ExitStatus {
    let mut status = 0;
    let begun = Instant::now();
    // SAFETY: the harness's thread waits, and holds no lock that the child needs.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            let run = || fault_while_sent(signal, arranged);
            let _ = std::panic::catch_unwind(run);
            libc::_exit(1);
        }
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
    }
    if is_deadly(signal, arranged) {
        assert!(
            begun.elapsed() < NO_ANSWER,
            "{signal} {arranged:?} waited for the answer"
        );
    }
    ExitStatus::from_raw(status)
}

#[test]
fn r28_a_signal_with_a_deadly_default_ends_a_process_whose_threads_all_wait() {
    const NAME: &str = "r28_a_signal_with_a_deadly_default_ends_a_process_whose_threads_all_wait";
    let signals = [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGUSR1,
        libc::SIGPIPE,
        libc::SIGALRM,
        libc::SIGTERM,
        libc::SIGXCPU,
        libc::SIGSYS,
        libc::SIGRTMIN(),
        libc::SIGRTMAX(),
    ];
    if is_emulated() {
        return report_skipped(NAME, "a processor's emulator makes no threads in children");
    }
    isolated(NAME, || {
        abort_after(Duration::from_secs(100));
        for signal in signals {
            let status = status(signal, Arranged::Default);
            assert_eq!(status.signal(), Some(signal), "{status}");
        }
        for signal in [libc::SIGTERM, libc::SIGRTMAX()] {
            let status = status(signal, Arranged::Directed);
            assert_eq!(status.signal(), Some(signal), "to the thread: {status}");
        }
    });
}

/// The handler that the emulation has for it then takes the default action as well.
#[test]
fn r28_a_signal_of_abort_ends_a_process_whose_threads_all_wait_whatever_crashes_raise() {
    const NAME: &str =
        "r28_a_signal_of_abort_ends_a_process_whose_threads_all_wait_whatever_crashes_raise";
    if is_emulated() {
        return report_skipped(NAME, "a processor's emulator makes no threads in children");
    }
    isolated(NAME, || {
        abort_after(Duration::from_secs(100));
        for arranged in [
            Arranged::Default,
            Arranged::Directed,
            Arranged::Crashing { directed: false },
            Arranged::Crashing { directed: true },
        ] {
            let status = status(libc::SIGABRT, arranged);
            assert_eq!(
                status.signal(),
                Some(libc::SIGABRT),
                "{arranged:?}: {status}"
            );
        }
    });
}

#[test]
fn r28_a_signal_that_no_thread_would_take_waits_for_the_answer_like_its_thread() {
    const NAME: &str =
        "r28_a_signal_that_no_thread_would_take_waits_for_the_answer_like_its_thread";
    let cases = [
        (libc::SIGTERM, Arranged::Blocked),
        (libc::SIGTERM, Arranged::Ignored),
        (libc::SIGTERM, Arranged::Handled),
        (libc::SIGRTMAX(), Arranged::Handled),
        (libc::SIGCHLD, Arranged::Default),
        (libc::SIGCHLD, Arranged::Directed),
        (libc::SIGCONT, Arranged::Default),
        (libc::SIGURG, Arranged::Default),
        (libc::SIGWINCH, Arranged::Default),
    ];
    if is_emulated() {
        return report_skipped(NAME, "a processor's emulator makes no threads in children");
    }
    isolated(NAME, || {
        abort_after(Duration::from_secs(100));
        for (signal, arranged) in cases {
            let status = status(signal, arranged);
            assert_eq!(
                status.code(),
                Some(LIVED),
                "{signal} {arranged:?}: {status}"
            );
        }
    });
}

/// It is taken from those that are pending before it is sent to the thread that dies of it.
#[test]
fn r28_a_deadly_signal_is_not_lost_where_a_sandbox_refuses_to_send_it() {
    const NAME: &str = "r28_a_deadly_signal_is_not_lost_where_a_sandbox_refuses_to_send_it";
    if is_emulated() {
        return report_skipped(NAME, "a processor's emulator makes no threads in children");
    }
    isolated(NAME, || {
        abort_after(Duration::from_secs(100));
        let status = status(libc::SIGTERM, Arranged::Sandboxed);
        assert_eq!(status.signal(), Some(libc::SIGTERM), "{status}");
    });
}
