//! A thread's wait for a time, which an abort ends (A8.2).

use super::abandoned::Holding;
use super::id::PortId;
use super::monitor::Monitor;
use super::wait_word::Waited;
use super::waitq::WaitOn;
use crate::host::CallWait;
use mach_wire::kern_return::KernReturn;
use std::time::Instant;

/// Waits until a time, or for ever. `own` is the control port of the calling thread, on whose word nothing but an abort happens.
/// `KERN_ABORTED`: a signal handler ran, or the thread was aborted.
pub(crate) fn until<T>(
    kernel: &Monitor<T>,
    own: PortId,
    deadline: Option<Instant>,
) -> Result<(), KernReturn> {
    let object = WaitOn::Port(own);
    let mut held = kernel.lock();
    // While this thread waits, the place of its port must not become another's.
    held.ipc().retain(object);
    let outcome = loop {
        let sequence = held.ipc().wait_word(object).sequence();
        let wait = CallWait::begin(Holding::Reference.in_wait_for(object));
        drop(held);
        let waited = kernel.wait(object, sequence, deadline, false);
        held = kernel.lock();
        match waited.with(wait.end()) {
            Waited::Event => {}
            Waited::TimedOut => break Ok(()),
            Waited::Interrupted => break Err(KernReturn::ABORTED),
        }
    };
    held.ipc().release(object);
    outcome
}
