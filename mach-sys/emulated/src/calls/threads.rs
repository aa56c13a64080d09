//! Suspension, abort and termination of threads (`mach/thread_act.h`).
#![allow(unsafe_code)]

use super::target::code;
use super::{mig, unreachable};
use crate::exception::level::{Level, LevelKind};
use crate::host::suspend::own;
use crate::host::suspend::reach::{Reached, Target, Unreachable};
use crate::ipc::name::Name;
use crate::process::Process;
use crate::thread::kernel::Kernel;
use crate::thread::object::ThreadId;
use crate::thread::run;
use mach_wire::kern_return::KernReturn;
use mach_wire::types::*;

/// Returns the thread behind a name, as the target of a call.
pub(super) fn find(
    kernel: &mut Kernel<'_, '_>,
    process: &Process,
    name: mach_port_name_t,
) -> Result<ThreadId, KernReturn> {
    match Level::find(kernel, process.space, Name::new(name), LevelKind::Thread)? {
        Level::Thread(thread) => Ok(thread),
        Level::Task(_) => Err(KernReturn::INVALID_ARGUMENT),
    }
}

/// Stops a thread that the kernel wants to stop: asks it, and waits.
pub(super) fn reach(target: &Target) -> Result<(), KernReturn> {
    match target.ask() {
        Ok(()) => wait(target),
        Err(reason) => Err(unreachable::note(target.thread_id(), reason)),
    }
}

/// Waits until a thread has stopped that was asked.
fn wait(target: &Target) -> Result<(), KernReturn> {
    match target.wait() {
        Reached::Stopped => Ok(()),
        Reached::Gone => Err(KernReturn::TERMINATED),
        Reached::Unreachable(reason) => Err(unreachable::note(target.thread_id(), reason)),
    }
}

/// Changes the thread behind a name, under the lock.
fn act(
    name: mach_port_name_t,
    change: impl FnOnce(&mut Kernel<'_, '_>, ThreadId) -> Result<(), KernReturn>,
) -> Result<(), KernReturn> {
    let process = mig::process()?;
    let mut held = process.mach.lock();
    let kernel = &mut Kernel::of(&mut held);
    let thread = find(kernel, process, name)?;
    change(kernel, thread)
}

/// Number of threads that get the signal before the first is waited for.
const PORTION: usize = 128;

/// A thread that is to be suspended.
#[derive(Clone, Copy)]
pub(super) struct Suspended {
    thread: ThreadId,
    target: Target,
    /// The reason why it could not be asked.
    refused: Option<Unreachable>,
}

impl Suspended {
    /// Counts one more suspension of the thread behind a name, and asks it to stop unless it is the calling one. `None` for a thread that no
    /// system thread belongs to.
    pub(super) fn begin(
        process: &Process,
        name: mach_port_name_t,
    ) -> Result<Option<Self>, KernReturn> {
        let (thread, target) = {
            let mut held = process.mach.lock();
            let kernel = &mut Kernel::of(&mut held);
            let thread = find(kernel, process, name)?;
            run::suspend(kernel, thread)?;
            (thread, run::target(kernel, thread))
        };
        Ok(target.map(|target| Self {
            thread,
            target,
            refused: match target.is_this_thread() {
                true => None,
                false => target.ask().err(),
            },
        }))
    }

    /// Waits until it has stopped, and takes the suspension back if it does not. The calling thread stops here.
    pub(super) fn finish(&self, process: &Process) -> Result<(), KernReturn> {
        let unreachable = |reason| unreachable::note(self.target.thread_id(), reason);
        let outcome = match self.refused {
            Some(reason) => Err(unreachable(reason)),
            None if self.target.is_this_thread() => own::stop().map_err(unreachable),
            None => wait(&self.target),
        };
        if outcome.is_err() {
            let mut held = process.mach.lock();
            let kernel = &mut Kernel::of(&mut held);
            if run::is_still(kernel, self.thread, &self.target) {
                // Fails for a thread that was terminated meanwhile, and for one that another has resumed.
                let _ = run::resume(kernel, self.thread);
            }
        }
        outcome
    }
}

pub unsafe fn thread_suspend(thread: mach_port_name_t) -> kern_return_t {
    let suspend = || {
        let process = mig::process()?;
        Suspended::begin(process, thread)?.map_or(Ok(()), |suspended| suspended.finish(process))
    };
    code(suspend())
}

/// Suspends threads, each once more as `thread_suspend` does, and waits for 128 of them at a time. Writes the result for each name. Nothing is
/// allocated: a stopped thread may hold the allocator's lock.
pub fn suspend_threads(names: &[mach_port_name_t], results: &mut [kern_return_t]) {
    let Ok(process) = mig::process() else {
        return results.fill(KernReturn::RESOURCE_SHORTAGE.raw());
    };
    let mut own = None;
    for (names, results) in names.chunks(PORTION).zip(results.chunks_mut(PORTION)) {
        let mut begun = [const { None }; PORTION];
        for ((name, result), place) in names.iter().zip(&mut *results).zip(&mut begun) {
            let suspended = Suspended::begin(process, *name);
            *result = code(suspended.map(|suspended| *place = suspended));
        }
        for (suspended, result) in begun.iter().zip(results) {
            match suspended {
                Some(this) if this.target.is_this_thread() => own = Some((*this, result)),
                Some(other) => *result = code(other.finish(process)),
                None => {}
            }
        }
    }
    // The calling thread stops last.
    if let Some((this, result)) = own {
        *result = code(this.finish(process));
    }
}

pub unsafe fn thread_resume(thread: mach_port_name_t) -> kern_return_t {
    code(act(thread, run::resume))
}

pub unsafe fn thread_abort(thread: mach_port_name_t) -> kern_return_t {
    code(act(thread, |kernel, thread| {
        run::abort(kernel, thread, false)
    }))
}

pub unsafe fn thread_abort_safely(thread: mach_port_name_t) -> kern_return_t {
    code(act(thread, |kernel, thread| {
        run::abort(kernel, thread, true)
    }))
}

pub unsafe fn thread_terminate(thread: mach_port_name_t) -> kern_return_t {
    let end = || {
        let process = mig::process()?;
        let target = {
            let mut held = process.mach.lock();
            let kernel = &mut Kernel::of(&mut held);
            let thread = find(kernel, process, thread)?;
            run::terminate(kernel, thread)?;
            run::target(kernel, thread)
        };
        let Some(target) = target else {
            return Ok(());
        };
        if target.is_this_thread() {
            // Returns only if the thread could not be ended.
            let ended = own::stop();
            return ended.map_err(|reason| unreachable::note(target.thread_id(), reason));
        }
        // D3.5: no instruction of the thread's runs after the call.
        match reach(&target) {
            Err(KernReturn::TERMINATED) => Ok(()),
            outcome => outcome,
        }
    };
    code(end())
}
