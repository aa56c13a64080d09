//! The model's messages (C10, C11).

use super::ports::{Entry, Id, Letter, Model, NO_SENDERS, Right, fail};
use crate::support::{Answer, DEAD, Message, NULL, Port};
use mach_sys::kern_return::KernReturn;
use mach_sys::message::{
    MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE,
    MACH_MSG_TYPE_MOVE_RECEIVE, MACH_MSG_TYPE_MOVE_SEND, MACH_MSG_TYPE_MOVE_SEND_ONCE,
    MACH_MSGH_BITS_COMPLEX,
};

impl Model {
    /// Returns whether a name has a right that a disposition takes, and its port is alive.
    pub(super) fn has(&self, name: Port, disposition: u32) -> bool {
        let (port, has) = match self.names.get(&name) {
            Some(Entry::Port {
                port,
                receive,
                sends,
            }) => {
                let making = [MACH_MSG_TYPE_MAKE_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE];
                let sending = [MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MOVE_SEND];
                let has = *receive && making.contains(&disposition)
                    || *sends > 0 && sending.contains(&disposition);
                (*port, has)
            }
            Some(Entry::Once { port }) => (*port, disposition == MACH_MSG_TYPE_MOVE_SEND_ONCE),
            _ => return false,
        };
        has && !self.ports[port].dead
    }

    /// Returns whether a receive right is on its way, over any number of steps, to a port (C7.6).
    fn travels_to(&self, mut from: Id, to: Id) -> bool {
        loop {
            if from == to {
                return true;
            }
            match self.ports[from].carried_to {
                Some(next) => from = next,
                None => return false,
            }
        }
    }

    /// Sends without waiting (C10). What comes back after `MACH_SEND_TIMED_OUT` is given to [`came_back`](Self::came_back).
    pub(super) fn send(
        &mut self,
        id: u32,
        to: (Port, u32),
        reply: (Port, u32),
        body: &[(Port, u32)],
    ) -> Answer<Result<(), Letter>> {
        let late = matches!(self.names.get(&to.0), Some(Entry::Once { port }) if self.ports[*port].dead)
            && to.1 == MACH_MSG_TYPE_MOVE_SEND_ONCE;
        if !late && !self.has(to.0, to.1) {
            // MAKE dispositions do not convert (C1.1).
            if to.1 != MACH_MSG_TYPE_MAKE_SEND && to.1 != MACH_MSG_TYPE_MAKE_SEND_ONCE {
                let _ = self.checked(to.0);
            }
            return fail(KernReturn::SEND_INVALID_DEST);
        }
        if reply.1 != 0 && !self.has(reply.0, reply.1) {
            return fail(KernReturn::SEND_INVALID_REPLY);
        }
        let destination = if late {
            // C10.2's exception: it goes nowhere, with all that it carries.
            self.names.remove(&to.0);
            Right::Dead
        } else {
            self.copy_in(to.0, to.1)?
        };
        let reply = match reply.1 {
            0 => Right::Null,
            disposition => self.copy_in(reply.0, disposition)?,
        };
        let mut letter = Letter {
            id,
            destination,
            reply,
            body: Vec::new(),
            count: 0,
        };
        let mut circle = false;
        for (name, disposition) in body {
            let right = match *name {
                NULL => Ok(Right::Null),
                DEAD => Ok(Right::Dead),
                name => self.copy_in(name, *disposition),
            };
            let Ok(right) = right else {
                // C10.4.
                self.destroy_letters([letter]);
                return fail(KernReturn::SEND_INVALID_RIGHT);
            };
            if let (Right::Receive(moved), Right::Send(to) | Right::Once(to)) = (right, destination)
            {
                match self.travels_to(to, moved) {
                    true => circle = true,
                    false => self.ports[moved].carried_to = Some(to),
                }
            }
            letter.body.push(right);
        }
        let (Right::Send(to) | Right::Once(to)) = destination else {
            self.destroy_letters([letter]);
            return Ok(Ok(()));
        };
        if circle {
            self.destroy_letters([letter]);
            return Ok(Ok(()));
        }
        let port = &mut self.ports[to];
        if matches!(destination, Right::Send(_)) && port.queue.len() >= port.limit {
            return Ok(Err(letter));
        }
        port.queue.push_back(letter);
        Ok(Ok(()))
    }

    /// C10.7: the message that did not go is the sender's again.
    pub(super) fn came_back(&mut self, letter: Letter, to: Port, reply: Port, body: &[Port]) {
        self.copy_out(letter.destination, to);
        self.copy_out(letter.reply, reply);
        assert_eq!(body.len(), letter.body.len());
        for (right, name) in letter.body.into_iter().zip(body) {
            self.copy_out(right, *name);
        }
    }

    /// Returns what a receive on a name is to return: whether there is a message (C11.1, C11.2).
    pub(super) fn receivable(&self, name: Port) -> Answer<()> {
        let full = |name| match self.names.get(name) {
            Some(Entry::Port {
                port,
                receive: true,
                ..
            }) => !self.ports[*port].queue.is_empty(),
            _ => false,
        };
        let there = match self.names.get(&name) {
            Some(Entry::Port { receive: true, .. }) => full(&name),
            Some(Entry::Set) => self.members(name)?.iter().any(full),
            _ => return fail(KernReturn::RCV_INVALID_NAME),
        };
        if there {
            Ok(())
        } else {
            fail(KernReturn::RCV_TIMED_OUT)
        }
    }

    /// A message of the port named `at` came: in order (C9.4), with these rights (C11.6, C11.7).
    pub(super) fn received(&mut self, from: Port, message: &Message) {
        let at = message.local();
        if from != at {
            assert!(
                self.members(from).expect("a set").contains(&at),
                "{at:#x} is no member"
            );
        }
        let port = self.receiver(at).expect("a receive right");
        let state = &mut self.ports[port];
        let letter = state
            .queue
            .pop_front()
            .expect("a message that was not sent");
        state.sequence += 1;
        assert_eq!(message.id(), letter.id, "the first in is the first out");
        if letter.id == NO_SENDERS {
            assert_eq!(message.words[8], letter.count, "C8.2");
        }
        self.copy_out(letter.reply, message.remote());
        match letter.destination {
            Right::Once(port) => self.ports[port].once -= 1,
            right => self.release(right),
        }
        let complex = message.bits() & MACH_MSGH_BITS_COMPLEX != 0;
        let rights = if complex {
            message.words[6] as usize
        } else {
            0
        };
        assert_eq!(rights, letter.body.len());
        for (at, right) in letter.body.into_iter().enumerate() {
            let (name, disposition) = message.descriptor(at);
            match right {
                Right::Send(_) => assert_eq!(disposition, MACH_MSG_TYPE_MOVE_SEND),
                Right::Once(_) => assert_eq!(disposition, MACH_MSG_TYPE_MOVE_SEND_ONCE),
                Right::Receive(_) => assert_eq!(disposition, MACH_MSG_TYPE_MOVE_RECEIVE),
                Right::Dead | Right::Null => {}
            }
            self.copy_out(right, name);
        }
    }
}
