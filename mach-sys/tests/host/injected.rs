//! A signal of the five that is sent to a thread at a certain instruction of its way into the fault handler: a parent process steps the
//! thread there.

use crate::faults;
use crate::support::{OwnStack, install, isolated, on_raw_thread};
use mach_sys::rights::ThreadRight;
use port_server::Server;
use std::sync::atomic::{AtomicUsize, Ordering};
use test_support::instructions::undefined;
use test_support::wait::wait_for;

unsafe extern "C" {
    /// Address in the entry after the change of stacks, before the new one is registered.
    fn mach_sys_fault_between();
}

static SENT: AtomicUsize = AtomicUsize::new(0);
static REPAIRED: AtomicUsize = AtomicUsize::new(0);

/// Faults itself when it is entered for a sent signal. A fault that comes here was declined.
extern "C" fn previous(_: i32, info: *const libc::siginfo_t, uc: *mut libc::ucontext_t) {
    // SAFETY: the kernel's siginfo and context.
    unsafe {
        if (*info).si_code > 0 {
            REPAIRED.fetch_add(1, Ordering::SeqCst);
            (*uc).uc_mcontext.gregs[libc::REG_RIP as usize] += 2;
            return;
        }
    }
    SENT.fetch_add(1, Ordering::SeqCst);
    undefined();
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stack {
    Own,
    Lent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answered {
    ByServer,
    /// By the signal fallback, which may be interrupted by itself.
    Declined,
}

/// Place at which the signal is sent.
#[derive(Clone, Copy, Debug)]
enum At {
    /// After so many instructions.
    Step(usize),
    Address(usize),
}

const DONE: i32 = 0;
const WRONG: i32 = 2;

/// Runs the child. Returns its exit status.
fn fault_twice(stack: Stack, answered: Answered, tell: i32) -> i32 {
    for signal in [libc::SIGSEGV, libc::SIGILL, libc::SIGTRAP] {
        let flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        install(signal, previous as *const (), flags, &[]);
    }
    mach_sys::emulated::start().expect("started");
    let served = (answered == Answered::ByServer).then(|| {
        let server = Server::start(0_usize, |served, fault, state| {
            faults::skip(fault.exception, state);
            *served += 1;
            true
        });
        server.route_task();
        server
    });
    on_raw_thread(move || {
        let _thread = ThreadRight::current().expect("the own thread");
        let _own = (stack == Stack::Own).then(|| OwnStack::register(0));
        // SAFETY: the parent traces this thread, and is told which.
        unsafe {
            let tid = libc::gettid();
            libc::write(tell, (&raw const tid).cast(), size_of::<i32>());
            libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
            libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, libc::SIGSTOP);
        }
        undefined();
        undefined();
    });
    let sent = SENT.load(Ordering::SeqCst);
    let expected = 2 + sent;
    let answers = served.map_or_else(|| REPAIRED.load(Ordering::SeqCst), Server::stop);
    if sent == 1 && answers == expected {
        DONE
    } else {
        WRONG
    }
}

fn wait(tid: i32) -> i32 {
    let mut status = 0;
    // A thread can be waited for once it is traced.
    wait_for("a traced thread", || {
        // SAFETY: the result goes to a local variable.
        unsafe { libc::waitpid(tid, &mut status, libc::__WALL) == tid }
    });
    status
}

/// The flag that a step sets.
const STEP: u64 = 0x100;

fn registers(tid: i32) -> libc::user_regs_struct {
    // SAFETY: zeroes are valid registers, which go to a local variable; the thread is stopped.
    unsafe {
        let mut registers = core::mem::zeroed();
        libc::ptrace(libc::PTRACE_GETREGS, tid, 0_usize, &mut registers);
        registers
    }
}

/// Executes one instruction of a stopped thread, which does not see the flag in what it pushes.
fn step(tid: i32, signal: i32) -> i32 {
    const PUSHFQ: i64 = 0x9c;
    let before = registers(tid);
    // SAFETY: the thread is stopped; the address is that of its next instruction, or of what that one pushed.
    unsafe {
        let code = libc::ptrace(libc::PTRACE_PEEKTEXT, tid, before.rip as usize, 0_usize);
        libc::ptrace(libc::PTRACE_SINGLESTEP, tid, 0_usize, signal as usize);
        let status = wait(tid);
        if code & 0xff == PUSHFQ && signal == 0 && libc::WIFSTOPPED(status) {
            let at = before.rsp as usize - 8;
            let pushed = libc::ptrace(libc::PTRACE_PEEKDATA, tid, at, 0_usize) as u64;
            libc::ptrace(libc::PTRACE_POKEDATA, tid, at, (pushed & !STEP) as usize);
        }
        status
    }
}

/// Lets a child fault, and sends its thread a signal. Returns the child's status; and how many instructions the thread had executed, if it was
/// back from its first fault by then and nothing was sent.
fn send(signal: i32, stack: Stack, answered: Answered, at: At) -> Result<i32, usize> {
    let mut pipe = [0; 2];
    // SAFETY: a child with one thread, which leaves by `_exit`; the thread that is traced is its own.
    unsafe {
        assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
        let child = libc::fork();
        if child == 0 {
            libc::alarm(20);
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::_exit(fault_twice(stack, answered, pipe[1]));
        }
        libc::close(pipe[1]);
        let mut tid = 0_i32;
        let length = libc::read(pipe[0], (&raw mut tid).cast(), size_of::<i32>());
        assert_eq!(length, 4);
        libc::close(pipe[0]);
        let mut status = wait(tid);
        let (mut steps, mut passed) = (0, 0);
        let (mut fault, mut is_back) = (None, false);
        while libc::WIFSTOPPED(status) {
            let pc = registers(tid).rip;
            if passed == libc::SIGILL {
                fault.get_or_insert(pc);
            }
            is_back = fault.is_some_and(|fault| pc == fault + 2);
            let there = match at {
                At::Step(wanted) => steps == wanted,
                At::Address(wanted) => pc as usize == wanted,
            };
            if there || is_back {
                break;
            }
            status = step(tid, passed);
            steps += 1;
            passed = match libc::WSTOPSIG(status) {
                libc::SIGTRAP => 0,
                signal => signal,
            };
        }
        assert!(libc::WIFSTOPPED(status), "the thread ended");
        let mut registers = registers(tid);
        registers.eflags &= !STEP;
        libc::ptrace(libc::PTRACE_SETREGS, tid, 0_usize, &raw const registers);
        if !is_back {
            libc::syscall(libc::SYS_tgkill, child, tid, signal);
        }
        while libc::WIFSTOPPED(status) {
            libc::ptrace(libc::PTRACE_CONT, tid, 0_usize, passed as usize);
            status = wait(tid);
            passed = libc::WSTOPSIG(status);
        }
        let status = wait(child);
        if is_back { Err(steps) } else { Ok(status) }
    }
}

isolated! {
    fn a_signal_sent_between_the_change_of_stacks_and_the_registration_of_the_new_one_harms_no_frame() {
        let at = At::Address(mach_sys_fault_between as *const () as usize);
        for answered in [Answered::ByServer, Answered::Declined] {
            for signal in [libc::SIGSEGV, libc::SIGTRAP] {
                assert_eq!(send(signal, Stack::Own, answered, at), Ok(0), "{signal} {answered:?}");
            }
        }
    }
}

isolated! {
    /// Its handler faults as the interrupted code did. It runs when the thread has left the fault handler.
    fn r24_a_signal_sent_on_the_way_into_the_fault_handler_may_fault_in_its_handler() {
        for stack in [Stack::Lent, Stack::Own] {
            for answered in [Answered::ByServer, Answered::Declined] {
                for step in (3..120).step_by(3) {
                    let outcome = send(libc::SIGTRAP, stack, answered, At::Step(step));
                    assert_eq!(outcome, Ok(0), "{stack:?} {answered:?} after {step} steps");
                }
            }
        }
    }
}

isolated! {
    /// From the entry to the return; the last of them are on the way out.
    fn a_signal_sent_anywhere_in_the_fault_handler_harms_no_frame() {
        for stack in [Stack::Lent, Stack::Own] {
            for answered in [Answered::ByServer, Answered::Declined] {
                let sent = |step| send(libc::SIGSEGV, stack, answered, At::Step(step));
                let all = sent(usize::MAX).expect_err("nothing is sent after the return");
                for step in [all / 3, all * 2 / 3, all - 120, all - 60, all - 15] {
                    match sent(step) {
                        // The wait for a server differs: the thread may be back before.
                        Err(_) if answered == Answered::ByServer => {}
                        outcome => {
                            assert_eq!(outcome, Ok(0), "{stack:?} {answered:?} after {step} of {all} steps");
                        }
                    }
                }
            }
        }
    }
}
