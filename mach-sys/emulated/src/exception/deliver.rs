//! The walk of the levels for one fault, on the thread that faulted (A1, A2).

use super::answer;
use super::ports::{Level, MODIFIERS};
use crate::host::context::Context;
use crate::host::fault::{Trap, Verdict};
use crate::host::threads;
use crate::ipc::buffer::Buffer;
use crate::ipc::mach::{Locked, Mach};
use crate::ipc::object::{Carried, Object, QueueFull};
use crate::thread::state;
use mach_wire::exception::{Behavior, BehaviorKind, BehaviorModifiers, ExceptionType};
use mach_wire::kern_return::KernReturn;
use mach_wire::message::{Disposition, MACH_MSG_TYPE_PORT_SEND_ONCE};
use mach_wire::mig::{HeaderPort, Identity, IdentityKind, Raise, Routine, check_reply};
use mach_wire::thread_state::THREAD_STATE_MAX;

/// The original exception: the same for every level (A1.9).
#[derive(Clone, Copy, Debug)]
struct Fault {
    exception: ExceptionType,
    codes: [i64; 2],
    thread_id: u64,
}

/// What a level asked for, read in one step (A2.4).
#[derive(Clone, Copy, Debug)]
struct Wanted {
    port: u32,
    routine: Routine,
    flavor: i32,
}

/// Asks the thread's handler, then the task's. The first that answers with success, or with `MACH_RCV_PORT_DIED`, ends the
/// search (A1.1); when none does, the host level is asked.
pub(crate) fn walk(mach: &Mach, thread: u32, trap: &mut Trap<'_>) -> Verdict {
    let fault = Fault {
        exception: ExceptionType::new(trap.raised.exception),
        codes: trap.raised.codes,
        thread_id: threads::id_of(trap.slot),
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
    // A state passes through here on its way between the context and a message: not on the stack, which is a small one.
    let mut scratch = mach.pool().take().ok_or(KernReturn::RESOURCE_SHORTAGE)?;
    let mut kernel = mach.lock_with_signals_blocked();
    let wanted = kernel.wanted(level, fault.exception)?;
    let message = kernel.write_request(thread, wanted, fault, context, &mut scratch)?;
    // The message has its own reference; this one lasts as long as the delivery (A2.10, A2.11).
    kernel.retain(wanted.port);
    let record = &mut kernel.state.threads[thread];
    record.answer.begin();
    record.context = context.as_raw() as usize;
    let spin = kernel.receiver_is_elsewhere(wanted.port);
    // A5.1: the queue limit does not count; only a full kernel refuses, and the message's end is then the answer.
    if let Err(QueueFull(message)) = kernel.enqueue(message) {
        kernel.destroy_message(message);
    }
    drop(kernel);
    let reply = answer::wait_for_reply(mach, thread, spin);
    let mut kernel = mach.lock_with_signals_blocked();
    kernel.state.threads[thread].context = 0;
    kernel.release_object(wanted.port);
    // A6.8: a right that was destroyed unused says MIG_SERVER_DIED.
    let mut reply = reply.ok_or(KernReturn::MIG_SERVER_DIED)?;
    let outcome = apply(&mut reply, wanted.routine, context, &mut scratch);
    kernel.destroy_message(reply);
    outcome
}

impl<'m> Locked<'m> {
    /// The action of a level, if it has a live port and a behavior that there is a message for (A2.2–A2.5).
    fn wanted(&self, level: Level, exception: ExceptionType) -> Result<Wanted, KernReturn> {
        let action = self
            .actions(level)
            .get(exception.raw())
            .ok_or(KernReturn::FAILURE)?;
        let port = match action.port() {
            Carried::Object(port) if self.object(port).alive => port,
            _ => return Err(KernReturn::FAILURE),
        };
        // Of the modifiers only the width of the codes counts here (A2.5).
        let behavior = Behavior::new(action.behavior);
        let kind = BehaviorKind::new((action.behavior as u32 & !MODIFIERS) as i32);
        let width = behavior.modifiers() & BehaviorModifiers::CODES;
        let routine =
            Routine::for_behavior(Behavior::of(kind, width)).ok_or(KernReturn::FAILURE)?;
        Ok(Wanted {
            port,
            routine,
            flavor: action.flavor,
        })
    }

    /// The request, as it will lie in the queue: object identifiers where the receiver finds names.
    fn write_request(
        &mut self,
        thread: u32,
        wanted: Wanted,
        fault: Fault,
        context: &Context,
        scratch: &mut Buffer<'m>,
    ) -> Result<Buffer<'m>, KernReturn> {
        let mut count = 0;
        if wanted.routine.has_state() {
            // A4.1: a state that cannot be fetched means that nothing is sent.
            let room = &mut scratch.words[..THREAD_STATE_MAX];
            state::get(context, wanted.flavor, room, &mut count)?;
        }
        let mut message = self.pool.take().ok_or(KernReturn::RESOURCE_SHORTAGE)?;
        let identity = self.carried_identity(thread, wanted.routine, fault.thread_id)?;
        let request = Raise {
            routine: wanted.routine,
            remote: HeaderPort::NONE,
            local: HeaderPort::NONE,
            voucher: HeaderPort::NONE,
            identity,
            disposition: Disposition::MOVE_SEND,
            exception: fault.exception,
            codes: &fault.codes,
            flavor: wanted.flavor,
            state: &scratch.words[..count as usize],
        };
        let size = match request.encode(message.bytes_mut()) {
            Ok(size) => size,
            Err(_) => {
                self.release_identity(identity);
                return Err(KernReturn::FAILURE);
            }
        };
        message.size = size as u32;
        message.from_kernel = true;
        self.retain(wanted.port);
        message.destination = wanted.port;
        let reply_port = self.state.threads[thread].reply_port;
        self.retain(reply_port);
        message.reply = Carried::Object(reply_port).to_word();
        message.reply_disposition = MACH_MSG_TYPE_PORT_SEND_ONCE as u8;
        Ok(message)
    }

    /// The rights that a routine's request carries, a reference each (A7.1, A7.10).
    fn carried_identity(
        &mut self,
        thread: u32,
        routine: Routine,
        thread_id: u64,
    ) -> Result<Identity, KernReturn> {
        let record = &self.state.threads[thread];
        let (control, task) = (record.port, record.task);
        Ok(match routine.identity() {
            IdentityKind::ThreadAndTask => {
                let task = self.task(task).port;
                self.retain(control);
                self.retain(task);
                Identity::ThreadAndTask {
                    thread: control,
                    task,
                }
            }
            IdentityKind::Token => Identity::Token {
                // The creator's reference is the message's.
                token: self
                    .create_object(Object::token(task))
                    .ok_or(KernReturn::RESOURCE_SHORTAGE)?,
                thread_id,
            },
            IdentityKind::None | IdentityKind::Kcdata => Identity::None,
        })
    }

    fn release_identity(&mut self, identity: Identity) {
        match identity {
            Identity::ThreadAndTask { thread, task } => {
                self.release_object(thread);
                self.release_object(task);
            }
            Identity::Token { token, .. } => self.release_object(token),
            Identity::None | Identity::Kcdata { .. } => {}
        }
    }
}

/// What the reply decides (A4.4, A6), its state written into the context.
fn apply(
    reply: &mut Buffer<'_>,
    routine: Routine,
    context: &mut Context,
    scratch: &mut Buffer<'_>,
) -> Result<(), KernReturn> {
    // As it would have arrived: the reply right's place says whether it carries one (A6.3).
    let carried = reply.reply;
    reply.set_word(8, carried);
    let limit = routine.reply_size(THREAD_STATE_MAX) + LARGEST_TRAILER;
    let size = reply.size as usize;
    let accepted =
        check_reply(routine, &reply.bytes()[..size], limit).map_err(|error| error.kern_return())?;
    let Some(flavor) = accepted.flavor else {
        return Ok(());
    };
    // At most `THREAD_STATE_MAX` words, which a buffer has room for.
    let words = accepted
        .new_state
        .copy_to(&mut scratch.words)
        .ok_or(KernReturn::MIG_TYPE_ERROR)?;
    // A4.4: the result of the set is the result of the delivery.
    state::set(context, flavor, words)
}

/// What the kernel's receive buffer has beyond the largest reply, in macOS 26 (A6.4).
const LARGEST_TRAILER: usize = 68;
