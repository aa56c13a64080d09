//! The handler: an ordinary three-argument signal handler, with Darwin's signal numbers and structures on every host.

use examples::pages::{Access, page_of, protect};
use examples::traps::{Kind, Registers};
use mach_sys::darwin::{DarwinSignal, siginfo_t, ucontext_t};
use mach_sys::thread_state::Registers as _;
use std::ffi::c_int;

/// A fault that a thread expects, and the handler's observations. The handler finds it through a register.
#[derive(Debug)]
pub(crate) struct Note {
    kind: Kind,
    /// The fault's address, where it has one.
    address: u64,
    /// Value with which the handler repairs the fault.
    value: u64,
    registers: Option<Registers>,
    calls: u32,
    right: bool,
}

impl Note {
    pub(crate) fn new(kind: Kind, address: u64, value: u64) -> Self {
        Self {
            kind,
            address,
            value,
            registers: None,
            calls: 0,
            right: false,
        }
    }

    pub(crate) fn expect(&mut self, registers: Registers) {
        self.registers = Some(registers);
    }

    /// Returns whether the handler ran once and found everything as expected.
    pub(crate) fn was_right(&self) -> bool {
        // Written behind the compiler's back.
        let note = core::ptr::from_ref(self);
        // SAFETY: a reference's own memory.
        unsafe {
            core::ptr::read_volatile(&raw const (*note).right)
                && core::ptr::read_volatile(&raw const (*note).calls) == 1
        }
    }
}

/// The signal that Darwin sends for a kind of fault.
fn expected_signal(kind: Kind) -> DarwinSignal {
    match kind {
        // Low addresses are not mapped: SIGSEGV. A guarded page is mapped and protected: SIGBUS.
        Kind::ReadUnmapped | Kind::WriteUnmapped => DarwinSignal::SEGV,
        Kind::WriteGuarded => DarwinSignal::BUS,
        Kind::Divide => DarwinSignal::FPE,
        Kind::Illegal => DarwinSignal::ILL,
        Kind::Breakpoint => DarwinSignal::TRAP,
    }
}

/// Checks what it is given, repairs, and returns.
///
/// # Safety
/// For threads of this program that fault in [`Kind::run`].
pub(crate) unsafe extern "C" fn handle(
    signal: c_int,
    info: *mut siginfo_t,
    context: *mut ucontext_t,
) {
    // SAFETY: the trampoline hands over structures on this thread's stack, which nothing else uses until the handler returns.
    let (info, state) = unsafe { (&*info, (*context).registers_mut()) };
    // SAFETY: the routine that faulted was given a pointer to a note of its caller's, which waits.
    let note = unsafe { &mut *(Registers::note_in(state) as *mut Note) };
    note.calls += 1;
    let has_address = matches!(
        note.kind,
        Kind::ReadUnmapped | Kind::WriteUnmapped | Kind::WriteGuarded
    );
    note.right = signal == expected_signal(note.kind).raw()
        && info.si_signo == signal
        && (!has_address || info.si_addr == note.address)
        && state.pc() == note.kind.pc()
        && note
            .registers
            .as_ref()
            .is_some_and(|registers| registers.are_in(state));
    if note.kind == Kind::WriteGuarded {
        // SAFETY: the page is the thread's own, for this fault.
        note.right &= unsafe { protect(page_of(note.address), Access::ReadWrite) }.is_ok();
    }
    Registers::repair(note.kind, note.value, state);
}
