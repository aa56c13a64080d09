//! Suspension, abort and termination while the reply to an exception is outstanding (A8).

use crate::support::{
    Handler, abort, abort_safely, assert_never, get, resume, set, suspend, terminate, thread,
};
use mach_sys::exception::EXC_MASK_BAD_INSTRUCTION;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, Config, Generation, system};
use mach_sys::thread_state::{NativeState, Registers};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use test_support::instructions::{LENGTH, skip_undefined, undefined};
use test_support::isolated::isolated;
use test_support::wait::wait_for;

/// A thread in an exception: its name, how far it is, its handler, and the request.
struct Victim {
    name: u32,
    handle: std::thread::JoinHandle<()>,
    went_on: Arc<AtomicUsize>,
    handler: Arc<Handler>,
    request: crate::support::Request,
}

impl Victim {
    fn new() -> Self {
        Self::with(|| {})
    }

    /// A victim that runs `before` first.
    fn with(before: impl FnOnce() + Send + 'static) -> Self {
        let handler = Arc::new(Handler::new());
        let went_on = Arc::new(AtomicUsize::new(0));
        let (name, handle) = thread({
            let (handler, went_on) = (Arc::clone(&handler), Arc::clone(&went_on));
            move || {
                before();
                handler.route_thread(EXC_MASK_BAD_INSTRUCTION);
                undefined();
                went_on.fetch_add(1, Ordering::SeqCst);
            }
        });
        let request = handler.receive();
        Self {
            name,
            handle,
            went_on,
            handler,
            request,
        }
    }

    fn has_gone_on(&self) -> bool {
        self.went_on.load(Ordering::SeqCst) != 0
    }

    /// The state behind the instruction.
    fn skipped(&self) -> NativeState {
        let mut state = self.request.state;
        state.set_pc(state.pc() + LENGTH);
        state
    }

    fn reply(&self) {
        let state = self.skipped();
        let sent = self.handler.reply(&self.request, Some(&state));
        assert_eq!(sent, KernReturn::SUCCESS);
    }

    fn ends(self) {
        self.handle.join().expect("it went on and ended");
        assert_eq!(self.went_on.load(Ordering::SeqCst), 1);
    }
}

/// A8.5, A1.3: the reply is applied, then the suspension is honoured.
#[test]
fn e23_a8_5_a_reply_is_applied_and_the_thread_parks_until_resumed() {
    isolated(
        "exceptions::e23_a8_5_a_reply_is_applied_and_the_thread_parks_until_resumed",
        || {
            let victim = Victim::new();
            assert_eq!(suspend(victim.name), KernReturn::SUCCESS);
            victim.reply();
            assert_never("it runs", || victim.has_gone_on());
            // The reply's state is the thread's while it is parked.
            assert_eq!(
                get(victim.name).map(|state| state.pc()),
                Ok(victim.skipped().pc())
            );
            assert_eq!(resume(victim.name), KernReturn::SUCCESS);
            victim.ends();
        },
    );
}

#[test]
fn e44_a8_5_suspended_twice_then_answered_the_second_resume_frees_it_the_third_fails() {
    isolated(
        "exceptions::e44_a8_5_suspended_twice_then_answered_the_second_resume_frees_it_the_third_fails",
        || {
            let victim = Victim::new();
            assert_eq!(suspend(victim.name), KernReturn::SUCCESS);
            assert_eq!(suspend(victim.name), KernReturn::SUCCESS);
            victim.reply();
            assert_eq!(resume(victim.name), KernReturn::SUCCESS);
            assert_never("one suspension is left", || victim.has_gone_on());
            assert_eq!(resume(victim.name), KernReturn::SUCCESS);
            wait_for("it to go on", || victim.has_gone_on());
            // It may have ended by now: its name is a dead one then.
            let third = resume(victim.name);
            assert!(
                [
                    KernReturn::FAILURE,
                    KernReturn::TERMINATED,
                    KernReturn::SEND_INVALID_DEST
                ]
                .contains(&third),
                "{third:?}"
            );
            victim.ends();
        },
    );
}

#[test]
fn a8_5_resumed_before_the_reply_it_goes_on_with_the_reply() {
    isolated(
        "exceptions::a8_5_resumed_before_the_reply_it_goes_on_with_the_reply",
        || {
            let victim = Victim::new();
            assert_eq!(suspend(victim.name), KernReturn::SUCCESS);
            assert_eq!(resume(victim.name), KernReturn::SUCCESS);
            assert_never("it has no reply", || victim.has_gone_on());
            victim.reply();
            victim.ends();
        },
    );
}

#[test]
fn a8_10_an_abort_does_not_resume_a_parked_thread() {
    isolated(
        "exceptions::a8_10_an_abort_does_not_resume_a_parked_thread",
        || {
            let victim = Victim::new();
            assert_eq!(suspend(victim.name), KernReturn::SUCCESS);
            victim.reply();
            wait_for("the reply to be applied", || {
                get(victim.name).map(|state| state.pc()) == Ok(victim.skipped().pc())
            });
            for call in [abort, abort_safely] {
                assert_eq!(call(victim.name), KernReturn::SUCCESS);
                assert_never("it was not resumed", || victim.has_gone_on());
            }
            assert_eq!(resume(victim.name), KernReturn::SUCCESS);
            victim.ends();
        },
    );
}

#[test]
fn a9_3_a_state_set_on_a_parked_thread_is_what_it_goes_on_with() {
    isolated(
        "exceptions::a9_3_a_state_set_on_a_parked_thread_is_what_it_goes_on_with",
        || {
            let victim = Victim::new();
            assert_eq!(suspend(victim.name), KernReturn::SUCCESS);
            // The reply leaves the pc at the instruction: it would fault again.
            let state = victim.request.state;
            let sent = victim.handler.reply(&victim.request, Some(&state));
            assert_eq!(sent, KernReturn::SUCCESS);
            wait_for("the thread to park", || {
                set(victim.name, &victim.skipped()) == KernReturn::SUCCESS
                    && get(victim.name).map(|state| state.pc()) == Ok(victim.skipped().pc())
            });
            assert_eq!(resume(victim.name), KernReturn::SUCCESS);
            wait_for("it to go on or to fault again", || {
                victim.has_gone_on()
                    || victim
                        .handler
                        .receive_within(Duration::from_millis(1))
                        .is_some_and(|again| {
                            // The set came before the reply was applied (A9.3): the reply's state won.
                            let state = victim.skipped();
                            victim.handler.reply(&again, Some(&state)) != KernReturn::SUCCESS
                        })
            });
            victim.ends();
        },
    );
}

static SIGNALS: AtomicUsize = AtomicUsize::new(0);

/// Skips the instruction, as the host level's handler.
extern "C" fn skip(_: i32, _: *const libc::siginfo_t, context: *mut libc::ucontext_t) {
    SIGNALS.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the context of a handler for the fault of an undefined instruction.
    unsafe { skip_undefined(context.cast()) };
}

fn install_skip() {
    // SAFETY: zeroes are a valid action; the handler has three arguments.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = skip as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        assert_eq!(
            libc::sigaction(libc::SIGILL, &action, core::ptr::null_mut()),
            0
        );
    }
}

/// A8.2: the following levels' messages are sent, and their waits end at once.
#[test]
fn e24_e46_a8_2_an_abort_ends_every_levels_wait_and_the_signal_is_posted() {
    isolated(
        "exceptions::e24_e46_a8_2_an_abort_ends_every_levels_wait_and_the_signal_is_posted",
        || {
            install_skip();
            let task_level = Handler::new();
            task_level.route_task(EXC_MASK_BAD_INSTRUCTION);
            let victim = Victim::new();
            assert_never("it waits", || victim.has_gone_on());
            assert_eq!(abort(victim.name), KernReturn::SUCCESS);
            wait_for("the signal's handler", || victim.has_gone_on());
            assert_eq!(SIGNALS.load(Ordering::SeqCst), 1);
            // The task level's message was sent, and waited for no longer: its reply right is dead.
            let late = task_level.receive();
            assert_eq!(late.reply_name(), u32::MAX);
            // The late reply of the first server goes nowhere, and is no error to it.
            let state = victim.skipped();
            assert_eq!(
                victim.handler.reply(&victim.request, Some(&state)),
                KernReturn::SUCCESS
            );
            victim.ends();
        },
    );
}

#[test]
fn a8_1_after_an_abort_the_next_exception_gets_its_own_reply() {
    isolated(
        "exceptions::a8_1_after_an_abort_the_next_exception_gets_its_own_reply",
        || {
            install_skip();
            let handler = Arc::new(Handler::new());
            let (name, handle) = thread({
                let handler = Arc::clone(&handler);
                move || {
                    handler.route_thread(EXC_MASK_BAD_INSTRUCTION);
                    for _ in 0..20 {
                        undefined();
                    }
                }
            });
            for round in 0..10 {
                let first = handler.receive();
                assert_eq!(abort(name), KernReturn::SUCCESS, "{round}");
                let second = handler.receive();
                // A late reply, which must not be taken for one to the second exception: it would leave the pc where it was.
                let late = handler.reply(&first, Some(&first.state));
                assert_eq!(late, KernReturn::SUCCESS, "{round}");
                let mut state = second.state;
                state.set_pc(state.pc() + LENGTH);
                assert_eq!(handler.reply(&second, Some(&state)), KernReturn::SUCCESS);
            }
            handle.join().expect("it ended");
            assert_eq!(SIGNALS.load(Ordering::SeqCst), 10);
        },
    );
}

/// A8.3: the wait goes on.
#[test]
fn e46_a8_3_abort_safely_does_not_disturb_the_wait() {
    isolated(
        "exceptions::e46_a8_3_abort_safely_does_not_disturb_the_wait",
        || {
            let victim = Victim::new();
            assert_eq!(abort_safely(victim.name), KernReturn::SUCCESS);
            assert_never("it waits on", || victim.has_gone_on());
            victim.reply();
            victim.ends();
        },
    );
}

#[test]
fn d3_1_a_pthread_is_not_terminated_since_12() {
    isolated(
        "exceptions::d3_1_a_pthread_is_not_terminated_since_12",
        || {
            let victim = Victim::new();
            assert_eq!(terminate(victim.name), KernReturn::DENIED);
            assert_never("it waits on", || victim.has_gone_on());
            victim.reply();
            victim.ends();
        },
    );
}

fn generation_11() {
    let mut config = Config::default();
    config.generation = Generation::MacOs11;
    kernel::configure(config).expect("started");
}

/// Waits until a thread is gone, as the system's list says: a terminated one cannot be joined.
fn wait_for_the_end_of(tid: i32) {
    wait_for("the thread's end", || {
        // SAFETY: a question.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, 0) != 0 }
    });
}

/// A8.4, A2.1: no level after the one that it waits for. D3.3, D3.5, D4.3: what the calls answer then, and that no instruction of it follows.
#[test]
fn a2_1_a8_4_d3_3_d4_3_e46_a_terminated_thread_asks_no_other_level_and_dies() {
    isolated(
        "exceptions::a2_1_a8_4_d3_3_d4_3_e46_a_terminated_thread_asks_no_other_level_and_dies",
        || {
            install_skip();
            generation_11();
            let task_level = Handler::new();
            task_level.route_task(EXC_MASK_BAD_INSTRUCTION);
            let tid = Arc::new(AtomicUsize::new(0));
            let victim = Victim::with({
                let tid = Arc::clone(&tid);
                // SAFETY: no arguments.
                move || tid.store(unsafe { libc::gettid() } as usize, Ordering::SeqCst)
            });
            assert_eq!(terminate(victim.name), KernReturn::SUCCESS);
            // Inactive or dead by now, whatever the call (D4, E53).
            for call in [suspend, resume, abort, abort_safely, terminate] {
                let code = call(victim.name);
                assert!(
                    [KernReturn::TERMINATED, KernReturn::SEND_INVALID_DEST].contains(&code),
                    "{code:?}"
                );
            }
            wait_for_the_end_of(tid.load(Ordering::SeqCst) as i32);
            assert!(!victim.has_gone_on());
            assert_eq!(SIGNALS.load(Ordering::SeqCst), 0);
            assert!(
                task_level
                    .receive_within(Duration::from_millis(50))
                    .is_none()
            );
            // The late reply goes nowhere.
            let state = victim.skipped();
            assert_eq!(
                victim.handler.reply(&victim.request, Some(&state)),
                KernReturn::SUCCESS
            );
            // D3.1, E52: its name keeps its references, as a dead one.
            wait_for("the dead name", || {
                let mut kind = 0;
                // SAFETY: a local variable.
                let code =
                    unsafe { kernel::mach_port_type(system::task_self(), victim.name, &mut kind) };
                code == 0 && kind & mach_sys::port::MACH_PORT_TYPE_DEAD_NAME != 0
            });
        },
    );
}

/// A8.7, D3.5: it runs no more user code.
#[test]
fn a8_7_d3_5_e44_a_suspended_thread_that_is_terminated_dies_without_running() {
    isolated(
        "exceptions::a8_7_d3_5_e44_a_suspended_thread_that_is_terminated_dies_without_running",
        || {
            generation_11();
            let tid = Arc::new(AtomicUsize::new(0));
            let victim = Victim::with({
                let tid = Arc::clone(&tid);
                // SAFETY: no arguments.
                move || tid.store(unsafe { libc::gettid() } as usize, Ordering::SeqCst)
            });
            assert_eq!(suspend(victim.name), KernReturn::SUCCESS);
            victim.reply();
            assert_never("it is suspended", || victim.has_gone_on());
            assert_eq!(terminate(victim.name), KernReturn::SUCCESS);
            wait_for_the_end_of(tid.load(Ordering::SeqCst) as i32);
            assert!(!victim.has_gone_on());
        },
    );
}
