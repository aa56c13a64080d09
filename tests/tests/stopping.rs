//! R11: the runtime is started and ended many times, with the emulated kernel or without; and what keeps that from being stopped.
//! Apple's kernel takes nothing from the process.
#![cfg(not(target_vendor = "apple"))]
#![allow(unsafe_code)]

use core::ffi::c_int;
use exc_server::{Delivery, Exception, Installation, Restored, Routing, Server, Target};
use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::exception::ExceptionMask;
use mach_sys::kernel::system::{self, Origin};
use mach_sys::kernel::{self, StopError};
use mach_sys::rights::{Census, Difference, ReceiveRight, Right, ThreadRight};
use signal_redirect::Entry;
use std::sync::{Barrier, Mutex, Once, mpsc};
use std::time::Duration;
use test_support::wait::{wait_for, wait_for_ok};
use tests::emulator::is_emulated;
use tests::faults::{registers, skip, store_to, undefined};
use tests::instructions::skip_undefined;
use tests::isolated::{isolated, report_partly};
use tests::watchdog::abort_after;
use thread_mgr::{Manager, stop};

unsafe extern "C" fn handler(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
    // SAFETY: the trampoline's own structures.
    unsafe { skip(registers(context)) };
}

fn manager() -> Manager {
    // SAFETY: the handler changes nothing but the program counter, and the faults are at stores of this program.
    let entry = unsafe { Entry::new(handler) };
    Manager::builder(entry).build().expect("a manager")
}

/// A runtime's life: a manager, and two threads that fault.
fn a_life() {
    let manager = manager();
    let threads = [(); 2].map(|()| manager.spawn(|| store_to(0x10)).expect("a thread"));
    for thread in threads {
        let _ = thread.join().expect("the thread ended");
    }
    assert_eq!(manager.redirect_stats().returned, 2, "this life's server");
    assert_eq!(manager.end_stats().ended, 2);
}

/// Resources of the process.
#[derive(Debug)]
struct Taken {
    keys: usize,
    mappings: usize,
    files: usize,
    threads: usize,
}

impl Taken {
    fn now() -> Self {
        let count = |folder| std::fs::read_dir(folder).expect("a folder").count();
        Self {
            keys: keys(),
            mappings: mappings(),
            files: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
        }
    }
}

/// Returns the number of mappings.
fn mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("mappings");
    maps.lines().count()
}

/// Returns the number of keys of thread-specific data that can be made.
fn keys() -> usize {
    let make = || {
        let mut key = 0;
        // SAFETY: the key goes to a local variable.
        (unsafe { libc::pthread_key_create(&mut key, None) } == 0).then_some(key)
    };
    let made: Vec<_> = std::iter::from_fn(make).collect();
    for key in &made {
        // SAFETY: made above, and not used.
        unsafe { libc::pthread_key_delete(*key) };
    }
    made.len()
}

/// Resident memory in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.expect("a line").trim().trim_end_matches(" kB");
    number.parse().expect("a number")
}

/// Lives many lives. Compares what the process has after the first few and after the last.
fn many_lives(name: &str, between: impl Fn()) {
    // The emulation keeps the memory of some threads for the next ones.
    let first = if is_emulated() { 50 } else { 200 };
    if is_emulated() {
        report_partly(
            name,
            "a processor's emulator has threads and memory of its own",
        );
    }
    let lives = if is_emulated() { 100 } else { 2000 };
    let mut after_first = None;
    for life in 1..=lives {
        a_life();
        between();
        if life == first {
            after_first = Some((Taken::now(), resident()));
        }
    }
    let (taken, memory) = after_first.expect("more lives than the first");
    // A thread is counted for a moment after its join.
    wait_for_ok("no more than after the first lives", || {
        let now = Taken::now();
        // Where guards are mappings, a few threads' more or fewer may be kept.
        let mappings = is_emulated() || now.mappings <= taken.mappings + 16;
        let rest = (now.keys, now.files) == (taken.keys, taken.files);
        match mappings && rest && now.threads <= taken.threads {
            true => Ok(()),
            false => Err(format!("{taken:?}, {now:?}")),
        }
    });
    if is_emulated() {
        return;
    }
    let grown = resident().saturating_sub(memory);
    assert!(grown < 1024, "{grown} KiB");
}

#[test]
fn r11_two_thousand_managers_take_no_more_than_the_first() {
    const NAME: &str = "r11_two_thousand_managers_take_no_more_than_the_first";
    isolated(NAME, || {
        abort_after(Duration::from_secs(400));
        a_life();
        // A port outlives its thread a moment.
        std::thread::sleep(Duration::from_millis(500));
        let before = Census::take().expect("a census");
        many_lives(NAME, || ());
        wait_for_ok("the same name space", || {
            let left = Census::take().expect("a census").since(&before);
            if left == Difference::default() {
                Ok(())
            } else {
                Err(Box::new(left))
            }
        });
    });
}

#[test]
fn r11_two_thousand_starts_and_stops_of_the_kernel_take_no_more_than_the_first() {
    const NAME: &str =
        "r11_two_thousand_starts_and_stops_of_the_kernel_take_no_more_than_the_first";
    isolated(NAME, || {
        abort_after(Duration::from_secs(400));
        let start = system::task_self();
        many_lives(NAME, || {
            // SAFETY: no other thread of this process uses the crates.
            let stopped = unsafe { stop() }.expect("nothing needs the kernel");
            assert!(stopped.can_be_unloaded());
        });
        assert_eq!(system::task_self(), start, "each start is like the first");
    });
}

#[test]
fn r11_values_of_a_kernel_that_was_stopped_are_inert() {
    const NAME: &str = "r11_values_of_a_kernel_that_was_stopped_are_inert";
    isolated(NAME, || {
        let origin = Origin::current();
        let old = ReceiveRight::new().expect("a port");
        let send = old.make_send().expect("a right");
        let threads = || std::fs::read_dir("/proc/self/task").map(Iterator::count);
        let before = threads().expect("a count");
        let thread = manager().spawn(|| ()).expect("a thread");
        // It ends, and its manager's server, although it is not joined.
        wait_for("the thread's end", || threads().expect("a count") == before);
        // SAFETY: no other thread of this process uses the crates.
        unsafe { stop() }.expect("nothing needs the kernel");
        assert!(!origin.is_current());
        let new = ReceiveRight::new().expect("a port");
        assert_eq!(new.name(), old.name(), "names are given out anew");
        let before = Census::take().expect("a census");
        drop(send);
        drop(old);
        let _ = thread.join().expect("a thread of this process");
        let after = Census::take().expect("a census");
        assert!(after.since(&before) == Difference::default());
        drop(new.make_send().expect("the new port is there"));
    });
}

/// An obstacle to stopping the kernel.
#[derive(Clone, Copy, Debug)]
enum Need {
    Server,
    Manager,
    /// The calling thread is a server's, in user code.
    ServersThread,
    /// The calling thread is attached.
    Attached,
    /// Another thread waits for the answer to its fault.
    Waiting,
    /// Another thread has the lent stack.
    LentStack,
    /// A signal handler on an alternate signal stack.
    SignalHandler,
    ForkedChild,
}

const NEEDS: [Need; 8] = [
    Need::Server,
    Need::Manager,
    Need::ServersThread,
    Need::Attached,
    Need::Waiting,
    Need::LentStack,
    Need::SignalHandler,
    Need::ForkedChild,
];

/// Stops the kernel, not thread-mgr: no count of managers comes first.
fn stop_kernel() -> Result<bool, StopError> {
    // SAFETY: no other thread of this process uses the crates, or the refusal to stop is what is tested.
    unsafe { kernel::stop() }.map(|stopped| stopped.can_be_unloaded())
}

fn stop_while(need: Need) -> Result<bool, StopError> {
    match need {
        Need::Server => {
            let server = Server::start(|exception| exception.decline()).expect("a server");
            let stopped = stop_kernel();
            server.shutdown();
            stopped
        }
        Need::Manager => {
            let _manager = manager();
            // SAFETY: as above.
            unsafe { stop() }.map(|stopped| stopped.can_be_unloaded())
        }
        Need::ServersThread => {
            let (send, receive) = mpsc::channel();
            let server = Server::start(move |exception: Exception<'_>| {
                send.send(stop_kernel()).expect("the test listens");
                exception.decline()
            });
            let server = server.expect("a server");
            fallback_skips();
            let this = ThreadRight::current().expect("the own thread");
            let routing = Routing::new(ExceptionMask::BAD_INSTRUCTION, Delivery::THREAD);
            let route = server.route(Target::Thread(&this), &routing);
            let _route = route.expect("a route");
            undefined();
            receive.recv().expect("an answer")
        }
        Need::Attached => {
            let readiness = system::prepare_for_faults();
            let stopped = stop_kernel();
            readiness.undo();
            stopped
        }
        Need::Waiting => {
            fallback_skips();
            let port = ReceiveRight::new().expect("a port");
            let send = port.make_send().expect("a right");
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let this = ThreadRight::current().expect("the own thread");
                    let mask = ExceptionMask::BAD_INSTRUCTION;
                    let target = Target::Thread(&this);
                    let installed = Installation::install(target, mask, &send, Delivery::THREAD);
                    undefined();
                    let restored = installed.expect("installed").uninstall();
                    assert_eq!(restored.expect("back"), Restored::Clean);
                });
                std::thread::sleep(Duration::from_millis(100));
                let stopped = stop_kernel();
                // Its end declines what is queued.
                drop(port);
                stopped
            })
        }
        Need::LentStack => std::thread::scope(|scope| {
            let (registered, wait) = mpsc::channel();
            let (go, end) = mpsc::channel::<()>();
            scope.spawn(move || {
                no_alternate_stack();
                let _ = system::own_thread_port();
                registered.send(()).expect("the test listens");
                let _ = end.recv();
            });
            wait.recv().expect("registered");
            let stopped = stop_kernel();
            drop(go);
            stopped
        }),
        Need::SignalHandler => in_signal_handler(stop_kernel),
        Need::ForkedChild => {
            // SAFETY: the child makes system calls and one call that refuses.
            unsafe {
                let child = libc::fork();
                if child == 0 {
                    libc::_exit(i32::from(stop_kernel() != Err(StopError::Forked)));
                }
                let mut status = 0;
                libc::waitpid(child, &mut status, 0);
                assert_eq!(status, 0);
            }
            Err(StopError::Forked)
        }
    }
}

/// The signal fallback: a declined undefined instruction is over.
fn fallback_skips() {
    unsafe extern "C" fn over(_: c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the kernel's own context.
        unsafe { skip_undefined(context) };
    }
    static INSTALLED: Once = Once::new();
    // Before the kernel starts: a handler that is installed later comes first.
    INSTALLED.call_once(|| install(libc::SIGILL, over as *const () as usize));
}

fn install(signal: c_int, handler: usize) {
    // SAFETY: zeroes are a valid action; the handlers of this test suit their signals.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        assert_eq!(libc::sigaction(signal, &action, core::ptr::null_mut()), 0);
    }
}

/// Removes the alternate signal stack, as on a thread that another language's runtime made.
fn no_alternate_stack() {
    let none = libc::stack_t {
        ss_sp: core::ptr::null_mut(),
        ss_flags: libc::SS_DISABLE,
        ss_size: 0,
    };
    // SAFETY: a thread of std's has an alternate stack, which it does not run on.
    let refused = unsafe { libc::sigaltstack(&none, core::ptr::null_mut()) };
    assert_eq!(refused, 0);
}

type Answer = Result<bool, StopError>;

/// Calls it in a handler on an alternate signal stack.
fn in_signal_handler(call: fn() -> Answer) -> Answer {
    static CALL: Mutex<Option<fn() -> Answer>> = Mutex::new(None);
    static ANSWER: Mutex<Option<Answer>> = Mutex::new(None);
    extern "C" fn handler(_: c_int) {
        let call = CALL.lock().expect("not poisoned").expect("a call");
        *ANSWER.lock().expect("not poisoned") = Some(call());
    }
    *CALL.lock().expect("not poisoned") = Some(call);
    install(libc::SIGUSR1, handler as *const () as usize);
    // SAFETY: the handler holds nothing that the interrupted code needs.
    unsafe { libc::raise(libc::SIGUSR1) };
    let answer = ANSWER.lock().expect("not poisoned").take();
    answer.expect("the handler ran")
}

#[test]
fn r11_a_kernel_that_something_needs_is_not_stopped() {
    const NAME: &str = "r11_a_kernel_that_something_needs_is_not_stopped";
    isolated(NAME, || {
        abort_after(Duration::from_secs(60));
        fallback_skips();
        for need in NEEDS {
            let port = ReceiveRight::new().expect("a port");
            let refused = stop_while(need).expect_err("something needs the kernel");
            let expected = match need {
                Need::Server | Need::Manager | Need::ServersThread => {
                    StopError::Servers { count: 1 }
                }
                Need::Attached | Need::Waiting | Need::LentStack => StopError::Threads { count: 1 },
                Need::SignalHandler => StopError::SignalHandler,
                Need::ForkedChild => StopError::Forked,
            };
            assert_eq!(refused, expected, "{need:?}");
            // It runs on, and so do faults.
            drop(port.make_send().expect("the kernel was not stopped"));
            a_life();
            drop(port);
            assert_eq!(stop_kernel(), Ok(true), "after {need:?}");
        }
    });
}

/// Starts threads with small stacks, all there at once, and waits for their ends. Returns the number of mappings while they are there. Not by
/// `std::thread`, which maps an alternate stack for each.
fn threads_with_small_stacks(count: usize) -> usize {
    extern "C" fn until(end: *mut core::ffi::c_void) -> *mut core::ffi::c_void {
        // SAFETY: the starter's, which waits for this thread.
        unsafe { &*end.cast::<Barrier>() }.wait();
        core::ptr::null_mut()
    }
    let end = Barrier::new(count + 1);
    let threads: Vec<_> = (0..count)
        .map(|_| {
            let mut attributes = core::mem::MaybeUninit::uninit();
            let mut thread = core::mem::MaybeUninit::uninit();
            let argument = core::ptr::from_ref(&end).cast_mut().cast();
            // SAFETY: the attributes are initialised before they are used; the argument lives until the threads are joined.
            unsafe {
                libc::pthread_attr_init(attributes.as_mut_ptr());
                libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), 128 * 1024);
                let begin = until as extern "C" fn(_) -> _;
                let made =
                    libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), begin, argument);
                assert_eq!(made, 0);
                libc::pthread_attr_destroy(attributes.as_mut_ptr());
                thread.assume_init()
            }
        })
        .collect();
    let there = mappings();
    end.wait();
    for thread in threads {
        // SAFETY: made above, and joined once.
        unsafe { libc::pthread_join(thread, core::ptr::null_mut()) };
    }
    there
}

/// D1.5: a thread of `thread_create` keeps the kernel from being stopped until it has ended. Then its stack is free: the C library gives it to
/// the next thread.
#[test]
fn r11_threads_that_the_kernel_made_leave_no_stacks_behind() {
    const NAME: &str = "r11_threads_that_the_kernel_made_leave_no_stacks_behind";
    const THREADS: usize = 12;
    isolated(NAME, || {
        abort_after(Duration::from_secs(60));
        let threads = [(); THREADS].map(|()| {
            let mut name = 0;
            // SAFETY: the name goes to a local variable.
            let code = unsafe { kernel::thread_create(system::task_self(), &mut name) };
            assert_eq!(code, 0);
            name
        });
        assert_eq!(
            stop_kernel(),
            Err(StopError::Threads {
                count: THREADS as u32
            })
        );
        for thread in threads {
            // SAFETY: no pointers. The thread runs nothing.
            let code = unsafe { kernel::thread_terminate(thread) };
            assert_eq!(code, 0);
        }
        wait_for_ok("the ends of the threads", stop_kernel);
        let before = mappings();
        let there = threads_with_small_stacks(THREADS);
        if is_emulated() {
            return report_partly(
                NAME,
                "a processor's emulator has threads and memory of its own",
            );
        }
        // Each new stack is a mapping, and its guard another.
        assert!(there < before + THREADS, "{before} mappings, then {there}");
    });
}

/// While one thread starts the kernel another one looks whether it is there.
#[test]
fn threads_that_start_the_kernel_at_once_all_get_it() {
    const NAME: &str = "threads_that_start_the_kernel_at_once_all_get_it";
    const THREADS: usize = 4;
    isolated(NAME, || {
        abort_after(Duration::from_secs(200));
        let rounds = if is_emulated() { 50 } else { 2000 };
        let (begin, end) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
        let (begin, end) = (&begin, &end);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(move || {
                        let mut made = 0;
                        for _ in 0..rounds {
                            begin.wait();
                            made += usize::from(ReceiveRight::new().is_ok());
                            end.wait();
                        }
                        made
                    })
                })
                .collect();
            let mut stopped = 0;
            for _ in 0..rounds {
                begin.wait();
                end.wait();
                stopped += usize::from(stop_kernel() == Ok(true));
            }
            for thread in threads {
                assert_eq!(thread.join().expect("a thread"), rounds);
            }
            assert_eq!(stopped, rounds);
        });
    });
}
