//! One fault of the self-test.
#![allow(unsafe_code)]

use super::machine::{ADDRESS, FLAG, FLAGS, NAMES, SP};
use crate::error::SignalFrameError;
use crate::host::sys::mask::Mask;
use core::cell::Cell;
use core::ffi::c_void;
use core::mem::offset_of;

/// Values of all registers that are looked at.
pub(super) type Registers = [u64; NAMES.len()];

/// The handler's way to return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Return {
    /// From the frame where the system put it.
    InPlace,
    /// From a copy, where the entry moves; where it stays, from the frame.
    AsInService,
}

/// A fault: what the thread has in its registers, what the handler sees, and what the thread has afterwards. All on one thread, in its
/// ordinary code and in its fault handler.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Probe {
    given: Cell<Registers>,
    found: Cell<Registers>,
    /// The stack pointer of the faulting code's caller.
    saved: Cell<u64>,
    /// The address that is read: of a page without access.
    pub(super) page: usize,
    pub(super) how: Return,
    /// The thread's signal mask.
    pub(super) mask: Mask,
    /// Number of times that the handler ran.
    pub(super) arrivals: Cell<u32>,
    /// The handler's verdict on the frame; an error before it has run.
    pub(super) verdict: Cell<Result<(), SignalFrameError>>,
    /// True if the handler returned from a copy.
    pub(super) copied: Cell<bool>,
}

pub(super) const GIVEN: usize = offset_of!(Probe, given);
pub(super) const FOUND: usize = offset_of!(Probe, found);
pub(super) const SAVED: usize = offset_of!(Probe, saved);

/// Distance by which the handler moves the stack pointer, in bytes.
pub(super) const SHIFT: usize = 128;

const _: () = assert!(size_of::<Cell<Registers>>() == NAMES.len() * 8 && GIVEN == 0);

unsafe extern "C" {
    fn mach_sys_self_test(probe: *const c_void);
    fn mach_sys_self_test_fault();
    fn mach_sys_self_test_end();
}

/// Returns the address of the fault, and the address where the thread resumes.
pub(super) fn bounds() -> (usize, usize) {
    (
        mach_sys_self_test_fault as *const () as usize,
        mach_sys_self_test_end as *const () as usize,
    )
}

impl Probe {
    pub(super) fn new(page: usize, how: Return, mask: Mask) -> Self {
        let mut given = pattern(0x5e1f);
        given[ADDRESS] = page as u64;
        given[FLAGS] = FLAG;
        Self {
            given: Cell::new(given),
            found: Cell::new([0; NAMES.len()]),
            saved: Cell::new(0),
            page,
            how,
            mask,
            arrivals: Cell::new(0),
            verdict: Cell::new(Err(SignalFrameError::Unseen)),
            copied: Cell::new(false),
        }
    }

    /// Runs into the fault.
    pub(super) fn fault(&self) {
        // SAFETY: the code reads `given`, and writes `found`, `saved` and the stack pointer in `given`: cells of this value, which no
        // reference is held into. It keeps to the calling convention, whatever the handler makes of the registers: it takes them from
        // the stack, below its own frame of 512 bytes or `SHIFT` bytes above. Where the read of the page does not fault it reads zeroes.
        unsafe { mach_sys_self_test(core::ptr::from_ref(self).cast()) };
    }

    /// Returns the registers at the fault.
    pub(super) fn given(&self) -> Registers {
        self.given.get()
    }

    /// Returns the expected registers after the return.
    pub(super) fn answered(&self) -> Registers {
        let mut answered = pattern(0xa15e);
        answered[SP] = self.given.get()[SP] + SHIFT as u64;
        answered[FLAGS] = 0;
        answered
    }

    /// Returns the registers found after the return.
    pub(super) fn found(&self) -> Registers {
        self.found.get()
    }
}

/// Returns a value for each register.
fn pattern(high: u64) -> Registers {
    core::array::from_fn(|index| high << 48 | 0x1234_5600 | index as u64)
}
