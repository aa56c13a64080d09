//! The model's calls about names. Each returns what the kernel is to return.

use super::ports::{Entry, Id, Model, NO_SENDERS, PEGGED, Right, changed, fail};
use crate::support::{Answer, DEAD, NULL, Port};
use mach_sys::kern_return::KernReturn;
use mach_sys::message::{
    MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE,
};
use mach_sys::port::{
    MACH_PORT_RIGHT_DEAD_NAME, MACH_PORT_RIGHT_PORT_SET, MACH_PORT_RIGHT_RECEIVE,
    MACH_PORT_RIGHT_SEND, MACH_PORT_RIGHT_SEND_ONCE, MACH_PORT_TYPE_DEAD_NAME,
    MACH_PORT_TYPE_PORT_SET, MACH_PORT_TYPE_RECEIVE, MACH_PORT_TYPE_SEND, MACH_PORT_TYPE_SEND_ONCE,
};
use std::collections::BTreeSet;

impl Model {
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
        let (port, sends) = self.with_receive(name)?;
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
            let makes = self.ports[port].makes;
            self.post(told, NO_SENDERS, makes);
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
}
