//! The implementation of [`system`](super::system) for Apple's systems. Type-checked, linted and linked on Linux; not yet run on a Mac.
#![allow(unsafe_code)]

use crate::types::{kern_return_t, mach_port_name_t};
use core::ops::Range;

unsafe extern "C" {
    /// The variable that the C macro `mach_task_self()` reads (`mach/mach_init.h`); written once, before `main`.
    static mach_task_self_: mach_port_name_t;
    /// Stores the number of the current CPU to `number` (`pthread.h`, since macOS 11).
    fn pthread_cpu_number_np(number: *mut usize) -> libc::c_int;
    /// Reads a process's code signature (XNU's `sys/codesign.h`; libSystem exports it, Apple's SDK does not declare it).
    fn csops(
        pid: libc::pid_t,
        operation: libc::c_uint,
        data: *mut libc::c_void,
        size: usize,
    ) -> libc::c_int;
    /// Returns 1 if a process is in a sandbox, for a null `operation`. libSystem exports it, no header declares it.
    fn sandbox_check(
        pid: libc::pid_t,
        operation: *const libc::c_char,
        filter: libc::c_int,
        ...
    ) -> libc::c_int;
}

#[cfg(feature = "std")]
pub(super) fn configure(
    _: mach_emulated::Config,
) -> Result<(), &'static mach_emulated::StartError> {
    Ok(())
}

/// Returns the function of libSystem of a name, which ends with a zero; `None` where this system does not have it.
pub(super) fn find_function(name: &'static str) -> Option<*mut libc::c_void> {
    debug_assert!(name.ends_with('\0'));
    // SAFETY: the name ends with a zero.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr().cast()) };
    (!found.is_null()).then_some(found)
}

pub(super) fn task_self() -> mach_port_name_t {
    // SAFETY: libSystem initialises the variable before any other code of the process runs and never changes it.
    unsafe { mach_task_self_ }
}

pub(super) fn suspend_threads(threads: &[mach_port_name_t], results: &mut [kern_return_t]) {
    // SAFETY: asking for the calling thread has no preconditions; it was not joined.
    let own = unsafe { libc::pthread_mach_thread_np(libc::pthread_self()) };
    let suspend = |result: &mut kern_return_t, thread| {
        // SAFETY: no pointers are passed. What a stopped thread means is the caller's business.
        *result = unsafe { super::thread_suspend(thread) };
    };
    for own_turn in [false, true] {
        for (thread, result) in threads.iter().zip(&mut *results) {
            if (*thread == own) == own_turn {
                suspend(result, *thread);
            }
        }
    }
}

pub(super) unsafe fn thread_port(thread: usize) -> mach_port_name_t {
    // SAFETY: by the caller's contract the identifier is that of a thread that was not joined.
    unsafe { libc::pthread_mach_thread_np(thread as libc::pthread_t) }
}

pub(super) fn stack_bounds() -> Option<Range<usize>> {
    // SAFETY: the calling thread exists. Darwin returns the stack's *highest* address.
    let (top, size) = unsafe {
        let this = libc::pthread_self();
        (
            libc::pthread_get_stackaddr_np(this) as usize,
            libc::pthread_get_stacksize_np(this),
        )
    };
    Some(top.checked_sub(size)?..top)
}

pub(super) fn thread_id() -> u64 {
    let mut id = 0;
    // SAFETY: 0 means the calling thread; the result goes to a local variable.
    unsafe { libc::pthread_threadid_np(0, &mut id) };
    id
}

pub(super) fn own_identifier() -> u64 {
    thread_id()
}

/// Returns 0: Darwin's thread-local variables are not on the stack.
pub(super) fn stack_overhead() -> usize {
    0
}

pub(super) fn stack_size_for(bytes: usize) -> usize {
    let size = bytes.checked_next_multiple_of(super::system::page_size());
    size.unwrap_or(usize::MAX)
}

pub(super) fn errno_address() -> usize {
    // SAFETY: __error has no preconditions.
    unsafe { libc::__error() as usize }
}

pub(super) fn current_cpu() -> u32 {
    let mut number = 0;
    // SAFETY: the result goes to a local variable.
    let error = unsafe { pthread_cpu_number_np(&mut number) };
    if error == 0 { number as u32 } else { u32::MAX }
}

/// Changes nothing: no signal arrives in a kernel call, and the kernel knows the process that calls it.
pub(super) fn group_calls() -> CallGroup {
    CallGroup
}

/// The empty result of [`group_calls`].
#[derive(Debug)]
pub(super) struct CallGroup;

impl CallGroup {
    pub(super) fn end(&mut self) {}
}

/// Changes nothing: the kernel uses the exception ports before signals and signal stacks.
pub(super) fn prepare_for_faults() -> FaultReadiness {
    FaultReadiness
}

/// The empty record of [`prepare_for_faults`].
#[derive(Debug)]
pub(super) struct FaultReadiness;

impl FaultReadiness {
    pub(super) fn undo(self) {}
}

/// Apple's kernel is never stopped.
pub(super) fn stops() -> u32 {
    0
}

/// Does nothing, since nothing was taken from the process.
#[cfg(feature = "std")]
pub(super) unsafe fn stop() -> Result<mach_emulated::Stopped, mach_emulated::StopError> {
    Ok(mach_emulated::Stopped::default())
}

/// Returns the process identifier. Darwin's C library caches it, and `fork` updates it.
pub(super) fn process_id() -> libc::pid_t {
    // SAFETY: getpid has no preconditions and cannot fail.
    unsafe { libc::getpid() }
}

pub(super) type SignalMask = libc::sigset_t;

pub(super) fn has_signal(mask: &SignalMask, signal: libc::c_int) -> bool {
    // SAFETY: the set is initialised.
    unsafe { libc::sigismember(mask, signal) == 1 }
}

pub(super) fn put_signal(mask: &mut SignalMask, signal: libc::c_int, there: bool) {
    // SAFETY: the set is initialised.
    unsafe {
        if there {
            libc::sigaddset(mask, signal);
        } else {
            libc::sigdelset(mask, signal);
        }
    }
}

pub(super) fn change_signal_mask(how: libc::c_int, mask: &SignalMask) -> SignalMask {
    // SAFETY: zeroes are an empty set; changing the calling thread's own mask has no other precondition.
    unsafe {
        let mut before = core::mem::zeroed();
        libc::pthread_sigmask(how, mask, &mut before);
        before
    }
}

/// Blocks all signals except the five that the thread's own faults raise. Returns the previous mask without these five.
pub(super) fn enter_server_thread() -> SignalMask {
    // SAFETY: both sets are filled before they are read; changing the calling thread's own mask has no other precondition.
    unsafe {
        let mut set = core::mem::zeroed();
        let mut before = core::mem::zeroed();
        libc::sigfillset(&mut set);
        for signal in crate::darwin::DarwinSignal::SYSTEM_FAULTS {
            libc::sigdelset(&mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &set, &mut before);
        for signal in crate::darwin::DarwinSignal::SYSTEM_FAULTS {
            libc::sigdelset(&mut before, signal);
        }
        before
    }
}

pub(super) fn leave_server_thread(outer: &SignalMask) {
    // SAFETY: the set is one that `enter_server_thread` filled.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, outer, core::ptr::null_mut()) };
}

/// Reads `sysctl.proc_translated`, which does not exist on systems without Rosetta.
pub(super) fn is_translated() -> Option<bool> {
    let mut value: libc::c_int = 0;
    let mut size = size_of::<libc::c_int>();
    // SAFETY: the name ends with a zero; the value goes to a local variable of `size` bytes.
    let error = unsafe {
        libc::sysctlbyname(
            c"sysctl.proc_translated".as_ptr(),
            core::ptr::from_mut(&mut value).cast(),
            &mut size,
            core::ptr::null_mut(),
            0,
        )
    };
    match error {
        0 => Some(value == 1),
        _ if errno() == libc::ENOENT => Some(false),
        _ => None,
    }
}

/// Reads `P_TRACED` of the process's `kinfo_proc` (`sys/sysctl.h`, `sys/proc.h`), as Apple's technical note QA1361 does.
pub(super) fn is_debugged() -> Option<bool> {
    /// Size of `struct kinfo_proc` in 64-bit words, the same on both machines.
    const WORDS: usize = 648 / 8;
    /// Index of the word with `kp_proc.p_flag`, which follows four pointers.
    const FLAG_WORD: usize = 4;
    const P_TRACED: u64 = 0x800;
    let mut info = [0_u64; WORDS];
    let mut size = size_of_val(&info);
    let mut name = [
        libc::CTL_KERN,
        libc::KERN_PROC,
        libc::KERN_PROC_PID,
        process_id(),
    ];
    // SAFETY: the name has four numbers; the result goes to a local variable of `size` bytes.
    let error = unsafe {
        libc::sysctl(
            name.as_mut_ptr(),
            name.len() as libc::c_uint,
            info.as_mut_ptr().cast(),
            &mut size,
            core::ptr::null_mut(),
            0,
        )
    };
    // Little-endian: the flags are the lower half of the word.
    (error == 0 && size > FLAG_WORD * 8).then_some(info[FLAG_WORD] & P_TRACED != 0)
}

pub(super) fn code_signing() -> Option<u32> {
    const CS_OPS_STATUS: libc::c_uint = 0;
    let mut flags = 0_u32;
    // SAFETY: the flags go to a local variable of the given size.
    let error = unsafe {
        csops(
            process_id(),
            CS_OPS_STATUS,
            core::ptr::from_mut(&mut flags).cast(),
            size_of::<u32>(),
        )
    };
    (error == 0).then_some(flags)
}

/// Returns `true` if the process is in a sandbox; `None` if the system does not report it.
pub(super) fn is_sandboxed() -> Option<bool> {
    // SAFETY: the operation is null, so no further argument is read.
    match unsafe { sandbox_check(process_id(), core::ptr::null(), 0) } {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// Calls `then` with the entitlements, a property list as XML: an empty slice for a program without entitlements, `None` if the system
/// does not report them. They are in newly mapped pages, because only the kernel has their length; nothing is allocated.
pub(super) fn with_entitlements<R>(then: impl FnOnce(Option<&[u8]>) -> R) -> R {
    const CS_OPS_ENTITLEMENTS_BLOB: libc::c_uint = 7;
    /// Bytes of the blob's header: type and length, big-endian. The length includes the header.
    const HEADER: usize = 8;
    let get = |to: *mut u8, size| {
        // SAFETY: both callers pass memory of the size that they pass.
        unsafe { csops(process_id(), CS_OPS_ENTITLEMENTS_BLOB, to.cast(), size) }
    };
    let mut header = [0_u8; HEADER];
    let error = get(header.as_mut_ptr(), HEADER);
    if error == 0 {
        // The whole blob fits in the header: no entitlements.
        return then(Some(&[]));
    }
    match errno() {
        // The buffer is too small, and only the header was written.
        libc::ERANGE => {}
        // The process has no signature.
        libc::EINVAL => return then(Some(&[])),
        _ => return then(None),
    }
    let [_, _, _, _, length @ ..] = header;
    let length = u32::from_be_bytes(length) as usize;
    // SAFETY: a new mapping at an address that the system chooses overwrites nothing.
    let pages = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            length.max(HEADER),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANON,
            -1,
            0,
        )
    };
    if pages == libc::MAP_FAILED {
        return then(None);
    }
    struct Pages(*mut libc::c_void, usize);
    impl Drop for Pages {
        fn drop(&mut self) {
            // SAFETY: mapped above with this size, and no longer used.
            unsafe { libc::munmap(self.0, self.1) };
        }
    }
    let pages = Pages(pages, length.max(HEADER));
    if get(pages.0.cast(), pages.1) != 0 {
        return then(None);
    }
    // SAFETY: the pages have this size, start as zeroes, and live until this function returns.
    let blob: &[u8] = unsafe { core::slice::from_raw_parts(pages.0.cast(), pages.1) };
    then(blob.get(HEADER..))
}

fn errno() -> libc::c_int {
    // SAFETY: the address of the calling thread's errno is valid.
    unsafe { *libc::__error() }
}
