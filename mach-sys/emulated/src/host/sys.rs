//! System calls without libc: nothing here touches `errno`, takes a lock, or is a cancellation point.
#![allow(unsafe_code)]

/// A system call with up to six arguments. The result is the kernel's: negative for an error number.
///
/// # Safety
/// The arguments are what the system call needs.
#[inline]
pub(super) unsafe fn call(number: libc::c_long, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction's contract: rcx and r11 are overwritten; the rest is the caller's promise.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the instruction's contract; the rest is the caller's promise.
    unsafe {
        core::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack)
        );
    }
    result
}

/// The calling thread's identifier on this host.
pub(super) fn gettid() -> u32 {
    // SAFETY: gettid takes no arguments.
    unsafe { call(libc::SYS_gettid, [0; 6]) as u32 }
}

/// The page size in bytes, a power of two.
pub(super) fn page_size() -> usize {
    // SAFETY: sysconf has no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// The kernel's `stack_t`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Stack {
    pub(super) base: usize,
    pub(super) flags: i32,
    pub(super) size: usize,
}

/// `SS_DISABLE`: no alternate stack.
pub(super) const SS_DISABLE: i32 = 2;

/// Registers an alternate signal stack; the error number if the kernel refuses.
///
/// # Safety
/// The stack is memory that nothing else uses while it is registered.
pub(super) unsafe fn set_alternate_stack(stack: &Stack) -> Result<(), i32> {
    let address = core::ptr::from_ref(stack) as usize;
    // SAFETY: the kernel reads one `stack_t`; its meaning is the caller's promise.
    match unsafe { call(libc::SYS_sigaltstack, [address, 0, 0, 0, 0, 0]) } {
        0 => Ok(()),
        error => Err(-error as i32),
    }
}

/// The alternate signal stack that the calling thread has registered.
pub(super) fn alternate_stack() -> Stack {
    let mut stack = Stack::default();
    let address = core::ptr::from_mut(&mut stack) as usize;
    // SAFETY: the kernel writes one `stack_t`.
    unsafe { call(libc::SYS_sigaltstack, [0, address, 0, 0, 0, 0]) };
    stack
}

/// A signal mask as the kernel has it: bit n − 1 for signal n.
pub(super) type Mask = u64;

/// How [`change_mask`] combines.
#[derive(Clone, Copy, Debug)]
pub(super) enum How {
    Block = 0,
    Unblock = 1,
    Set = 2,
}

/// Changes the calling thread's signal mask and returns the old one.
pub(super) fn change_mask(how: How, mask: Mask) -> Mask {
    let mut old: Mask = 0;
    let (new, old_at) = (
        core::ptr::from_ref(&mask) as usize,
        core::ptr::from_mut(&mut old) as usize,
    );
    // SAFETY: the kernel reads one mask and writes one, of the size given.
    unsafe {
        call(
            libc::SYS_rt_sigprocmask,
            [how as usize, new, old_at, size_of::<Mask>(), 0, 0],
        )
    };
    old
}

/// Sends a signal to a thread of this process, with a siginfo of the caller's choice.
///
/// # Safety
/// `info` points to a kernel siginfo, and the process is prepared for the signal, if only to die of it.
pub(super) unsafe fn queue_signal(tid: u32, signal: i32, info: usize) -> isize {
    // SAFETY: getpid takes no arguments.
    let process = unsafe { call(libc::SYS_getpid, [0; 6]) } as usize;
    let arguments = [process, tid as usize, signal as usize, info, 0, 0];
    // SAFETY: the caller's promise.
    unsafe { call(libc::SYS_rt_tgsigqueueinfo, arguments) }
}

/// Whether a thread of this process still exists.
pub(super) fn thread_exists(tid: u32) -> bool {
    // SAFETY: getpid takes no arguments; signal 0 is only a question.
    unsafe {
        let process = call(libc::SYS_getpid, [0; 6]) as usize;
        call(libc::SYS_tgkill, [process, tid as usize, 0, 0, 0, 0]) == 0
    }
}

/// Reads the beginning of a file into `into` and returns how much that was; 0 if it cannot be read. The path ends with a zero.
pub(super) fn read_file(path: &[u8], into: &mut [u8]) -> usize {
    if !path.contains(&0) {
        return 0;
    }
    let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as usize;
    let open = [
        libc::AT_FDCWD as usize,
        path.as_ptr() as usize,
        flags,
        0,
        0,
        0,
    ];
    // SAFETY: the path ends inside the slice.
    let file = unsafe { call(libc::SYS_openat, open) };
    if file < 0 {
        return 0;
    }
    let file = file as usize;
    let at = into.as_mut_ptr() as usize;
    // SAFETY: the kernel writes into the slice; the file is ours to close.
    let length = unsafe {
        let length = call(libc::SYS_read, [file, at, into.len(), 0, 0, 0]);
        call(libc::SYS_close, [file, 0, 0, 0, 0, 0]);
        length
    };
    usize::try_from(length).unwrap_or(0)
}
