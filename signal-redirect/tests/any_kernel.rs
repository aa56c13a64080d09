//! Redirects over an exception port, on either kernel: Apple's or the emulated one.
//!
//! The faults are inline assembly that loads its operands into the registers. These tests run on every processor, including one
//! without AVX and a translated one. `tests/native` covers all registers and more kinds of faults.

#[path = "common/redirects.rs"]
mod redirects;

use core::arch::asm;
use core::ffi::c_int;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, OnceLock};

use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::exception::ExceptionMask;
use mach_sys::kernel::system;
use mach_sys::rights::ReceiveRight;
use mach_sys::thread_state::Registers;
use redirects::{Redirects, TAG};
use signal_redirect::{
    Entry, Innermost, Key, Native, Redirect, Rewriter, SignalHandler, Trampoline,
};

type Vector = [u64; 2];

/// Register values of the interrupted code.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Held {
    general: [u64; 4],
    vectors: [Vector; 4],
}

impl Held {
    fn patterned(seed: u64) -> Self {
        let word = |at: u64| (seed * 64 + at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self {
            general: core::array::from_fn(|at| word(at as u64)),
            vectors: core::array::from_fn(|at| [word(8 + at as u64), word(16 + at as u64)]),
        }
    }
}

/// Executes an undefined instruction with these registers, and returns their values after it.
#[cfg(target_arch = "x86_64")]
fn fault(given: Held) -> Held {
    use core::arch::x86_64::__m128i;
    // SAFETY: both are 16 bytes of plain data.
    let vector = |v: Vector| unsafe { core::mem::transmute::<Vector, __m128i>(v) };
    let [mut a, mut b, mut c, mut d] = given.general;
    let [mut e, mut f, mut g, mut h] = given.vectors.map(vector);
    // SAFETY: the handler steps over the instruction; every register it edits is an operand.
    unsafe {
        asm!(
            "ud2",
            inout("rax") a, inout("rcx") b, inout("r9") c, inout("r15") d,
            inout("xmm0") e, inout("xmm3") f, inout("xmm8") g, inout("xmm15") h,
        );
    }
    // SAFETY: as above.
    let words = |v: __m128i| unsafe { core::mem::transmute::<__m128i, Vector>(v) };
    Held {
        general: [a, b, c, d],
        vectors: [e, f, g, h].map(words),
    }
}

/// Executes an undefined instruction with these registers, and returns their values after it.
#[cfg(target_arch = "aarch64")]
fn fault(given: Held) -> Held {
    use core::arch::aarch64::uint64x2_t;
    // SAFETY: both are 16 bytes of plain data.
    let vector = |v: Vector| unsafe { core::mem::transmute::<Vector, uint64x2_t>(v) };
    let [mut a, mut b, mut c, mut d] = given.general;
    let [mut e, mut f, mut g, mut h] = given.vectors.map(vector);
    // SAFETY: the handler steps over the instruction; every register it edits is an operand.
    unsafe {
        asm!(
            "udf #9",
            inout("x0") a, inout("x2") b, inout("x9") c, inout("x28") d,
            inout("v0") e, inout("v3") f, inout("v8") g, inout("v31") h,
        );
    }
    // SAFETY: as above.
    let words = |v: uint64x2_t| unsafe { core::mem::transmute::<uint64x2_t, Vector>(v) };
    Held {
        general: [a, b, c, d],
        vectors: [e, f, g, h].map(words),
    }
}

#[cfg(target_arch = "x86_64")]
const FAULT_LENGTH: u64 = 2;
#[cfg(target_arch = "aarch64")]
const FAULT_LENGTH: u64 = 4;

/// Stores to an address that faults.
fn store(address: u64) {
    // SAFETY: the handler steps over the store.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("mov byte ptr [rax], 1", in("rax") address);
        #[cfg(target_arch = "aarch64")]
        asm!("strb wzr, [x0]", in("x0") address);
    }
}

#[cfg(target_arch = "x86_64")]
const STORE_LENGTH: u64 = 3;
#[cfg(target_arch = "aarch64")]
const STORE_LENGTH: u64 = 4;

static DEPTH: AtomicU32 = AtomicU32::new(0);
static SIGNAL: AtomicU32 = AtomicU32::new(0);
static ADDRESS: AtomicU64 = AtomicU64::new(0);

/// Returns a lock that makes tests run one at a time, because the handlers share statics.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|broken| broken.into_inner())
}

fn trampoline() -> &'static Trampoline {
    static TRAMPOLINE: OnceLock<Trampoline> = OnceLock::new();
    TRAMPOLINE.get_or_init(|| Trampoline::native(key()))
}

fn key() -> Key {
    static KEY: OnceLock<Key> = OnceLock::new();
    *KEY.get_or_init(Key::random)
}

/// Returns `true` if handlers return directly on this machine and system, without shadow stacks.
fn returns_directly() -> bool {
    cfg!(target_arch = "x86_64") && !system::capabilities().may_be_translated()
}

fn plan(handler: SignalHandler) -> Redirect {
    // SAFETY: the handlers below call nothing that is not async-signal-safe while their assertions hold.
    Redirect::to(unsafe { Entry::new(handler) }, *trampoline()).tag(TAG)
}

/// Runs `body` on a thread that a server redirects with `plan`: once with the return trap, once with direct returns, where the machine has
/// them. Returns the server's records of both.
fn with_server(plan: Redirect, body: impl Fn() + Sync) -> [Redirects; 2] {
    [false, true].map(|direct| {
        let innermost: &'static Innermost = Box::leak(Box::new(Innermost::new(key())));
        let plan = match direct {
            // SAFETY: the value is leaked, and only the one thread is redirected with this plan.
            true => unsafe {
                plan.clone()
                    .return_directly(innermost, &system::capabilities())
            },
            false => plan.clone(),
        };
        let port = ReceiveRight::new().unwrap();
        std::thread::scope(|scope| {
            let serving = scope.spawn(|| {
                let mut redirects = Redirects::new(plan, *trampoline(), innermost);
                redirects::serve(&port, |state, fault, memory| {
                    redirects.answer(state, fault, memory)
                });
                redirects.catch_up();
                redirects
            });
            let faulting = scope.spawn(|| {
                let mask = ExceptionMask::BAD_INSTRUCTION
                    | ExceptionMask::BAD_ACCESS
                    | Native::RETURN_MASK;
                port_server::route_thread(&port, mask);
                body();
            });
            let result = faulting.join();
            port_server::stop(&port);
            let served = serving.join();
            result.unwrap();
            let directly = innermost.returned_directly() != 0;
            assert_eq!(directly, direct && returns_directly(), "as planned");
            served.unwrap()
        })
    })
}

fn compute() -> f64 {
    let parts: [f64; 8] = core::array::from_fn(|at| core::hint::black_box(1.0 / (at as f64 + 1.0)));
    parts.iter().sum()
}

unsafe extern "C" fn editing(signal: c_int, info: *mut siginfo_t, uc: *mut ucontext_t) {
    // SAFETY: all three are what this handler was given.
    let (context, info) = unsafe { (&mut *uc, &*info) };
    assert_eq!((signal, info.si_signo), (4, 4), "SIGILL");
    assert!((compute() - 2.717_857).abs() < 1e-5);
    // SAFETY: the redirect's own context, of this machine; one reference to a part lives at a time.
    unsafe {
        let registers = context.registers_mut();
        assert_eq!(info.si_addr, registers.pc());
        registers.set_pc(registers.pc() + FAULT_LENGTH);
        #[cfg(target_arch = "x86_64")]
        {
            registers.rcx = !registers.rcx;
            context.x86_float_state_mut().fpu_xmm[3].xmm_reg.fill(0x33);
        }
        #[cfg(target_arch = "aarch64")]
        {
            registers.x[2] = !registers.x[2];
            context.arm_neon_state_mut().v[3] = u128::from_ne_bytes([0x33; 16]);
        }
    }
}

#[test]
fn registers_come_back_with_the_handlers_edits() {
    let _alone = alone();
    let served = with_server(plan(editing), || {
        for seed in 0..100 {
            let given = Held::patterned(seed);
            let found = fault(given);
            let mut expected = given;
            expected.general[1] = !given.general[1];
            expected.vectors[1] = [0x3333_3333_3333_3333; 2];
            assert_eq!(found, expected);
        }
    });
    for served in served {
        assert_eq!((served.redirects, served.returns), (100, 100));
    }
}

unsafe extern "C" fn nesting(_: c_int, _: *mut siginfo_t, uc: *mut ucontext_t) {
    if DEPTH.fetch_add(1, SeqCst) < 3 {
        let given = Held::patterned(1000);
        assert_eq!(fault(given), given);
    }
    // SAFETY: `uc` is what this handler was given, and this is the only reference to its registers.
    let registers = unsafe { (*uc).registers_mut() };
    registers.set_pc(registers.pc() + FAULT_LENGTH);
}

#[test]
fn faults_in_handlers_nest() {
    let _alone = alone();
    let served = with_server(plan(nesting), || {
        DEPTH.store(0, SeqCst);
        let given = Held::patterned(7);
        assert_eq!(fault(given), given);
    });
    for served in served {
        assert_eq!(
            (served.redirects, served.returns, served.deepest),
            (4, 4, 3)
        );
    }
}

unsafe extern "C" fn noting(signal: c_int, info: *mut siginfo_t, uc: *mut ucontext_t) {
    // SAFETY: all three are what this handler was given.
    let (registers, info) = unsafe { ((*uc).registers_mut(), &*info) };
    SIGNAL.store(signal as u32, SeqCst);
    ADDRESS.store(info.si_addr, SeqCst);
    registers.set_pc(registers.pc() + STORE_LENGTH);
}

#[test]
fn a12_3_a_bad_store_is_sigsegv_at_its_address() {
    let _alone = alone();
    with_server(plan(noting), || {
        for address in [0x18, 0x123] {
            store(address);
            assert_eq!(SIGNAL.load(SeqCst), 11);
            assert_eq!(ADDRESS.load(SeqCst), address);
        }
    });
}
