//! Counts rights by a walk over all names and queued messages, for comparison with what the ports say.

use super::*;
use crate::ipc::body::Rights as BodyRights;
use crate::ipc::entry::Rights;
use crate::ipc::kmsg::{Kmsg, Right};
use crate::ipc::port::{MessagePort, Receiver};
use crate::ipc::state::State;

/// Counts that a walk found for one port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Found {
    srights: u32,
    sorights: u32,
    receive_rights: u32,
}

/// Asserts that each live slot's counts are what a walk finds.
pub(super) fn assert_counts(world: &World, context: &str) {
    world.ipc(|ipc| {
        let mut found = std::collections::HashMap::<u32, Found>::new();
        let mut add = |right: Right| {
            let Some(port) = right.port() else {
                return;
            };
            let found = found.entry(right.to_word()).or_default();
            match right {
                Right::Send(_) => found.srights += 1,
                Right::SendOnce(_) => found.sorights += 1,
                Right::Receive(_) => found.receive_rights += 1,
                Right::Null | Right::Dead => unreachable!("{port:?}"),
            }
        };
        let state = &*ipc.state;
        for space in state.spaces() {
            for (_, entry) in space.range(1, u32::MAX) {
                let Some(port) = entry.port() else {
                    continue;
                };
                for (bit, right) in [
                    (Rights::SEND, Right::Send(port)),
                    (Rights::SEND_ONCE, Right::SendOnce(port)),
                    (Rights::RECEIVE, Right::Receive(port)),
                ] {
                    if entry.rights.has(bit) {
                        add(right);
                    }
                }
            }
        }
        assert!(state.doomed.is_empty(), "{context}");
        for port in state.ports.ids() {
            let Some(queue) = state.ports[port].queue() else {
                continue;
            };
            queue.messages.walk(ipc.pool, |message: &Kmsg| {
                add(message.destination);
                add(message.reply);
                let mut rights = BodyRights::of(message);
                while let Some(slot) = rights.next(message) {
                    add(message.body_right(slot));
                }
            });
            add(queue.no_senders);
            add(queue.port_destroyed);
        }
        for request in state.requests.ids() {
            add(state.requests[request].right());
        }
        assert_requests(state, context);
        for id in state.ports.ids() {
            let port = &state.ports[id];
            let found = found.remove(&Right::Send(id).to_word()).unwrap_or_default();
            assert_eq!(
                port.srights, found.srights,
                "{context}: send rights of {id:?}"
            );
            assert_eq!(
                port.sorights, found.sorights,
                "{context}: send-once rights of {id:?}"
            );
            // The kernel has the receive right of its own ports.
            let is_lost = |queue: &MessagePort| queue.receiver == Receiver::Transit(None);
            let received = port.alive && port.queue().is_some_and(|queue| !is_lost(queue));
            let received = u32::from(received);
            // A receive right that a refused destruction lost (C3.1).
            let lost = u32::from(port.alive && port.queue().is_some_and(is_lost));
            assert_eq!(
                found.receive_rights, received,
                "{context}: receive right of {id:?}"
            );
            let own = u32::from(port.alive && port.queue().is_none());
            let rights = found.srights + found.sorights + found.receive_rights + own + lost;
            assert_eq!(port.references, rights, "{context}: references of {id:?}");
        }
        assert!(
            found.is_empty(),
            "{context}: rights of freed ports: {found:?}"
        );
    });
}

/// Asserts that each request is in the list of its port, and that the names that refer to one are as many as those that are on a name.
fn assert_requests(state: &State, context: &str) {
    let mut listed = 0;
    let mut on_names = 0;
    for port in state.ports.ids() {
        let mut at = state.ports[port].requests;
        while let Some(request) = at {
            let request = &state.requests[request];
            assert_eq!(request.port(), port, "{context}");
            listed += 1;
            on_names += u32::from(request.is_on_a_name());
            at = request.next();
        }
    }
    assert_eq!(listed, state.requests.live(), "{context}: requests");
    let entries = state.spaces().flat_map(|space| space.range(1, u32::MAX));
    let referred = entries
        .filter(|(_, entry)| entry.request().is_some())
        .count();
    assert_eq!(
        on_names as usize, referred,
        "{context}: names with requests"
    );
}
