//! Counts rights by a walk over all names and queued messages, for comparison with what the ports say.

use super::*;
use crate::ipc::entry::Rights;
use crate::ipc::kmsg::{Kmsg, Right};

/// What a walk found for one port.
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
                for index in 0..message.descriptors() {
                    add(message.body_right(index));
                }
            });
        }
        for id in state.ports.ids() {
            let port = &state.ports[id];
            let found = found.remove(&Right::Send(id).to_word()).unwrap_or_default();
            assert_eq!(port.srights, found.srights, "{context}: send rights of {id:?}");
            assert_eq!(port.sorights, found.sorights, "{context}: send-once rights of {id:?}");
            // The kernel has the receive right of its own ports.
            let received = u32::from(port.alive && port.queue().is_some());
            assert_eq!(found.receive_rights, received, "{context}: receive right of {id:?}");
            let own = u32::from(port.alive && port.queue().is_none());
            let rights = found.srights + found.sorights + found.receive_rights + own;
            assert_eq!(port.references, rights, "{context}: references of {id:?}");
        }
        assert!(found.is_empty(), "{context}: rights of freed ports: {found:?}");
    });
}
