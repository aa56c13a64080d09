//! One fault of each kind, as one instruction that can be skipped.

use mach_sys::thread_state::{NativeState, Registers};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A store to an address where nothing is mapped.
    Access,
    /// A load beyond the end of a mapped file.
    Bus,
    /// An undefined instruction.
    Undefined,
    /// An integer division by zero; arm64 has no such trap.
    Divide,
    /// A breakpoint instruction.
    Break,
}

/// Address that [`Kind::Access`] stores to.
pub(crate) const ADDRESS: usize = 0x18;

/// All kinds that this machine has.
pub(crate) const KINDS: &[Kind] = if cfg!(target_arch = "x86_64") {
    &[
        Kind::Access,
        Kind::Bus,
        Kind::Undefined,
        Kind::Divide,
        Kind::Break,
    ]
} else {
    &[Kind::Access, Kind::Bus, Kind::Undefined, Kind::Break]
};

impl Kind {
    pub(crate) fn signal(self) -> i32 {
        match self {
            Self::Access => libc::SIGSEGV,
            Self::Bus => libc::SIGBUS,
            Self::Undefined => libc::SIGILL,
            Self::Divide => libc::SIGFPE,
            Self::Break => libc::SIGTRAP,
        }
    }

    pub(crate) fn exception(self) -> i32 {
        match self {
            Self::Access | Self::Bus => 1,
            Self::Undefined => 2,
            Self::Divide => 3,
            Self::Break => 6,
        }
    }

    /// Returns the number of bytes from the reported pc to the end of the instruction.
    pub(crate) fn skip(self) -> u64 {
        if cfg!(target_arch = "aarch64") {
            return 4;
        }
        match self {
            Self::Access | Self::Bus => 3,
            Self::Undefined | Self::Divide => 2,
            Self::Break => 0,
        }
    }

    /// Faults once.
    #[inline(never)]
    pub(crate) fn raise(self) {
        match self {
            Self::Access => store_to(ADDRESS),
            Self::Bus => load(beyond_end_of_file()),
            Self::Undefined => undefined(),
            Self::Divide => divide(),
            Self::Break => breakpoint(),
        }
    }
}

/// Stores to an address, as [`Kind::Access`] does.
#[inline(never)]
pub(crate) fn store_to(address: usize) {
    store(address);
}

/// Skips the instruction of any kind, as a server's reply.
pub(crate) fn skip(exception: i32, state: &mut NativeState) {
    let length = KINDS
        .iter()
        .find(|kind| kind.exception() == exception)
        .expect("a kind of fault")
        .skip();
    state.set_pc(state.pc() + length);
}

/// Returns a mapped page with nothing behind it.
fn beyond_end_of_file() -> usize {
    static PAGE: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *PAGE.get_or_init(|| {
        // SAFETY: a new mapping of a new, empty file.
        unsafe {
            let file = libc::memfd_create(c"empty".as_ptr(), 0);
            assert!(file >= 0, "a file");
            let page = libc::mmap(
                core::ptr::null_mut(),
                4096,
                libc::PROT_READ,
                libc::MAP_SHARED,
                file,
                0,
            );
            assert_ne!(page, libc::MAP_FAILED);
            page as usize
        }
    })
}

#[cfg(target_arch = "x86_64")]
mod machine {
    use core::arch::asm;

    // SAFETY of all of them: the handler of the fault skips the instruction, whose results are not used.
    pub(super) fn store(to: usize) {
        // SAFETY: as above.
        unsafe { asm!("mov [rax], rcx", in("rax") to, in("rcx") 1_u64) };
    }
    pub(super) fn load(from: usize) {
        // SAFETY: as above.
        unsafe { asm!("mov rcx, [rax]", in("rax") from, out("rcx") _) };
    }
    pub(super) fn divide() {
        // SAFETY: as above.
        unsafe { asm!("div ecx", inout("eax") 1 => _, inout("edx") 0 => _, in("ecx") 0) };
    }
    pub(super) fn breakpoint() {
        // SAFETY: as above.
        unsafe { asm!("int3") };
    }
}

#[cfg(target_arch = "aarch64")]
mod machine {
    use core::arch::asm;

    // SAFETY of all of them: the handler of the fault skips the instruction, whose results are not used.
    pub(super) fn store(to: usize) {
        // SAFETY: as above.
        unsafe { asm!("str x1, [x0]", in("x0") to, in("x1") 1_u64) };
    }
    pub(super) fn load(from: usize) {
        // SAFETY: as above.
        unsafe { asm!("ldr x1, [x0]", in("x0") from, out("x1") _) };
    }
    pub(super) fn divide() {
        unreachable!("no such trap on this machine");
    }
    pub(super) fn breakpoint() {
        // SAFETY: as above.
        unsafe { asm!("brk #1") };
    }
}

use machine::{breakpoint, divide, load, store};
use test_support::instructions::undefined;
