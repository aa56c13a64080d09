//! Reaches a thread that no signal reaches, because it has all blocked or waits for them (`sigwait`): by a tracer for a moment.
//!
//! A process cannot trace its own threads, so the tracer is a child, which shares the memory and lives as long as the call. It stops the thread,
//! unblocks the suspension signal in it, sends it, and lets the thread go: the signal arrives before any other code of the thread's, and
//! its handler blocks it again in the interrupted code.
#![allow(unsafe_code)]

use crate::host::sys::call::call;
use crate::host::sys::mask::{self, ALL_MASK, How, Mask};
use crate::host::sys::reservation::Reservation;
use crate::host::sys::thread::getpid;
use core::ffi::c_void;
use core::time::Duration;

/// Requests of `ptrace` that older headers lack.
const SEIZE: usize = 0x4206;
const INTERRUPT: usize = 0x4207;
const GET_MASK: usize = 0x420a;
const SET_MASK: usize = 0x420b;
const DETACH: usize = 17;
/// The event of a stop by [`INTERRUPT`], in the high half of a status.
const EVENT_STOP: i32 = 128;

/// Bytes of the child's stack: many times what it takes.
const STACK: usize = 64 * 1024;
/// Number of times that the child looks whether the thread has stopped, and the pause between two looks.
const LOOKS: u32 = 20_000;
const PAUSE: Duration = Duration::from_micros(50);

/// Work of the child, and its result.
struct Job {
    process: usize,
    thread: usize,
    signal: i32,
    /// 0, or a negative error number.
    outcome: isize,
}

/// The thread could not be traced: the system refuses, or another process traces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused;

/// Delivers the suspension signal to a thread of this process, whatever that has blocked.
pub(super) fn deliver(tid: u32) -> Result<(), Refused> {
    let mut job = Job {
        process: getpid() as usize,
        thread: tid as usize,
        signal: mask::suspension(),
        outcome: -(libc::ENOSYS as isize),
    };
    run(&mut job);
    if job.outcome == -(libc::EPERM as isize) && allow_tracer(ANY) {
        // Where only ancestors may trace (Yama), a process says which others may.
        run(&mut job);
        allow_tracer(NONE);
    }
    match job.outcome {
        0 => Ok(()),
        // It ended: the thread that waits for it sees that.
        gone if gone == -(libc::ESRCH as isize) => Ok(()),
        _ => Err(Refused),
    }
}

/// Arguments of [`allow_tracer`]: every process, and none but ancestors.
const ANY: usize = usize::MAX;
const NONE: usize = 0;

/// Allows a process, beside the ancestors, to trace this one. Returns whether the system has such a rule.
fn allow_tracer(process: usize) -> bool {
    let arguments = [libc::PR_SET_PTRACER as usize, process, 0, 0, 0, 0];
    // SAFETY: changes a property of the process.
    unsafe { call(libc::SYS_prctl, arguments) == 0 }
}

/// Runs the child, and waits for its end.
fn run(job: &mut Job) {
    let Ok(stack) = Reservation::new("the tracer's stack", STACK) else {
        return;
    };
    // The child inherits the mask: no handler of the program's runs in it.
    let before = mask::change(How::Block, ALL_MASK);
    let top = stack.base().as_ptr().wrapping_add(STACK);
    // Without a signal at its end, so that the program does not notice it. This thread waits until then.
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FS | libc::CLONE_FILES;
    // SAFETY: the stack is the child's alone until it has ended, which this call waits for; the child touches the job and its own stack, and
    // makes system calls only.
    let child = unsafe {
        libc::clone(
            child,
            top.cast(),
            flags,
            core::ptr::from_mut(job).cast::<c_void>(),
        )
    };
    if child > 0 {
        let all = (libc::__WALL as usize, child as usize);
        // SAFETY: waits for the child that was just made; no status is written.
        while unsafe { call(libc::SYS_wait4, [all.1, 0, all.0, 0, 0, 0]) }
            == -(libc::EINTR as isize)
        {}
    }
    mask::change(How::Set, before);
}

/// The child's code. It has the parent's thread-local storage, and uses none of it.
extern "C" fn child(job: *mut c_void) -> libc::c_int {
    // SAFETY: the parent waits until this has returned.
    let job = unsafe { &mut *job.cast::<Job>() };
    job.outcome = trace(job);
    0
}

fn ptrace(request: usize, thread: usize, address: usize, data: usize) -> isize {
    // SAFETY: the requests of this file write one mask at most, to the address in `data`.
    unsafe { call(libc::SYS_ptrace, [request, thread, address, data, 0, 0]) }
}

fn trace(job: &Job) -> isize {
    let seized = ptrace(SEIZE, job.thread, 0, 0);
    if seized < 0 {
        return seized;
    }
    let interrupted = ptrace(INTERRUPT, job.thread, 0, 0);
    let mut status = 0_i32;
    let mut looks = 0;
    let stopped = loop {
        let at = core::ptr::from_mut(&mut status) as usize;
        let how = (libc::__WALL | libc::WNOHANG) as usize;
        // SAFETY: the kernel writes one status.
        let seen = unsafe { call(libc::SYS_wait4, [job.thread, at, how, 0, 0, 0]) };
        if seen == job.thread as isize {
            break libc::WIFSTOPPED(status);
        }
        looks += 1;
        if seen < 0 || interrupted < 0 || looks > LOOKS {
            // The end of this child lets the thread go.
            return -(libc::ETIMEDOUT as isize);
        }
        let pause = [0, PAUSE.as_nanos() as usize];
        // SAFETY: the kernel reads one time.
        unsafe {
            call(
                libc::SYS_nanosleep,
                [pause.as_ptr() as usize, 0, 0, 0, 0, 0],
            )
        };
    };
    if !stopped {
        return -(libc::ESRCH as isize);
    }
    let mut blocked: Mask = 0;
    let at = core::ptr::from_mut(&mut blocked) as usize;
    let read = ptrace(GET_MASK, job.thread, size_of::<Mask>(), at);
    let outcome = if read < 0 {
        read
    } else {
        let left = blocked & !mask::bit(job.signal);
        let at = core::ptr::from_ref(&left) as usize;
        let written = ptrace(SET_MASK, job.thread, size_of::<Mask>(), at);
        let arguments = [job.process, job.thread, job.signal as usize, 0, 0, 0];
        // SAFETY: the signal has the emulation's handler.
        let sent = unsafe { call(libc::SYS_tgkill, arguments) };
        written.min(sent)
    };
    // A stop at another signal's delivery hands that one on.
    let signal = match status >> 16 {
        EVENT_STOP => 0,
        _ => libc::WSTOPSIG(status),
    };
    let left = ptrace(DETACH, job.thread, 0, signal as usize);
    outcome.min(left)
}
