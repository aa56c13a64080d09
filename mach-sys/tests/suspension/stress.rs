//! Threads that fault, make kernel calls and end, while others suspend, read, abort and resume them.

use crate::support::{Handler, Name, abort, abort_safely, get, own_name, resume, suspend};
use mach_sys::exception::EXC_MASK_BAD_INSTRUCTION;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system};
use mach_sys::port::MACH_PORT_RIGHT_DEAD_NAME;
use mach_sys::rights::{Census, ReceiveRight};
use mach_sys::thread_state::Registers;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;
use test_support::emulator::is_emulated;
use test_support::instructions::{LENGTH, skip_undefined, undefined};
use test_support::isolated::isolated;
use test_support::wait::wait_for;

/// Threads that work at a time.
const LANES: usize = 4;
/// Threads, one after the other, in each lane, and faults of each.
const THREADS: usize = 150;
const FAULTS: usize = 15;

/// The name of each thread, in the order of their beginnings; 0 for one that has not begun. Each keeps its reference, so that none is used again.
static NAMES: [AtomicU32; LANES * THREADS] = [const { AtomicU32::new(0) }; LANES * THREADS];
static BEGUN: AtomicUsize = AtomicUsize::new(0);
static HANDLED: AtomicUsize = AtomicUsize::new(0);
static SIGNALS: AtomicUsize = AtomicUsize::new(0);
static DONE: AtomicBool = AtomicBool::new(false);

extern "C" fn skip(_: i32, _: *const libc::siginfo_t, context: *mut libc::ucontext_t) {
    SIGNALS.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the context of a handler for the fault of an undefined instruction.
    unsafe { skip_undefined(context.cast()) };
}

/// A working thread.
fn work(handler: &Handler) {
    let name = own_name();
    NAMES[BEGUN.fetch_add(1, Ordering::SeqCst)].store(name, Ordering::SeqCst);
    handler.route_thread(EXC_MASK_BAD_INSTRUCTION);
    for _ in 0..FAULTS {
        undefined();
        drop(ReceiveRight::new().expect("a port"));
    }
}

/// A generator of numbers, without allocation.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// The codes that a thread's life allows.
fn assert_allowed(what: &str, code: KernReturn) {
    let allowed = [
        KernReturn::SUCCESS,
        KernReturn::TERMINATED,
        KernReturn::SEND_INVALID_DEST,
    ];
    assert!(allowed.contains(&code), "{what}: {code:?}");
}

/// Disturbs the threads. Between a suspension and its resumption nothing is allocated: the thread may hold the allocator's lock.
fn disturb(seed: u64) -> usize {
    let mut numbers = Numbers(seed);
    let mut rounds = 0;
    while !DONE.load(Ordering::SeqCst) {
        let begun = BEGUN.load(Ordering::SeqCst);
        // The last ones: those before have ended as a rule.
        let newest = begun.saturating_sub(1 + numbers.below(LANES + 1));
        let name: Name = NAMES[newest].load(Ordering::SeqCst);
        if name == 0 {
            std::thread::yield_now();
            continue;
        }
        rounds += 1;
        // A thread that is suspended all the time gets nowhere, on any kernel.
        std::thread::sleep(Duration::from_micros(numbers.below(100) as u64));
        match numbers.below(8) {
            0 => assert_allowed("abort", abort(name)),
            1 => assert_allowed("abort_safely", abort_safely(name)),
            2 => assert_allowed("get", get(name).err().unwrap_or(KernReturn::SUCCESS)),
            _ => {
                let suspended = suspend(name);
                assert_allowed("suspend", suspended);
                if suspended != KernReturn::SUCCESS {
                    continue;
                }
                match numbers.below(4) {
                    0 => assert_allowed("abort", abort(name)),
                    1 => assert_allowed("get", get(name).err().unwrap_or(KernReturn::SUCCESS)),
                    _ => {}
                }
                std::thread::sleep(Duration::from_micros(numbers.below(200) as u64));
                let resumed = resume(name);
                // Past its last code a suspended thread may be gone by now.
                assert_allowed("resume", resumed);
            }
        }
    }
    rounds
}

#[test]
fn a8_suspensions_aborts_and_faults_at_once_leave_nothing_and_no_thread_hangs() {
    isolated(
        "stress::a8_suspensions_aborts_and_faults_at_once_leave_nothing_and_no_thread_hangs",
        || {
            // SAFETY: zeroes are a valid action; the handler has three arguments.
            unsafe {
                let mut action: libc::sigaction = core::mem::zeroed();
                action.sa_sigaction = skip as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                let installed = libc::sigaction(libc::SIGILL, &action, core::ptr::null_mut());
                assert_eq!(installed, 0);
            }
            let threads = if is_emulated() { 5 } else { THREADS };
            let handler = Handler::new();
            let before = Census::take().expect("a census");
            let rounds: usize = std::thread::scope(|scope| {
                let server = scope.spawn(|| {
                    while !DONE.load(Ordering::SeqCst) {
                        let Some(request) = handler.receive_within(Duration::from_millis(20))
                        else {
                            continue;
                        };
                        let mut state = request.state;
                        state.set_pc(state.pc() + LENGTH);
                        // The reply to an aborted thread goes nowhere.
                        let sent = handler.reply(&request, Some(&state));
                        assert_allowed("reply", sent);
                        HANDLED.fetch_add(1, Ordering::SeqCst);
                    }
                });
                let disturbers: Vec<_> = (1..=2)
                    .map(|seed| scope.spawn(move || disturb(0x1234_5677 * seed)))
                    .collect();
                let lanes: Vec<_> = (0..LANES)
                    .map(|_| {
                        scope.spawn(|| {
                            for _ in 0..threads {
                                std::thread::scope(|inner| {
                                    inner.spawn(|| work(&handler));
                                });
                            }
                        })
                    })
                    .collect();
                for lane in lanes {
                    lane.join().expect("a lane");
                }
                DONE.store(true, Ordering::SeqCst);
                server.join().expect("the server");
                disturbers
                    .into_iter()
                    .map(|thread| thread.join().expect("a disturber"))
                    .sum()
            });
            println!(
                "{rounds} disturbances, {} handled, {} signals",
                HANDLED.load(Ordering::SeqCst),
                SIGNALS.load(Ordering::SeqCst)
            );
            assert!(rounds > 100);
            // Each fault was handled, or became a signal.
            let faults = LANES * threads * FAULTS;
            assert!(HANDLED.load(Ordering::SeqCst) + SIGNALS.load(Ordering::SeqCst) >= faults);
            for name in &NAMES[..BEGUN.load(Ordering::SeqCst)] {
                let name = name.load(Ordering::SeqCst);
                wait_for("a dead name", || {
                    let (task, mut count) = (system::task_self(), 0);
                    // SAFETY: a local variable.
                    let code = unsafe {
                        kernel::mach_port_get_refs(
                            task,
                            name,
                            MACH_PORT_RIGHT_DEAD_NAME,
                            &mut count,
                        )
                    };
                    code == 0 && count == 1
                });
                // SAFETY: this thread's reference.
                let released = unsafe { kernel::mach_port_deallocate(system::task_self(), name) };
                assert_eq!(released, 0);
            }
            wait_for("the census from before", || {
                let now = Census::take().expect("a census");
                now.since(&before).is_leak_free()
            });
        },
    );
}
