//! The interrupted registers: a view of the context in a signal frame.
//!
//! A [`Context`] is where a waiting thread's registers are. The fault handler works on it, and so may another thread, under the
//! emulated kernel's lock, while the faulting one waits.
#![allow(unsafe_code)]

#[cfg(target_arch = "aarch64")]
mod aarch64;
pub(crate) mod classify;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use super::sys::altstack::Stack;
use super::sys::main_stack;
use super::sys::mask::Mask;
use classify::{Raised, WITHOUT_TOP_BYTE};
use core::ffi::c_void;
use mach_wire::exception::EXC_BAD_ACCESS;
use mach_wire::kern_return::{KERN_INVALID_ADDRESS, KERN_PROTECTION_FAILURE};

/// The signal context of an interrupted thread, which holds its registers.
#[derive(Debug)]
pub(crate) struct Context {
    at: usize,
}

/// Offset of the link to another context, the same on both machines. The kernel clears it in a signal frame, and reads it nowhere.
const LINK: usize = 8;

/// Offset of the registered alternate stack in the kernel's `ucontext`, the same on both machines.
const STACK: usize = 16;

impl Context {
    /// Returns the context at an address.
    ///
    /// # Safety
    /// The address is that of a context in a signal frame, which stays where it is, and is used by nothing else, as long as the
    /// value and what was made of it are used.
    pub(crate) unsafe fn from_raw(address: *mut c_void) -> Self {
        Self {
            at: address as usize,
        }
    }

    pub(crate) fn as_raw(&self) -> *mut c_void {
        self.at as *mut c_void
    }

    /// Reads a field of the context.
    fn read<T: Copy>(&self, offset: usize) -> T {
        // SAFETY: the constructor's contract; every offset used lies in the context, and all of its fields are plain integers.
        unsafe { ((self.at + offset) as *const T).read_unaligned() }
    }

    /// Writes a field of the context.
    fn write<T: Copy>(&mut self, offset: usize, value: T) {
        // SAFETY: as for reading; the value is borrowed exclusively.
        unsafe { ((self.at + offset) as *mut T).write_unaligned(value) };
    }

    /// Returns the link to another context: 0 in a signal frame, until code writes to it.
    pub(in crate::host) fn link(&self) -> u64 {
        self.read(LINK)
    }

    pub(in crate::host) fn set_link(&mut self, link: u64) {
        self.write(LINK, link);
    }

    /// Returns the alternate stack that was registered when the signal was delivered, and will be when the frame is returned from.
    pub(in crate::host) fn alternate_stack(&self) -> Stack {
        self.read(STACK)
    }

    pub(in crate::host) fn set_alternate_stack(&mut self, stack: Stack) {
        self.write(STACK, stack);
    }

    /// Returns the signal mask of the interrupted code.
    pub(in crate::host) fn signal_mask(&self) -> Mask {
        self.read(Self::MASK)
    }

    /// Returns what is raised where XNU maps memory without access that is not mapped here: in the room for the main thread's stack (G1.7).
    fn as_reserved(raised: Option<Raised>) -> Option<Raised> {
        match raised {
            Some(Raised {
                exception: EXC_BAD_ACCESS,
                codes: [code, address],
            }) if code == i64::from(KERN_INVALID_ADDRESS)
                && main_stack::is_reserved(address as u64 & WITHOUT_TOP_BYTE) =>
            {
                Some(Raised {
                    exception: EXC_BAD_ACCESS,
                    codes: [i64::from(KERN_PROTECTION_FAILURE), address],
                })
            }
            raised => raised,
        }
    }

    /// Sets the signal mask of the interrupted code.
    pub(in crate::host) fn set_signal_mask(&mut self, mask: Mask) {
        self.write(Self::MASK, mask);
    }

    /// Blocks signals in the interrupted code.
    pub(in crate::host) fn block_signals(&mut self, signals: Mask) {
        self.set_signal_mask(self.signal_mask() | signals);
    }
}
