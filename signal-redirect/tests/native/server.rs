//! The server: a signal handler that redirects and serves the return trap, as an exception server would.

use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::OnceLock;

use mach_sys::exception::ExceptionType;
use mach_sys::thread_state::{NativeState, Registers as _};
use signal_redirect::{
    Code, Fault, Frame, Key, Memory, Native, Redirect, RedirectError, ReturnError, Trampoline,
    TrampolinePlan, Unmapped, VectorSave,
};

use crate::host;

/// [`Redirect::apply`] of the plan that is served.
type Apply =
    Box<dyn Fn(&NativeState, &Fault, &mut Own) -> Result<(NativeState, Frame), RedirectError>>;

static PLAN: AtomicPtr<Apply> = AtomicPtr::new(core::ptr::null_mut());
static RETURNS: AtomicUsize = AtomicUsize::new(0);
static REDIRECTS: AtomicUsize = AtomicUsize::new(0);
static LONG_VECTORS: AtomicUsize = AtomicUsize::new(0);
/// The registers that the last redirected thread was stopped with.
static mut INTERRUPTED: NativeState = mach_sys::pod::zeroed();
/// Bytes by which a thread goes on that was refused for its vectors' length; 0: the process ends.
static STEP: AtomicU64 = AtomicU64::new(0);
/// More than any test needs: a fault that is never mended ends the process.
const MOST: usize = 10_000;

pub(crate) fn trampoline() -> Trampoline {
    static TRAMPOLINE: OnceLock<Trampoline> = OnceLock::new();
    *TRAMPOLINE.get_or_init(|| Trampoline::native(key()))
}

fn key() -> Key {
    static KEY: OnceLock<Key> = OnceLock::new();
    *KEY.get_or_init(Key::random)
}

/// The trampoline as if another processor, or another thread, had been asked for its vector registers.
pub(crate) fn trampoline_with(save: VectorSave) -> TrampolinePlan {
    TrampolinePlan::at(trampoline().trap(), key()).vector_save(save)
}

/// How many handlers came back.
pub(crate) fn returns() -> usize {
    RETURNS.load(SeqCst)
}

/// How many threads were refused for their vectors' length.
#[cfg(target_arch = "aarch64")]
pub(crate) fn long_vectors() -> usize {
    LONG_VECTORS.load(SeqCst)
}

/// Lets a thread that is refused for its vectors' length go on behind the instruction that faulted, with its own registers.
#[cfg(target_arch = "aarch64")]
pub(crate) fn refuse_long_vectors_by_stepping_over(bytes: u64) {
    STEP.store(bytes, SeqCst);
}

/// Serves this process's faults with a plan from now on.
pub(crate) fn serve_with<C: Code<Native> + 'static>(plan: Redirect<Native, C>) {
    let apply: Apply = Box::new(move |state, fault, memory| plan.apply(state, fault, memory));
    // Leaked: the signal handler may hold the old one.
    PLAN.store(Box::into_raw(Box::new(apply)), SeqCst);
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(install);
}

fn install() {
    let size = 256 * 1024;
    let stack = libc::stack_t {
        ss_sp: Box::leak(vec![0u8; size].into_boxed_slice())
            .as_mut_ptr()
            .cast(),
        ss_flags: 0,
        ss_size: size,
    };
    // SAFETY: the stack is leaked, so it outlives the thread; the structures are filled before they are read; the handler has
    // the three-argument signature that SA_SIGINFO asks for.
    unsafe {
        assert_eq!(libc::sigaltstack(&stack, core::ptr::null_mut()), 0);
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        for signal in [
            libc::SIGSEGV,
            libc::SIGILL,
            libc::SIGBUS,
            libc::SIGFPE,
            libc::SIGTRAP,
        ] {
            assert_eq!(libc::sigaction(signal, &action, core::ptr::null_mut()), 0);
        }
    }
}

extern "C" fn on_signal(signal: i32, info: *mut libc::c_void, context: *mut libc::c_void) {
    // SAFETY: the kernel hands a valid context to a SA_SIGINFO handler, and nobody else uses it meanwhile.
    let context = unsafe { host::Context::new(context) };
    let state = context.state();
    let mut memory = Own;
    match trampoline().return_from(&state, &mut memory) {
        Ok(Some(resumed)) => {
            RETURNS.fetch_add(1, SeqCst);
            assert_eq!(resumed.tag, 0x7a67);
            context.set_state(&resumed.state);
        }
        Ok(None) if REDIRECTS.fetch_add(1, SeqCst) < MOST => {
            // SAFETY: stored before the handler was installed, and never freed.
            let apply = unsafe { &*PLAN.load(SeqCst) };
            // SAFETY: as above, of the siginfo.
            let (code, address) = unsafe { host::code_and_address(info) };
            let fault = fault(signal, code, address);
            match apply(&state, &fault, &mut memory) {
                Ok((entered, _)) => {
                    // SAFETY: one thread is served, and nothing refers to the value.
                    unsafe { (&raw mut INTERRUPTED).write(state) };
                    context.set_state(&entered);
                }
                Err(error) => die(&error),
            }
        }
        Ok(None) => die(&format!("signal {signal} at {:#x?}", state)),
        Err(ReturnError::VectorLength(_)) if STEP.load(SeqCst) != 0 => {
            LONG_VECTORS.fetch_add(1, SeqCst);
            // SAFETY: one thread is served, and this is the only place that reads it.
            let mut interrupted = unsafe { (&raw const INTERRUPTED).read() };
            interrupted.set_pc(interrupted.pc() + STEP.load(SeqCst));
            context.set_state(&interrupted);
        }
        Err(error) => die(&error),
    }
}

/// The exception that a signal stands for (rules G1 and A12b), as far as these tests raise it.
fn fault(signal: i32, code: i32, address: i64) -> Fault {
    const MAPERR: i32 = 1;
    const ACCERR: i32 = 2;
    /// Linux's number, which libc does not have.
    const FPE_INTDIV: i32 = 1;
    match (signal, code) {
        (libc::SIGSEGV, MAPERR) => Fault::new(ExceptionType::BAD_ACCESS, 1, address),
        (libc::SIGSEGV, ACCERR) => Fault::new(ExceptionType::BAD_ACCESS, 2, address),
        (libc::SIGSEGV, _) => Fault::new(ExceptionType::BAD_ACCESS, 13, 0),
        (libc::SIGILL, _) => Fault::new(ExceptionType::BAD_INSTRUCTION, 1, 0),
        (libc::SIGFPE, FPE_INTDIV) => Fault::new(ExceptionType::ARITHMETIC, 1, 0),
        // x87 and SSE: division by zero is all that these tests do.
        (libc::SIGFPE, _) => Fault::new(ExceptionType::ARITHMETIC, 8, 4),
        (libc::SIGTRAP, _) => Fault::new(ExceptionType::BREAKPOINT, 1, 0),
        _ => die(&format!("signal {signal}")),
    }
}

fn die(reason: &dyn core::fmt::Display) -> ! {
    eprintln!("the server gives up: {reason}");
    std::process::abort()
}

/// This process's memory by way of the kernel, which answers for what is not mapped: a pipe takes and gives the bytes.
pub(crate) struct Own;

impl Own {
    fn through_pipe(
        address: u64,
        len: usize,
        into: Option<&mut [u8]>,
        from: Option<&[u8]>,
    ) -> bool {
        let mut ends = [0; 2];
        // SAFETY: `ends` has room for two descriptors. `write` and `read` are given addresses that may not be mapped: the kernel
        // answers EFAULT. The lengths are those of the slices, or of the range that the trait's caller asked for.
        unsafe {
            if libc::pipe(ends.as_mut_ptr()) != 0 {
                return false;
            }
            let wanted = len as isize;
            let ok = match (into, from) {
                (Some(into), _) => {
                    libc::write(ends[1], address as *const _, len) == wanted
                        && libc::read(ends[0], into.as_mut_ptr().cast(), len) == wanted
                }
                (_, Some(from)) => {
                    libc::write(ends[1], from.as_ptr().cast(), len) == wanted
                        && libc::read(ends[0], address as *mut _, len) == wanted
                }
                _ => false,
            };
            libc::close(ends[0]);
            libc::close(ends[1]);
            ok
        }
    }
}

impl Memory for Own {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unmapped> {
        let ok = Self::through_pipe(address, into.len(), Some(into), None);
        ok.then_some(()).ok_or(Unmapped::at(address))
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Unmapped> {
        let ok = Self::through_pipe(address, from.len(), None, Some(from));
        ok.then_some(()).ok_or(Unmapped::at(address))
    }
}
