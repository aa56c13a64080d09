//! Receive rights on their way in a message (C7.6).

use super::body::Rights;
use super::id::PortId;
use super::kmsg::{Kmsg, Right};
use super::port::Receiver;
use super::state::Ipc;

/// Notes the destination of a message's receive rights, and returns whether one of them would wait in a queue that only its own receiver
/// could empty: its port is the destination, or the destination is itself on its way to it, over any number of steps.
pub(super) fn closes_a_circle(ipc: &mut Ipc<'_, '_>, message: &Kmsg) -> bool {
    let Some(destination) = message.destination.port() else {
        return false;
    };
    let mut rights = Rights::of(message);
    while let Some(slot) = rights.next(message) {
        let Right::Receive(port) = message.body_right(slot) else {
            continue;
        };
        if is_on_its_way_to(ipc, destination, port) {
            return true;
        }
        if let Some(queue) = ipc.port_mut(port).queue_mut() {
            queue.receiver = Receiver::Transit(Some(destination));
        }
    }
    false
}

/// Returns whether `port` is `target`, or in transit to it. Ports in transit form no circle, so that the walk ends.
fn is_on_its_way_to(ipc: &Ipc<'_, '_>, port: PortId, target: PortId) -> bool {
    let mut at = Some(port);
    while let Some(on_the_way) = at {
        if on_the_way == target {
            return true;
        }
        at = match ipc.port(on_the_way).queue().map(|queue| queue.receiver) {
            Some(Receiver::Transit(next)) => next,
            _ => None,
        };
    }
    false
}
