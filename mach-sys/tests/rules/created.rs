//! Threads that are no pthreads (D1.5).

use crate::support::*;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system::task_self};
use mach_sys::port::{MACH_PORT_RIGHT_DEAD_NAME, MACH_PORT_RIGHT_SEND};
use mach_sys::thread_state::{NativeState, Registers, ThreadState};
use std::sync::atomic::{AtomicU64, Ordering};
use test_support::emulator::is_emulated;
use test_support::isolated::isolated as in_a_process;
use test_support::wait::wait_for;

/// Memory that a thread without the C library shares with the test.
#[derive(Debug, Default)]
#[repr(C)]
struct Shared {
    /// Counts up, until `fault` is not 0.
    rounds: AtomicU64,
    fault: AtomicU64,
    /// The value of the first register after the fault, for which another one was set; then the thread computes forever.
    seen: AtomicU64,
}

impl Shared {
    fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::SeqCst)
    }

    fn wait_for_rounds(&self) {
        let before = self.rounds();
        wait_for("another round", || self.rounds() > before + 1);
    }
}

/// The code of such a thread: no call, no thread-local memory.
#[cfg(target_arch = "x86_64")]
unsafe extern "C" fn run(shared: *const Shared) -> ! {
    // SAFETY: the memory lives as long as the process; the handler of the fault skips the instruction.
    unsafe {
        core::arch::asm!(
            "2: lock inc qword ptr [rdi]",
            "pause",
            "cmp qword ptr [rdi + 8], 0",
            "je 2b",
            "ud2",
            "mov [rdi + 16], rax",
            "3: pause",
            "jmp 3b",
            in("rdi") shared,
            options(noreturn),
        )
    }
}

/// The code of such a thread. The first register is that of the first argument.
#[cfg(target_arch = "aarch64")]
unsafe extern "C" fn run(_first: u64, shared: *const Shared) -> ! {
    // SAFETY: the memory lives as long as the process; the handler of the fault skips the instruction.
    unsafe {
        core::arch::asm!(
            "2: ldr x2, [x1]",
            "add x2, x2, #1",
            "str x2, [x1]",
            "ldr x2, [x1, #8]",
            "cbz x2, 2b",
            "udf #0",
            "str x0, [x1, #16]",
            "3: yield",
            "b 3b",
            in("x1") shared,
            options(noreturn),
        )
    }
}

/// Registers with which a thread runs [`run`], on a stack of its own.
fn registers(shared: &'static Shared) -> NativeState {
    const STACK: usize = 64 * 1024;
    let stack: &'static mut [u128] = Box::leak(vec![0; STACK / 16].into_boxed_slice());
    let mut state = NativeState::default();
    state.set_pc(run as *const () as u64);
    // As behind the call of a function.
    let top = stack.as_mut_ptr_range().end as u64;
    state.set_sp(if cfg!(target_arch = "x86_64") {
        top - 8
    } else {
        top
    });
    let argument = if cfg!(target_arch = "x86_64") { 4 } else { 1 };
    let address = core::ptr::from_ref(shared) as u64;
    state.as_words_mut()[2 * argument..][..2]
        .copy_from_slice(&[address as u32, (address >> 32) as u32]);
    state
}

fn create() -> Answer<Port> {
    let mut name = 0;
    // SAFETY: the result goes to a local variable.
    answered(unsafe { kernel::thread_create(task_self(), &mut name) })?;
    Ok(name)
}

fn create_running(task: Port, flavor: i32, words: &[u32]) -> Answer<Port> {
    let mut name = 0;
    // SAFETY: the state has as many words as the count says; the result goes to a local variable.
    answered(unsafe {
        let (words, count) = (words.as_ptr(), words.len() as u32);
        kernel::thread_create_running(task, flavor, words, count, &mut name)
    })?;
    Ok(name)
}

fn get(thread: Port) -> Answer<NativeState> {
    let (mut state, mut count) = (NativeState::default(), NativeState::COUNT);
    // SAFETY: the state has as many words as the count says.
    answered(unsafe {
        let words = state.as_words_mut().as_mut_ptr();
        kernel::thread_get_state(thread, NativeState::FLAVOR, words, &mut count)
    })?;
    Ok(state)
}

fn set(thread: Port, state: &NativeState) -> Answer<()> {
    let words = state.as_words();
    // SAFETY: the state has as many words as the count says.
    answered(unsafe {
        kernel::thread_set_state(
            thread,
            NativeState::FLAVOR,
            words.as_ptr(),
            words.len() as u32,
        )
    })
}

fn resume(thread: Port) -> Answer<()> {
    // SAFETY: no pointers.
    answered(unsafe { kernel::thread_resume(thread) })
}

/// Ends a thread, after which its name keeps its references: no library released one.
fn terminate(thread: Port, references: u32) {
    // SAFETY: no pointers; the thread holds nothing.
    let ended = answered(unsafe { kernel::thread_terminate(thread) });
    assert_eq!(ended, Ok(()));
    wait_for("the dead name", || {
        refs(thread, MACH_PORT_RIGHT_DEAD_NAME) == Ok(references)
    });
    let all = -(references as i32);
    assert_eq!(mod_refs(thread, MACH_PORT_RIGHT_DEAD_NAME, all), Ok(()));
}

fn shared() -> &'static Shared {
    Box::leak(Box::default())
}

#[test]
fn d1_5_a_thread_is_created_suspended_runs_faults_and_is_terminated() {
    in_a_process(
        "created::d1_5_a_thread_is_created_suspended_runs_faults_and_is_terminated",
        || {
            let shared = shared();
            let thread = create().expect("a thread");
            assert_eq!(refs(thread, MACH_PORT_RIGHT_SEND), Ok(1));
            let state = get(thread).expect("registers");
            assert_eq!((state.pc(), state.sp(), first_register(&state)), (0, 0, 0));
            let mut begin = registers(shared);
            set_first_register(&mut begin, MARK);
            assert_eq!(set(thread, &begin), Ok(()));
            let handler = port();
            // SAFETY: no pointers.
            let routed = answered(unsafe {
                kernel::thread_set_exception_ports(
                    thread,
                    MASK,
                    handler,
                    STATE,
                    NativeState::FLAVOR,
                )
            });
            assert_eq!(routed, Ok(()));
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert_eq!(shared.rounds(), 0, "suspended");
            assert_eq!(resume(thread), Ok(()));
            shared.wait_for_rounds();
            assert_eq!(resume(thread), Err(KernReturn::FAILURE), "once");
            shared.fault.store(1, Ordering::SeqCst);
            let request = receive(handler);
            assert_eq!(first_register(&request.state()), MARK);
            request.resume(|state| set_first_register(state, 5));
            wait_for("it to go on", || shared.seen.load(Ordering::SeqCst) == 5);
            // In every generation, though no pthread is (D3.1).
            terminate(thread, 1);
            assert_eq!(kind(thread), Err(KernReturn::INVALID_NAME));
        },
    );
}

#[test]
fn d1_5_a_thread_is_created_running_and_its_name_is_not_pinned() {
    in_a_process(
        "created::d1_5_a_thread_is_created_running_and_its_name_is_not_pinned",
        || {
            for _ in 0..20 {
                let shared = shared();
                let state = registers(shared);
                let thread = create_running(task_self(), NativeState::FLAVOR, state.as_words());
                let thread = thread.expect("a thread");
                shared.wait_for_rounds();
                assert_eq!(refs(thread, MACH_PORT_RIGHT_SEND), Ok(1));
                assert_eq!(mod_refs(thread, MACH_PORT_RIGHT_SEND, 1), Ok(()));
                terminate(thread, 2);
                let rounds = shared.rounds();
                std::thread::sleep(std::time::Duration::from_millis(1));
                assert_eq!(shared.rounds(), rounds, "it runs no more");
            }
            // The last reference goes like any other.
            let thread = create().expect("a thread");
            assert_eq!(deallocate(thread), Ok(()));
            assert_eq!(kind(thread), Err(KernReturn::INVALID_NAME));
        },
    );
}

#[test]
fn d1_5_what_is_refused_leaves_no_thread() {
    in_a_process("created::d1_5_what_is_refused_leaves_no_thread", || {
        // SAFETY: no arguments.
        let own = unsafe { kernel::mach_thread_self() };
        let state = NativeState::default();
        let before = names().len();
        for (what, task, flavor, count, error) in [
            (
                "null",
                NULL,
                NativeState::FLAVOR,
                NativeState::COUNT,
                KernReturn::SEND_INVALID_DEST,
            ),
            (
                "absent",
                absent(),
                NativeState::FLAVOR,
                NativeState::COUNT,
                KernReturn::SEND_INVALID_DEST,
            ),
            (
                "a thread",
                own,
                NativeState::FLAVOR,
                NativeState::COUNT,
                KernReturn::INVALID_ARGUMENT,
            ),
            (
                "no flavor",
                task_self(),
                99,
                NativeState::COUNT,
                KernReturn::INVALID_ARGUMENT,
            ),
            (
                "a short state",
                task_self(),
                NativeState::FLAVOR,
                3,
                KernReturn::INVALID_ARGUMENT,
            ),
        ] {
            let words = &state.as_words()[..count as usize];
            assert_eq!(create_running(task, flavor, words), Err(error), "{what}");
            if task != task_self() {
                let mut name = 7;
                // SAFETY: the result goes to a local variable.
                let refused = answered(unsafe { kernel::thread_create(task, &mut name) });
                assert_eq!((refused, name), (Err(error), 7), "{what}");
            }
        }
        wait_for("the names from before", || names().len() <= before + 1);
    });
}

#[test]
fn d1_5_threads_are_created_and_terminated_by_many_at_once() {
    in_a_process(
        "created::d1_5_threads_are_created_and_terminated_by_many_at_once",
        || {
            let rounds = if is_emulated() { 3 } else { 40 };
            // What the threads below leave: a reply port each, until they have ended.
            let before = names().len();
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        let shared = shared();
                        for _ in 0..rounds {
                            let state = registers(shared);
                            let thread =
                                create_running(task_self(), NativeState::FLAVOR, state.as_words());
                            let thread = thread.expect("a thread");
                            shared.wait_for_rounds();
                            terminate(thread, 1);
                        }
                    });
                }
            });
            wait_for("the names from before", || names().len() <= before + 1);
        },
    );
}
