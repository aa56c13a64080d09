//! A simple model of the names, rights and messages of one name space, written from the rules and not from the emulation.
//!
//! It does not predict names: where the kernel chooses one, the model takes what came, and asserts that it is new.

use crate::support::{Answer, DEAD, NULL, Port};
use mach_sys::kern_return::KernReturn;
use mach_sys::message::{
    MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE,
    MACH_MSG_TYPE_MOVE_RECEIVE, MACH_MSG_TYPE_MOVE_SEND, MACH_MSG_TYPE_MOVE_SEND_ONCE,
};
use mach_sys::port::{
    MACH_PORT_RIGHT_DEAD_NAME, MACH_PORT_RIGHT_PORT_SET, MACH_PORT_RIGHT_RECEIVE,
    MACH_PORT_RIGHT_SEND, MACH_PORT_RIGHT_SEND_ONCE, MACH_PORT_TYPE_DEAD_NAME,
    MACH_PORT_TYPE_PORT_SET, MACH_PORT_TYPE_RECEIVE, MACH_PORT_TYPE_SEND, MACH_PORT_TYPE_SEND_ONCE,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The largest count of user references, which sticks (C3.2).
const PEGGED: u32 = 65_535;
const NO_SENDERS: u32 = 70;
const SEND_ONCE: u32 = 71;

/// The number of a port, which no other port gets.
pub(super) type Id = usize;

/// What a name stands for (C0.1).
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

/// A message: where it goes, and what it carries.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) id: u32,
    pub(super) destination: Right,
    pub(super) reply: Right,
    pub(super) body: Vec<Right>,
}

#[derive(Debug, Default)]
struct PortState {
    dead: bool,
    /// The port to which the receive right travels.
    carried_to: Option<Id>,
    limit: usize,
    queue: VecDeque<Letter>,
    makes: u32,
    sequence: u32,
    /// Send rights: one for the name that has some, and one for each in a message (A7.9).
    sends: u32,
    once: u32,
    context: u64,
    sets: BTreeSet<Port>,
    /// The send-once right that a no-senders request has.
    no_senders: Option<Id>,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) names: BTreeMap<Port, Entry>,
    ports: Vec<PortState>,
    /// Messages to destroy, while one is being destroyed (C1.7).
    doomed: VecDeque<Letter>,
    destroying: bool,
}

fn fail<T>(error: KernReturn) -> Answer<T> {
    Err(error)
}

/// A count of user references after a change; `None` if it has too few (C4.2).
fn changed(count: u32, delta: i32) -> Option<u32> {
    if count == PEGGED {
        return Some(if delta == -(PEGGED as i32) { 0 } else { PEGGED });
    }
    let sum = i64::from(count) + i64::from(delta);
    (sum >= 0).then(|| sum.min(i64::from(PEGGED)) as u32)
}

impl Model {
    /// Returns what a name stands for after the conversion of a dead port's rights (C1.1).
    fn checked(&mut self, name: Port) -> Answer<Entry> {
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

    /// Returns the port of a receive right, for the calls that take one by name (C7.5).
    fn receiver(&self, name: Port) -> Answer<Id> {
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
    fn name(&mut self, name: Port, entry: Entry) {
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

    fn post(&mut self, port: Id, id: u32) {
        let (destination, reply) = (Right::Once(port), Right::Null);
        let letter = Letter {
            id,
            destination,
            reply,
            body: Vec::new(),
        };
        match self.ports[port].dead {
            true => self.ports[port].once -= 1,
            false => self.ports[port].queue.push_back(letter),
        }
    }

    /// Takes the no-senders request if no send right is left.
    fn lost_send(&mut self, port: Id) -> Option<Id> {
        self.ports[port].sends -= 1;
        let over = self.ports[port].sends == 0 && !self.ports[port].dead;
        if over {
            self.ports[port].no_senders.take()
        } else {
            None
        }
    }

    fn release(&mut self, right: Right) {
        match right {
            Right::Send(port) => {
                if let Some(told) = self.lost_send(port) {
                    self.post(told, NO_SENDERS);
                }
            }
            Right::Once(port) => self.post(port, SEND_ONCE),
            Right::Receive(port) => self.die(port),
            Right::Dead | Right::Null => {}
        }
    }

    /// Destroys messages, breadth first (C1.7).
    fn destroy_letters(&mut self, letters: impl IntoIterator<Item = Letter>) {
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
    fn die(&mut self, port: Id) {
        let state = &mut self.ports[port];
        state.dead = true;
        state.sets.clear();
        let letters = std::mem::take(&mut state.queue);
        let told = state.no_senders.take();
        self.destroy_letters(letters);
        if let Some(told) = told {
            self.post(told, SEND_ONCE);
        }
    }

    fn destroy_set(&mut self, name: Port) {
        self.names.remove(&name);
        for port in &mut self.ports {
            port.sets.remove(&name);
        }
    }

    /// Gives a name that has rights to a port others, or none.
    fn leave(&mut self, name: Port, port: Id, receive: bool, sends: u32) {
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
    fn keep_sends(&mut self, name: Port, sends: u32) -> Option<Id> {
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

    fn notify(&mut self, told: Option<Id>) {
        if let Some(told) = told {
            self.post(told, NO_SENDERS);
        }
    }

    // The calls. Each returns what the kernel is to return.

    /// C3.2.
    pub(super) fn deallocate(&mut self, name: Port) -> Answer<()> {
        if name == NULL || name == DEAD {
            return Ok(());
        }
        match self.checked(name)? {
            Entry::Port { sends: 0, .. } => return fail(KernReturn::INVALID_RIGHT),
            Entry::Port { sends: PEGGED, .. } | Entry::Dead { references: PEGGED } => {}
            Entry::Port { sends, .. } => {
                let told = self.keep_sends(name, sends - 1);
                self.notify(told);
            }
            Entry::Dead { references } => self.keep_dead(name, references - 1),
            Entry::Once { port } => {
                self.names.remove(&name);
                self.release(Right::Once(port));
            }
            Entry::Set => self.destroy_set(name),
        }
        Ok(())
    }

    fn keep_dead(&mut self, name: Port, references: u32) {
        match references {
            0 => self.names.remove(&name),
            _ => self.names.insert(name, Entry::Dead { references }),
        };
    }

    /// C4.2, whose order it keeps.
    pub(super) fn mod_refs(&mut self, name: Port, right: u32, delta: i32) -> Answer<()> {
        const RECEIVE: u32 = MACH_PORT_RIGHT_RECEIVE;
        const SET: u32 = MACH_PORT_RIGHT_PORT_SET;
        if right >= 6 {
            return fail(KernReturn::INVALID_VALUE);
        }
        if name == NULL || name == DEAD {
            let sends = right == MACH_PORT_RIGHT_SEND || right == MACH_PORT_RIGHT_SEND_ONCE;
            return if sends {
                Ok(())
            } else {
                fail(KernReturn::INVALID_NAME)
            };
        }
        // RECEIVE and PORT_SET do not convert.
        let entry = match right {
            RECEIVE | SET => *self.names.get(&name).ok_or(KernReturn::INVALID_NAME)?,
            _ => self.checked(name)?,
        };
        match (right, entry) {
            (SET, Entry::Set) => match delta {
                0 => {}
                -1 => self.destroy_set(name),
                _ => return fail(KernReturn::INVALID_VALUE),
            },
            (
                RECEIVE,
                Entry::Port {
                    port,
                    receive: true,
                    sends,
                },
            ) => match delta {
                0 => {}
                -1 => {
                    self.keep_dead(name, sends);
                    self.die(port);
                }
                _ => return fail(KernReturn::INVALID_VALUE),
            },
            (MACH_PORT_RIGHT_SEND_ONCE, Entry::Once { port }) => match delta {
                0 => {}
                -1 => {
                    self.names.remove(&name);
                    self.release(Right::Once(port));
                }
                _ => return fail(KernReturn::INVALID_VALUE),
            },
            (MACH_PORT_RIGHT_DEAD_NAME, Entry::Dead { references }) => {
                match changed(references, delta) {
                    _ if delta.unsigned_abs() > PEGGED => return fail(KernReturn::INVALID_VALUE),
                    None => return fail(KernReturn::INVALID_VALUE),
                    Some(references) => self.keep_dead(name, references),
                }
            }
            (MACH_PORT_RIGHT_SEND, Entry::Port { sends: 1.., .. }) => {
                let Entry::Port { sends, .. } = entry else {
                    unreachable!()
                };
                match changed(sends, delta) {
                    _ if delta.unsigned_abs() > PEGGED => return fail(KernReturn::INVALID_VALUE),
                    None => return fail(KernReturn::INVALID_VALUE),
                    Some(sends) => {
                        let told = self.keep_sends(name, sends);
                        self.notify(told);
                    }
                }
            }
            _ => return fail(KernReturn::INVALID_RIGHT),
        }
        Ok(())
    }

    /// C3.1.
    pub(super) fn destroy(&mut self, name: Port) -> Answer<()> {
        if name == NULL || name == DEAD {
            return Ok(());
        }
        let entry = *self.names.get(&name).ok_or(KernReturn::INVALID_NAME)?;
        match entry {
            Entry::Set => self.destroy_set(name),
            Entry::Dead { .. } => drop(self.names.remove(&name)),
            Entry::Once { port } => {
                self.names.remove(&name);
                self.release(Right::Once(port));
            }
            Entry::Port {
                port,
                receive,
                sends,
            } => {
                self.names.remove(&name);
                // C1.8: those of the death come first.
                let told = if sends > 0 {
                    self.lost_send(port)
                } else {
                    None
                };
                if receive {
                    self.die(port);
                }
                self.notify(told);
            }
        }
        Ok(())
    }

    /// C3.3, of ports that nothing guards.
    pub(super) fn destruct(&mut self, name: Port, delta: i32) -> Answer<()> {
        if name == NULL || name == DEAD {
            return fail(KernReturn::INVALID_NAME);
        }
        let entry = *self.names.get(&name).ok_or(KernReturn::INVALID_NAME)?;
        let Entry::Port {
            port,
            receive: true,
            sends,
        } = entry
        else {
            return fail(KernReturn::INVALID_RIGHT);
        };
        if delta != 0 && sends == 0 {
            return fail(KernReturn::INVALID_RIGHT);
        }
        if delta > 0 {
            return fail(KernReturn::INVALID_VALUE);
        }
        let left = changed(sends, delta).ok_or(KernReturn::INVALID_VALUE)?;
        if delta != 0 && left == 0 {
            let told = self.keep_sends(name, 0);
            self.notify(told);
        }
        self.keep_dead(name, left);
        self.die(port);
        Ok(())
    }

    /// C4.1.
    pub(super) fn refs(&mut self, name: Port, right: u32) -> Answer<u32> {
        if right >= 6 {
            return fail(KernReturn::INVALID_VALUE);
        }
        if name == NULL || name == DEAD {
            let sends = right == MACH_PORT_RIGHT_SEND || right == MACH_PORT_RIGHT_SEND_ONCE;
            return if sends {
                Ok(1)
            } else {
                fail(KernReturn::INVALID_NAME)
            };
        }
        Ok(match (right, self.checked(name)?) {
            (MACH_PORT_RIGHT_SEND, Entry::Port { sends, .. }) => sends,
            (MACH_PORT_RIGHT_RECEIVE, Entry::Port { receive, .. }) => u32::from(receive),
            (MACH_PORT_RIGHT_SEND_ONCE, Entry::Once { .. }) => 1,
            (MACH_PORT_RIGHT_PORT_SET, Entry::Set) => 1,
            (MACH_PORT_RIGHT_DEAD_NAME, Entry::Dead { references }) => references,
            _ => 0,
        })
    }

    fn kind_of(&self, entry: Entry) -> u32 {
        match entry {
            Entry::Port { port, .. } | Entry::Once { port } if self.ports[port].dead => {
                MACH_PORT_TYPE_DEAD_NAME
            }
            Entry::Port { receive, sends, .. } => {
                let receive = if receive { MACH_PORT_TYPE_RECEIVE } else { 0 };
                receive | if sends > 0 { MACH_PORT_TYPE_SEND } else { 0 }
            }
            Entry::Once { .. } => MACH_PORT_TYPE_SEND_ONCE,
            Entry::Set => MACH_PORT_TYPE_PORT_SET,
            Entry::Dead { .. } => MACH_PORT_TYPE_DEAD_NAME,
        }
    }

    /// C5.1.
    pub(super) fn kind(&mut self, name: Port) -> Answer<u32> {
        match name {
            DEAD => Ok(MACH_PORT_TYPE_DEAD_NAME),
            _ => self.checked(name).map(|entry| self.kind_of(entry)),
        }
    }

    /// C5.2: every name and its type, without a conversion.
    pub(super) fn listing(&self) -> impl Iterator<Item = (Port, u32)> + '_ {
        self.names
            .iter()
            .map(|(name, entry)| (*name, self.kind_of(*entry)))
    }

    /// C5.3.
    pub(super) fn status(&self, name: Port) -> Answer<[i32; 10]> {
        let port = &self.ports[self.receiver(name)?];
        Ok([
            i32::from(!port.sets.is_empty()),
            port.sequence as i32,
            port.makes as i32,
            port.limit as i32,
            port.queue.len() as i32,
            port.once as i32,
            i32::from(port.sends > 0),
            0,
            i32::from(port.no_senders.is_some()),
            0,
        ])
    }

    /// C5.7.
    pub(super) fn send_rights(&self, name: Port) -> Answer<u32> {
        Ok(self.ports[self.receiver(name)?].sends)
    }

    /// C5.4 and C5.5.
    pub(super) fn set_limit(&mut self, name: Port, limit: u32) -> Answer<()> {
        if limit > 1024 {
            return fail(KernReturn::INVALID_VALUE);
        }
        let port = self.receiver(name)?;
        self.ports[port].limit = limit as usize;
        Ok(())
    }

    pub(super) fn set_makes(&mut self, name: Port, makes: u32) -> Answer<()> {
        let port = self.receiver(name)?;
        self.ports[port].makes = makes;
        Ok(())
    }

    pub(super) fn set_sequence(&mut self, name: Port, sequence: u32) -> Answer<()> {
        let port = self.receiver(name)?;
        self.ports[port].sequence = sequence;
        Ok(())
    }

    pub(super) fn set_context(&mut self, name: Port, context: u64) -> Answer<()> {
        let port = self.receiver(name)?;
        self.ports[port].context = context;
        Ok(())
    }

    pub(super) fn context(&self, name: Port) -> Answer<u64> {
        Ok(self.ports[self.receiver(name)?].context)
    }

    // Sets (C9).

    /// C9.1's errors of the names.
    fn pair(&self, name: Port, set: Port) -> Answer<Id> {
        if [NULL, DEAD].contains(&name) || [NULL, DEAD].contains(&set) {
            return fail(KernReturn::INVALID_RIGHT);
        }
        let entry = self.names.get(&name).ok_or(KernReturn::INVALID_NAME)?;
        let second = self.names.get(&set).ok_or(KernReturn::INVALID_NAME)?;
        match (entry, second) {
            (
                Entry::Port {
                    port,
                    receive: true,
                    ..
                },
                Entry::Set,
            ) => Ok(*port),
            _ => fail(KernReturn::INVALID_RIGHT),
        }
    }

    pub(super) fn join(&mut self, name: Port, set: Port) -> Answer<()> {
        let port = self.pair(name, set)?;
        match self.ports[port].sets.insert(set) {
            true => Ok(()),
            false => fail(KernReturn::ALREADY_IN_SET),
        }
    }

    /// C9.2.
    pub(super) fn part(&mut self, name: Port, set: Port) -> Answer<()> {
        let port = self.pair(name, set)?;
        match self.ports[port].sets.remove(&set) {
            true => Ok(()),
            false => fail(KernReturn::NOT_IN_SET),
        }
    }

    /// C9.2, with a set to move to.
    pub(super) fn change_set(&mut self, name: Port, set: Port) -> Answer<()> {
        let port = self.pair(name, set)?;
        self.ports[port].sets = BTreeSet::from([set]);
        Ok(())
    }

    /// C9.6.
    pub(super) fn members(&self, set: Port) -> Answer<Vec<Port>> {
        match self.names.get(&set) {
            _ if set == NULL || set == DEAD => return fail(KernReturn::INVALID_RIGHT),
            None | Some(Entry::Dead { .. }) => return fail(KernReturn::INVALID_NAME),
            Some(Entry::Once { port } | Entry::Port { port, .. }) if self.ports[*port].dead => {
                return fail(KernReturn::INVALID_NAME);
            }
            Some(Entry::Set) => {}
            Some(_) => return fail(KernReturn::INVALID_RIGHT),
        }
        let members = self.names.iter().filter(|(_, entry)| match entry {
            Entry::Port {
                port,
                receive: true,
                ..
            } => self.ports[*port].sets.contains(&set),
            _ => false,
        });
        Ok(members.map(|(name, _)| *name).collect())
    }

    // Rights in and out.

    /// Takes a right out of the name space (C7). A dead name has the COPY and MOVE rights of sending.
    fn copy_in(&mut self, name: Port, disposition: u32) -> Answer<Right> {
        let making = [
            MACH_MSG_TYPE_MAKE_SEND,
            MACH_MSG_TYPE_MAKE_SEND_ONCE,
            MACH_MSG_TYPE_MOVE_RECEIVE,
        ];
        if making.contains(&disposition) {
            let entry = self
                .names
                .get(&name)
                .copied()
                .ok_or(KernReturn::INVALID_NAME)?;
            let Entry::Port {
                port,
                receive: true,
                sends,
            } = entry
            else {
                return fail(KernReturn::INVALID_RIGHT);
            };
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
    fn copy_out(&mut self, right: Right, name: Port) {
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

    /// C6.1 and C6.4: `insert_right` with one name twice.
    pub(super) fn insert(&mut self, name: Port, disposition: u32) -> Answer<()> {
        const MAKE: u32 = MACH_MSG_TYPE_MAKE_SEND;
        const COPY: u32 = MACH_MSG_TYPE_COPY_SEND;
        if name == NULL || name == DEAD {
            return fail(KernReturn::INVALID_NAME);
        }
        let entry = *self.names.get(&name).ok_or(KernReturn::INVALID_NAME)?;
        if matches!(disposition, MAKE | COPY) {
            let port = match entry {
                Entry::Dead { .. } => return fail(KernReturn::INVALID_CAPABILITY),
                Entry::Port { port, .. } | Entry::Once { port } if self.ports[port].dead => {
                    return fail(KernReturn::INVALID_CAPABILITY);
                }
                Entry::Port {
                    port,
                    receive: true,
                    ..
                } if disposition == MAKE => port,
                Entry::Port {
                    port, sends: 1.., ..
                } if disposition == COPY => port,
                _ => return fail(KernReturn::INVALID_RIGHT),
            };
            let right = self.copy_in(name, disposition)?;
            assert_eq!(right, Right::Send(port));
            self.copy_out(right, name);
            return Ok(());
        }
        let right = self.copy_in(name, disposition)?;
        match right {
            Right::Dead => return fail(KernReturn::INVALID_CAPABILITY),
            // C6.3: the send-once right is lost, with its notification.
            Right::Once(_) if disposition == MACH_MSG_TYPE_MAKE_SEND_ONCE => {
                self.release(right);
                return fail(KernReturn::NAME_EXISTS);
            }
            _ => self.copy_out(right, name),
        }
        Ok(())
    }

    /// C6.5: the right that leaves; [`extracted`](Self::extracted) gives it the kernel's name.
    pub(super) fn extract(&mut self, name: Port, disposition: u32) -> Answer<Right> {
        if name == NULL || name == DEAD {
            return fail(KernReturn::INVALID_RIGHT);
        }
        self.copy_in(name, disposition)
    }

    pub(super) fn extracted(&mut self, right: Right, name: Port) {
        self.copy_out(right, name);
    }

    /// C8.2: a no-senders request whose notifications go to another name of this space. Returns the right of the request before.
    pub(super) fn request_no_senders(
        &mut self,
        name: Port,
        told: Port,
        sync: u32,
    ) -> Answer<Right> {
        let right = self.copy_in(told, MACH_MSG_TYPE_MAKE_SEND_ONCE)?;
        let Right::Once(told) = right else {
            unreachable!()
        };
        let port = match self.receiver(name) {
            Ok(port) => port,
            Err(error) => {
                // C8.1.
                self.release(right);
                return fail(error);
            }
        };
        let before = self.ports[port].no_senders.take();
        if self.ports[port].sends == 0 && sync <= self.ports[port].makes {
            self.post(told, NO_SENDERS);
        } else {
            self.ports[port].no_senders = Some(told);
        }
        Ok(before.map_or(Right::Null, Right::Once))
    }

    /// Returns whether the request of a port, if it has one, would be answered to a port that is dead (C8.9 differs by version).
    pub(super) fn request_is_dead(&self, name: Port) -> bool {
        let told = self
            .receiver(name)
            .ok()
            .and_then(|port| self.ports[port].no_senders);
        told.is_some_and(|told| self.ports[told].dead)
    }

    // Messages.

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
    pub(super) fn received(
        &mut self,
        from: Port,
        at: Port,
        id: u32,
        reply: Port,
        body: &[(Port, u32)],
    ) {
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
        assert_eq!(id, letter.id, "the first in is the first out");
        self.copy_out(letter.reply, reply);
        match letter.destination {
            Right::Once(port) => self.ports[port].once -= 1,
            right => self.release(right),
        }
        assert_eq!(body.len(), letter.body.len());
        for (right, (name, disposition)) in letter.body.into_iter().zip(body) {
            match right {
                Right::Send(_) => assert_eq!(*disposition, MACH_MSG_TYPE_MOVE_SEND),
                Right::Once(_) => assert_eq!(*disposition, MACH_MSG_TYPE_MOVE_SEND_ONCE),
                Right::Receive(_) => assert_eq!(*disposition, MACH_MSG_TYPE_MOVE_RECEIVE),
                Right::Dead | Right::Null => {}
            }
            self.copy_out(right, *name);
        }
    }
}
