//! Receive rights that die in messages, with messages of their own (C1.7). A nest of them is built and destroyed, and the notifications that
//! this sends, each with a number, come in the model's order.

use super::ports::Model;
use super::steps::{allocate, receive, request, send_these};
use crate::support::{NULL, Port, answered, destroy, destroy_port, insert};
use mach_sys::kernel::{self, system::task_self};
use mach_sys::message::{
    MACH_MSG_TYPE_MAKE_SEND, MACH_MSG_TYPE_MOVE_RECEIVE, MACH_MSG_TYPE_MOVE_SEND,
};
use mach_sys::port::MACH_PORT_RIGHT_RECEIVE;
use test_support::random::Random;

/// Send rights in a nest at the most.
const MOST: usize = 10;

struct Nest<'a> {
    model: &'a mut Model,
    random: &'a mut Random,
    id: u32,
    /// The port that is told.
    told: Port,
    /// The ports whose last send rights are in the nest.
    watched: Vec<Port>,
}

/// Builds a nest and destroys it.
pub(super) fn nest(model: &mut Model, random: &mut Random, id: u32) {
    let told = allocate(model, MACH_PORT_RIGHT_RECEIVE);
    let mut nest = Nest {
        model,
        random,
        id,
        told,
        watched: Vec::new(),
    };
    let outer = nest.build(3);
    let Nest { model, watched, .. } = nest;
    destroy_port(outer);
    assert_eq!(model.mod_refs(outer, MACH_PORT_RIGHT_RECEIVE, -1), Ok(()));
    for _ in &watched {
        receive(model, told);
    }
    for name in watched.into_iter().chain([told]) {
        assert_eq!(destroy(name), model.destroy(name));
    }
}

impl Nest<'_> {
    /// Returns a port with messages, each with some send rights and receive rights.
    fn build(&mut self, depth: usize) -> Port {
        let port = allocate(self.model, MACH_PORT_RIGHT_RECEIVE);
        for _ in 0..1 + self.random.below(3) {
            let body: Vec<_> = (0..1 + self.random.below(2))
                .filter_map(|_| match self.random.below(2) {
                    0 if depth > 0 => Some((self.build(depth - 1), MACH_MSG_TYPE_MOVE_RECEIVE)),
                    _ => self.watch().map(|name| (name, MACH_MSG_TYPE_MOVE_SEND)),
                })
                .collect();
            let to = (port, MACH_MSG_TYPE_MAKE_SEND);
            send_these(self.model, self.id, to, (NULL, 0), &body);
        }
        port
    }

    /// Returns a port with one send right, whose end is told with a number.
    fn watch(&mut self) -> Option<Port> {
        if self.watched.len() == MOST {
            return None;
        }
        let name = allocate(self.model, MACH_PORT_RIGHT_RECEIVE);
        let made = insert(name, name, MACH_MSG_TYPE_MAKE_SEND);
        assert_eq!(made, self.model.insert(name, MACH_MSG_TYPE_MAKE_SEND));
        let number = 100 + self.watched.len() as u32;
        // SAFETY: no pointers.
        let set = answered(unsafe { kernel::mach_port_set_mscount(task_self(), name, number) });
        assert_eq!(set, self.model.set_makes(name, number));
        request(self.model, name, self.told, 0);
        self.watched.push(name);
        Some(name)
    }
}
