//! Instructions that fault, by the length that their handlers skip: 2 bytes on x86_64, 4 on arm64.
#![allow(unsafe_code)]

use mach_sys::darwin::ucontext_t;
use mach_sys::kernel::system;
use mach_sys::thread_state::{NativeState, Registers};

pub use test_support::instructions::{LENGTH, store_to, undefined, undefined_with_stack};

/// A breakpoint, in the calling function's own code. On x86_64 the thread stops behind it, on arm64 before it.
#[inline(always)]
pub fn breakpoint() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a breakpoint touches nothing.
    unsafe {
        core::arch::asm!("int3")
    };
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a breakpoint touches nothing; its handler skips it.
    unsafe {
        core::arch::asm!("brk #1")
    };
}

/// Moves a stopped thread behind its instruction.
pub fn skip(state: &mut NativeState) {
    state.set_pc(state.pc() + LENGTH);
}

/// The general registers in the context that a redirected handler is given.
///
/// # Safety
/// The context is one that a redirect made, and no other code uses it while the reference lives.
pub unsafe fn registers<'c>(context: *mut ucontext_t) -> &'c mut NativeState {
    // SAFETY: a redirect made the context, and nothing else uses it (caller's promise).
    unsafe { (*context).registers_mut() }
}

/// Loads a word. `None` if it faulted and the handler continued it at its landing point ([`landing_of`]).
#[must_use]
pub fn load_or_land(address: u64) -> Option<u64> {
    let (mut loaded, trapped): (u64, u64);
    loaded = 0;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the address is the caller's, or the handler continues at the label.
    unsafe {
        core::arch::asm!(
            "lea r8, [rip + 2f]",
            "mov {loaded}, [{address}]",
            "xor r8d, r8d",
            "2:",
            loaded = inout(reg) loaded,
            address = in(reg) address,
            out("r8") trapped,
        )
    };
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        core::arch::asm!(
            "adr x4, 2f",
            "ldr {loaded}, [{address}]",
            "mov x4, #0",
            "2:",
            loaded = inout(reg) loaded,
            address = in(reg) address,
            out("x4") trapped,
        )
    };
    (trapped == 0).then_some(loaded)
}

/// Returns the address at which a thread that faulted in [`load_or_land`] goes on, from its fifth argument register. A runtime has a table of program
/// counters.
#[must_use]
pub fn landing_of(state: &NativeState) -> Option<u64> {
    let landing = state.argument(4)?;
    // The label is a few bytes behind the load.
    (landing.wrapping_sub(state.pc()) <= 16).then_some(landing)
}

/// A page that nothing may touch until it is opened. Unmapped when it is dropped.
#[derive(Debug)]
pub struct GuardPage(usize);

impl GuardPage {
    /// Maps a page without access.
    ///
    /// # Panics
    /// If the host maps no page.
    #[must_use]
    pub fn new() -> Self {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
        // SAFETY: a new private mapping at an address of the host's choice.
        let page = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                system::page_size(),
                libc::PROT_NONE,
                flags,
                -1,
                0,
            )
        };
        assert_ne!(page, libc::MAP_FAILED, "a page");
        Self(page as usize)
    }

    /// Its first address.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.0 as u64
    }

    /// Opens it for an access to `address`. `false` if that is somewhere else.
    #[must_use]
    pub fn open(&self, address: u64) -> bool {
        let within = address.wrapping_sub(self.address()) < system::page_size() as u64;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: this page is its own.
        within && unsafe { libc::mprotect(self.0 as *mut _, system::page_size(), access) } == 0
    }

    /// The first 32 bits of a page that was opened.
    #[must_use]
    pub fn read(&self) -> u32 {
        // SAFETY: the page is open, or the thread faults.
        unsafe { (self.0 as *const u32).read_volatile() }
    }
}

impl Default for GuardPage {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for GuardPage {
    fn drop(&mut self) {
        // SAFETY: this page is its own, and no reference to it is left.
        unsafe { libc::munmap(self.0 as *mut _, system::page_size()) };
    }
}
