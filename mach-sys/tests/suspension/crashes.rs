//! `EXC_CRASH` on the thread that ends the process, as `Config::crashes` says (A14).

use crate::moved::{carrier, receive_receive_right, send_receive_right};
use crate::support::{Handler, Name, Request, abort, own_name, suspend, terminate};
use mach_sys::exception::{
    CrashCode, EXC_CRASH, EXC_GUARD, EXC_MASK_BAD_ACCESS, EXC_MASK_CRASH, EXC_MASK_GUARD,
    ExceptionType, GuardCode, PortGuardFlavor,
};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, Config, CrashPolicy, GuardPolicy, system::task_self};
use mach_sys::message::{MACH_RCV_MSG, MACH_RCV_TIMEOUT};
use mach_sys::port::MACH_PORT_TYPE_SEND_ONCE;
use mach_sys::rights::Right;
use mach_sys::thread_state::{NativeState, Registers};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;
use test_support::emulator::is_emulated;
use test_support::isolated::{exit_status, exit_status_with, isolated, report_skipped};

/// An address that no page is mapped at.
const NOWHERE: usize = 0x12340;

fn start(crashes: CrashPolicy) {
    let mut config = Config::default();
    config.crashes = crashes;
    config.guards = GuardPolicy::Deliver;
    kernel::configure(config).expect("started");
}

/// Says what came, at once: the process is about to end.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Says what a request tells of a crash.
fn say_crash(who: &str, request: &Request) {
    let (exception, [code, subcode]) = request.raised();
    match exception {
        EXC_CRASH => say(&format!("{who}: {}", CrashCode::decode(code, subcode))),
        EXC_GUARD => say(&format!("{who}: {}", GuardCode::decode(code, subcode))),
        other => say(&format!("{who}: {other} {code:#x} {subcode:#x}")),
    }
}

/// Answers requests on a thread of its own, after it has said what came.
fn serve(
    who: &'static str,
    mask: u32,
    thread: Option<Name>,
    answer: impl Fn(&Request) -> Result<NativeState, KernReturn> + Send + 'static,
) {
    let handler = Handler::new();
    match thread {
        Some(thread) => handler.route(thread, mask),
        None => handler.route_task(mask),
    }
    drop(std::thread::spawn(move || {
        loop {
            let Some(request) = handler.receive_within(Duration::from_secs(60)) else {
                return;
            };
            say_crash(who, &request);
            let answer = answer(&request);
            let sent = handler.reply_with(&request, answer.as_ref().map_err(|code| *code));
            if sent != KernReturn::SUCCESS {
                say(&format!("{who}: the reply was refused: {sent}"));
            }
        }
    }));
}

fn decline(_: &Request) -> Result<NativeState, KernReturn> {
    Err(KernReturn::FAILURE)
}

fn accept(request: &Request) -> Result<NativeState, KernReturn> {
    Ok(request.state)
}

/// Ends the process by a bad store.
fn fault() -> ! {
    // SAFETY: the store faults, and nothing else happens.
    unsafe { (NOWHERE as *mut u8).write_volatile(1) };
    say("it went on");
    std::process::exit(0);
}

fn lines<'t>(text: &'t str, who: &str) -> Vec<&'t str> {
    let begin = format!("{who}: ");
    let line = |line: &'t str| line.find(&begin).map(|at| &line[at + begin.len()..]);
    text.lines().filter_map(line).collect()
}

fn assert_ended((status, text): &(ExitStatus, String), signal: i32) {
    assert_eq!(status.signal(), Some(signal), "{status}\n{text}");
    assert!(!text.contains("it went on"), "{text}");
    assert!(!text.contains("refused"), "{text}");
    assert!(!text.contains("did not end within"), "{text}");
}

/// A14.1: with the exception of the thread's last fault. A1.8: each level is asked, as for every exception.
#[test]
fn a14_1_a_fault_that_no_handler_takes_raises_exc_crash_at_both_levels() {
    const NAME: &str =
        "crashes::a14_1_a_fault_that_no_handler_takes_raises_exc_crash_at_both_levels";
    let Some(ended) = exit_status(NAME, || {
        start(CrashPolicy::OwnReceivers);
        serve("thread", EXC_MASK_CRASH, Some(own_name()), decline);
        serve("task", EXC_MASK_CRASH | EXC_MASK_BAD_ACCESS, None, decline);
        fault();
    }) else {
        return;
    };
    assert_ended(&ended, libc::SIGSEGV);
    let crash = "signal 11, originally EXC_BAD_ACCESS {0x1, 0x12340}";
    assert_eq!(lines(&ended.1, "thread"), [crash], "{}", ended.1);
    // The handler of Rust's standard library sets the default action and returns, if it is there: the second time no handler is left.
    let mut task = lines(&ended.1, "task");
    task.dedup();
    assert_eq!(task, ["1 0x1 0x12340", crash], "{}", ended.1);
}

/// A14.1: the signal is XNU's, in Darwin's number, whichever the system's is.
#[test]
fn a14_1_the_signal_is_the_one_that_xnu_posts() {
    const NAME: &str = "crashes::a14_1_the_signal_is_the_one_that_xnu_posts";
    if is_emulated() {
        report_skipped(NAME, "the program lies in the room for the main stack");
        return;
    }
    let Some(ended) = exit_status(NAME, || {
        start(CrashPolicy::OwnReceivers);
        serve("task", EXC_MASK_CRASH, None, accept);
        let code = fault as fn() -> ! as usize as *mut u8;
        // SAFETY: code cannot be written to: the store faults.
        unsafe { code.write_volatile(1) };
        say("it went on");
    }) else {
        return;
    };
    assert_ended(&ended, libc::SIGSEGV);
    let [told] = *lines(&ended.1, "task") else {
        panic!("{}", ended.1);
    };
    assert!(
        told.starts_with("signal 10, originally EXC_BAD_ACCESS {0x2, "),
        "{told}"
    );
}

/// A14.2: a reply's state and its code decide nothing about the thread's future.
#[test]
fn a14_2_the_answer_does_not_save_the_process() {
    const NAME: &str = "crashes::a14_2_the_answer_does_not_save_the_process";
    for breakpoint in ["", "yes"] {
        let Some(ended) = exit_status_with(NAME, &[("BREAKPOINT", breakpoint)], || {
            start(CrashPolicy::OwnReceivers);
            serve("task", EXC_MASK_CRASH, None, |request| {
                let mut state = request.state;
                let elsewhere = go_on as extern "C" fn() -> ! as usize as u64;
                state.set_pc(elsewhere);
                Ok(state)
            });
            if std::env::var("BREAKPOINT").is_ok_and(|value| value == "yes") {
                break_here();
            } else {
                fault();
            }
        }) else {
            return;
        };
        let signal = if breakpoint.is_empty() {
            libc::SIGSEGV
        } else {
            libc::SIGTRAP
        };
        assert_ended(&ended, signal);
        assert_eq!(lines(&ended.1, "task").len(), 1, "{}", ended.1);
    }
}

fn break_here() {
    // SAFETY: a breakpoint, which traps and changes nothing.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!("int3");
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!("brk #1");
    }
}

extern "C" fn go_on() -> ! {
    say("it went on");
    std::process::exit(0);
}

/// A1.7, A14.3: a receiver in the process that crashes is passed over.
#[test]
fn a1_7_a14_3_as_on_xnu_the_own_receiver_is_passed_over() {
    const NAME: &str = "crashes::a1_7_a14_3_as_on_xnu_the_own_receiver_is_passed_over";
    let Some(ended) = exit_status(NAME, || {
        start(CrashPolicy::Xnu);
        serve("thread", EXC_MASK_CRASH, Some(own_name()), accept);
        serve("task", EXC_MASK_CRASH, None, accept);
        fault();
    }) else {
        return;
    };
    assert_ended(&ended, libc::SIGSEGV);
    assert!(!ended.1.contains("originally"), "{}", ended.1);
}

/// A1.7: the check looks at the holder of the receive right, and nothing holds it while it is in a message.
#[test]
fn a1_7_a_receive_right_in_a_message_is_not_passed_over() {
    const NAME: &str = "crashes::a1_7_a_receive_right_in_a_message_is_not_passed_over";
    let Some(ended) = exit_status(NAME, || {
        start(CrashPolicy::Xnu);
        let handler = Handler::new();
        handler.route_task(EXC_MASK_CRASH);
        let (carrier, moved) = (carrier(), handler.port.name().raw());
        send_receive_right(carrier, moved);
        drop(std::thread::spawn(|| fault()));
        // The fault has been declined by now, or is in a moment; the right leaves the message long after.
        std::thread::sleep(Duration::from_millis(300));
        let back = receive_receive_right(carrier);
        say(&format!("back: {back}"));
        let mut words = [0_u32; 2048];
        // SAFETY: the buffer is valid for its size.
        let received = unsafe {
            kernel::mach_msg(
                words.as_mut_ptr().cast(),
                MACH_RCV_MSG | MACH_RCV_TIMEOUT,
                0,
                size_of_val(&words) as u32,
                back,
                20_000,
                0,
            )
        };
        say(&format!("received: {}", KernReturn::new(received)));
        core::mem::forget(handler);
        // SAFETY: no pointers. The reply right's end is the answer.
        unsafe { kernel::mach_port_deallocate(task_self(), words[2]) };
        std::thread::sleep(Duration::from_secs(60));
    }) else {
        return;
    };
    assert_ended(&ended, libc::SIGSEGV);
    assert_eq!(lines(&ended.1, "received").len(), 1, "{}", ended.1);
    let success = KernReturn::SUCCESS.to_string();
    assert_eq!(lines(&ended.1, "received"), [success], "{}", ended.1);
}

/// A14.1: `abort` ends by a signal that makes a core, too. No exception of the thread's became a signal before it.
#[test]
fn a14_1_abort_raises_exc_crash() {
    const NAME: &str = "crashes::a14_1_abort_raises_exc_crash";
    let Some(ended) = exit_status(NAME, || {
        start(CrashPolicy::OwnReceivers);
        serve("task", EXC_MASK_CRASH, None, accept);
        std::process::abort();
    }) else {
        return;
    };
    assert_ended(&ended, libc::SIGABRT);
    let none = ExceptionType::new(0);
    let told = format!("signal 6, originally {none} {{0x0, 0x0}}");
    assert_eq!(lines(&ended.1, "task"), [told], "{}", ended.1);
}

/// A signal that a thread sends, and that has no handler.
#[test]
fn a14_1_a_sent_signal_raises_exc_crash() {
    const NAME: &str = "crashes::a14_1_a_sent_signal_raises_exc_crash";
    let Some(ended) = exit_status(NAME, || {
        start(CrashPolicy::OwnReceivers);
        serve("task", EXC_MASK_CRASH, None, accept);
        // The handler of Rust's standard library takes the first, if it is there, and sets the default action.
        for _ in 0..2 {
            // SAFETY: no pointers; the process dies of it.
            unsafe { libc::raise(libc::SIGBUS) };
        }
        say("it went on");
    }) else {
        return;
    };
    assert_ended(&ended, libc::SIGBUS);
    let told = lines(&ended.1, "task");
    assert_eq!(told.len(), 1, "{}", ended.1);
    assert!(told[0].starts_with("signal 10, "), "{}", ended.1);
}

/// A12.14, A12.5: an abort shows the last exception of its thread that became a signal, and not one that a handler took.
#[test]
fn a12_14_an_abort_shows_the_exception_that_became_a_signal_before() {
    const NAME: &str = "crashes::a12_14_an_abort_shows_the_exception_that_became_a_signal_before";
    let Some(ended) = exit_status(NAME, || {
        // SAFETY: the handler does one system call.
        unsafe {
            let mut action: libc::sigaction = core::mem::zeroed();
            action.sa_sigaction = open_page as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            assert_eq!(
                libc::sigaction(libc::SIGSEGV, &action, core::ptr::null_mut()),
                0
            );
        }
        start(CrashPolicy::OwnReceivers);
        serve("task", EXC_MASK_CRASH, None, accept);
        touch_closed_page();
        // The page of another thread's fault does not show in this one's crash.
        std::thread::spawn(touch_closed_page)
            .join()
            .expect("it ended");
        let page = PAGE.load(Ordering::SeqCst);
        say(&format!("last: {page:#x}"));
        let first = FIRST.load(Ordering::SeqCst);
        say(&format!("first: {first:#x}"));
        // One that a handler takes is not stored.
        let handler = Handler::new();
        handler.route_thread(EXC_MASK_BAD_ACCESS);
        drop(std::thread::spawn(move || {
            let request = handler.receive();
            open(request.raised().1[1] as usize);
            assert_eq!(
                handler.reply(&request, Some(&request.state)),
                KernReturn::SUCCESS
            );
            core::mem::forget(handler);
        }));
        touch_closed_page();
        std::process::abort();
    }) else {
        return;
    };
    assert_ended(&ended, libc::SIGABRT);
    let first = lines(&ended.1, "first")[0];
    let told = format!("signal 6, originally EXC_BAD_ACCESS {{0x2, {first}}}");
    assert_eq!(lines(&ended.1, "task"), [told], "{}", ended.1);
}

static PAGE: AtomicUsize = AtomicUsize::new(0);
static FIRST: AtomicUsize = AtomicUsize::new(0);
/// A multiple of every system's page size.
const SIZE: usize = 65536;

/// Faults at a page that is opened then.
fn touch_closed_page() {
    // SAFETY: two pages without access, of which the aligned one inside is used.
    let page = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
        let map = libc::mmap(
            core::ptr::null_mut(),
            2 * SIZE,
            libc::PROT_NONE,
            flags,
            -1,
            0,
        );
        assert_ne!(map, libc::MAP_FAILED);
        (map as usize).next_multiple_of(SIZE)
    };
    PAGE.store(page, Ordering::SeqCst);
    let _ = FIRST.compare_exchange(0, page, Ordering::SeqCst, Ordering::SeqCst);
    // SAFETY: the store faults until the page is open.
    unsafe { (page as *mut u8).write_volatile(1) };
}

fn open(address: usize) {
    // SAFETY: opens a page of `touch_closed_page`.
    unsafe {
        let page = (address & !(SIZE - 1)) as *mut libc::c_void;
        libc::mprotect(page, SIZE, libc::PROT_READ | libc::PROT_WRITE);
    }
}

unsafe extern "C" fn open_page(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the system's own siginfo.
    open(unsafe { (*info).si_addr() } as usize);
}

/// A1.6, A8.11: neither an abort nor a suspension nor a termination ends the wait; the answer does.
#[test]
fn a1_6_a8_11_nothing_but_the_answer_ends_the_wait() {
    const NAME: &str = "crashes::a1_6_a8_11_nothing_but_the_answer_ends_the_wait";
    let Some(ended) = exit_status(NAME, || {
        start(CrashPolicy::OwnReceivers);
        let victim = own_name();
        serve("task", EXC_MASK_CRASH, None, move |request| {
            say(&format!("abort: {}", abort(victim)));
            // The main thread is no pthread to the kernel.
            say(&format!("suspend: {}", suspend(victim)));
            say(&format!("terminate: {}", terminate(victim)));
            std::thread::sleep(Duration::from_millis(100));
            let mut kind = 0;
            // SAFETY: the result goes to a local variable.
            let code =
                unsafe { kernel::mach_port_type(task_self(), request.reply_name(), &mut kind) };
            say(&format!(
                "reply: {code} {}",
                kind == MACH_PORT_TYPE_SEND_ONCE
            ));
            Ok(request.state)
        });
        fault();
    }) else {
        return;
    };
    assert_ended(&ended, libc::SIGSEGV);
    assert_eq!(lines(&ended.1, "task").len(), 1, "{}", ended.1);
    assert_eq!(lines(&ended.1, "reply"), ["0 true"], "{}", ended.1);
    let success = KernReturn::SUCCESS.to_string();
    for call in ["abort", "suspend"] {
        assert_eq!(lines(&ended.1, call), [success.as_str()], "{}", ended.1);
    }
}

/// A14.1: a second thread that crashes raises nothing, and does not end the process before the first's answer.
#[test]
fn a14_1_a_second_thread_waits_for_the_end() {
    const NAME: &str = "crashes::a14_1_a_second_thread_waits_for_the_end";
    let Some(ended) = exit_status(NAME, || {
        start(CrashPolicy::OwnReceivers);
        let (tell, told) = channel();
        serve("task", EXC_MASK_CRASH, None, move |request| {
            let second = std::thread::spawn(|| std::process::abort());
            std::thread::sleep(Duration::from_millis(200));
            let _ = tell.send(second);
            say("answered: now");
            Ok(request.state)
        });
        core::mem::forget(told);
        fault();
    }) else {
        return;
    };
    assert_ended(&ended, libc::SIGSEGV);
    assert_eq!(lines(&ended.1, "task").len(), 1, "{}", ended.1);
    assert_eq!(lines(&ended.1, "answered"), ["now"], "{}", ended.1);
}

/// The default.
#[test]
fn a14_1_without_a_policy_none_is_raised() {
    const NAME: &str = "crashes::a14_1_without_a_policy_none_is_raised";
    let Some(ended) = exit_status(NAME, || {
        start(Config::default().crashes);
        serve("task", EXC_MASK_CRASH, None, accept);
        fault();
    }) else {
        return;
    };
    assert_ended(&ended, libc::SIGSEGV);
    assert!(!ended.1.contains("originally"), "{}", ended.1);
}

/// A13.5, F6.10: a fatal guard that no handler took raises `EXC_CRASH` before the end, with the guard as the original exception; one that a handler
/// took does not. A1.10: `MACH_RCV_PORT_DIED` ends the search, and is no success for who raised the guard. A13.8: thread, then task.
#[test]
fn a1_10_a13_5_a13_8_a_fatal_guard_that_no_handler_took_is_a_crash() {
    const NAME: &str = "crashes::a1_10_a13_5_a13_8_a_fatal_guard_that_no_handler_took_is_a_crash";
    for answered in ["handled", "declined", "died"] {
        let Some(ended) = exit_status_with(NAME, &[("ANSWER", answered)], || {
            start(CrashPolicy::OwnReceivers);
            let answer = std::env::var("ANSWER").expect("an answer");
            let code = match answer.as_str() {
                "declined" => KernReturn::FAILURE,
                _ => KernReturn::RCV_PORT_DIED,
            };
            let handled = answer == "handled";
            serve("thread", EXC_MASK_GUARD, Some(own_name()), move |request| {
                if handled { accept(request) } else { Err(code) }
            });
            serve("task", EXC_MASK_GUARD | EXC_MASK_CRASH, None, decline);
            let port = carrier();
            // SAFETY: no pointers.
            let code = unsafe { kernel::mach_port_unguard(task_self(), port, 1) };
            panic!("it went on: {code}");
        }) else {
            return;
        };
        assert_ended(&ended, libc::SIGKILL);
        assert_eq!(lines(&ended.1, "thread").len(), 1, "{}", ended.1);
        let task = lines(&ended.1, "task");
        let crashes: Vec<_> = task
            .iter()
            .filter(|line| line.contains("originally"))
            .collect();
        let guards = task.len() - crashes.len();
        assert_eq!(guards, usize::from(answered == "declined"), "{}", ended.1);
        assert_eq!(
            crashes.len(),
            usize::from(answered != "handled"),
            "{}",
            ended.1
        );
        if let [crash] = crashes[..] {
            assert!(
                crash.starts_with("signal 9, originally EXC_GUARD {"),
                "{crash}"
            );
        }
        assert!(
            lines(&ended.1, "thread")[0].contains(&PortGuardFlavor::UNGUARDED.to_string()),
            "{}",
            ended.1
        );
    }
}

/// A child of a fork has none of the emulation's threads: it dies of its own `abort`, and its parent learns nothing.
#[test]
fn g4_3_a_child_that_aborts_raises_nothing_and_dies() {
    const NAME: &str = "crashes::g4_3_a_child_that_aborts_raises_nothing_and_dies";
    isolated(NAME, || {
        start(CrashPolicy::OwnReceivers);
        let handler = Handler::new();
        handler.route_task(EXC_MASK_CRASH);
        let mut status = 0;
        // SAFETY: the child does nothing but abort; the status goes to a local variable.
        unsafe {
            let child = libc::fork();
            assert!(child >= 0, "a child");
            if child == 0 {
                libc::abort();
            }
            assert_eq!(libc::waitpid(child, &mut status, 0), child);
        }
        assert!(libc::WIFSIGNALED(status), "{status:#x}");
        assert_eq!(libc::WTERMSIG(status), libc::SIGABRT);
        assert!(handler.receive_within(Duration::from_millis(50)).is_none());
    });
}

fn handler_of_abort() -> usize {
    // SAFETY: the present action goes to a local variable.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        assert_eq!(
            libc::sigaction(libc::SIGABRT, core::ptr::null(), &mut action),
            0
        );
        action.sa_sigaction
    }
}

/// The signal of `abort` is taken where it is asked for, unless the program has it, and given back at a stop.
#[test]
fn r10_the_signal_of_abort_is_given_back() {
    isolated("crashes::r10_the_signal_of_abort_is_given_back", || {
        for (policy, taken) in [
            (CrashPolicy::OwnReceivers, true),
            (CrashPolicy::Off, false),
            (CrashPolicy::Xnu, true),
        ] {
            assert_eq!(handler_of_abort(), libc::SIG_DFL);
            start(policy);
            assert_eq!(handler_of_abort() != libc::SIG_DFL, taken, "{policy:?}");
            // SAFETY: no other thread makes kernel calls, and nothing of the emulation's is used afterwards.
            let stopped = unsafe { kernel::stop() }.expect("stopped");
            assert!(stopped.can_be_unloaded());
        }
        // SAFETY: no handler is installed.
        unsafe { libc::signal(libc::SIGABRT, libc::SIG_IGN) };
        start(CrashPolicy::Xnu);
        assert_eq!(handler_of_abort(), libc::SIG_IGN);
    });
}
