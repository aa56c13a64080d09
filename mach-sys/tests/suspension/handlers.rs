//! Signal handlers of the program that run between the steps of a kernel call, where signals are let through.

use crate::support::{Handler, Name, abort, get, own_name, thread};
use mach_sys::exception::EXC_MASK_BAD_INSTRUCTION;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system};
use mach_sys::message::{MACH_RCV_INTERRUPT, MACH_RCV_MSG, MACH_RCV_TIMEOUT};
use mach_sys::rights::{ReceiveRight, Right};
use mach_sys::thread_state::Registers;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use test_support::emulator::is_emulated;
use test_support::instructions::{LENGTH, undefined};
use test_support::isolated::isolated;
use test_support::random::Random;
use test_support::wait::wait_for;

fn install(signal: i32, handler: extern "C" fn(i32)) {
    // SAFETY: zeroes are a valid action; the handler has one argument.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(libc::sigaction(signal, &action, core::ptr::null_mut()), 0);
    }
}

/// A timer that sends the calling thread a signal, wherever it is.
struct Alarm(libc::timer_t);

impl Alarm {
    fn new(signal: i32) -> Self {
        // SAFETY: zeroes are a valid event, whose fields that matter are set; the results go to local variables.
        unsafe {
            let mut event: libc::sigevent = core::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = signal;
            event.sigev_notify_thread_id = libc::gettid();
            let mut timer = core::mem::zeroed();
            let made = libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer);
            assert_eq!(made, 0);
            Self(timer)
        }
    }

    /// Has it send the signal once.
    fn set(&self, nanoseconds: i64) {
        let time = |tv_nsec| libc::timespec { tv_sec: 0, tv_nsec };
        let once = libc::itimerspec {
            it_interval: time(0),
            it_value: time(nanoseconds),
        };
        // SAFETY: the timer that was made above, and a local variable.
        let set = unsafe { libc::timer_settime(self.0, 0, &once, core::ptr::null_mut()) };
        assert_eq!(set, 0);
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        // SAFETY: the timer that was made above.
        unsafe { libc::timer_delete(self.0) };
    }
}

/// Makes calls for a while, each of many interrupted by a handler somewhere.
fn interrupted(
    signal: i32,
    handler: extern "C" fn(i32),
    ran: &AtomicUsize,
    mut call: impl FnMut(),
) {
    let rounds = if is_emulated() { 20 } else { 40_000 };
    let mut numbers = Random::new(23);
    let alarm = Alarm::new(signal);
    // That of a fault signal is the fallback, and is there from before the start.
    if signal == libc::SIGUSR1 {
        install(signal, handler);
    }
    let begun = Instant::now();
    for _ in 0..rounds {
        let before = ran.load(Ordering::SeqCst);
        alarm.set(1000 + numbers.below(4000) as i64);
        while ran.load(Ordering::SeqCst) == before {
            call();
        }
        if begun.elapsed() > Duration::from_secs(5) {
            break;
        }
    }
}

static RAN: AtomicUsize = AtomicUsize::new(0);
static WRONG: AtomicUsize = AtomicUsize::new(0);
static NAME: AtomicU32 = AtomicU32::new(0);

/// Returns whether the calling thread reads registers that point to its stack.
fn reads_own_registers(name: Name) -> bool {
    let here = 0_u64;
    let here = core::ptr::from_ref(&here) as u64;
    get(name).is_ok_and(|state| here.abs_diff(state.sp()) < 64 << 10)
}

extern "C" fn read_own_registers(_: i32) {
    RAN.fetch_add(1, Ordering::SeqCst);
    let right = reads_own_registers(NAME.load(Ordering::SeqCst));
    WRONG.fetch_add(usize::from(!right), Ordering::SeqCst);
}

/// With a signal that is blocked meanwhile, and with one of the five, which is not.
#[test]
fn a9_5_a_thread_reads_its_own_registers_though_a_handler_does_in_the_middle() {
    isolated(
        "handlers::a9_5_a_thread_reads_its_own_registers_though_a_handler_does_in_the_middle",
        || {
            install(libc::SIGBUS, read_own_registers);
            let name = own_name();
            NAME.store(name, Ordering::SeqCst);
            for signal in [libc::SIGUSR1, libc::SIGBUS] {
                interrupted(signal, read_own_registers, &RAN, || {
                    assert!(reads_own_registers(name), "{signal}");
                });
            }
            assert_eq!(WRONG.load(Ordering::SeqCst), 0);
        },
    );
}

extern "C" fn fault(_: i32) {
    RAN.fetch_add(1, Ordering::SeqCst);
    undefined();
}

/// A1.1: wherever in a kernel call the handler was started that faults, the thread is in the program then.
#[test]
fn a1_1_a_fault_of_a_handler_that_interrupts_kernel_calls_is_served() {
    isolated(
        "handlers::a1_1_a_fault_of_a_handler_that_interrupts_kernel_calls_is_served",
        || {
            let handler = Handler::new();
            handler.route_thread(EXC_MASK_BAD_INSTRUCTION);
            drop(std::thread::spawn(move || {
                loop {
                    let request = handler.receive();
                    let mut state = request.state;
                    state.set_pc(state.pc() + LENGTH);
                    assert_eq!(handler.reply(&request, Some(&state)), KernReturn::SUCCESS);
                }
            }));
            interrupted(libc::SIGUSR1, fault, &RAN, || {
                let (task, mut kind) = (system::task_self(), 0);
                // SAFETY: the result goes to a local variable.
                assert_eq!(unsafe { kernel::mach_port_type(task, task, &mut kind) }, 0);
            });
        },
    );
}

static ARRIVED: AtomicUsize = AtomicUsize::new(0);
static DONE: AtomicBool = AtomicBool::new(false);

extern "C" fn arrive(_: i32) {
    ARRIVED.fetch_add(1, Ordering::SeqCst);
}

/// Notes whether a fault in this handler would kill.
extern "C" fn look_at_mask(_: i32) {
    RAN.fetch_add(1, Ordering::SeqCst);
    // SAFETY: zeroes are a valid set, which is filled before it is read.
    let is_blocked = unsafe {
        let mut set: libc::sigset_t = core::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, core::ptr::null(), &mut set);
        libc::sigismember(&set, libc::SIGILL) == 1
    };
    WRONG.fetch_add(usize::from(is_blocked), Ordering::SeqCst);
}

/// Sends a thread `SIGBUS`, which is held back while the thread is in the kernel, and `SIGUSR1` in a row until that has arrived.
fn send_both(process: libc::pid_t, thread: libc::pid_t) {
    let send = |signal: i32| {
        // SAFETY: the signals have handlers, and the thread outlives this one.
        unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal) };
    };
    while !DONE.load(Ordering::SeqCst) {
        let before = ARRIVED.load(Ordering::SeqCst);
        send(libc::SIGBUS);
        while ARRIVED.load(Ordering::SeqCst) == before && !DONE.load(Ordering::SeqCst) {
            send(libc::SIGUSR1);
        }
    }
}

/// A1.1: as well where a call raises a signal again that was held back.
#[test]
fn a1_1_no_fault_signal_is_blocked_in_a_handler_that_interrupts_kernel_calls() {
    isolated(
        "handlers::a1_1_no_fault_signal_is_blocked_in_a_handler_that_interrupts_kernel_calls",
        || {
            // The emulation lends a stack then. That of Rust's standard library has no room for two signals on top of each other.
            // SAFETY: zeroes are a valid value; the present stack is not in use.
            unsafe {
                let mut none: libc::stack_t = core::mem::zeroed();
                none.ss_flags = libc::SS_DISABLE;
                assert_eq!(libc::sigaltstack(&none, core::ptr::null_mut()), 0);
            }
            install(libc::SIGBUS, arrive);
            install(libc::SIGUSR1, look_at_mask);
            // SAFETY: no arguments.
            let (process, this) = unsafe { (libc::getpid(), libc::gettid()) };
            let task = system::task_self();
            let sender = std::thread::spawn(move || send_both(process, this));
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(3) {
                let mut kind = 0;
                // SAFETY: the result goes to a local variable.
                assert_eq!(unsafe { kernel::mach_port_type(task, task, &mut kind) }, 0);
            }
            DONE.store(true, Ordering::SeqCst);
            sender.join().expect("it ended");
            assert!(RAN.load(Ordering::SeqCst) > 0 && ARRIVED.load(Ordering::SeqCst) > 0);
            assert_eq!(WRONG.load(Ordering::SeqCst), 0);
        },
    );
}

static PORT: AtomicU32 = AtomicU32::new(0);
static ENTERED: AtomicBool = AtomicBool::new(false);
static MAY_LEAVE: AtomicBool = AtomicBool::new(false);

fn receive(options: i32, timeout: u32) -> KernReturn {
    let mut words = [0_u32; 64];
    let (buffer, name) = (words.as_mut_ptr().cast(), PORT.load(Ordering::SeqCst));
    let options = MACH_RCV_MSG | options;
    // SAFETY: the buffer is valid for its size.
    KernReturn::new(unsafe { kernel::mach_msg(buffer, options, 0, 256, name, timeout, 0) })
}

/// Waits in a kernel call of its own, once it may.
extern "C" fn wait_in_handler(_: i32) {
    ENTERED.store(true, Ordering::SeqCst);
    while !MAY_LEAVE.load(Ordering::SeqCst) {
        std::hint::spin_loop();
    }
    assert_eq!(receive(MACH_RCV_TIMEOUT, 1), KernReturn::RCV_TIMED_OUT);
}

/// A8.2: the abort is of the wait that the handler interrupted, and lasts until that ends.
#[test]
fn a8_2_an_abort_is_not_lost_in_a_handler_that_waits() {
    isolated(
        "handlers::a8_2_an_abort_is_not_lost_in_a_handler_that_waits",
        || {
            let port = ReceiveRight::new().expect("a port");
            PORT.store(port.name().raw(), Ordering::SeqCst);
            install(libc::SIGUSR1, wait_in_handler);
            let (name, handle) = thread(|| {
                // Without a time the system goes on with the wait when the handler has returned.
                let waited = receive(MACH_RCV_INTERRUPT, 0);
                assert_eq!(waited, KernReturn::RCV_INTERRUPTED);
            });
            std::thread::sleep(Duration::from_millis(100));
            let pthread = std::os::unix::thread::JoinHandleExt::as_pthread_t(&handle);
            // SAFETY: the thread has not been joined.
            assert_eq!(unsafe { libc::pthread_kill(pthread, libc::SIGUSR1) }, 0);
            wait_for("the handler", || ENTERED.load(Ordering::SeqCst));
            assert_eq!(abort(name), KernReturn::SUCCESS);
            MAY_LEAVE.store(true, Ordering::SeqCst);
            wait_for("the end of its wait", || handle.is_finished());
            handle.join().expect("it was aborted");
        },
    );
}
