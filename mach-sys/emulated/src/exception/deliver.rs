//! The walk of the levels for one fault, on the thread that faulted (A1, A2).

use super::level::Level;
use super::rights::DeliveryRights;
use crate::host::context::Context;
use crate::host::fault::{Trap, Verdict, crash};
use crate::host::threads;
use crate::ipc::id::PortId;
use crate::ipc::member::Receivers;
use crate::ipc::pool::Buffer;
use crate::ipc::request::{self, Ended};
use crate::ipc::right;
use crate::rules::Rules;
use crate::thread::kernel::{Kernel, Mach};
use crate::thread::object::ThreadId;
use crate::thread::{run, state};
use mach_wire::exception::{Behavior, BehaviorModifiers, ExceptionType};
use mach_wire::kern_return::KernReturn;
use mach_wire::machine::Machine;
use mach_wire::message::Disposition;
use mach_wire::mig::{CODES_MAX, HeaderPort, Identity, Raise, Reply, Routine, check_reply};
use mach_wire::thread_state::Flavor;

/// The original exception: the same for every level (A1.9).
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) exception: ExceptionType,
    pub(super) codes: [i64; CODES_MAX],
    /// The 64-bit identifier of the thread.
    pub(super) thread_id: u64,
}

impl Fault {
    /// Returns whether only its caller acts upon the result, and nothing interrupts its wait: of `EXC_CRASH` and `EXC_GUARD` (A1.2, A1.6).
    fn is_a_notice(&self) -> bool {
        matches!(self.exception, ExceptionType::CRASH | ExceptionType::GUARD)
    }
}

/// A level's registration for one exception type, read in one step (A2.4).
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) port: PortId,
    pub(super) routine: Routine,
    pub(super) flavor: Flavor,
    /// True if the handler was adopted (A4.12).
    pub(super) hardened: bool,
}

/// Delivers the exception to the thread's handler, then to the task's. The first that replies with success, or with `MACH_RCV_PORT_DIED`, ends the
/// search (A1.1); if none does, the fault goes to the host level.
pub(crate) fn walk(mach: &Mach, thread: ThreadId, trap: &mut Trap<'_>) -> Verdict {
    let fault = Fault {
        exception: ExceptionType::new(trap.raised.exception),
        codes: trap.raised.codes,
        thread_id: threads::id_of(trap.slot),
    };
    match search(mach, thread, fault, trap.context) {
        Ok(()) => Verdict::Resume,
        // A1.1; A1.2: the four types see the code, by which this is no success.
        Err(KernReturn::RCV_PORT_DIED) if !fault.is_a_notice() => Verdict::Resume,
        Err(_) => Verdict::HostLevel,
    }
}

/// Returns the result of the search: that of the last level that was tried (A1.10). The kernel's lock is taken once for each request, and
/// once more if the thread was aborted or the reply carries rights. A reply is taken without it.
pub(super) fn search(
    mach: &Mach,
    thread: ThreadId,
    fault: Fault,
    context: &mut Context,
) -> Result<(), KernReturn> {
    let mut held = mach.lock_with_signals_blocked();
    let victim = held.parts().1.thread_mut(thread);
    victim.faulting = context.as_raw() as usize;
    victim.run.aborted = false;
    let task = victim.task;
    let mut held = Some(held);
    let mut result = Err(KernReturn::FAILURE);
    for level in [Level::Thread(thread), Level::Task(task)] {
        let mut locked = match held.take() {
            Some(locked) => locked,
            None => mach.lock_with_signals_blocked(),
        };
        let kernel = &mut Kernel::of(&mut locked);
        if kernel.tables.thread(thread).run.terminated {
            // A2.1: a terminated thread's exception counts as handled, and is not sent.
            return Ok(());
        }
        if is_passed_over(kernel, thread, level, fault) {
            held = Some(locked);
            continue;
        }
        let sent = match send(kernel, thread, level, fault, context) {
            Ok(sent) => sent,
            Err(error) => {
                result = Err(error);
                held = Some(locked);
                continue;
            }
        };
        // An abort lasts until the exception's end: each level's message is sent, and each wait ends at once (A8.2).
        let ended =
            request::wait_for_reply(mach, locked, sent.reply_port, sent.receivers, |tables| {
                let run = tables.thread(thread).run;
                // A8.11: nothing but the answer ends the wait of such a type.
                !fault.is_a_notice() && (run.aborted || run.terminated)
            });
        result = settle(mach, thread, &sent, ended, context);
        if matches!(result, Ok(()) | Err(KernReturn::RCV_PORT_DIED)) {
            break;
        }
    }
    result
}

/// Returns whether a level is skipped: for a crash, the receiver is the task that crashes (A1.7, A14.3).
fn is_passed_over(kernel: &Kernel<'_, '_>, thread: ThreadId, level: Level, fault: Fault) -> bool {
    if fault.exception != ExceptionType::CRASH || crash::reaches_own_receivers() {
        return false;
    }
    let space = kernel.tables.task(kernel.tables.thread(thread).task).space;
    let action = level.actions(kernel.tables).get(fault.exception);
    let port = action.and_then(|action| request::target(&kernel.ipc, action.port));
    let queue = port.and_then(|port| kernel.ipc.port(port).queue());
    queue.is_some_and(|queue| queue.is_received_in(space))
}

/// A request that is out.
struct Sent {
    routine: Routine,
    /// The flavor that was sent to a hardened handler (A4.12).
    hardened: Option<Flavor>,
    reply_port: PortId,
    receivers: Receivers,
}

/// Sends a level the request, if it has a handler.
fn send(
    kernel: &mut Kernel<'_, '_>,
    thread: ThreadId,
    level: Level,
    fault: Fault,
    context: &Context,
) -> Result<Sent, KernReturn> {
    let wanted = wanted(kernel, level, fault.exception)?;
    let message = kernel.ipc.pool.take_reserved();
    let mut message = message.ok_or(KernReturn::RESOURCE_SHORTAGE)?;
    let words = fetch_state(context, wanted, kernel.ipc.rules, &mut message)?;
    let reply_port = run::reply_port(kernel, thread).ok_or(KernReturn::RESOURCE_SHORTAGE)?;
    let rights = DeliveryRights::make(kernel, thread, wanted.port, wanted.routine)?;
    let identity = rights.identity(&mut kernel.ipc, fault.thread_id);
    let message = write_request(message, wanted, fault, identity, words);
    let held = rights.into_held();
    let receivers = request::send(&mut kernel.ipc, wanted.port, message, reply_port, held);
    Ok(Sent {
        routine: wanted.routine,
        hardened: wanted.hardened.then_some(wanted.flavor),
        reply_port,
        receivers,
    })
}

/// Ends a delivery. `Ok` when the exception was handled and the state of the reply, if there is one, is applied.
fn settle(
    mach: &Mach,
    thread: ThreadId,
    sent: &Sent,
    ended: Ended<'_>,
    context: &mut Context,
) -> Result<(), KernReturn> {
    let mut reply = match ended {
        Ended::Reply(reply) => reply,
        Ended::Died => return Err(KernReturn::MIG_SERVER_DIED),
        Ended::Interrupted => {
            let mut held = mach.lock_with_signals_blocked();
            run::destroy_reply_port(&mut Kernel::of(&mut held), thread);
            return Err(KernReturn::RCV_INTERRUPTED);
        }
    };
    let outcome = apply(&mut reply, sent, mach.rules(), context);
    // A notification can be the reply, and ends the wait without what sends do for it.
    if reply.from_kernel || reply.carries_rights() {
        let mut held = mach.lock_with_signals_blocked();
        let ipc = &mut held.ipc();
        right::release_held(ipc, sent.reply_port);
        right::destroy_message(ipc, reply);
    }
    outcome
}

/// Returns the action of a level, if it has a live port and a behavior that there is a message for (A2.2–A2.5).
pub(super) fn wanted(
    kernel: &Kernel<'_, '_>,
    level: Level,
    exception: ExceptionType,
) -> Result<Wanted, KernReturn> {
    let action = level.actions(kernel.tables).get(exception);
    let action = action.ok_or(KernReturn::FAILURE)?;
    let port = request::target(&kernel.ipc, action.port).ok_or(KernReturn::FAILURE)?;
    // Of the modifiers only the width of the codes counts here (A2.5).
    let width = action.behavior.modifiers() & BehaviorModifiers::CODES;
    let behavior = Behavior::of(action.behavior.kind(), width);
    let routine = Routine::for_behavior(behavior).ok_or(KernReturn::FAILURE)?;
    Ok(Wanted {
        port,
        routine,
        flavor: action.flavor,
        hardened: action.hardened,
    })
}

/// Fetches the state that the request carries, into its place at the end of the message: with room for as many words as the flavor has. Returns
/// the number of words fetched; 0 for a routine without state. After an error nothing is sent (A4.1).
fn fetch_state(
    context: &Context,
    wanted: Wanted,
    rules: &Rules,
    message: &mut Buffer<'_>,
) -> Result<usize, KernReturn> {
    let mut count = 0;
    if wanted.routine.has_state() {
        let room = wanted.flavor.count().unwrap_or(0) as usize;
        let at = wanted.routine.request_size(CODES_MAX, 0) / 4;
        let room = &mut message.words[at..][..room.min(rules.largest_state())];
        state::get(context, wanted.flavor, room, &mut count)?;
    }
    Ok(count as usize)
}

/// Writes the request as it will lie in the queue, around its state: rights' words where the receiver finds names.
fn write_request<'k>(
    mut message: Buffer<'k>,
    wanted: Wanted,
    fault: Fault,
    identity: Identity,
    words: usize,
) -> Buffer<'k> {
    let request = Raise {
        routine: wanted.routine,
        remote: HeaderPort::NONE,
        local: HeaderPort::NONE,
        voucher: HeaderPort::NONE,
        identity,
        disposition: Disposition::PORT_SEND,
        exception: fault.exception,
        codes: &fault.codes,
        flavor: wanted.flavor.raw,
        state: &[],
    };
    // The identity is of the routine's kind, the state fits, and a buffer has room for the largest request: it is encoded.
    let size = request.encode_around_state(words, message.bytes_mut());
    debug_assert!(size.is_ok());
    message.size = size.unwrap_or_default() as u32;
    message
}

/// Returns what the reply decides (A4.4, A6), and writes its state into the context.
fn apply(
    reply: &mut Buffer<'_>,
    sent: &Sent,
    rules: &Rules,
    context: &mut Context,
) -> Result<(), KernReturn> {
    request::reply_as_received(reply);
    let size = reply.size as usize;
    let accepted = judge(&reply.bytes()[..size], sent.routine, rules)?;
    let Some(flavor) = accepted.flavor else {
        return Ok(());
    };
    // A buffer's words are aligned, and a reply's state begins after a whole number of them.
    let words = accepted
        .new_state
        .as_words()
        .ok_or(KernReturn::MIG_TYPE_ERROR)?;
    // A4.4: the result of the set is the result of the delivery.
    let flavor = Flavor::new(Machine::NATIVE, flavor);
    match sent.hardened {
        Some(sent) => state::set_hardened(context, sent, flavor, words),
        None => state::set(context, flavor, words),
    }
}

/// Returns whether a reply, as received, is one to a request of the routine, and says that the exception was handled (A6).
pub(super) fn judge<'r>(
    reply: &'r [u8],
    routine: Routine,
    rules: &Rules,
) -> Result<Reply<'r>, KernReturn> {
    let limit = rules.reply_buffer(routine);
    let checked = check_reply(routine, reply, limit).map_err(|error| error.kern_return());
    if reply.len() > routine.reply_size(rules.largest_state()) {
        // A6.4: between the largest reply and the buffer's end any size is a wrong one.
        return Err(match checked {
            Err(error) => error,
            Ok(_) => KernReturn::MIG_TYPE_ERROR,
        });
    }
    checked
}
