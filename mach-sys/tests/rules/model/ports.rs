//! A simple model of the names, rights and messages of one name space, written from the rules and not from the emulation.
//!
//! It does not predict names: where the kernel chooses one, the model takes what came, and asserts that it is new.

use crate::support::{Answer, DEAD, NULL, Port};
use mach_sys::kern_return::KernReturn;
use mach_sys::message::{
    MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE,
    MACH_MSG_TYPE_MOVE_RECEIVE, MACH_MSG_TYPE_MOVE_SEND, MACH_MSG_TYPE_MOVE_SEND_ONCE,
};
use mach_sys::port::{MACH_PORT_RIGHT_PORT_SET, MACH_PORT_RIGHT_RECEIVE};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The largest count of user references, which sticks (C3.2).
pub(super) const PEGGED: u32 = 65_535;
pub(super) const NO_SENDERS: u32 = 70;
const SEND_ONCE: u32 = 71;

/// The number of a port, which no other port gets.
pub(super) type Id = usize;

/// The rights under a name (C0.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Port { port: Id, receive: bool, sends: u32 },
    Once { port: Id },
    Set,
    Dead { references: u32 },
}

/// A right outside the name space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    Send(Id),
    Once(Id),
    Receive(Id),
    Dead,
    Null,
}

/// The notify port of a no-senders request that is due, and the make-send count to tell it.
type Told = (Id, u32);

/// A message: where it goes, and what it carries.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) id: u32,
    pub(super) destination: Right,
    pub(super) reply: Right,
    pub(super) body: Vec<Right>,
    /// The make-send count that a no-senders notification carries (C8.2).
    pub(super) count: u32,
}

#[derive(Debug, Default)]
pub(super) struct PortState {
    pub(super) dead: bool,
    /// The port to which the receive right travels.
    pub(super) carried_to: Option<Id>,
    pub(super) limit: usize,
    pub(super) queue: VecDeque<Letter>,
    pub(super) makes: u32,
    pub(super) sequence: u32,
    /// Send rights: one for the name that has some, and one for each in a message (A7.9).
    pub(super) sends: u32,
    pub(super) once: u32,
    pub(super) context: u64,
    pub(super) sets: BTreeSet<Port>,
    /// The send-once right that a no-senders request has.
    pub(super) no_senders: Option<Id>,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) names: BTreeMap<Port, Entry>,
    pub(super) ports: Vec<PortState>,
    /// Messages to destroy, while one is being destroyed (C1.7).
    doomed: VecDeque<Letter>,
    destroying: bool,
}

pub(super) fn fail<T>(error: KernReturn) -> Answer<T> {
    Err(error)
}

/// A count of user references after a change; `None` if it has too few (C4.2).
pub(super) fn changed(count: u32, delta: i32) -> Option<u32> {
    if count == PEGGED {
        return Some(if delta == -(PEGGED as i32) { 0 } else { PEGGED });
    }
    let sum = i64::from(count) + i64::from(delta);
    (sum >= 0).then(|| sum.min(i64::from(PEGGED)) as u32)
}

impl Model {
    /// Returns what a name stands for after the conversion of a dead port's rights (C1.1).
    pub(super) fn checked(&mut self, name: Port) -> Answer<Entry> {
        let entry = *self.names.get(&name).ok_or(KernReturn::INVALID_NAME)?;
        let references = match entry {
            Entry::Port { port, sends, .. } if self.ports[port].dead => sends,
            Entry::Once { port } if self.ports[port].dead => 1,
            _ => return Ok(entry),
        };
        let dead = Entry::Dead { references };
        self.names.insert(name, dead);
        Ok(dead)
    }

    /// Returns the port of a receive right and the send rights under its name, for the calls that tell a dead name apart.
    pub(super) fn with_receive(&self, name: Port) -> Answer<(Id, u32)> {
        match self.names.get(&name) {
            None => fail(KernReturn::INVALID_NAME),
            Some(Entry::Port {
                port,
                receive: true,
                sends,
            }) => Ok((*port, *sends)),
            Some(_) => fail(KernReturn::INVALID_RIGHT),
        }
    }

    /// Returns the port of a receive right, for the calls that take one by name (C7.5).
    pub(super) fn receiver(&self, name: Port) -> Answer<Id> {
        match self.names.get(&name) {
            None | Some(Entry::Dead { .. }) => fail(KernReturn::INVALID_NAME),
            Some(Entry::Once { port } | Entry::Port { port, .. }) if self.ports[*port].dead => {
                fail(KernReturn::INVALID_NAME)
            }
            Some(Entry::Port {
                port,
                receive: true,
                ..
            }) => Ok(*port),
            Some(_) => fail(KernReturn::INVALID_RIGHT),
        }
    }

    /// Asserts that a name is none yet, and gives it to an entry.
    pub(super) fn name(&mut self, name: Port, entry: Entry) {
        assert!(
            name != NULL && name != DEAD && name & 3 == 3,
            "C0.2: {name:#x}"
        );
        let before = self.names.insert(name, entry);
        assert_eq!(before, None, "{name:#x} is in use");
    }

    /// The kernel made a port, a set or a dead name (C2.1).
    pub(super) fn allocated(&mut self, right: u32, name: Port) {
        let entry = match right {
            MACH_PORT_RIGHT_RECEIVE => {
                self.ports.push(PortState {
                    limit: 5,
                    ..PortState::default()
                });
                Entry::Port {
                    port: self.ports.len() - 1,
                    receive: true,
                    sends: 0,
                }
            }
            MACH_PORT_RIGHT_PORT_SET => Entry::Set,
            _ => Entry::Dead { references: 1 },
        };
        self.name(name, entry);
    }

    // The ends of rights.

    pub(super) fn post(&mut self, port: Id, id: u32, count: u32) {
        let (destination, reply) = (Right::Once(port), Right::Null);
        let letter = Letter {
            id,
            destination,
            reply,
            body: Vec::new(),
            count,
        };
        match self.ports[port].dead {
            true => self.ports[port].once -= 1,
            false => self.ports[port].queue.push_back(letter),
        }
    }

    /// Takes the no-senders request if no send right is left.
    pub(super) fn lost_send(&mut self, port: Id) -> Option<Told> {
        let state = &mut self.ports[port];
        state.sends -= 1;
        if state.sends > 0 || state.dead {
            return None;
        }
        state.no_senders.take().map(|told| (told, state.makes))
    }

    pub(super) fn release(&mut self, right: Right) {
        match right {
            Right::Send(port) => {
                let told = self.lost_send(port);
                self.notify(told);
            }
            Right::Once(port) => self.post(port, SEND_ONCE, 0),
            Right::Receive(port) => self.die(port),
            Right::Dead | Right::Null => {}
        }
    }

    /// Destroys messages, breadth first (C1.7).
    pub(super) fn destroy_letters(&mut self, letters: impl IntoIterator<Item = Letter>) {
        self.doomed.extend(letters);
        if std::mem::replace(&mut self.destroying, true) {
            return;
        }
        while let Some(letter) = self.doomed.pop_front() {
            for right in [letter.destination, letter.reply]
                .into_iter()
                .chain(letter.body)
            {
                self.release(right);
            }
        }
        self.destroying = false;
    }

    /// The death of a port (C1.6).
    pub(super) fn die(&mut self, port: Id) {
        let state = &mut self.ports[port];
        state.dead = true;
        state.sets.clear();
        let letters = std::mem::take(&mut state.queue);
        let told = state.no_senders.take();
        self.destroy_letters(letters);
        if let Some(told) = told {
            self.post(told, SEND_ONCE, 0);
        }
    }

    pub(super) fn destroy_set(&mut self, name: Port) {
        self.names.remove(&name);
        for port in &mut self.ports {
            port.sets.remove(&name);
        }
    }

    /// Gives a name that has rights to a port others, or none.
    pub(super) fn leave(&mut self, name: Port, port: Id, receive: bool, sends: u32) {
        if receive || sends > 0 {
            self.names.insert(
                name,
                Entry::Port {
                    port,
                    receive,
                    sends,
                },
            );
        } else {
            self.names.remove(&name);
        }
    }

    /// Gives a name other user references of its send right, and returns the no-senders request that is due.
    pub(super) fn keep_sends(&mut self, name: Port, sends: u32) -> Option<Told> {
        let Some(Entry::Port { port, receive, .. }) = self.names.get(&name).copied() else {
            panic!("{name:#x} has no send right");
        };
        self.leave(name, port, receive, sends);
        if sends == 0 {
            self.lost_send(port)
        } else {
            None
        }
    }

    /// Gives a dead name other user references, or frees it.
    pub(super) fn keep_dead(&mut self, name: Port, references: u32) {
        match references {
            0 => self.names.remove(&name),
            _ => self.names.insert(name, Entry::Dead { references }),
        };
    }

    pub(super) fn notify(&mut self, told: Option<Told>) {
        if let Some((told, makes)) = told {
            self.post(told, NO_SENDERS, makes);
        }
    }

    // Rights in and out.

    /// Takes a right out of the name space (C7). A dead name has the COPY and MOVE rights of sending.
    pub(super) fn copy_in(&mut self, name: Port, disposition: u32) -> Answer<Right> {
        let making = [
            MACH_MSG_TYPE_MAKE_SEND,
            MACH_MSG_TYPE_MAKE_SEND_ONCE,
            MACH_MSG_TYPE_MOVE_RECEIVE,
        ];
        if making.contains(&disposition) {
            let (port, sends) = self.with_receive(name)?;
            let state = &mut self.ports[port];
            return Ok(match disposition {
                MACH_MSG_TYPE_MAKE_SEND => {
                    (state.makes, state.sends) = (state.makes + 1, state.sends + 1);
                    Right::Send(port)
                }
                MACH_MSG_TYPE_MAKE_SEND_ONCE => {
                    state.once += 1;
                    Right::Once(port)
                }
                _ => {
                    // C7.1a.
                    (state.makes, state.sequence, state.context) = (0, 0, 0);
                    state.sets.clear();
                    self.leave(name, port, false, sends);
                    Right::Receive(port)
                }
            });
        }
        match (disposition, self.checked(name)?) {
            (
                MACH_MSG_TYPE_COPY_SEND,
                Entry::Port {
                    port, sends: 1.., ..
                },
            ) => {
                self.ports[port].sends += 1;
                Ok(Right::Send(port))
            }
            (
                MACH_MSG_TYPE_MOVE_SEND,
                Entry::Port {
                    port,
                    receive,
                    sends: sends @ 1..,
                },
            ) => {
                match sends {
                    // The name's right itself.
                    1 => self.leave(name, port, receive, 0),
                    PEGGED => self.ports[port].sends += 1,
                    _ => {
                        self.leave(name, port, receive, sends - 1);
                        self.ports[port].sends += 1;
                    }
                }
                Ok(Right::Send(port))
            }
            (MACH_MSG_TYPE_MOVE_SEND_ONCE, Entry::Once { port }) => {
                self.names.remove(&name);
                Ok(Right::Once(port))
            }
            (MACH_MSG_TYPE_COPY_SEND, Entry::Dead { .. }) => Ok(Right::Dead),
            (
                MACH_MSG_TYPE_MOVE_SEND | MACH_MSG_TYPE_MOVE_SEND_ONCE,
                Entry::Dead { references },
            ) => {
                if references < PEGGED {
                    self.keep_dead(name, references - 1);
                }
                Ok(Right::Dead)
            }
            _ => fail(KernReturn::INVALID_RIGHT),
        }
    }

    /// Puts a right into the name space under the name that the kernel gave it (C7.3).
    pub(super) fn copy_out(&mut self, right: Right, name: Port) {
        match right {
            Right::Null => assert_eq!(name, NULL),
            Right::Dead => assert_eq!(name, DEAD),
            Right::Send(port) | Right::Once(port) if self.ports[port].dead => {
                assert_eq!(name, DEAD, "the port has died");
            }
            Right::Once(port) => self.name(name, Entry::Once { port }),
            Right::Send(port) | Right::Receive(port) => {
                let send = matches!(right, Right::Send(_));
                if !send {
                    self.ports[port].carried_to = None;
                }
                let known = self.names.iter().find_map(|(name, entry)| match *entry {
                    Entry::Port {
                        port: other,
                        receive,
                        sends,
                    } if other == port => Some((*name, receive, sends)),
                    _ => None,
                });
                let Some((known, receive, sends)) = known else {
                    let sends = u32::from(send);
                    return self.name(
                        name,
                        Entry::Port {
                            port,
                            receive: !send,
                            sends,
                        },
                    );
                };
                assert_eq!(name, known, "C0.1: the rights of a port share a name");
                match send {
                    false => self.leave(name, port, true, sends),
                    true => {
                        if sends > 0 {
                            self.ports[port].sends -= 1;
                        }
                        self.leave(name, port, receive, (sends + 1).min(PEGGED));
                    }
                }
            }
        }
    }
}
