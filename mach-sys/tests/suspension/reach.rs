//! Threads in every situation are stopped, or the error says why not.

use crate::spin::{self, Spin};
use crate::support::{Handler, abort, assert_never, get, resume, suspend, thread};
use mach_sys::emulated::take_unreachable;
use mach_sys::kern_return::KernReturn;
use mach_sys::message::{MACH_RCV_INTERRUPT, MACH_RCV_MSG, MACH_SEND_MSG};
use mach_sys::rights::Right;
use mach_sys::thread_state::Registers;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;
use test_support::isolated::isolated;
use test_support::wait::wait_for;

/// Suspends a thread that spins with a stack pointer, and asserts that it stops, shows the pointer, and goes on.
fn spins_with(sp: usize) {
    let spin = Arc::new(Spin::default());
    let (name, handle) = thread({
        let spin = Arc::clone(&spin);
        move || spin::run(&spin, Some(sp))
    });
    for _ in 0..10 {
        spin.wait_for_rounds();
        assert_eq!(
            suspend(name),
            KernReturn::SUCCESS,
            "{sp:#x}: {:?}",
            take_unreachable()
        );
        let stopped = spin.rounds();
        assert_eq!(get(name).map(|state| state.sp()), Ok(sp as u64));
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(spin.rounds(), stopped, "{sp:#x}");
        assert_eq!(resume(name), KernReturn::SUCCESS);
    }
    spin.end();
    handle.join().expect("it went on");
}

#[test]
fn g2_12_a_stack_pointer_that_is_no_stack_is_no_obstacle() {
    isolated(
        "reach::g2_12_a_stack_pointer_that_is_no_stack_is_no_obstacle",
        || {
            // SAFETY: a new mapping without access.
            let guard = unsafe {
                libc::mmap(
                    core::ptr::null_mut(),
                    65536,
                    libc::PROT_NONE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                    -1,
                    0,
                )
            };
            assert_ne!(guard, libc::MAP_FAILED);
            for sp in [
                0,
                16,
                guard as usize + 32768,
                0x8000_0000_0000_0000,
                usize::MAX & !15,
            ] {
                spins_with(sp);
            }
        },
    );
}

#[test]
fn g2_1_nothing_is_written_to_the_threads_stack() {
    isolated(
        "reach::g2_1_nothing_is_written_to_the_threads_stack",
        || {
            let stack = Box::leak(vec![0x5a_u8; 256 << 10].into_boxed_slice());
            let sp = (stack.as_ptr() as usize + (128 << 10)) & !15;
            spins_with(sp);
            assert!(stack.iter().all(|byte| *byte == 0x5a));
        },
    );
}

/// 256 bytes of stack above a guard page.
#[test]
fn g2_12_a_tiny_stack_is_no_obstacle() {
    isolated("reach::g2_12_a_tiny_stack_is_no_obstacle", || {
        // SAFETY: a new mapping; the first page loses its access.
        let base = unsafe {
            let base = libc::mmap(
                core::ptr::null_mut(),
                131_072,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(base, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(base, 65536, libc::PROT_NONE), 0);
            base as usize
        };
        spins_with(base + 65536 + 256);
    });
}

static HANDLED: AtomicUsize = AtomicUsize::new(0);
static SPIN: std::sync::OnceLock<Arc<Spin>> = std::sync::OnceLock::new();

extern "C" fn spin_in_handler(_: i32) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
    spin::run(SPIN.get().expect("set"), None);
}

#[test]
fn a_handler_on_its_own_alternate_stack_is_stopped() {
    isolated(
        "reach::a_handler_on_its_own_alternate_stack_is_stopped",
        || {
            let spin = SPIN.get_or_init(Arc::default);
            // SAFETY: the handler touches the loop's words only; the stack is never freed.
            unsafe {
                let mut action: libc::sigaction = core::mem::zeroed();
                action.sa_sigaction = spin_in_handler as *const () as usize;
                action.sa_flags = libc::SA_ONSTACK;
                assert_eq!(
                    libc::sigaction(libc::SIGUSR1, &action, core::ptr::null_mut()),
                    0
                );
            }
            let (name, handle) = thread(|| {
                let memory = Box::leak(vec![0_u8; 128 << 10].into_boxed_slice());
                // SAFETY: the stack is never freed.
                unsafe {
                    let stack = libc::stack_t {
                        ss_sp: memory.as_mut_ptr().cast(),
                        ss_flags: 0,
                        ss_size: memory.len(),
                    };
                    assert_eq!(libc::sigaltstack(&stack, core::ptr::null_mut()), 0);
                    libc::raise(libc::SIGUSR1);
                    let mut now: libc::stack_t = core::mem::zeroed();
                    libc::sigaltstack(core::ptr::null(), &mut now);
                    assert_eq!(now.ss_sp, stack.ss_sp);
                }
            });
            spin.wait_for_rounds();
            for _ in 0..20 {
                assert_eq!(suspend(name), KernReturn::SUCCESS);
                let stopped = spin.rounds();
                std::thread::sleep(Duration::from_millis(1));
                assert_eq!(spin.rounds(), stopped);
                assert_eq!(resume(name), KernReturn::SUCCESS);
                spin.wait_for_rounds();
            }
            spin.end();
            handle.join().expect("it went on, with its stack");
            assert_eq!(HANDLED.load(Ordering::SeqCst), 1);
        },
    );
}

/// Receives with an option on a new port in a thread of its own. The code is in the cell when the call returned.
fn receiver(
    option: i32,
) -> (
    u32,
    std::thread::JoinHandle<()>,
    Arc<Handler>,
    Arc<AtomicI32>,
) {
    let handler = Arc::new(Handler::new());
    let code = Arc::new(AtomicI32::new(-1));
    let (name, handle) = thread({
        let (handler, code) = (Arc::clone(&handler), Arc::clone(&code));
        move || {
            let mut words = [0_u32; 64];
            // SAFETY: the buffer is valid for its size.
            let outcome = unsafe {
                mach_sys::kernel::mach_msg(
                    words.as_mut_ptr().cast(),
                    MACH_RCV_MSG | option,
                    0,
                    256,
                    handler.port.name().raw(),
                    0,
                    0,
                )
            };
            code.store(outcome, Ordering::SeqCst);
        }
    });
    std::thread::sleep(Duration::from_millis(20));
    (name, handle, handler, code)
}

fn send_to(handler: &Handler) {
    let send = handler.port.make_send().expect("a send right");
    let mut message = [19, 24, send.name().raw(), 0, 0, 7];
    // SAFETY: the buffer holds a message of that size.
    let sent = unsafe {
        mach_sys::kernel::mach_msg(message.as_mut_ptr().cast(), MACH_SEND_MSG, 24, 0, 0, 0, 0)
    };
    assert_eq!(sent, 0);
}

#[test]
fn a8_5_a_receiving_thread_parks_and_its_receive_goes_on() {
    isolated(
        "reach::a8_5_a_receiving_thread_parks_and_its_receive_goes_on",
        || {
            // With MACH_RCV_INTERRUPT a signal would end the receive; a suspension does not.
            for option in [0, MACH_RCV_INTERRUPT] {
                let (name, handle, handler, code) = receiver(option);
                assert_eq!(suspend(name), KernReturn::SUCCESS);
                send_to(&handler);
                assert_never("it is suspended", || code.load(Ordering::SeqCst) != -1);
                assert_eq!(resume(name), KernReturn::SUCCESS);
                handle.join().expect("it received");
                assert_eq!(code.load(Ordering::SeqCst), 0, "{option:#x}");
            }
        },
    );
}

#[test]
fn a8_2_an_abort_interrupts_a_receive() {
    isolated("reach::a8_2_an_abort_interrupts_a_receive", || {
        let (name, handle, _handler, code) = receiver(MACH_RCV_INTERRUPT);
        assert_eq!(abort(name), KernReturn::SUCCESS);
        handle.join().expect("it was interrupted");
        assert_eq!(
            KernReturn::new(code.load(Ordering::SeqCst)),
            KernReturn::RCV_INTERRUPTED
        );
        // C11.4: without the option the receive is begun again.
        let (name, handle, handler, code) = receiver(0);
        assert_eq!(abort(name), KernReturn::SUCCESS);
        assert_never("it receives again", || code.load(Ordering::SeqCst) != -1);
        send_to(&handler);
        handle.join().expect("it received");
        assert_eq!(code.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn g4_6_threads_that_end_meanwhile_are_terminated_ones() {
    isolated(
        "reach::g4_6_threads_that_end_meanwhile_are_terminated_ones",
        || {
            let rounds = if test_support::emulator::is_emulated() {
                50
            } else {
                500
            };
            let mut seen = [0; 3];
            for round in 0..rounds {
                let go = Arc::new(AtomicBool::new(false));
                let (name, handle) = thread({
                    let go = Arc::clone(&go);
                    move || {
                        while !go.load(Ordering::SeqCst) {
                            std::hint::spin_loop()
                        }
                    }
                });
                go.store(true, Ordering::SeqCst);
                for _ in 0..round % 50 * 20 {
                    std::hint::spin_loop();
                }
                let code = suspend(name);
                let index = [
                    KernReturn::SUCCESS,
                    KernReturn::TERMINATED,
                    KernReturn::SEND_INVALID_DEST,
                ]
                .iter()
                .position(|known| *known == code);
                seen[index.unwrap_or_else(|| panic!("{code:?}, {:?}", take_unreachable()))] += 1;
                if code == KernReturn::SUCCESS {
                    assert_eq!(resume(name), KernReturn::SUCCESS);
                }
                handle.join().expect("it ended");
                // Whatever the race gave, a thread that has ended is not suspended. Not each round: it takes milliseconds.
                if round % 50 != 0 {
                    continue;
                }
                let ended = suspend(name);
                assert!(
                    matches!(
                        ended,
                        KernReturn::TERMINATED | KernReturn::SEND_INVALID_DEST
                    ),
                    "{ended:?}, {:?}",
                    take_unreachable()
                );
            }
            println!("stopped {}, ended {}, gone {}", seen[0], seen[1], seen[2]);
        },
    );
}

#[test]
fn a_thread_in_sleep_is_stopped_and_its_sleep_goes_on_or_ends() {
    isolated(
        "reach::a_thread_in_sleep_is_stopped_and_its_sleep_goes_on_or_ends",
        || {
            let done = Arc::new(AtomicBool::new(false));
            let (name, handle) = thread({
                let done = Arc::clone(&done);
                move || {
                    // std sleeps on after an interruption.
                    std::thread::sleep(Duration::from_millis(100));
                    done.store(true, Ordering::SeqCst);
                }
            });
            assert_eq!(suspend(name), KernReturn::SUCCESS);
            std::thread::sleep(Duration::from_millis(150));
            assert!(!done.load(Ordering::SeqCst));
            assert_eq!(resume(name), KernReturn::SUCCESS);
            handle.join().expect("it went on");
            wait_for("the end", || done.load(Ordering::SeqCst));
        },
    );
}

static SENT: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_: i32) {
    SENT.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn s12_a_suspended_thread_stays_parked_whatever_signals_come() {
    isolated(
        "reach::s12_a_suspended_thread_stays_parked_whatever_signals_come",
        || {
            let signals = [libc::SIGUSR1, libc::SIGILL, libc::SIGFPE, libc::SIGSEGV, 40];
            for signal in signals {
                // SAFETY: a handler that counts.
                unsafe { libc::signal(signal, count as *const () as usize) };
            }
            let spin = Arc::new(Spin::default());
            let pthread = Arc::new(AtomicUsize::new(0));
            let (name, handle) = thread({
                let (spin, pthread) = (Arc::clone(&spin), Arc::clone(&pthread));
                move || {
                    // SAFETY: no arguments.
                    pthread.store(unsafe { libc::pthread_self() } as usize, Ordering::SeqCst);
                    spin::run(&spin, None);
                }
            });
            spin.wait_for_rounds();
            assert_eq!(suspend(name), KernReturn::SUCCESS);
            let stopped = spin.rounds();
            for signal in signals {
                let pthread = pthread.load(Ordering::SeqCst) as libc::pthread_t;
                // SAFETY: the thread lives, and the signals have handlers.
                assert_eq!(unsafe { libc::pthread_kill(pthread, signal) }, 0);
            }
            assert_never("it runs", || {
                spin.rounds() != stopped || SENT.load(Ordering::SeqCst) != 0
            });
            assert_eq!(resume(name), KernReturn::SUCCESS);
            wait_for("each handler once", || {
                SENT.load(Ordering::SeqCst) == signals.len()
            });
            spin.end();
            handle.join().expect("it went on");
        },
    );
}
