//! Suspension, abort and termination of threads (A8).
//!
//! Here are the counts, and what the calls answer. What a call wants of a system thread is in the thread's record from here on; the caller
//! then waits, without the lock, until the thread has stopped.

use super::kernel::Kernel;
use super::object::{Thread, ThreadId, ThreadKind};
use crate::host::suspend::reach::{Target, Wanted};
use crate::ipc::id::PortId;
use crate::ipc::kmsg::Right;
use crate::ipc::name::{Name, SpaceId};
use crate::ipc::{request, right, semaphore};
use mach_wire::kern_return::KernReturn;

/// Fails for a thread that was terminated (D4).
pub(crate) fn check(kernel: &Kernel<'_, '_>, thread: ThreadId) -> Result<(), KernReturn> {
    match kernel.tables.thread(thread).run.terminated {
        true => Err(KernReturn::TERMINATED),
        false => Ok(()),
    }
}

/// Returns the system thread of a thread; `None` in a kernel without any.
pub(crate) fn target(kernel: &Kernel<'_, '_>, thread: ThreadId) -> Option<Target> {
    Target::of(kernel.tables.thread(thread).slot?)
}

/// Returns whether a system thread still is the one of a thread, which was looked up before the lock was given back.
pub(crate) fn is_still(kernel: &Kernel<'_, '_>, thread: ThreadId, system: &Target) -> bool {
    target(kernel, thread).is_some_and(|target| target.thread_id() == system.thread_id())
}

/// Implements `thread_suspend`: one more suspension, which the first holds the thread for (A8.5).
pub(crate) fn suspend(kernel: &mut Kernel<'_, '_>, thread: ThreadId) -> Result<(), KernReturn> {
    check(kernel, thread)?;
    let run = &mut kernel.tables.thread_mut(thread).run;
    let first = run.suspensions == 0;
    run.suspensions += 1;
    if first {
        hold(kernel, thread);
    }
    Ok(())
}

/// Implements `thread_resume`: one suspension less, of which the last held the thread (A8.5).
pub(crate) fn resume(kernel: &mut Kernel<'_, '_>, thread: ThreadId) -> Result<(), KernReturn> {
    check(kernel, thread)?;
    let run = &mut kernel.tables.thread_mut(thread).run;
    let left = run.suspensions.checked_sub(1).ok_or(KernReturn::FAILURE)?;
    run.suspensions = left;
    if left == 0 {
        release(kernel, thread);
    }
    Ok(())
}

/// One reason more to stop a thread.
pub(crate) fn hold(kernel: &mut Kernel<'_, '_>, thread: ThreadId) {
    kernel.tables.thread_mut(thread).run.holds += 1;
    tell(kernel, thread);
}

/// One reason less to stop a thread: without any it goes on.
pub(crate) fn release(kernel: &mut Kernel<'_, '_>, thread: ThreadId) {
    let holds = &mut kernel.tables.thread_mut(thread).run.holds;
    *holds = holds.saturating_sub(1);
    tell(kernel, thread);
}

/// Tells the system thread what is wanted of it.
fn tell(kernel: &Kernel<'_, '_>, thread: ThreadId) {
    let run = kernel.tables.thread(thread).run;
    if let Some(target) = target(kernel, thread) {
        target.want(match (run.terminated, run.holds) {
            (true, _) => Wanted::End,
            (false, 1..) => Wanted::Hold,
            (false, 0) => Wanted::Nothing,
        });
    }
}

/// Implements `thread_abort` (A8.2) and, `safely`, `thread_abort_safely` (A8.3): ends the wait for the reply to the thread's exception, but not
/// safely; ends its wait in `mach_msg` either way. Changes nothing for a thread that runs.
pub(crate) fn abort(
    kernel: &mut Kernel<'_, '_>,
    thread: ThreadId,
    safely: bool,
) -> Result<(), KernReturn> {
    check(kernel, thread)?;
    if !safely {
        // Between two levels, too: the wait for the next one's reply ends at once (A8.2). Otherwise the next exception forgets it.
        kernel.tables.thread_mut(thread).run.aborted = true;
        interrupt(kernel, thread);
    }
    if !waits_for_reply(kernel, thread) {
        if let Some(target) = target(kernel, thread) {
            kernel.ipc.wake_waiters(target.abort_wait());
        }
    }
    Ok(())
}

/// Implements `semaphore_signal_thread`: lets a thread go on that waits for a semaphore; without one, any that does.
pub(crate) fn signal_semaphore(
    kernel: &mut Kernel<'_, '_>,
    space: SpaceId,
    semaphore: Name,
    thread: Option<ThreadId>,
) -> Result<(), KernReturn> {
    let waits = thread.map(|thread| {
        let system = target(kernel, thread);
        system.map_or_else(Default::default, |system| system.waits())
    });
    semaphore::signal_thread(&mut kernel.ipc, space, semaphore, waits)
}

/// Returns whether a reply to the thread's exception is waited for.
pub(crate) fn waits_for_reply(kernel: &Kernel<'_, '_>, thread: ThreadId) -> bool {
    let reply_port = kernel.tables.thread(thread).reply_port;
    reply_port.is_some_and(|port| request::is_waiting(&kernel.ipc, port))
}

/// Implements the first part of `thread_terminate`: from here on the thread runs no code of the program, once it is out of it (A8.4, D4).
pub(crate) fn terminate(kernel: &mut Kernel<'_, '_>, thread: ThreadId) -> Result<(), KernReturn> {
    let &Thread { kind, run, .. } = kernel.tables.thread(thread);
    if kind == ThreadKind::Pthread && kernel.ipc.rules.pthreads_are_not_terminated() {
        return Err(KernReturn::DENIED);
    }
    if run.terminated {
        return Err(KernReturn::TERMINATED);
    }
    kernel.tables.thread_mut(thread).run.terminated = true;
    interrupt(kernel, thread);
    tell(kernel, thread);
    Ok(())
}

/// Makes a thread look that waits for the reply to its exception.
fn interrupt(kernel: &mut Kernel<'_, '_>, thread: ThreadId) {
    if let Some(port) = kernel.tables.thread(thread).reply_port {
        request::interrupt(&mut kernel.ipc, port);
    }
}

/// Returns the port on which the kernel waits for replies to a thread's exceptions, made again if an abort destroyed it. `None` when the
/// kernel is full.
pub(crate) fn reply_port(kernel: &mut Kernel<'_, '_>, thread: ThreadId) -> Option<PortId> {
    if let Some(port) = kernel.tables.thread(thread).reply_port {
        return Some(port);
    }
    let port = request::create_reply_port(&mut kernel.ipc)?;
    kernel.tables.thread_mut(thread).reply_port = Some(port);
    Some(port)
}

/// Destroys that port: a late reply goes nowhere (A8.1).
pub(crate) fn destroy_reply_port(kernel: &mut Kernel<'_, '_>, thread: ThreadId) {
    if let Some(port) = kernel.tables.thread_mut(thread).reply_port.take() {
        right::release(&mut kernel.ipc, Right::Receive(port));
    }
}
