//! The faults: one instruction each. A handler resumes where the note says.

use crate::note::Note;
use core::ffi::c_int;
use std::sync::OnceLock;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A load where nothing is mapped.
    Read,
    /// A store to a page that may only be read.
    Write,
    /// A jump to a page that may not be executed.
    Execute,
    /// A load from an address that is none: the kernel tells no address.
    NotCanonical,
    /// A load beyond the end of a mapped file.
    Bus,
    /// An undefined instruction.
    Undefined,
    /// An integer division by zero.
    Divide,
    /// A breakpoint.
    Break,
}

/// All that this machine has: arm64 divides by zero, and reports a bad address as any other.
pub(crate) const FAULTS: &[Fault] = if cfg!(target_arch = "x86_64") {
    &[
        Fault::Read,
        Fault::Write,
        Fault::Execute,
        Fault::NotCanonical,
        Fault::Bus,
        Fault::Undefined,
        Fault::Divide,
        Fault::Break,
    ]
} else {
    &[
        Fault::Read,
        Fault::Write,
        Fault::Execute,
        Fault::Bus,
        Fault::Undefined,
        Fault::Break,
    ]
};

/// The signals that they raise.
pub(crate) const SIGNALS: [c_int; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
];

/// The place of a signal in [`SIGNALS`].
pub(crate) fn index(signal: c_int) -> usize {
    let known = SIGNALS.iter().position(|known| *known == signal);
    known.expect("one of the five")
}

const PAGE: usize = 65536;

/// Pages at the same addresses in every cell's process.
#[derive(Clone, Copy, Debug)]
struct Pages {
    nothing: usize,
    readable: usize,
    beyond: usize,
}

/// Maps the pages, once, in the process that all cells' processes are forked from.
fn pages() -> Pages {
    static PAGES: OnceLock<Pages> = OnceLock::new();
    *PAGES.get_or_init(|| {
        let map = |protection, flags, file| {
            // SAFETY: a new mapping at an address of the kernel's choice.
            let at = unsafe { libc::mmap(core::ptr::null_mut(), PAGE, protection, flags, file, 0) };
            assert_ne!(at, libc::MAP_FAILED);
            at as usize
        };
        // SAFETY: a new, empty file, which lives as long as its mapping.
        let file = unsafe { libc::memfd_create(c"empty".as_ptr(), 0) };
        assert!(file >= 0, "a file");
        let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        Pages {
            nothing: map(libc::PROT_NONE, private, -1),
            readable: map(libc::PROT_READ, private, -1),
            beyond: map(libc::PROT_READ, libc::MAP_SHARED, file),
        }
    })
}

/// Maps what the faults need.
pub(crate) fn prepare() {
    pages();
}

impl Fault {
    /// The signal that it raises.
    pub(crate) fn signal(self) -> c_int {
        match self {
            Self::Read | Self::Write | Self::Execute | Self::NotCanonical => libc::SIGSEGV,
            Self::Bus => libc::SIGBUS,
            Self::Undefined => libc::SIGILL,
            Self::Divide => libc::SIGFPE,
            Self::Break => libc::SIGTRAP,
        }
    }

    /// Faults once.
    #[inline(never)]
    pub(crate) fn raise(self) {
        let resume = Note::get().resume_word();
        let pages = pages();
        match self {
            Self::Read => machine::read(resume, pages.nothing),
            Self::Write => machine::write(resume, pages.readable),
            Self::Execute => machine::execute(resume, pages.readable),
            Self::NotCanonical => machine::read(resume, 0x8000_0000_0000_0000),
            Self::Bus => machine::read(resume, pages.beyond),
            Self::Undefined => machine::undefined(resume),
            Self::Divide => machine::divide(resume),
            Self::Break => machine::break_here(resume),
        }
    }
}

/// A function that writes down where it goes on, and faults.
macro_rules! faulting {
    ($name:ident($($to:ident)?), $($instruction:literal),+) => {
        pub(super) fn $name(resume: *mut usize $(, $to: usize)?) {
            // SAFETY: what handles the fault resumes at the label; the registers that may differ there are named, and no memory but
            // the word is written.
            unsafe {
                #[cfg(target_arch = "x86_64")]
                core::arch::asm!(
                    "lea r8, [rip + 2f]",
                    "mov [r9], r8",
                    $($instruction,)+
                    "2:",
                    in("r9") resume,
                    $(in("r10") $to,)?
                    out("r8") _, out("rax") _, out("rdx") _,
                );
                #[cfg(target_arch = "aarch64")]
                core::arch::asm!(
                    "adr x8, 2f",
                    "str x8, [x9]",
                    $($instruction,)+
                    "2:",
                    in("x9") resume,
                    $(in("x10") $to,)?
                    out("x8") _, out("x11") _,
                );
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod machine {
    faulting!(read(to), "mov rax, [r10]");
    faulting!(write(to), "mov [r10], rax");
    faulting!(execute(to), "jmp r10");
    faulting!(undefined(), "ud2");
    faulting!(divide(), "xor edx, edx", "xor eax, eax", "div edx");
    faulting!(break_here(), "int3");
}

#[cfg(target_arch = "aarch64")]
mod machine {
    faulting!(read(to), "ldr x11, [x10]");
    faulting!(write(to), "str x11, [x10]");
    faulting!(execute(to), "br x10");
    faulting!(undefined(), "udf #0");
    faulting!(break_here(), "brk #1");

    pub(super) fn divide(_: *mut usize) {
        unreachable!("arm64 divides by zero");
    }
}
