//! Redirects from Linux's own signal frames: a signal handler of the test takes the server's place, without a port and without the
//! emulation. It reads the thread's registers from Linux's `ucontext`, redirects, and handles the return trap.
//!
//! Only these tests cannot run on Apple's systems, whose signal frames have another layout and whose exceptions are sent to ports.

use core::sync::atomic::Ordering::Relaxed;
use std::sync::OnceLock;

use mach_sys::exception::ExceptionType;
use mach_sys::kernel::{KERNEL, Kernel};
use signal_redirect::{Code, Fault, Memory, Native, Redirect, Unmapped};

use crate::child::{in_child, isolated};
use crate::handlers::*;
use crate::machine::{self, Registers};
use crate::{host, plan, server};

/// Serves the calling thread's faults with a plan from now on.
pub(crate) fn serve_with<C>(plan: Redirect<Native, C>)
where
    C: Code<Native> + Clone + Send + 'static,
{
    server::plan_with(plan);
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
    // SAFETY: the stack is leaked, so it outlives the thread; the structures are filled before they are read; the handler has the
    // three-argument signature that SA_SIGINFO requires.
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
    // SAFETY: the kernel passes a valid context to a SA_SIGINFO handler, and nothing else uses it meanwhile.
    let context = unsafe { host::Context::new(context) };
    // SAFETY: the kernel passes a valid siginfo, too.
    let (code, address) = unsafe { host::code_and_address(info) };
    let fault = fault(signal, code, address);
    let answer = server::with_served(|served| served.answer(&context.state(), &fault, &mut Own));
    context.set_state(&answer);
}

/// Returns the exception for a signal (rules G1 and A12b), as far as these tests raise it.
fn fault(signal: i32, code: i32, address: i64) -> Fault {
    const MAPERR: i32 = 1;
    const ACCERR: i32 = 2;
    /// Linux's value, which libc does not define.
    const FPE_INTDIV: i32 = 1;
    match (signal, code) {
        (libc::SIGSEGV, MAPERR) => Fault::new(ExceptionType::BAD_ACCESS, 1, address),
        (libc::SIGSEGV, ACCERR) => Fault::new(ExceptionType::BAD_ACCESS, 2, address),
        (libc::SIGSEGV, _) => Fault::new(ExceptionType::BAD_ACCESS, 13, 0),
        (libc::SIGILL, _) => Fault::new(ExceptionType::BAD_INSTRUCTION, 1, 0),
        (libc::SIGFPE, FPE_INTDIV) => Fault::new(ExceptionType::ARITHMETIC, 1, 0),
        // x87 and SSE: these tests only divide by zero.
        (libc::SIGFPE, _) => Fault::new(ExceptionType::ARITHMETIC, 8, 4),
        (libc::SIGTRAP, _) => Fault::new(ExceptionType::BREAKPOINT, 1, 0),
        _ => panic!("signal {signal}"),
    }
}

/// This process's memory, accessed through the kernel with a pipe: a bad address is an error.
struct Own;

impl Own {
    fn through_pipe(
        address: u64,
        len: usize,
        into: Option<&mut [u8]>,
        from: Option<&[u8]>,
    ) -> bool {
        let mut ends = [0; 2];
        // SAFETY: `ends` has room for two descriptors. `write` and `read` may get addresses that are not mapped: the kernel returns
        // EFAULT for them. The lengths are those of the slices, and of the range that the caller of `Memory` names.
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

/// Runs `body` in a process of its own on Linux.
fn on_linux(name: &str, body: impl Fn()) {
    if KERNEL == Kernel::Xnu {
        return isolated::report_skipped(name, "it reads Linux's signal frames");
    }
    in_child(name, body);
}

#[test]
fn every_register_survives_a_redirect_of_a_signal_frame() {
    on_linux(
        "signal_frame::every_register_survives_a_redirect_of_a_signal_frame",
        || {
            serve_with(plan(trashing_handler));
            for seed in 0..50 {
                let given = Registers::patterned(seed);
                given.assert_same(&machine::run(&given));
                assert_eq!(CALLS.load(Relaxed), seed as usize + 1);
            }
            serve_with(plan(editing_handler));
            let given = Registers::patterned(9);
            given.with_edits().assert_same(&machine::run(&given));
        },
    );
}

#[test]
fn redirects_of_signal_frames_nest() {
    on_linux("signal_frame::redirects_of_signal_frames_nest", || {
        serve_with(plan(nesting_handler));
        let given = Registers::patterned(1);
        given.assert_same(&machine::run(&given));
        assert_eq!(server::returns(), 1 + NESTING);
    });
}
