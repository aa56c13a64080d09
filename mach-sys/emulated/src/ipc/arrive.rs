//! A message's arrival at the port that it is sent to.

use super::id::PortId;
use super::kmsg::Right;
use super::mqueue;
use super::peer;
use super::pool::Buffer;
use super::port::PortKind;
use super::state::Ipc;
use super::waitq::WaitOn;

/// Hands a message to the live port that it is sent to. It comes back where the port is dead, does not take it, or is not waiting for it.
pub(super) fn arrive<'k>(ipc: &mut Ipc<'_, 'k>, message: Buffer<'k>) -> Result<(), Buffer<'k>> {
    let target = message.destination.port();
    let Some(port) = target.filter(|port| ipc.port(*port).alive) else {
        return Err(message);
    };
    match ipc.port(port).kind {
        PortKind::Queue(_) => mqueue::enqueue(ipc, port, message).map_err(|full| full.0),
        PortKind::Reply(_) => as_reply(ipc, message, port),
        PortKind::Kobject(_) | PortKind::Semaphore(_) => Err(message),
    }
}

/// Hands a message to a port on which the kernel waits for a reply.
fn as_reply<'k>(
    ipc: &mut Ipc<'_, 'k>,
    mut message: Buffer<'k>,
    port: PortId,
) -> Result<(), Buffer<'k>> {
    let PortKind::Reply(reply) = &mut ipc.port_mut(port).kind else {
        return Err(message);
    };
    // Only the first reply counts (A6.7): another comes back.
    if !reply.end() {
        return Err(message);
    }
    // The right is used up by this message: its end is no news to the thread that waits.
    let used = message.destination.take();
    debug_assert_eq!(used, Right::SendOnce(port));
    use_up_send_once(ipc, port);
    let object = WaitOn::Port(port);
    ipc.hand_off(port).give(message);
    // The thread that waits goes on. What else is in its line of the cache is read after that.
    peer::note_reply(ipc.wait_word(object).waiter_is_elsewhere());
    ipc.wake(object);
    Ok(())
}

/// Ends a send-once right that a message used.
pub(super) fn use_up_send_once(ipc: &mut Ipc<'_, '_>, port: PortId) {
    ipc.port_mut(port).sorights -= 1;
    ipc.release_port(port);
}
