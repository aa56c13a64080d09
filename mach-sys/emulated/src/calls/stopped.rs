//! A moment in which no other thread of the process runs.

use super::threads::reach;
use crate::host;
use crate::host::page_list::PageList;
use crate::host::suspend::patience::Patience;
use crate::host::suspend::reach::Target;
use crate::process::Process;
use crate::thread::kernel::Kernel;
use crate::thread::object::ThreadId;
use crate::thread::run;
use core::time::Duration;
use mach_wire::kern_return::KernReturn;
use std::sync::{Mutex, TryLockError};

/// Held meanwhile: two threads would each wait for the other to stop.
static ONE: Mutex<()> = Mutex::new(());

/// Time that threads may take until the emulation knows them or they are gone, and the time between two looks.
const DEADLINE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_micros(200);

/// Runs `action` while every other thread of the process is stopped, the emulation's own among them. It must not allocate: a stopped thread may hold
/// the allocator's lock.
///
/// # Errors
/// `KERN_OPERATION_TIMED_OUT` for a thread that cannot be stopped, as `thread_suspend`; `KERN_RESOURCE_SHORTAGE` for more threads than were
/// there before. `action` does not run then.
pub(super) fn with_others_stopped<T>(
    process: &Process,
    action: impl FnOnce() -> Result<T, KernReturn>,
) -> Result<T, KernReturn> {
    // From here to the end this thread is in the kernel: one that suspends it waits until it leaves, and is stopped meanwhile. It waits for its
    // turn outside, where it can be stopped.
    let (_inside, _one) = loop {
        let inside = process.mach.enter();
        match ONE.try_lock() {
            Ok(one) => break (inside, one),
            Err(TryLockError::Poisoned(one)) => break (inside, one.into_inner()),
            Err(TryLockError::WouldBlock) => {}
        }
        drop(inside);
        std::thread::sleep(LOOK);
    };
    if !process.meet_everyone() && !process.knows_everyone() {
        // While others run: they would stand still as long.
        return Err(KernReturn::OPERATION_TIMED_OUT);
    }
    // Threads may start while the first are being stopped. Later there is no room to be had.
    let room = process.known_threads().count() * 2 + 64;
    let mut stopped = PageList::with_room(room)?;
    let outcome = stop(process, &mut stopped).and_then(|()| {
        if !host::pause_watching_thread() {
            return Err(KernReturn::OPERATION_TIMED_OUT);
        }
        let outcome = action();
        host::let_watching_thread_go_on();
        outcome
    });
    for &(thread, target) in &*stopped {
        let mut held = process.mach.lock();
        let kernel = &mut Kernel::of(&mut held);
        if run::is_still(kernel, thread, &target) {
            run::release(kernel, thread);
        }
    }
    outcome
}

/// Stops the other threads, each of which is noted before it is waited for.
fn stop(process: &Process, stopped: &mut PageList<(ThreadId, Target)>) -> Result<(), KernReturn> {
    let mut patience = Patience::begin();
    loop {
        let in_time = process.meet_everyone();
        let before = stopped.len();
        for thread in process.known_threads() {
            let mut held = process.mach.lock();
            let kernel = &mut Kernel::of(&mut held);
            // It may have ended since it was listed.
            let slot = kernel.tables.thread(thread).slot;
            if slot.and_then(|slot| process.known_thread(slot)) != Some(thread) {
                continue;
            }
            let target = run::target(kernel, thread).filter(|target| !target.is_this_thread());
            let Some(target) = target else {
                continue;
            };
            // By both: a thread that started meanwhile may have the object of one that has ended.
            let is_it = |known: &ThreadId, stopped: &Target| {
                *known == thread && stopped.thread_id() == target.thread_id()
            };
            if stopped.iter().any(|(known, stopped)| is_it(known, stopped)) {
                continue;
            }
            if !stopped.push((thread, target)) {
                return Err(KernReturn::RESOURCE_SHORTAGE);
            }
            run::hold(kernel, thread);
        }
        for (_, target) in &stopped[before..] {
            match reach(target) {
                // It has ended: it runs no more.
                Ok(()) | Err(KernReturn::TERMINATED) => {}
                Err(error) => return Err(error),
            }
        }
        if stopped.len() == before {
            if process.knows_everyone() {
                return Ok(());
            }
            // A thread that is just starting, or is about to be gone: those that would start another are stopped.
            if !in_time || patience.waited() > DEADLINE {
                return Err(KernReturn::OPERATION_TIMED_OUT);
            }
            std::thread::sleep(LOOK);
        }
    }
}
