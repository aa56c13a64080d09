//! Handlers for redirected threads.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering::Relaxed};

use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::kernel::system;
use mach_sys::thread_state::{NativeState, Registers as _};
use signal_redirect::{Native, Rewriter};

use crate::machine;

pub(crate) static CALLS: AtomicUsize = AtomicUsize::new(0);
/// Address of a local variable of the last handler.
pub(crate) static LOCAL: AtomicU64 = AtomicU64::new(0);
pub(crate) static SEEN_SP: AtomicU64 = AtomicU64::new(0);
/// Number of nested faults inside the first handler.
pub(crate) const NESTING: usize = 16;

pub(crate) type Context = <Native as Rewriter>::Context;
pub(crate) type Float = <Native as Rewriter>::FloatState;

/// The arguments and the context of a handler.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) signal: c_int,
    pub(crate) info: siginfo_t,
    pub(crate) state: NativeState,
    pub(crate) float: Float,
    pub(crate) tag: u64,
}

static SEEN: AtomicPtr<Seen> = AtomicPtr::new(core::ptr::null_mut());

pub(crate) fn seen() -> Seen {
    // SAFETY: `observing_handler` stored a leaked box, in this thread, before it returned.
    unsafe { *SEEN.load(Relaxed) }
}

/// A backtrace: program counters from the handler on, and the saved registers of the frame that stopped at `site`.
#[derive(Clone, Default)]
pub(crate) struct Trace {
    site: u64,
    pub(crate) pcs: Vec<u64>,
    pub(crate) saved: Vec<u64>,
}

static TRACE: AtomicPtr<Trace> = AtomicPtr::new(core::ptr::null_mut());

pub(crate) fn trace() -> Trace {
    // SAFETY: `tracing_handler` stored a leaked box, in this thread, before it returned.
    unsafe { (*TRACE.load(Relaxed)).clone() }
}

/// Returns the machine context of a handler.
///
/// # Safety
/// `context` is the handler's third argument, and no other reference to its machine context lives.
pub(crate) unsafe fn context<'c>(context: *mut ucontext_t) -> &'c mut Context {
    // SAFETY: the redirect wrote a `ucontext_t` that points to the machine context (caller's promise).
    unsafe { &mut *((*context).uc_mcontext as *mut Context) }
}

/// Steps over the instruction that faulted.
fn step_over(context: &mut Context) {
    let pc = context.ss.pc();
    context.ss.set_pc(pc + machine::FAULT_LENGTH);
}

pub(crate) unsafe extern "C" fn trashing_handler(_: c_int, _: *mut siginfo_t, uc: *mut ucontext_t) {
    CALLS.fetch_add(1, Relaxed);
    // SAFETY: `uc` is what this handler was given.
    step_over(unsafe { context(uc) });
    machine::trash();
}

pub(crate) unsafe extern "C" fn observing_handler(
    signal: c_int,
    info: *mut siginfo_t,
    uc: *mut ucontext_t,
) {
    let tag = machine::fourth_argument();
    // SAFETY: `info` and `uc` are what this handler was given.
    let (info, context) = unsafe { (*info, context(uc)) };
    let seen = Seen {
        signal,
        info,
        state: context.ss,
        float: machine::float_of(context),
        tag,
    };
    SEEN.store(Box::into_raw(Box::new(seen)), Relaxed);
    step_over(context);
    machine::trash();
}

static COPIED: AtomicPtr<Vec<u8>> = AtomicPtr::new(core::ptr::null_mut());

/// Returns the bytes of the machine context that `copying_handler` saw.
pub(crate) fn copied_context() -> Vec<u8> {
    // SAFETY: `copying_handler` stored a leaked box, in this thread, before it returned.
    unsafe { (*COPIED.load(Relaxed)).clone() }
}

pub(crate) unsafe extern "C" fn copying_handler(_: c_int, _: *mut siginfo_t, uc: *mut ucontext_t) {
    // SAFETY: `uc` is what this handler was given; the machine context has that many bytes.
    unsafe {
        let (at, size) = ((*uc).uc_mcontext as *const u8, (*uc).uc_mcsize as usize);
        let bytes = core::slice::from_raw_parts(at, size).to_vec();
        COPIED.store(Box::into_raw(Box::new(bytes)), Relaxed);
        step_over(context(uc));
    }
}

pub(crate) unsafe extern "C" fn editing_handler(_: c_int, _: *mut siginfo_t, uc: *mut ucontext_t) {
    // SAFETY: `uc` is what this handler was given.
    let context = unsafe { context(uc) };
    step_over(context);
    machine::edit(context);
    machine::trash();
}

pub(crate) unsafe extern "C" fn computing_handler(
    _: c_int,
    _: *mut siginfo_t,
    uc: *mut ucontext_t,
) {
    CALLS.fetch_add(1, Relaxed);
    machine::assert_default_environment();
    let zero = core::hint::black_box(0.0f64);
    assert_eq!(
        core::hint::black_box(0.1f64) + core::hint::black_box(0.2),
        0.300_000_000_000_000_04
    );
    assert_eq!(1.0 / zero, f64::INFINITY);
    assert!((f64::INFINITY * zero).is_nan());
    let tiny = core::hint::black_box(f64::MIN_POSITIVE);
    assert!(
        tiny / 2.0 > 0.0,
        "denormals are neither flushed nor treated as zero"
    );
    // SAFETY: `uc` is what this handler was given.
    step_over(unsafe { context(uc) });
}

pub(crate) unsafe extern "C" fn errno_handler(_: c_int, _: *mut siginfo_t, uc: *mut ucontext_t) {
    CALLS.fetch_add(1, Relaxed);
    // SAFETY: the address is that of this thread's errno; `uc` is what this handler was given.
    unsafe {
        (system::errno_address() as *mut i32).write(-5);
        step_over(context(uc));
    }
}

pub(crate) unsafe extern "C" fn nesting_handler(_: c_int, _: *mut siginfo_t, uc: *mut ucontext_t) {
    let depth = CALLS.fetch_add(1, Relaxed) % (1 + NESTING);
    if depth < NESTING {
        let given = machine::Registers::patterned(100 + depth as u64);
        let outer = machine::true_stack_pointer();
        given.assert_same(&machine::run(&given));
        machine::set_true_stack_pointer(outer);
    }
    // SAFETY: `uc` is what this handler was given.
    step_over(unsafe { context(uc) });
    machine::trash();
}

pub(crate) unsafe extern "C" fn stack_repairing_handler(
    _: c_int,
    _: *mut siginfo_t,
    uc: *mut ucontext_t,
) {
    let local = 0u8;
    LOCAL.store(&raw const local as u64, Relaxed);
    // SAFETY: `uc` is what this handler was given.
    let context = unsafe { context(uc) };
    SEEN_SP.store(context.ss.sp(), Relaxed);
    context.ss.set_sp(machine::true_stack_pointer());
    step_over(context);
}

unsafe extern "C" {
    pub(crate) fn _Unwind_Backtrace(
        step: extern "C" fn(*mut c_void, *mut c_void) -> c_int,
        data: *mut c_void,
    ) -> c_int;
    pub(crate) fn _Unwind_GetIP(context: *mut c_void) -> usize;
    fn _Unwind_GetGR(context: *mut c_void, number: c_int) -> usize;
}

pub(crate) unsafe extern "C" fn tracing_handler(_: c_int, _: *mut siginfo_t, uc: *mut ucontext_t) {
    extern "C" fn step(frame: *mut c_void, trace: *mut c_void) -> c_int {
        // SAFETY: the unwinder passes its own context, and the trace given to it.
        unsafe {
            let trace = &mut *trace.cast::<Trace>();
            let pc = _Unwind_GetIP(frame) as u64;
            trace.pcs.push(pc);
            if pc == trace.site {
                for number in machine::DWARF_SAVED {
                    trace.saved.push(_Unwind_GetGR(frame, number) as u64);
                }
            }
            // _URC_END_OF_STACK, in case the trace does not end.
            if trace.pcs.len() > 200 { 5 } else { 0 }
        }
    }
    // SAFETY: `uc` is what this handler was given.
    let context = unsafe { context(uc) };
    let trace = Box::leak(Box::new(Trace {
        site: context.ss.pc(),
        ..Default::default()
    }));
    // SAFETY: `step` takes what the unwinder passes, and `trace` outlives the call.
    unsafe { _Unwind_Backtrace(step, (&raw mut *trace).cast()) };
    TRACE.store(trace, Relaxed);
    step_over(context);
}

pub(crate) unsafe extern "C" fn panicking_handler(_: c_int, _: *mut siginfo_t, _: *mut ucontext_t) {
    panic!("the handler's own panic");
}
