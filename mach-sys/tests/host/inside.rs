//! A thread knows that it is in the kernel: signals of the five that arrive while it may hold the lock are not served there.

use crate::faults::Kind;
use crate::support::{OwnStack, RawThread, dies, install, isolated, succeeds, test_name};
use mach_sys::rights::{ReceiveRight, ThreadRight};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;
use test_support::wait::wait_for;

const SIGNALS: [i32; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
];

static CALLS: AtomicUsize = AtomicUsize::new(0);
static WRONG: AtomicUsize = AtomicUsize::new(0);
static THREAD: AtomicI32 = AtomicI32::new(0);
static COUNTED: AtomicUsize = AtomicUsize::new(0);

/// Makes a kernel call, as a handler may that runs on a thread that holds nothing.
extern "C" fn previous(signal: i32, info: *const libc::siginfo_t, _: *mut libc::ucontext_t) {
    // SAFETY: the kernel's siginfo of a sent signal.
    let (number, code, value) = unsafe { ((*info).si_signo, (*info).si_code, (*info).si_value()) };
    // SAFETY: no preconditions.
    let elsewhere = unsafe { libc::gettid() } != THREAD.load(Ordering::SeqCst);
    let own = number == signal && code == libc::SI_QUEUE && value.sival_ptr as i32 == signal;
    if !own || elsewhere {
        WRONG.fetch_add(1, Ordering::SeqCst);
    }
    if ThreadRight::current()
        .and_then(|thread| thread.user_references())
        .is_err()
    {
        WRONG.fetch_add(1, Ordering::SeqCst);
    }
    CALLS.fetch_add(1, Ordering::SeqCst);
}

/// Calls `pthread_sigqueue` with the signal's number as its value.
fn queue(thread: libc::pthread_t, signal: i32) {
    let value = libc::sigval {
        sival_ptr: core::ptr::without_provenance_mut(signal as usize),
    };
    // SAFETY: a signal that has a handler, to a thread that lives.
    let error = unsafe { libc::pthread_sigqueue(thread, signal, value) };
    assert!(error == 0 || error == libc::EAGAIN, "{error}");
}

/// Sends all five signals to a thread that makes kernel calls all the time, and waits until enough were handled.
///
/// On a thread with a large alternate stack: five signals at once are five frames.
fn send_to(own_stack: bool, calls: impl Fn() + Send + 'static) {
    for signal in SIGNALS {
        install(
            signal,
            previous as *const (),
            libc::SA_SIGINFO | libc::SA_ONSTACK,
            &[],
        );
    }
    static STOP: AtomicBool = AtomicBool::new(false);
    mach_sys::emulated::start().expect("started");
    let (tell, told) = std::sync::mpsc::channel();
    let busy = RawThread::spawn(move || {
        let _own = own_stack.then(|| OwnStack::register(0));
        // SAFETY: no preconditions.
        let this = unsafe {
            THREAD.store(libc::gettid(), Ordering::SeqCst);
            libc::pthread_self()
        };
        calls();
        tell.send(this).expect("heard");
        while !STOP.load(Ordering::Relaxed) {
            calls();
        }
    });
    let thread = told.recv().expect("a thread");
    // One at a time, and now and then all at once: a storm of nested handlers would need any stack whole.
    let singles = SIGNALS.iter().map(core::slice::from_ref).cycle().take(40);
    let rounds = singles.chain([&SIGNALS[..]]).cycle().take(41 * 10);
    for (round, signals) in rounds.enumerate() {
        let before = CALLS.load(Ordering::SeqCst);
        for signal in signals {
            queue(thread, *signal);
        }
        wait_for(&format!("the signals of round {round}"), || {
            CALLS.load(Ordering::SeqCst) >= before + signals.len()
        });
    }
    STOP.store(true, Ordering::Relaxed);
    busy.join();
    assert_eq!(
        WRONG.load(Ordering::SeqCst),
        0,
        "signals with another's siginfo"
    );
}

#[test]
fn r24_signals_sent_to_a_thread_in_the_kernel_wait_until_it_leaves() {
    let name = test_name!(r24_signals_sent_to_a_thread_in_the_kernel_wait_until_it_leaves);
    let cases: [(&str, fn()); 3] = [
        ("an ordinary thread", || {
            drop(ThreadRight::current().and_then(|thread| thread.try_clone()));
        }),
        ("a thread that only touches ports", || {
            drop(ReceiveRight::new().expect("a port"));
        }),
        ("a server thread", || {
            mach_sys::kernel::system::enter_server_thread();
            drop(ReceiveRight::new().expect("a port"));
        }),
    ];
    for own_stack in [false, true] {
        for (case, calls) in cases {
            succeeds(name, &format!("{case} {own_stack}"), || {
                send_to(own_stack, calls)
            });
        }
    }
}

#[test]
fn r24_by_default_a_signal_sent_to_a_thread_in_the_kernel_ends_the_process() {
    let name = test_name!(r24_by_default_a_signal_sent_to_a_thread_in_the_kernel_ends_the_process);
    for signal in SIGNALS {
        dies(name, &signal.to_string(), signal, || {
            install(signal, libc::SIG_DFL as *const (), 0, &[]);
            mach_sys::emulated::start().expect("started");
            // SAFETY: no preconditions.
            let this = unsafe { libc::pthread_self() };
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(20));
                queue(this, signal);
            });
            loop {
                drop(ReceiveRight::new().expect("a port"));
            }
        });
    }
}

/// Several of a kind do not pile up frames: std's alternate stacks have room for two.
#[test]
fn r24_signals_sent_in_a_row_need_no_more_stack_than_one() {
    let name = test_name!(r24_signals_sent_in_a_row_need_no_more_stack_than_one);
    for signal in [libc::SIGILL, libc::SIGFPE, libc::SIGTRAP] {
        succeeds(name, &signal.to_string(), || {
            static DONE: AtomicBool = AtomicBool::new(false);
            install(signal, count as *const (), 0, &[]);
            mach_sys::emulated::start().expect("started");
            let (tell, told) = std::sync::mpsc::channel();
            let busy = std::thread::spawn(move || {
                // SAFETY: no preconditions.
                tell.send(unsafe { libc::pthread_self() }).expect("heard");
                while !DONE.load(Ordering::Relaxed) {
                    drop(ReceiveRight::new().expect("a port"));
                }
            });
            let thread = told.recv().expect("a thread");
            for _ in 0..20_000 {
                queue(thread, signal);
            }
            DONE.store(true, Ordering::Relaxed);
            busy.join().expect("went on");
            assert!(COUNTED.load(Ordering::SeqCst) > 0);
        });
    }
}

extern "C" fn count(_: i32) {
    COUNTED.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn r24_a_signal_sent_to_the_process_is_never_the_watching_threads() {
    let name = test_name!(r24_a_signal_sent_to_the_process_is_never_the_watching_threads);
    succeeds(name, "", || {
        for signal in SIGNALS {
            install(signal, count as *const (), libc::SA_ONSTACK, &[]);
        }
        mach_sys::emulated::start().expect("started");
        let mut tasks = std::fs::read_dir("/proc/self/task").expect("threads");
        let watcher = tasks.find_map(|task| {
            let path = task.expect("a thread").path();
            let name = std::fs::read_to_string(path.join("comm")).ok()?;
            let tid = path.file_name()?.to_str()?.parse().ok()?;
            (name == "mach-sys\n").then_some(tid)
        });
        let watcher: u32 = watcher.expect("it watches");
        // Sent to it alone, the signal waits for ever; one that the process was sent is another thread's then.
        for signal in SIGNALS {
            // SAFETY: a signal that has a handler, to a thread that lives as long as the process.
            let sent = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), watcher, signal) };
            assert_eq!(sent, 0);
        }
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(COUNTED.load(Ordering::SeqCst), 0);
    });
}

/// Uses up the stack down to `lowest`, then calls.
#[inline(never)]
fn burn(lowest: usize, call: &dyn Fn()) {
    let local = [0_u8; 64];
    if (core::hint::black_box(&local).as_ptr() as usize) < lowest {
        call();
    } else {
        burn(lowest, call);
    }
    core::hint::black_box(&local);
}

/// A stack that ends somewhere in a kernel call, with the lock held for example, ends the process by its signal. It never hangs.
/// A11.4: a fault of the emulation's own code is the end.
#[test]
fn a11_4_g2_7_a_stack_that_ends_in_the_kernel_ends_the_process() {
    const SIZE: usize = 256 * 1024;
    let name = test_name!(a11_4_g2_7_a_stack_that_ends_in_the_kernel_ends_the_process);
    let body = |left: usize| {
        install(libc::SIGSEGV, libc::SIG_DFL as *const (), 0, &[]);
        let port = ReceiveRight::new().expect("a port");
        // SAFETY: a new mapping whose first pages are a guard; the thread ends, or the process.
        unsafe {
            let stack = libc::mmap(
                core::ptr::null_mut(),
                SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(stack, libc::MAP_FAILED);
            let guard = 65536;
            assert_eq!(libc::mprotect(stack, guard, libc::PROT_NONE), 0);
            let lowest = stack as usize + guard + left;
            let mut attributes: libc::pthread_attr_t = core::mem::zeroed();
            libc::pthread_attr_init(&mut attributes);
            assert_eq!(libc::pthread_attr_setstack(&mut attributes, stack, SIZE), 0);
            let call: Box<dyn Fn()> = Box::new(move || drop(port.make_send().expect("a right")));
            // Known before: what is left is for the call alone.
            let body: Box<Box<dyn Fn() + Send>> = Box::new(Box::new({
                let call = SendAnyway(call);
                move || {
                    let call = &call;
                    (call.0)();
                    burn(lowest, &*call.0);
                }
            }));
            extern "C" fn enter(body: *mut libc::c_void) -> *mut libc::c_void {
                // SAFETY: the box below.
                let body = unsafe { Box::from_raw(body.cast::<Box<dyn Fn() + Send>>()) };
                body();
                core::ptr::null_mut()
            }
            let mut thread = 0;
            let body = Box::into_raw(body).cast();
            assert_eq!(
                libc::pthread_create(&mut thread, &attributes, enter, body),
                0
            );
            libc::pthread_join(thread, core::ptr::null_mut());
        }
        // The call had room: the same end, so that the test can tell a hang from both.
        Kind::Access.raise();
    };
    for left in (512..12 * 1024).step_by(512) {
        dies(name, &left.to_string(), libc::SIGSEGV, || body(left));
    }
}

/// The closure goes to one thread, which alone uses it.
struct SendAnyway(Box<dyn Fn()>);

// SAFETY: see the type.
unsafe impl Send for SendAnyway {}

#[cfg(target_arch = "x86_64")]
mod steps {
    use crate::support::{OwnStack, on_raw_thread, passes, test_name};
    use mach_sys::rights::{ReceiveRight, ThreadRight};
    use port_server::Server;
    use std::sync::Arc;

    /// Makes kernel calls with the trap flag set.
    fn step_over(calls: impl Fn()) {
        // SAFETY: sets and clears the trap flag; the server answers each step.
        unsafe { core::arch::asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq") };
        calls();
        // SAFETY: as above.
        unsafe { core::arch::asm!("pushfq", "and qword ptr [rsp], ~0x100", "popfq") };
    }

    #[test]
    fn g1_10_a_single_step_is_carried_past_the_kernel() {
        let name = test_name!(g1_10_a_single_step_is_carried_past_the_kernel);
        passes(name, || {
            let server = Arc::new(Server::start(0_usize, |steps, fault, _| {
                assert_eq!((fault.exception, fault.codes), (6, [1, 0]));
                *steps += 1;
                true
            }));
            for own_stack in [false, true] {
                let server = Arc::clone(&server);
                on_raw_thread(move || {
                    let _own = own_stack.then(|| OwnStack::register(0));
                    server.route_thread();
                    let thread = ThreadRight::current().expect("the own thread");
                    let references = core::cell::Cell::new(0);
                    step_over(|| {
                        references.set(thread.user_references().expect("a count"));
                        drop(ReceiveRight::new().expect("a port"));
                    });
                    assert!(references.get() > 0);
                });
            }
            let steps = Arc::into_inner(server).expect("the last").stop();
            assert!(
                steps > 100,
                "the steps around the kernel's are reported: {steps}"
            );
        });
    }
}

static STARTING: AtomicBool = AtomicBool::new(false);
static STARTED: AtomicBool = AtomicBool::new(false);

extern "C" fn call_while_starting(_: i32) {
    if STARTING.load(Ordering::SeqCst) && ThreadRight::current().is_err() {
        WRONG.fetch_add(1, Ordering::SeqCst);
    }
}

isolated! {
    fn a_signal_handlers_call_does_not_wait_for_the_start_that_it_interrupts() {
        install(libc::SIGUSR1, call_while_starting as *const (), 0, &[]);
        // SAFETY: no preconditions.
        let starter = unsafe { libc::pthread_self() };
        let (tell, told) = std::sync::mpsc::channel();
        let sender = std::thread::spawn(move || {
            tell.send(()).expect("heard");
            while !STARTED.load(Ordering::SeqCst) {
                // SAFETY: the thread lives, and has a handler.
                unsafe { libc::pthread_kill(starter, libc::SIGUSR1) };
                std::thread::sleep(Duration::from_micros(20));
            }
        });
        told.recv().expect("a sender");
        STARTING.store(true, Ordering::SeqCst);
        mach_sys::emulated::start().expect("started");
        STARTED.store(true, Ordering::SeqCst);
        sender.join().expect("the sender ended");
        assert_eq!(WRONG.load(Ordering::SeqCst), 0);
    }
}

static REFUSED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn start_here(_: i32) {
    let started = mach_sys::emulated::start();
    if matches!(started, Err(mach_sys::emulated::StartError::SmallStack)) {
        REFUSED.fetch_add(1, Ordering::SeqCst);
    }
}

isolated! {
    fn a_start_in_a_signal_handler_with_a_small_stack_is_refused_and_a_later_one_succeeds() {
        install(libc::SIGUSR1, start_here as *const (), libc::SA_ONSTACK, &[]);
        // What Rust's runtime registers.
        let mut memory = vec![0_u8; 32 * 1024];
        let stack = libc::stack_t {
            ss_sp: memory.as_mut_ptr().cast(),
            ss_flags: 0,
            ss_size: memory.len(),
        };
        // SAFETY: the memory lives until the process ends; the signal has a handler.
        unsafe {
            libc::sigaltstack(&stack, core::ptr::null_mut());
            libc::raise(libc::SIGUSR1);
        }
        assert_eq!(REFUSED.load(Ordering::SeqCst), 1);
        mach_sys::emulated::start().expect("started");
        std::mem::forget(memory);
    }
}
