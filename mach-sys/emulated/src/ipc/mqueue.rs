//! Message queues of ports.

use super::id::PortId;
use super::kmsg::Right;
use super::member;
use super::pool::Buffer;
use super::state::Ipc;
use super::waitq::WaitOn;

/// Messages that a queue takes at all (C10.5).
const LARGEST_QUEUE: u32 = 65_534;

/// The queue did not take a message, which is the caller's again.
#[derive(Debug)]
pub(crate) struct QueueFull<'k>(pub(crate) Buffer<'k>);

/// Puts a message behind the others of a live port with a queue. Limits are the caller's to look at.
pub(crate) fn enqueue<'k>(
    ipc: &mut Ipc<'_, 'k>,
    port: PortId,
    message: Buffer<'k>,
) -> Result<(), QueueFull<'k>> {
    let Some(queue) = ipc.port_mut(port).queue_mut() else {
        return Err(QueueFull(message));
    };
    if queue.messages.count() >= LARGEST_QUEUE {
        return Err(QueueFull(message));
    }
    queue.messages.push(message);
    ipc.wake(WaitOn::Port(port));
    member::became_ready(ipc, port);
    Ok(())
}

/// Takes the first message of a port.
pub(super) fn dequeue<'k>(ipc: &mut Ipc<'_, 'k>, port: PortId) -> Option<Buffer<'k>> {
    let pool = ipc.pool;
    let queue = ipc.port_mut(port).queue_mut()?;
    let was_full = queue.is_full();
    let message = queue.messages.pop(pool)?;
    if let (Some(timer), Right::Send(_), true) =
        (&mut queue.timer, message.destination, message.from_kernel)
    {
        timer.queued = false;
    }
    let (empty, room) = (queue.messages.is_empty(), was_full && !queue.is_full());
    if empty {
        member::became_empty(ipc, port);
    }
    if room {
        // Senders that found it full may go on.
        ipc.wake(WaitOn::Port(port));
    }
    Some(message)
}

/// Returns whether a sender has to wait (C10.5).
pub(super) fn is_full(ipc: &Ipc<'_, '_>, port: PortId) -> bool {
    let port = ipc.port(port);
    port.alive && port.queue().is_some_and(|queue| queue.is_full())
}
