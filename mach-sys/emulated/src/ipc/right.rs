//! Rights in the kernel's hands: making and copying them, and destroying them with all that dies with them.

use super::id::PortId;
use super::kmsg::Right;
use super::kobject::{Kobject, KobjectType};
use super::member;
use super::notify;
use super::pool::Buffer;
use super::port::PortKind;
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

/// Destroys what is queued for destruction, and what that brings with it, breadth first (C1.7).
fn destroy_doomed(ipc: &mut Ipc<'_, '_>) {
    while let Some(mut message) = ipc.state.doomed.pop(ipc.pool) {
        let destination = message.destination.take();
        discard(ipc, destination);
        let reply = message.reply.take();
        discard(ipc, reply);
        for index in 0..message.descriptors() {
            discard(ipc, message.body_right(index));
        }
    }
}

/// Destroys a right; messages that die with it are left on the list of doomed ones.
fn discard(ipc: &mut Ipc<'_, '_>, right: Right) {
    match right {
        Right::Null | Right::Dead => {}
        Right::Send(port) => discard_send(ipc, port),
        Right::SendOnce(port) => discard_send_once(ipc, port),
        Right::Receive(port) => die(ipc, port),
    }
}

fn discard_send(ipc: &mut Ipc<'_, '_>, port: PortId) {
    let object = ipc.port_mut(port);
    object.srights -= 1;
    let token = |kobject: Kobject| kobject.kind == KobjectType::TaskToken;
    if object.srights == 0 && object.kobject().is_some_and(token) {
        // A token lives as long as it has senders (A7.10).
        die(ipc, port);
    }
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
                if reply.die() {
                    ipc.wake(WaitOn::Port(port));
                }
            }
            PortKind::Kobject(_) => {}
        }
    }
    use_up_send_once(ipc, port);
}

/// Ends a send-once right that a message used.
pub(super) fn use_up_send_once(ipc: &mut Ipc<'_, '_>, port: PortId) {
    ipc.port_mut(port).sorights -= 1;
    ipc.release_port(port);
}

/// Kills a port: it leaves its sets, threads that wait on it look again, its queue is doomed. Names of it are found dead when
/// they are looked at (C1.1).
fn die(ipc: &mut Ipc<'_, '_>, port: PortId) {
    let pool = ipc.pool;
    ipc.port_mut(port).alive = false;
    member::leave_others(ipc, port, None);
    ipc.wake(WaitOn::Port(port));
    let mut messages = ipc.port_mut(port).take_messages();
    ipc.state.doomed.append(&mut messages, pool);
    ipc.release_port(port);
}
