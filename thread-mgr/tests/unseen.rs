//! The information that a handler gets about a fault, and the effects that the interrupted code must not see.
#![allow(unsafe_code)]

mod support;

use core::ffi::c_int;
use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::kernel::system::errno_address;
use mach_sys::thread_state::Registers;
use signal_redirect::{Entry, Native, Rewriter, SignalHandler};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};
use support::isolated;
use test_support::instructions::{LENGTH, store_to, undefined};
use thread_mgr::{HandlerStack, Manager};

const ROUNDS: u32 = 500;
/// The value of errno in the interrupted code; no call sets it.
const ITS_OWN: i32 = 7777;

static CALLS: AtomicU32 = AtomicU32::new(0);
static DEPTH: AtomicU32 = AtomicU32::new(0);
static DEEPEST: AtomicU32 = AtomicU32::new(1);
static SEEN: AtomicI32 = AtomicI32::new(0);

fn errno() -> *mut i32 {
    errno_address() as *mut i32
}

/// Writes errno, faults, and reads errno, with nothing in between.
#[inline(never)]
fn errno_around_a_fault() -> i32 {
    let found: i32;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the calling thread's errno; the handler skips the instruction that is undefined.
    unsafe {
        core::arch::asm!(
            "mov [{at}], {own:e}", "ud2", "mov {found:e}, [{at}]",
            at = in(reg) errno(), own = in(reg) ITS_OWN, found = out(reg) found,
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        core::arch::asm!(
            "str {own:w}, [{at}]", "udf #0", "ldr {found:w}, [{at}]",
            at = in(reg) errno(), own = in(reg) ITS_OWN, found = out(reg) found,
        );
    }
    found
}

/// Reads errno, overwrites it, faults inside itself, and skips the instruction.
unsafe extern "C" fn spoils_errno(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
    CALLS.fetch_add(1, SeqCst);
    // SAFETY: the calling thread's errno.
    SEEN.store(unsafe { *errno() }, SeqCst);
    // SAFETY: there is no such descriptor.
    unsafe { libc::close(-1) };
    if DEPTH.fetch_add(1, SeqCst) + 1 < DEEPEST.load(SeqCst) {
        assert_eq!(errno_around_a_fault(), ITS_OWN);
    }
    DEPTH.fetch_sub(1, SeqCst);
    skip(context);
}

fn skip(context: *mut ucontext_t) {
    // SAFETY: the trampoline hands over its own structures.
    let registers = unsafe { (*context).registers_mut() };
    registers.set_pc(registers.pc() + LENGTH);
}

fn manager(handler: SignalHandler, stack: HandlerStack) -> Manager {
    // SAFETY: the handlers here make system calls and touch atomics; the instructions that they skip have no effect.
    let builder = Manager::builder(unsafe { Entry::new(handler) }).handler_stack(stack);
    builder.build().expect("a manager")
}

fn finds_its_errno() {
    for _ in 0..ROUNDS {
        assert_eq!(errno_around_a_fault(), ITS_OWN);
        assert_eq!(SEEN.load(SeqCst), ITS_OWN, "the handler sees it");
    }
}

#[test]
fn r17_errno_is_the_interrupted_codes_after_every_redirect() {
    isolated(
        "r17_errno_is_the_interrupted_codes_after_every_redirect",
        || {
            let mut calls = 0;
            for stack in [HandlerStack::Interrupted, HandlerStack::Alternate] {
                let manager = manager(spoils_errno, stack);
                for depth in [1, 3] {
                    DEEPEST.store(depth, SeqCst);
                    let attached = manager.attach().expect("attached");
                    finds_its_errno();
                    drop(attached);
                    let thread = manager.spawn(finds_its_errno).expect("a thread");
                    let ended = thread.join().expect("no panic");
                    assert!(ended.exit.returned().is_some());
                    calls += 2 * ROUNDS * depth;
                }
            }
            assert_eq!(CALLS.load(SeqCst), calls);
        },
    );
}

/// Errno is restored at its address also if the thread has foreign or no thread-local storage while it faults.
#[cfg(target_arch = "x86_64")]
#[test]
fn r17_errno_is_put_back_where_it_was_without_thread_local_storage() {
    /// Skips two bytes, as the other handlers do. Neither the thread nor the handler can use the C library here.
    unsafe extern "C" fn skips(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
        CALLS.fetch_add(1, SeqCst);
        // SAFETY: the address of errno, which the thread left in the register.
        unsafe { *(PLACE.load(SeqCst) as *mut i32) = 5 };
        skip(context);
    }
    static PLACE: AtomicU64 = AtomicU64::new(0);
    const SET_FS: u64 = 0x1002;
    const GET_FS: u64 = 0x1003;
    const ARCH_PRCTL: u64 = 158;
    isolated(
        "r17_errno_is_put_back_where_it_was_without_thread_local_storage",
        || {
            if mach_sys::kernel::KERNEL != mach_sys::kernel::Kernel::Emulated {
                return support::isolated::report_skipped(
                    "r17_errno_is_put_back_where_it_was_without_thread_local_storage",
                    "the segment's base cannot be set here",
                );
            }
            let manager = manager(skips, HandlerStack::Alternate);
            let attached = manager.attach().expect("attached");
            PLACE.store(errno_address() as u64, SeqCst);
            let mut guests = vec![0_u64; 1024];
            let mut guest = |at: usize| guests[at..].as_mut_ptr() as u64;
            for base in [guest(256), guest(512), 0] {
                let mut own = 0_u64;
                let found: i32;
                // SAFETY: the thread has its base back before it runs any code but this.
                unsafe {
                    core::arch::asm!(
                        "syscall",
                        inlateout("rax") ARCH_PRCTL => _, in("rdi") GET_FS, in("rsi") &raw mut own,
                        out("rcx") _, out("r11") _,
                    );
                    core::arch::asm!(
                        "mov eax, 158", "syscall",
                        "mov dword ptr [r12], 7777", "ud2", "mov r13d, [r12]",
                        "mov eax, 158", "mov edi, 0x1002", "mov rsi, r14", "syscall",
                        in("r12") errno(), in("r14") own, out("r13") found,
                        inlateout("rdi") SET_FS => _, inlateout("rsi") base => _,
                        out("rax") _, out("rcx") _, out("r11") _,
                    );
                }
                assert_eq!(found, ITS_OWN, "base {base:#x}");
            }
            drop(attached);
            assert_eq!(CALLS.load(SeqCst), 3);
        },
    );
}

/// The exception state that the handler saw. On x86_64: error code, trap number, address; on arm64: syndrome, unused, address.
static TOLD: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

unsafe extern "C" fn looks(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
    CALLS.fetch_add(1, SeqCst);
    // SAFETY: the machine context begins with the exception state.
    let state = unsafe { *((*context).uc_mcontext as *const <Native as Rewriter>::ExceptionState) };
    #[cfg(target_arch = "x86_64")]
    let told = [state.err.into(), state.trapno.into(), state.faultvaddr];
    #[cfg(target_arch = "aarch64")]
    let told = [state.esr.into(), 0, state.far];
    for (to, told) in TOLD.iter().zip(told) {
        to.store(told, SeqCst);
    }
    skip(context);
}

/// Reads a word, by an instruction of the agreed length.
fn load_from(address: u64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the handler skips it.
    unsafe {
        core::arch::asm!("mov ecx, [rax]", in("rax") address, out("ecx") _)
    };
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        core::arch::asm!("ldr w1, [x0]", in("x0") address, out("w1") _)
    };
}

/// Returns whether the exception state says that the access was a write.
fn was_a_write() -> bool {
    let told = TOLD[0].load(SeqCst);
    let bit = if cfg!(target_arch = "x86_64") { 1 } else { 6 };
    told >> bit & 1 != 0
}

/// Maps pages with a protection, and returns their address.
fn mapped(protection: c_int) -> u64 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
    // SAFETY: a new mapping touches no existing memory.
    let at = unsafe { libc::mmap(core::ptr::null_mut(), 1 << 16, protection, flags, -1, 0) };
    assert_ne!(at, libc::MAP_FAILED);
    at as u64
}

#[test]
fn a_handler_tells_a_write_from_a_read() {
    isolated("a_handler_tells_a_write_from_a_read", || {
        let manager = manager(looks, HandlerStack::Interrupted);
        let attached = manager.attach().expect("attached");
        let (none, read_only) = (mapped(libc::PROT_NONE), mapped(libc::PROT_READ));
        let mut faults = 0;
        // No exception of arm64 has the syndrome 0: qemu-user writes none into its frames, and the codes do not tell writes from reads.
        store_to(0x18);
        faults += 1;
        if cfg!(target_arch = "aarch64") && TOLD[0].load(SeqCst) == 0 {
            return support::isolated::report_skipped(
                "a_handler_tells_a_write_from_a_read",
                "this system writes no syndrome into its frames",
            );
        }
        for _ in 0..20 {
            for (address, write) in [
                (0x18, true),
                (0x18, false),
                (none + 0x120, true),
                (none + 0x128, false),
                (read_only + 0x234, true),
            ] {
                if write {
                    store_to(address);
                } else {
                    load_from(address);
                }
                faults += 1;
                assert_eq!(was_a_write(), write, "{address:#x}: {TOLD:x?}");
                assert_eq!(TOLD[2].load(SeqCst), address);
                if cfg!(target_arch = "x86_64") {
                    assert_eq!(TOLD[1].load(SeqCst), 14, "a page fault");
                    assert_eq!(TOLD[0].load(SeqCst) & 4, 4, "user mode");
                }
            }
            // Another kind of trap is not taken for the page fault before it.
            undefined();
            faults += 1;
            if cfg!(target_arch = "x86_64") {
                assert_eq!(TOLD[1].load(SeqCst), 6, "an invalid opcode");
            } else {
                assert!(!was_a_write());
            }
        }
        drop(attached);
        assert_eq!(CALLS.load(SeqCst), faults);
    });
}

/// With a stack pointer that the kernel refuses for any thread, the handler could not return, and the final exception would be the
/// trampoline's instead of the thread's own.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_thread_that_could_not_be_brought_back_gets_its_own_exception_declined() {
    use exc_server::{Delivery, Exception, Routing, Server, Target};
    use mach_sys::exception::ExceptionMask;
    use mach_sys::rights::TaskRight;
    static SITE: AtomicU64 = AtomicU64::new(0);
    isolated(
        "a_thread_that_could_not_be_brought_back_gets_its_own_exception_declined",
        || {
            // The server at the task's level repairs the stack pointer: r12 has the thread's earlier one.
            let below = Server::start(|exception: Exception<'_>| {
                let mut state = exception.registers().expect("the registers");
                SITE.store(state.rip, SeqCst);
                state.rip += LENGTH;
                state.rsp = state.r12;
                // SAFETY: the thread left its stack pointer in r12, and the instruction has no effect.
                unsafe { exception.resume_with(&state) }
            });
            let below = below.expect("a server");
            let task = TaskRight::current().expect("the own task");
            let mask = ExceptionMask::BAD_INSTRUCTION | ExceptionMask::BAD_ACCESS;
            let routing = Routing::new(mask, Delivery::TASK);
            let route = below.route(Target::Task(&task), &routing).expect("a route");
            for stack in [HandlerStack::Interrupted, HandlerStack::Alternate] {
                let manager = manager(looks, stack);
                let attached = manager.attach().expect("attached");
                let pointers = [0x7fff_ffff_f000_u64, 1 << 47, 1 << 60, !15];
                for sp in pointers {
                    let site: u64;
                    // SAFETY: the server puts the stack pointer back, and resumes after the instruction.
                    unsafe {
                        core::arch::asm!(
                            "mov r12, rsp", "lea r13, [rip + 2f]", "mov rsp, {sp}", "2:", "ud2",
                            sp = in(reg) sp, out("r12") _, out("r13") site,
                        );
                    }
                    assert_eq!(SITE.swap(0, SeqCst), site, "{sp:#x}");
                }
                drop(attached);
                assert_eq!(manager.redirect_stats().refused, pointers.len() as u64);
                assert_eq!(manager.redirect_stats().entered, 0);
            }
            assert_eq!(below.stats().resumed, 8);
            assert_eq!(CALLS.load(SeqCst), 0, "no handler ran");
            drop(route);
        },
    );
}

mod masks {
    use super::*;
    use mach_sys::darwin::DarwinSignal;
    use mach_sys::kernel::system::{block_signals, set_blocked_signals};

    const USR1: u32 = DarwinSignal::USR1.mask();
    const USR2: u32 = DarwinSignal::USR2.mask();
    const TERM: u32 = DarwinSignal::TERM.mask();
    /// A signal with another number on Linux, and the five that are never blocked.
    const WANTED: u32 = USR1
        | DarwinSignal::CHLD.mask()
        | DarwinSignal::SEGV.mask()
        | DarwinSignal::BUS.mask()
        | DarwinSignal::ILL.mask();

    static INSIDE: AtomicU32 = AtomicU32::new(0);
    static TOLD: AtomicU32 = AtomicU32::new(0);
    /// The handler's edit of `uc_sigmask`.
    static EDIT: AtomicU32 = AtomicU32::new(0);

    /// Returns the calling thread's blocked signals, in Darwin's bits.
    fn blocked() -> u32 {
        block_signals(0).signals()
    }

    /// Returns whether the host blocks a signal of the calling thread, by the host's own number.
    fn host_blocks(signal: c_int) -> bool {
        // SAFETY: zeroes are an empty set, which the call fills.
        unsafe {
            let mut set = core::mem::zeroed();
            libc::pthread_sigmask(libc::SIG_BLOCK, core::ptr::null(), &mut set);
            libc::sigismember(&set, signal) == 1
        }
    }

    unsafe extern "C" fn watches(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
        CALLS.fetch_add(1, SeqCst);
        INSIDE.store(blocked(), SeqCst);
        assert!(host_blocks(libc::SIGUSR1) && host_blocks(libc::SIGCHLD));
        // SAFETY: the trampoline hands over its own structures.
        unsafe {
            TOLD.store((*context).uc_sigmask, SeqCst);
            (*context).uc_sigmask ^= EDIT.load(SeqCst);
        }
        if DEPTH.fetch_add(1, SeqCst) + 1 < DEEPEST.load(SeqCst) {
            let before = blocked();
            undefined();
            assert_eq!(blocked(), before, "the interrupted handler's own");
        }
        DEPTH.fetch_sub(1, SeqCst);
        skip(context);
    }

    fn blocking(handler: SignalHandler) -> Manager {
        // SAFETY: as in `manager`.
        let builder = Manager::builder(unsafe { Entry::new(handler) });
        builder.block_signals(WANTED).build().expect("a manager")
    }

    #[test]
    fn the_handler_runs_with_the_mask_that_was_chosen_and_the_interrupted_one_comes_back() {
        let name = "masks::the_handler_runs_with_the_mask_that_was_chosen_and_the_interrupted_one_comes_back";
        isolated(name, || {
            let manager = blocking(watches);
            let attached = manager.attach().expect("attached");
            let mut calls = 0;
            for own in [0, USR2, TERM | USR1] {
                for depth in [1, 3] {
                    DEEPEST.store(depth, SeqCst);
                    set_blocked_signals(own);
                    undefined();
                    assert_eq!(blocked(), own);
                    assert_eq!(host_blocks(libc::SIGUSR2), own & USR2 != 0);
                    assert_eq!(INSIDE.load(SeqCst), own | USR1 | DarwinSignal::CHLD.mask());
                    let innermost = if depth == 1 { own } else { INSIDE.load(SeqCst) };
                    assert_eq!(TOLD.load(SeqCst), innermost);
                    calls += depth;
                }
            }
            assert_eq!(CALLS.load(SeqCst), calls);
            drop(attached);
        });
    }

    #[test]
    fn an_edit_of_uc_sigmask_counts() {
        isolated("masks::an_edit_of_uc_sigmask_counts", || {
            let manager = blocking(watches);
            let attached = manager.attach().expect("attached");
            set_blocked_signals(USR2);
            EDIT.store(USR2 | TERM | DarwinSignal::SEGV.mask(), SeqCst);
            undefined();
            assert_eq!(blocked(), TERM, "SIGSEGV is never blocked");
            assert!(!host_blocks(libc::SIGSEGV));
            undefined();
            assert_eq!((CALLS.load(SeqCst), blocked()), (2, USR2));
            drop(attached);
        });
    }

    /// Leaves the handler by `exit_now`.
    unsafe extern "C" fn throws(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
        CALLS.fetch_add(1, SeqCst);
        INSIDE.store(blocked(), SeqCst);
        // SAFETY: the handler's own context; the frames that are skipped own nothing.
        unsafe {
            signal_redirect::restore_signal_mask(context);
            let Err(_) = thread_mgr::exit_now(1);
        }
    }

    /// The signal mask in a destructor of thread-specific data after the throw.
    static AFTER: AtomicU32 = AtomicU32::new(u32::MAX);

    unsafe extern "C" fn after(_: *mut core::ffi::c_void) {
        AFTER.store(blocked(), SeqCst);
    }

    #[test]
    fn r27_the_interrupted_mask_is_restored_by_one_call_before_a_throw() {
        let name = "masks::r27_the_interrupted_mask_is_restored_by_one_call_before_a_throw";
        isolated(name, || {
            let mut key = 0;
            // SAFETY: the key goes to a local variable, and its destructor lives as long as the process.
            let error = unsafe { libc::pthread_key_create(&mut key, Some(after)) };
            assert_eq!(error, 0);
            let manager = blocking(throws);
            let thread = manager.spawn(move || {
                // SAFETY: the key was made.
                unsafe { libc::pthread_setspecific(key, core::ptr::without_provenance(1)) };
                set_blocked_signals(USR2);
                undefined();
            });
            let ended = thread.expect("a thread").join().expect("no panic");
            assert!(matches!(ended.exit, thread_mgr::Exit::Exited(1)));
            assert_ne!(INSIDE.load(SeqCst) & USR1, 0);
            assert_eq!(AFTER.load(SeqCst), USR2);
        });
    }

    /// While a thread holds redirects off, its exceptions reach the handler that they would reach without the manager.
    #[test]
    fn a_thread_that_holds_redirects_off_is_not_redirected() {
        use exc_server::{Delivery, Exception, Routing, Server, Target};
        use mach_sys::exception::ExceptionMask;
        use mach_sys::rights::TaskRight;
        use thread_mgr::redirect_mask;

        let name = "masks::a_thread_that_holds_redirects_off_is_not_redirected";
        isolated(name, || {
            let below = Server::start(|exception: Exception<'_>| {
                let mut state = exception.registers().expect("the registers");
                state.set_pc(state.pc() + LENGTH);
                // SAFETY: the instruction has no effect.
                unsafe { exception.resume_with(&state) }
            });
            let below = below.expect("a server");
            let task = TaskRight::current().expect("the own task");
            let routing = Routing::new(ExceptionMask::BAD_INSTRUCTION, Delivery::TASK);
            let route = below.route(Target::Task(&task), &routing).expect("a route");
            let manager = manager(looks, HandlerStack::Interrupted);
            let held = || {
                undefined();
                let asked = redirect_mask(|mask| {
                    let held = mask.hold();
                    undefined();
                    held.release()
                });
                assert_eq!(asked, Some(true), "one was refused");
                undefined();
                // A jump past the guard.
                redirect_mask(|mask| core::mem::forget(mask.hold()));
                undefined();
                assert_eq!(redirect_mask(|mask| mask.abandon()), Some(true));
                undefined();
                // Leaves the hold behind for the next thread with this record.
                redirect_mask(|mask| core::mem::forget(mask.hold()));
            };
            for _ in 0..3 {
                let attached = manager.attach().expect("attached");
                held();
                drop(attached);
                let thread = manager.spawn(held).expect("a thread");
                assert!(thread.join().expect("no panic").exit.returned().is_some());
            }
            assert!(redirect_mask(|_| ()).is_none());
            assert_eq!(CALLS.load(SeqCst), 6 * 3);
            let stats = manager.redirect_stats();
            assert_eq!((stats.entered, stats.held, stats.refused), (18, 12, 0));
            assert_eq!(below.stats().resumed, 12);
            drop(route);
        });
    }
}
