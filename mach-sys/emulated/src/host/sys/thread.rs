//! Processes and threads by their identifiers.
#![allow(unsafe_code)]

use super::call::call;

/// Returns the calling thread's identifier on this system. The system gives it to another thread some time after this one's end.
pub(crate) fn gettid() -> u32 {
    // SAFETY: gettid takes no arguments.
    unsafe { call(libc::SYS_gettid, [0; 6]) as u32 }
}

/// Returns the calling process's identifier, from the kernel.
pub(in crate::host) fn getpid() -> u32 {
    // SAFETY: getpid takes no arguments.
    unsafe { call(libc::SYS_getpid, [0; 6]) as u32 }
}

/// Returns the calling thread's pointer to its thread-local memory, which is not touched. No system call where the processor and the system
/// let code read the register.
pub(in crate::host) fn thread_pointer() -> usize {
    let pointer: usize;
    #[cfg(target_arch = "aarch64")]
    // SAFETY: reads a register that every thread may read.
    unsafe {
        core::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nomem, nostack));
    }
    #[cfg(target_arch = "x86_64")]
    {
        const FSGSBASE: u64 = 1 << 1;
        const ARCH_GET_FS: usize = 0x1003;
        // SAFETY: a question about a constant of the process.
        if unsafe { libc::getauxval(libc::AT_HWCAP2) } & FSGSBASE != 0 {
            // SAFETY: the system says that the instruction is allowed; it reads a register.
            unsafe {
                core::arch::asm!("rdfsbase {}", out(reg) pointer, options(nomem, nostack));
            }
        } else {
            let mut word = 0_usize;
            let at = core::ptr::from_mut(&mut word) as usize;
            // SAFETY: the kernel writes one word.
            unsafe { call(libc::SYS_arch_prctl, [ARCH_GET_FS, at, 0, 0, 0, 0]) };
            pointer = word;
        }
    }
    pointer
}

/// Returns the scheduling policy of a thread, `SCHED_*`; `None` where the system does not say.
pub(in crate::host) fn policy(tid: u32) -> Option<i32> {
    // SAFETY: a question about a thread, by its number.
    let policy = unsafe { call(libc::SYS_sched_getscheduler, [tid as usize, 0, 0, 0, 0, 0]) };
    // A bit beside it says what children get.
    const RESET_ON_FORK: i32 = 0x4000_0000;
    i32::try_from(policy)
        .ok()
        .filter(|policy| *policy >= 0)
        .map(|policy| policy & !RESET_ON_FORK)
}

/// Sets the nice value of a thread. The result is negative for an error number.
pub(in crate::host) fn set_nice(tid: u32, nice: i32) -> isize {
    let which = libc::PRIO_PROCESS as usize;
    let arguments = [which, tid as usize, nice as usize, 0, 0, 0];
    // SAFETY: numbers only.
    unsafe { call(libc::SYS_setpriority, arguments) }
}

/// Sends a signal to a thread of this process, with a siginfo of the caller's choice; where a sandbox refuses that, with the kernel's. The
/// result is negative if that is refused, too.
///
/// # Safety
/// `info` points to a kernel siginfo, and the process is prepared for the signal, if only to die of it.
pub(in crate::host) unsafe fn queue_signal(tid: u32, signal: i32, info: usize) -> isize {
    let process = getpid() as usize;
    let arguments = [process, tid as usize, signal as usize, info, 0, 0];
    // SAFETY: the caller's promise.
    match unsafe { call(libc::SYS_rt_tgsigqueueinfo, arguments) } {
        // SAFETY: as above.
        ..0 => unsafe {
            call(
                libc::SYS_tgkill,
                [process, tid as usize, signal as usize, 0, 0, 0],
            )
        },
        sent => sent,
    }
}

/// Sends a signal to a thread of this process. The result is negative if the system refuses.
pub(in crate::host) fn send_signal(tid: u32, signal: i32) -> isize {
    let arguments = [getpid() as usize, tid as usize, signal as usize, 0, 0, 0];
    // SAFETY: no memory is involved; the process has a handler for what the emulation sends.
    unsafe { call(libc::SYS_tgkill, arguments) }
}

/// Stops every thread of this process, by `SIGSTOP`. Returns when another process has continued them; `false` if the system refuses.
pub(crate) fn stop_process() -> bool {
    // Sent to the calling thread, so that it takes the signal before this call returns.
    send_signal(gettid(), libc::SIGSTOP) == 0
}

/// Ends the calling thread, and nothing else: no destructor runs.
pub(in crate::host) fn end_this_thread() -> ! {
    loop {
        // SAFETY: the caller's frames are never returned to; their memory stays as it is.
        unsafe { call(libc::SYS_exit, [0; 6]) };
    }
}

/// Returns whether a thread of this process still exists. `None` where a sandbox refuses the question, which says nothing about the answer.
pub(in crate::host) fn exists(tid: u32) -> Option<bool> {
    exists_in(getpid(), tid)
}

/// Does the same as [`exists`], for a caller that knows its process.
pub(in crate::host) fn exists_in(process: u32, tid: u32) -> Option<bool> {
    // SAFETY: signal 0 is only a question.
    let answer = unsafe {
        call(
            libc::SYS_tgkill,
            [process as usize, tid as usize, 0, 0, 0, 0],
        )
    };
    match answer {
        0 => Some(true),
        _ if answer == -(libc::ESRCH as isize) => Some(false),
        _ => None,
    }
}

/// Returns whether the calling process shares its signal dispositions with another (`CLONE_SIGHAND`). `false` where the system does
/// not say.
pub(in crate::host) fn shares_dispositions_with(process: u32) -> bool {
    const KCMP_SIGHAND: usize = 4;
    let arguments = [getpid() as usize, process as usize, KCMP_SIGHAND, 0, 0, 0];
    // SAFETY: the call compares two processes and touches neither.
    unsafe { call(libc::SYS_kcmp, arguments) == 0 }
}

/// Ends the calling process by a signal that no process can handle; where a sandbox refuses that, with the status that shells have for it.
pub(in crate::host) fn kill_this_process() {
    const STATUS: usize = 128 + libc::SIGKILL as usize;
    // SAFETY: ends the calling process, as its caller wants.
    unsafe {
        call(
            libc::SYS_kill,
            [getpid() as usize, libc::SIGKILL as usize, 0, 0, 0, 0],
        );
        call(libc::SYS_exit_group, [STATUS, 0, 0, 0, 0, 0]);
    };
}
