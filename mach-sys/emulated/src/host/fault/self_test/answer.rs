//! The handler's part of the self-test.
#![allow(unsafe_code)]

use super::judge::{self, Expected, Seen};
use super::machine;
use super::probe::{Probe, Return, bounds};
use crate::error::SignalFrameError;
use crate::host::context::Context;
use crate::host::sys::thread::gettid;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// The probe that is under way; null for none, which is all that a fault in service looks at.
static UNDERWAY: AtomicPtr<Probe> = AtomicPtr::new(core::ptr::null_mut());
/// The thread that it is under way on, and the address that it reads.
static THREAD: AtomicU32 = AtomicU32::new(0);
static PAGE: AtomicUsize = AtomicUsize::new(0);

/// Number of times that the handler tries to get the thread past its fault.
const MOST: u32 = 4;

/// Runs one probe on the calling thread.
pub(super) fn run(probe: &Probe) {
    during(probe, || probe.fault());
}

/// Runs code with a probe under way on the calling thread.
pub(super) fn during(probe: &Probe, code: impl FnOnce()) {
    THREAD.store(gettid(), Ordering::Relaxed);
    PAGE.store(probe.page, Ordering::Relaxed);
    UNDERWAY.store(core::ptr::from_ref(probe).cast_mut(), Ordering::Release);
    code();
    UNDERWAY.store(core::ptr::null_mut(), Ordering::Release);
}

/// A fault of the self-test, for its handler.
#[derive(Debug)]
pub(in crate::host::fault) struct Underway<'p>(&'p Probe);

/// Returns the probe whose fault a signal is, if it is one. Neither another thread's fault nor a signal that is sent to this one is: the
/// probe is known by its program counter or by its address, whichever of them the system tells.
pub(in crate::host::fault) fn underway<'p>(
    code: i32,
    address: u64,
    context: &Context,
) -> Option<Underway<'p>> {
    let probe = UNDERWAY.load(Ordering::Acquire);
    if probe.is_null() || gettid() != THREAD.load(Ordering::Relaxed) {
        return None;
    }
    // SAFETY: the thread's own, and it is in `during`, which keeps the value for as long as the pointer stands here.
    let probe = unsafe { &*probe };
    if probe.arrivals.get() > MOST {
        // Nothing helps: the fault is one that no handler wants, and the one from before may leave by a jump.
        UNDERWAY.store(core::ptr::null_mut(), Ordering::Release);
        return None;
    }
    let is_there = code > 0 && context.program_counter() == bounds().0;
    let is_its_page = address as usize == PAGE.load(Ordering::Relaxed);
    (is_there || is_its_page).then_some(Underway(probe))
}

impl<'p> Underway<'p> {
    #[cfg(test)]
    pub(super) fn of(probe: &'p Probe) -> Self {
        Self(probe)
    }

    /// Looks at the frame. Returns whether the handler is to return as it does in service; otherwise from the frame as it lies.
    pub(in crate::host::fault) fn look(
        &self,
        context: &Context,
        address: u64,
        behind: Option<usize>,
    ) -> bool {
        let Self(probe) = self;
        let arrivals = probe.arrivals.get();
        probe.arrivals.set(arrivals + 1);
        if arrivals > 0 {
            // The thread did not go on where the frame said.
            let copied = probe.copied.get();
            let register = machine::PC;
            probe
                .verdict
                .set(Err(SignalFrameError::Ignored { register, copied }));
            return false;
        }
        let seen = Seen {
            registers: machine::registers(context),
            pc: context.program_counter(),
            address: address as usize,
            mask: context.signal_mask(),
            behind,
        };
        let expected = Expected {
            registers: probe.given(),
            pc: bounds().0,
            address: probe.page,
            mask: probe.mask,
        };
        probe.verdict.set(judge::frame(&seen, &expected));
        probe.how == Return::AsInService && probe.verdict.get().is_ok()
    }

    /// Writes the answer to the frame that is returned from. Where the system takes no notice of it the fault comes again: then the page
    /// is opened, so that the thread goes on.
    pub(in crate::host::fault) fn answer(&self, context: &mut Context, copied: bool) {
        let Self(probe) = self;
        if probe.arrivals.get() > 1 {
            super::run::open(probe.page);
            // What the system took of the answer before is another address.
            let mut registers = machine::registers(context);
            registers[machine::ADDRESS] = probe.page as u64;
            machine::set_registers(context, &registers, bounds().1);
            return;
        }
        probe.copied.set(copied);
        let registers = match probe.verdict.get() {
            Ok(()) => probe.answered(),
            // Nothing of the frame is certain: it goes on as it came.
            Err(_) => machine::registers(context),
        };
        machine::set_registers(context, &registers, bounds().1);
    }
}
