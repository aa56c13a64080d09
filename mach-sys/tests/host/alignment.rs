//! The AC flag of x86_64, which the system hands into signal handlers as it is, and which XNU never lets the processor act on (G1.9).

use crate::context;
use crate::registers;
use crate::support::{OwnStack, install, isolated, on_raw_thread};
use mach_sys::emulated::{self, Config};
use mach_sys::rights::ThreadRight;
use std::sync::atomic::{AtomicU64, Ordering};
use test_support::wait::wait_for_ok;

/// Sets AC, executes `$first`, and answers the flags afterwards.
macro_rules! with_alignment_check {
    ($($first:literal),+; $($operands:tt)*) => {{
        let flags: u64;
        // SAFETY: the flag is cleared again before code of the compiler's runs; no other code uses the stack below.
        unsafe {
            core::arch::asm!(
                "pushfq",
                "or dword ptr [rsp], 0x40000",
                "popfq",
                $($first),+,
                "pushfq",
                "pop {flags}",
                "pushfq",
                "and dword ptr [rsp], ~0x40000",
                "popfq",
                flags = lateout(reg) flags,
                $($operands)*
            );
        }
        flags
    }};
}

const CHECKED: u64 = 0x4_0000;

/// Runs `body` on a thread of each kind: without and with an alternate stack of its own.
fn on_each_kind(body: impl Fn() + Send + Copy + 'static) {
    for own in [false, true] {
        on_raw_thread(move || {
            let own = own.then(|| OwnStack::register(0));
            for _ in 0..3 {
                body();
            }
            if let Some(own) = own {
                own.assert_registered();
            }
        });
    }
}

isolated! {
    fn g1_9_a_misaligned_access_succeeds_and_raises_no_exception() {
        let server = registers::server();
        server.route_task();
        on_each_kind(|| {
            let bytes: [u8; 16] = core::array::from_fn(|index| index as u8);
            let at = core::hint::black_box(&bytes).as_ptr() as usize | 1;
            let loaded: u32;
            let flags = with_alignment_check!(
                "mov {loaded:e}, [{at}]";
                at = in(reg) at, loaded = out(reg) loaded,
            );
            let index = at - bytes.as_ptr() as usize;
            assert_eq!(loaded.to_le_bytes(), bytes[index..index + 4]);
            // Whether this processor checks at all is the system's business; if it does, it does not any more.
            println!("alignment is checked afterwards: {}", flags & CHECKED != 0);
        });
        assert_eq!(server.stop(), 0);
    }
}

isolated! {
    fn g1_9_faults_with_the_flag_set_are_served_and_keep_it() {
        let server = registers::server();
        server.route_task();
        on_each_kind(|| {
            let flags = with_alignment_check!("ud2";);
            assert_eq!(flags & CHECKED, CHECKED);
        });
        assert_eq!(server.stop(), 6);
    }
}

isolated! {
    /// The host layer finds a slot before it knows what a signal is.
    fn g1_9_a_thread_that_had_only_its_check_cleared_keeps_no_slot() {
        const SLOTS: u32 = 8;
        let mut config = Config::default();
        config.threads = SLOTS;
        emulated::start_with(config).expect("started");
        for _ in 0..4 * SLOTS {
            on_raw_thread(|| {
                let bytes = core::hint::black_box([0_u8; 16]);
                with_alignment_check!(
                    "mov {loaded:e}, [{at}]";
                    at = in(reg) bytes.as_ptr() as usize | 1, loaded = out(reg) _,
                );
            });
        }
        on_raw_thread(|| {
            drop(wait_for_ok("a place for this thread", ThreadRight::current));
        });
    }
}

static FLAGS: AtomicU64 = AtomicU64::new(CHECKED);

extern "C" fn previous(_: i32, _: *const libc::siginfo_t, uc: *mut libc::ucontext_t) {
    let flags: u64;
    // SAFETY: the flags come off the stack again; the context is the kernel's.
    unsafe {
        core::arch::asm!("pushfq", "pop {}", out(reg) flags);
        context::add_to_pc(uc, 2);
    }
    FLAGS.store(flags, Ordering::Relaxed);
}

isolated! {
    /// The kernel leaves it as it was; compiled code of a handler would fault at its first misaligned access.
    fn g1_9_handlers_run_with_the_flag_cleared() {
        install(libc::SIGILL, previous as *const (), libc::SA_SIGINFO | libc::SA_ONSTACK, &[]);
        mach_sys::emulated::start().expect("started");
        on_each_kind(|| {
            FLAGS.store(CHECKED, Ordering::Relaxed);
            let flags = with_alignment_check!("ud2";);
            assert_eq!(flags & CHECKED, CHECKED, "the interrupted code's is kept");
            assert_eq!(FLAGS.load(Ordering::Relaxed) & CHECKED, 0);
        });
    }
}
