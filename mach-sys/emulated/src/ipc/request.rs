//! Requests that the kernel itself sends, and its wait for their replies.

use super::id::PortId;
use super::kmsg::Right;
use super::member::Receivers;
use super::monitor::{Held, Monitor};
use super::mqueue::{self, QueueFull};
use super::pool::{Buffer, Handed};
use super::port::PortKind;
use super::reply::{HELD, ReplyWait};
use super::right;
use super::state::Ipc;
use super::wait_word::Waited;
use super::waitq::WaitOn;
use crate::host::wait_was_interrupted;
use mach_wire::message::Disposition;

/// Creates a port on which the kernel waits for replies. `None` when the kernel is full.
pub(crate) fn create_reply_port(ipc: &mut Ipc<'_, '_>) -> Option<PortId> {
    ipc.create_port(PortKind::Reply(ReplyWait::default()))
}

/// Sends a request of the kernel's to a live port with a queue, with `reply_port`'s send-once right as the reply right. The queue
/// limit does not count (A5.1); when the kernel is full, the end of the message is the reply. The rights in `held` are released when the
/// wait for the reply ends. Returns where its receivers wait.
pub(crate) fn send<'k>(
    ipc: &mut Ipc<'_, 'k>,
    port: PortId,
    mut message: Buffer<'k>,
    reply_port: PortId,
    held: [Right; HELD],
) -> Receivers {
    message.from_kernel = true;
    message.destination = right::copy_send(ipc, port);
    message.reply = right::make_send_once(ipc, reply_port);
    message.reply_disposition = Disposition::PORT_SEND_ONCE;
    if let PortKind::Reply(reply) = &mut ipc.port_mut(reply_port).kind {
        reply.begin(held);
    }
    let receivers = Receivers::of(ipc, port);
    if let Err(QueueFull(message)) = mqueue::enqueue(ipc, port, message) {
        right::destroy_message(ipc, message);
    }
    receivers
}

/// Returns whether a request is out on a reply port, and its end has not come.
pub(crate) fn is_waiting(ipc: &Ipc<'_, '_>, reply_port: PortId) -> bool {
    match &ipc.port(reply_port).kind {
        PortKind::Reply(reply) => reply.is_waiting(),
        _ => false,
    }
}

/// End of a wait for a reply.
#[derive(Debug)]
pub(crate) enum Ended<'k> {
    Reply(Buffer<'k>),
    /// The send-once right was destroyed unused (A6.8).
    Died,
    /// The waiting thread was aborted or terminated (A8.1).
    Interrupted,
}

impl<'k> Ended<'k> {
    /// Returns what the place of a reply port tells; `None` if nothing yet.
    fn of(handed: Handed<'k>) -> Option<Self> {
        match handed {
            Handed::Nothing => None,
            Handed::Message(reply) => Some(Self::Reply(reply)),
            Handed::Ended => Some(Self::Died),
        }
    }
}

/// Waits for the end of the send-once right of the request that was sent last, or until the waiting thread [is interrupted](interrupt).
/// A reply that is there already counts (A8.1). Gives the kernel's lock back; a reply that comes is taken without it.
///
/// The calling thread has all signals but the five synchronous ones blocked.
pub(crate) fn wait_for_reply<'k, T>(
    kernel: &'k Monitor<T>,
    mut held: Held<'k, T>,
    reply_port: PortId,
    receivers: Receivers,
    is_interrupted: impl Fn(&T) -> bool,
) -> Ended<'k> {
    let object = WaitOn::Port(reply_port);
    let waiting = kernel.waiting(object);
    // Only the first wait spins.
    let mut receivers = Some(receivers);
    loop {
        let (ipc, above) = held.parts();
        if let Some(ended) = Ended::of(waiting.hand_off.take(ipc.pool)) {
            return ended;
        }
        if is_interrupted(above) || !is_waiting(&ipc, reply_port) {
            return Ended::Interrupted;
        }
        let sequence = waiting.word.sequence();
        drop(held);
        let spin = receivers.take().is_some_and(|at| at.are_elsewhere(kernel));
        // Interrupted waits are waits: no signal but the five can arrive here (G2.3).
        if matches!(
            kernel.wait(object, sequence, None, spin),
            Waited::Interrupted
        ) {
            wait_was_interrupted();
        }
        if let Some(ended) = Ended::of(waiting.hand_off.take(kernel.pool())) {
            return ended;
        }
        held = kernel.lock_with_signals_blocked();
    }
}

/// Makes the thread look that waits for a reply on a port: it is interrupted.
pub(crate) fn interrupt(ipc: &mut Ipc<'_, '_>, reply_port: PortId) {
    ipc.wake(WaitOn::Port(reply_port));
}

/// Completes a reply as its receiver would have found it, with the reply right's word where a name would stand (A6.3).
pub(crate) fn reply_as_received(reply: &mut Buffer<'_>) {
    let mut header = reply.header();
    header.msgh_remote_port = reply.reply.to_word();
    reply.set_header(&header);
}

/// Returns the port of a right that can carry the kernel's requests: a send right of a live port with a queue (A2.3).
pub(crate) fn target(ipc: &Ipc<'_, '_>, right: Right) -> Option<PortId> {
    let port = right.port()?;
    let port_is = ipc.port(port);
    (port_is.alive && port_is.queue().is_some()).then_some(port)
}
