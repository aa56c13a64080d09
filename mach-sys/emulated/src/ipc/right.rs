//! Rights in the kernel's hands: making and copying them, and destroying them with all that dies with them.

use super::arrive::use_up_send_once;
use super::body::Rights;
use super::id::PortId;
use super::kmsg::Right;
use super::kobject::Kobject;
use super::member;
use super::notify;
use super::pool::{Buffer, Handed};
use super::port::{PortKind, Protection, Receiver};
use super::requested;
use super::state::Ipc;
use super::waitq::WaitOn;

/// Makes a send right, as the receiver does: the make-send count rises (C7).
pub(crate) fn make_send(ipc: &mut Ipc<'_, '_>, port: PortId) -> Right {
    let made = ipc.port_mut(port);
    made.mscount = made.mscount.wrapping_add(1);
    copy_send(ipc, port)
}

/// Copies a send right (C7).
pub(crate) fn copy_send(ipc: &mut Ipc<'_, '_>, port: PortId) -> Right {
    ipc.port_mut(port).srights += 1;
    ipc.retain_port(port);
    Right::Send(port)
}

/// Makes a send-once right (C7).
pub(crate) fn make_send_once(ipc: &mut Ipc<'_, '_>, port: PortId) -> Right {
    ipc.port_mut(port).sorights += 1;
    ipc.retain_port(port);
    Right::SendOnce(port)
}

/// Destroys a right, and what dies with it (C1.6).
pub(crate) fn release(ipc: &mut Ipc<'_, '_>, right: Right) {
    discard(ipc, right);
    destroy_doomed(ipc);
}

/// Destroys a message: its rights are released in the order of C1.7.
pub(crate) fn destroy_message<'k>(ipc: &mut Ipc<'_, 'k>, message: Buffer<'k>) {
    ipc.state.doomed.push(message);
    destroy_doomed(ipc);
}

/// Destroys what is queued for destruction, and what that brings with it, breadth first (C1.7). Does nothing while that is under way.
fn destroy_doomed(ipc: &mut Ipc<'_, '_>) {
    if core::mem::replace(&mut ipc.state.reaping, true) {
        return;
    }
    while let Some(mut message) = ipc.state.doomed.pop(ipc.pool) {
        let destination = message.destination.take();
        discard(ipc, destination);
        let reply = message.reply.take();
        discard(ipc, reply);
        let mut rights = Rights::of(&message);
        while let Some(slot) = rights.next(&message) {
            discard(ipc, message.body_right(slot));
        }
    }
    ipc.state.reaping = false;
}

/// Destroys a right; messages that die with it are left on the list of doomed ones.
fn discard(ipc: &mut Ipc<'_, '_>, right: Right) {
    match right {
        Right::Null | Right::Dead => {}
        Right::Send(port) => {
            let told = drop_send(ipc, port);
            told.tell(ipc);
        }
        Right::SendOnce(port) => discard_send_once(ipc, port),
        Right::Receive(port) => die(ipc, port),
    }
}

/// A no-senders notification to send: its send-once right, and the port's make-send count.
#[must_use]
pub(super) struct NoSenders {
    right: Right,
    made: u32,
}

impl NoSenders {
    /// Sends the notification, if one was requested.
    pub(super) fn tell(self, ipc: &mut Ipc<'_, '_>) {
        notify::no_senders(ipc, self.right, self.made);
    }
}

/// Ends a send right. The caller tells that it was the last one (C8.2).
pub(super) fn drop_send(ipc: &mut Ipc<'_, '_>, port: PortId) -> NoSenders {
    let object = ipc.port_mut(port);
    object.srights -= 1;
    let mut told = NoSenders {
        right: Right::Null,
        made: object.mscount,
    };
    if object.srights == 0 && object.alive {
        if let Some(queue) = object.queue_mut() {
            told.right = queue.no_senders.take();
        }
        let ends = |kobject: Kobject| kobject.kind.dies_without_senders();
        if object.kobject().is_some_and(ends) {
            die(ipc, port);
        }
    }
    ipc.release_port(port);
    told
}

/// Ends a send right without telling of missing senders: of a port that is about to die, or that has lost its name.
pub(super) fn drop_send_silently(ipc: &mut Ipc<'_, '_>, port: PortId) {
    ipc.port_mut(port).srights -= 1;
    ipc.release_port(port);
}

/// Destroys a send-once right unused: its port is notified (C8.8), and a request that waited for a reply through it is over
/// (A6.8).
fn discard_send_once(ipc: &mut Ipc<'_, '_>, port: PortId) {
    let dying = ipc.port_mut(port);
    if dying.alive {
        match &mut dying.kind {
            PortKind::Queue(_) => {
                if notify::send_once(ipc, port).is_ok() {
                    // The notification goes through the right itself.
                    return;
                }
            }
            PortKind::Reply(reply) => {
                if reply.end() {
                    let held = reply.take_held();
                    held.into_iter().for_each(|right| discard(ipc, right));
                    ipc.hand_off(port).end();
                    ipc.wake(WaitOn::Port(port));
                }
            }
            PortKind::Kobject(_) | PortKind::Semaphore(_) => {}
        }
    }
    use_up_send_once(ipc, port);
}

/// Destroys the receive right of a port, which is under no name any more. The port dies (C1.6): it leaves its sets, threads that wait on
/// it look again, its queue is destroyed, and the requested notifications are sent. Names of it are found dead when they are looked at
/// (C1.1). With a port-destroyed request the receive right goes there instead (C8.5).
fn die(ipc: &mut Ipc<'_, '_>, port: PortId) {
    let pool = ipc.pool;
    member::leave_others(ipc, port, None);
    ipc.wake(WaitOn::Port(port));
    if is_sent_away(ipc, port) {
        return;
    }
    ipc.port_mut(port).alive = false;
    end_timer(ipc, port);
    if let PortKind::Reply(_) = ipc.port(port).kind {
        end_request(ipc, port);
    }
    let mut messages = ipc.port_mut(port).take_messages();
    ipc.state.doomed.append(&mut messages, pool);
    // At once, but where the port dies in a message that is being destroyed.
    destroy_doomed(ipc);
    if let Some(queue) = ipc.port_mut(port).queue_mut() {
        let no_senders = queue.no_senders.take();
        discard(ipc, no_senders);
    }
    requested::port_died(ipc, port);
    ipc.release_port(port);
}

/// Releases what the kernel held until the reply came on a port (A2.10). Does nothing for a port that still waits, and for one of another
/// kind.
pub(crate) fn release_held(ipc: &mut Ipc<'_, '_>, port: PortId) {
    if let PortKind::Reply(reply) = &mut ipc.port_mut(port).kind {
        if reply.is_waiting() {
            return;
        }
        for held in reply.take_held() {
            release(ipc, held);
        }
    }
}

/// Ends the wait for a reply on a port that dies: a thread that waited there is gone, or no longer wants the reply.
fn end_request(ipc: &mut Ipc<'_, '_>, port: PortId) {
    if let PortKind::Reply(reply) = &mut ipc.port_mut(port).kind {
        let _ = reply.end();
    }
    release_held(ipc, port);
    if let Handed::Message(reply) = ipc.hand_off(port).take(ipc.pool) {
        ipc.state.doomed.push(reply);
    }
}

/// Ends what the kernel keeps for a timer whose port dies: its alarm and its send right.
fn end_timer(ipc: &mut Ipc<'_, '_>, port: PortId) {
    let queue = ipc.port_mut(port).queue_mut();
    let Some(timer) = queue.and_then(|queue| queue.timer.take()) else {
        return;
    };
    if let Some(armed) = timer.armed {
        ipc.state.alarms.take(armed);
    }
    drop_send_silently(ipc, port);
}

/// Returns whether a port whose receive right is destroyed lives on, on its way to where a port-destroyed request wants it (C8.5).
pub(super) fn lives_on(ipc: &Ipc<'_, '_>, port: PortId) -> bool {
    let queue = ipc.port(port).queue();
    let to = queue.and_then(|queue| queue.port_destroyed.port());
    to.is_some_and(|to| ipc.port(to).alive || !ipc.rules.port_destroyed_needs_a_live_port())
}

/// Sends the receive right of a dying port to where a port-destroyed request wants it, reset as by a move (C7.1a).
fn is_sent_away(ipc: &mut Ipc<'_, '_>, port: PortId) -> bool {
    let lives_on = lives_on(ipc, port);
    let queue = ipc.port_mut(port).queue_mut();
    let to = queue.map_or(Right::Null, |queue| queue.port_destroyed.take());
    if to == Right::Null {
        return false;
    }
    if lives_on {
        reset_receive_right(ipc, port);
        if notify::port_destroyed(ipc, to, port).is_ok() {
            return true;
        }
    }
    discard(ipc, to);
    false
}

/// Makes a receive right that leaves its name one in transit: its make-send count, sequence number, context and protection are reset
/// (C7.1a).
pub(super) fn reset_receive_right(ipc: &mut Ipc<'_, '_>, port: PortId) {
    let moved = ipc.port_mut(port);
    moved.mscount = 0;
    if let Some(queue) = moved.queue_mut() {
        queue.receiver = Receiver::Transit(None);
        queue.sequence = 0;
        queue.context = 0;
        queue.protection = Protection::default();
    }
}
