//! Registers that a fault leaves, and those that are set (A4, A12).

use crate::support::*;
#[cfg(target_arch = "x86_64")]
use mach_sys::exception::{EXCEPTION_STATE_IDENTITY, MACH_EXCEPTION_CODES};
use mach_sys::kern_return::KernReturn;
use mach_sys::thread_state::{NativeState, ThreadState};

/// A12.15, A12.12: what the exception state says of a store to a page that is shut.
#[test]
fn a12_15_the_exception_state_of_a_store() {
    let page = Page::new();
    let address = page.address();
    let victim = Victim::start();
    let port = port();
    let flavor = if cfg!(target_arch = "x86_64") { 6 } else { 7 };
    assert_eq!(victim.handled_by(port, STATE, flavor), Ok(()));
    victim.starts(move || Page::store(address));
    let request = receive(port);
    assert_eq!(
        request.request().codes(),
        [2, address as i64],
        "A12.12: a page without access"
    );
    let state: Vec<u32> = request.request().old_state().iter().collect();
    let long = |at: usize| u64::from(state[at]) | u64::from(state[at + 1]) << 32;
    if cfg!(target_arch = "x86_64") {
        // trapno and cpu in the first word, err, faultvaddr.
        assert_eq!(state[0], 14, "a page fault, and cpu 0");
        assert_eq!(state[1] & 2, 2, "a write");
        assert_eq!(long(2), address as u64);
    } else {
        // far, esr, exception.
        assert_eq!(long(0), address as u64);
        assert_eq!(state[3], 0);
    }
    page.open();
    // The store works now. A reply of another flavor with nothing changed resumes it (A4.3).
    let registers = victim.registers();
    let reply = request.reply_with(
        KernReturn::SUCCESS,
        NativeState::FLAVOR,
        registers.as_words(),
    );
    assert_eq!(reply.send(), Ok(()));
    victim.result();
}

isolated! {
    /// A4.9: of cpsr only the condition bits are taken.
    #[cfg(target_arch = "aarch64")]
    fn a4_9_of_the_processors_state_only_the_conditions_are_set() {
        const CONDITIONS: u32 = 0xf000_0000;
        let scene = Scene::new(STATE);
        scene.victim.faults();
        let request = receive(scene.upper);
        let before = request.state().as_words()[66];
        let mut state = request.state();
        state.as_words_mut()[66] = !(1 << 21);
        let reply = request.reply_with(KernReturn::SUCCESS, NativeState::FLAVOR, state.as_words());
        assert_eq!(reply.send(), Ok(()));
        // The instruction faults again, with what was set.
        let request = receive(scene.upper);
        let after = request.state().as_words()[66];
        assert_eq!(after & CONDITIONS, CONDITIONS);
        assert_eq!(after & 0x1f, 0, "user mode");
        assert_eq!(after & !CONDITIONS, before & !CONDITIONS, "the rest stays");
        request.resume(|state| state.as_words_mut()[66] = before);
        scene.victim.result();
    }
}

/// A12.13: the hardware's division by zero, which is no exception there.
#[cfg(target_arch = "aarch64")]
#[test]
fn a12_13_an_integer_division_by_zero_does_not_trap() {
    let (mut quotient, zero) = (7_u64, core::hint::black_box(0_u64));
    // SAFETY: a computation on registers.
    unsafe { core::arch::asm!("udiv {0}, {0}, {1}", inout(reg) quotient, in(reg) zero) };
    assert_eq!(quotient, 0);
}

isolated! {
    /// A4.10: a state that comes short is filled up with zeros, not with what was sent: as the control word, the request's stack pointer
    /// would be refused (A9.7).
    #[cfg(target_arch = "x86_64")]
    fn a4_10_the_missing_words_of_a_short_state_are_zero() {
        const DEBUG_STATE64: i32 = 11;
        let scene = Scene::new(STATE);
        scene.victim.faults();
        let request = receive(scene.upper);
        // Two addresses and no control word: nothing is enabled.
        let reply = request.reply_with(KernReturn::SUCCESS, DEBUG_STATE64, &[0x1000, 0, 0x2000, 0]);
        assert_eq!(reply.send(), Ok(()));
        // It was taken: the instruction runs again, with the registers of before.
        let again = receive(scene.upper);
        assert_eq!(again.state().as_words(), request.state().as_words());
        again.resume(|_| {});
        assert_eq!(scene.victim.result(), MARK);
    }
}

/// A4.15: x87 and SSE registers of a thread that never touched them.
#[cfg(target_arch = "x86_64")]
#[test]
fn a4_15_the_initial_floating_point_state() {
    const FLOAT_STATE64: i32 = 5;
    let victim = Victim::start();
    let port = port();
    let behavior = EXCEPTION_STATE_IDENTITY | MACH_EXCEPTION_CODES;
    assert_eq!(victim.handled_by(port, behavior, FLOAT_STATE64), Ok(()));
    victim.faults();
    let request = receive(port);
    let state: Vec<u32> = request.request().old_state().iter().collect();
    // Two reserved words; then control and status word, tags, pointers, MXCSR and its mask; then eight x87 registers.
    assert_eq!(state[2], 0x37f, "the control word, and no status");
    assert_eq!(state[8], 0x1f80, "MXCSR");
    assert_ne!(state[9], 0, "the machine's mask");
    assert_eq!(state[10..42], [0; 32], "x87 registers");
    let mut registers = victim.registers();
    skip(&mut registers);
    let reply = request.reply_with(
        KernReturn::SUCCESS,
        NativeState::FLAVOR,
        registers.as_words(),
    );
    assert_eq!(reply.send(), Ok(()));
    assert_eq!(victim.result(), MARK);
    release_rights(&request);
}

/// A10.3: a plain arm64 process is told that no pointer is signed, and may answer with the word or without it.
#[cfg(target_arch = "aarch64")]
#[test]
fn a10_3_a_plain_thread_has_no_signed_pointers() {
    const FLAGS: usize = 67;
    const NO_PTRAUTH: u32 = 1;
    let victim = Victim::start();
    let port = port();
    assert_eq!(victim.handled_by(port, STATE, NativeState::FLAVOR), Ok(()));
    for flags in [NO_PTRAUTH, 0] {
        victim.faults();
        let request = receive(port);
        assert_eq!(request.state().as_words()[FLAGS], NO_PTRAUTH);
        assert_eq!(victim.registers().as_words()[FLAGS], NO_PTRAUTH);
        request.resume(|state| state.as_words_mut()[FLAGS] = flags);
        assert_eq!(victim.result(), MARK);
    }
}
