//! The walk of the levels for one fault, on the thread that faulted (A1, A2).

use super::answer;
use super::ports::{Level, MODIFIERS};
use crate::emulated::host::context::Context;
use crate::emulated::host::fault::{Trap, Verdict};
use crate::emulated::ipc::buffer::Buffer;
use crate::emulated::ipc::mach::{Locked, Mach};
use crate::emulated::ipc::object::{Carried, QueueFull};
use crate::emulated::thread::{Thread, state};
use crate::exception::{BehaviorKind, MACH_EXCEPTION_CODES};
use crate::kern_return::KernReturn;
use crate::machine::Machine;
use crate::mig;
use crate::thread_state::Flavor;

/// The original exception: the same for every level (A1.9).
#[derive(Clone, Copy, Debug)]
struct Fault {
    exception: i32,
    codes: [i64; 2],
}

/// Asks the thread's handler, then the task's. The first that answers with success, or with `MACH_RCV_PORT_DIED`, ends the
/// search (A1.1); when none does, the host level is asked.
pub(crate) fn walk(mach: &Mach, thread: u32, trap: &mut Trap<'_>) -> Verdict {
    let fault = Fault {
        exception: trap.raised.exception,
        codes: trap.raised.codes,
    };
    let task = mach.lock_with_signals_blocked().state.threads[thread].task;
    for level in [Level::Thread(thread), Level::Task(task)] {
        match deliver(mach, thread, level, fault, trap.context) {
            Ok(()) | Err(KernReturn::RCV_PORT_DIED) => return Verdict::Resume,
            Err(_) => {}
        }
    }
    Verdict::HostLevel
}

/// Offers the exception to one level. `Ok` when it was handled and the state of the reply, if there is one, is applied.
fn deliver(
    mach: &Mach,
    thread: u32,
    level: Level,
    fault: Fault,
    context: &mut Context,
) -> Result<(), KernReturn> {
    let mut kernel = mach.lock_with_signals_blocked();
    // A2.2–A2.4: port, behavior and flavor are read in one step.
    let action = kernel
        .actions(level)
        .get(fault.exception)
        .ok_or(KernReturn::FAILURE)?;
    let Carried::Object(port) = action.port() else {
        return Err(KernReturn::FAILURE);
    };
    if !kernel.object(port).alive {
        return Err(KernReturn::FAILURE);
    }
    // A2.5
    let wide = action.behavior & MACH_EXCEPTION_CODES != 0;
    let kind = BehaviorKind::new((action.behavior as u32 & !MODIFIERS) as i32);
    let mut message = kernel.pool.take().ok_or(KernReturn::RESOURCE_SHORTAGE)?;
    let id = 0;
    message.from_kernel = true;
    message.destination = port;
    // Held by the message, and by the delivery until its end (A2.10, A2.11).
    kernel.retain(port);
    kernel.retain(port);
    let reply_port = kernel.state.threads[thread].reply_port;
    kernel.retain(reply_port);
    message.reply = Carried::Object(reply_port).to_word();
    message.reply_disposition = crate::message::MACH_MSG_TYPE_PORT_SEND_ONCE as u8;
    let record: &mut Thread = &mut kernel.state.threads[thread];
    record.answer.expect();
    record.context = context.as_raw() as usize;
    let spin = kernel.receiver_is_elsewhere(port);
    // A5.1: the queue limit does not count; only a full kernel refuses.
    let queued = kernel.enqueue(message);
    let refused = match queued {
        Ok(()) => None,
        Err(QueueFull(message)) => Some(message),
    };
    let reply = match refused {
        Some(message) => {
            kernel.destroy_message(message);
            drop(kernel);
            None
        }
        None => {
            drop(kernel);
            answer::wait_for_reply(mach, thread, spin)
        }
    };
    let mut kernel = mach.lock_with_signals_blocked();
    kernel.state.threads[thread].context = 0;
    kernel.release_object(port);
    // A6.8: a right that was destroyed unused says MIG_SERVER_DIED.
    let reply = reply.ok_or(KernReturn::MIG_SERVER_DIED)?;
    let outcome = apply(&reply, id, kind, context);
    kernel.destroy_message(reply);
    outcome
}

/// What the reply decides (A4.4, A6), and its state written into the context.
fn apply(
    reply: &Buffer<'_>,
    id: i32,
    kind: BehaviorKind,
    context: &mut Context,
) -> Result<(), KernReturn> {
    let bytes = &reply.bytes[..reply.size as usize];
    let carries_port = reply.reply != Carried::Null.to_word();
    let _ = (bytes, carries_port, id, kind, context);
    Ok(())
}
