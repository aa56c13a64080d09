//! Rights on their way into the kernel (C7): what a disposition needs under the sender's name, and what it leaves there.

use super::mach::{Locked, TaskId};
use super::object::{Carried, Kind};
use super::space::{PEGGED, Rights};
use mach_wire::kern_return::KernReturn;
use mach_wire::message::*;
use mach_wire::types::{MACH_PORT_DEAD, MACH_PORT_NULL, mach_port_name_t};

/// Whether a dead name may stand for the right.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dead {
    Refused,
    Accepted,
}

/// The disposition under which a receiver sees a right that was sent with `disposition`.
pub(super) const fn received_disposition(disposition: u32) -> u32 {
    match disposition {
        MACH_MSG_TYPE_MOVE_RECEIVE => MACH_MSG_TYPE_PORT_RECEIVE,
        MACH_MSG_TYPE_MOVE_SEND_ONCE | MACH_MSG_TYPE_MAKE_SEND_ONCE => MACH_MSG_TYPE_PORT_SEND_ONCE,
        _ => MACH_MSG_TYPE_PORT_SEND,
    }
}

/// Whether a message may carry a right with this disposition.
pub(super) const fn is_sendable(disposition: u32) -> bool {
    matches!(
        disposition,
        MACH_MSG_TYPE_MOVE_RECEIVE
            | MACH_MSG_TYPE_MOVE_SEND
            | MACH_MSG_TYPE_MOVE_SEND_ONCE
            | MACH_MSG_TYPE_COPY_SEND
            | MACH_MSG_TYPE_MAKE_SEND
            | MACH_MSG_TYPE_MAKE_SEND_ONCE
    )
}

impl Locked<'_> {
    /// Converts a name whose port died into a dead name with the same references (C1.1).
    pub(super) fn convert_dead(&mut self, task: TaskId, name: mach_port_name_t) {
        let Some(entry) = self.space(task).get(name) else {
            return;
        };
        let (rights, object) = (entry.rights, entry.object);
        if rights.has(Rights::RECEIVE)
            || !(rights.has(Rights::SEND) || rights.has(Rights::SEND_ONCE))
            || self.object(object).alive
        {
            return;
        }
        if rights.has(Rights::SEND) {
            self.unlist_name(task, name, object);
        }
        if let Some(entry) = self.space_mut(task).get_mut(name) {
            entry.rights = Rights::DEAD_NAME;
            entry.object = 0;
            entry.pinned = false;
            entry.references = entry.references.max(1);
        }
        self.release_object(object);
    }

    /// What the entry would be after [`convert_dead`](Self::convert_dead), without converting it.
    pub(super) fn pretended_rights(&self, rights: Rights, object: u32) -> Rights {
        let sends = rights.has(Rights::SEND) || rights.has(Rights::SEND_ONCE);
        if sends && !rights.has(Rights::RECEIVE) && !self.object(object).alive {
            Rights::DEAD_NAME
        } else {
            rights
        }
    }

    /// Whether [`copyin`](Self::copyin) would succeed; converts dead names, changes nothing else.
    pub(super) fn copyin_check(
        &mut self,
        task: TaskId,
        name: mach_port_name_t,
        disposition: u32,
        dead: Dead,
    ) -> Result<(), KernReturn> {
        if !is_sendable(disposition) {
            return Err(KernReturn::INVALID_RIGHT);
        }
        if matches!(
            disposition,
            MACH_MSG_TYPE_COPY_SEND | MACH_MSG_TYPE_MOVE_SEND | MACH_MSG_TYPE_MOVE_SEND_ONCE
        ) {
            self.convert_dead(task, name);
        }
        let entry = self.space(task).get(name).ok_or(KernReturn::INVALID_NAME)?;
        let needed = match disposition {
            MACH_MSG_TYPE_MAKE_SEND | MACH_MSG_TYPE_MAKE_SEND_ONCE | MACH_MSG_TYPE_MOVE_RECEIVE => {
                Rights::RECEIVE
            }
            MACH_MSG_TYPE_MOVE_SEND_ONCE => Rights::SEND_ONCE,
            _ => Rights::SEND,
        };
        let accepts_dead = needed != Rights::RECEIVE && dead == Dead::Accepted;
        let stands_for_it = accepts_dead && entry.rights.has(Rights::DEAD_NAME);
        if !(entry.rights.has(needed) || stands_for_it) {
            return Err(KernReturn::INVALID_RIGHT);
        }
        if disposition == MACH_MSG_TYPE_MOVE_SEND && entry.pinned && entry.references == 1 {
            // D5.3: the last reference of a pinned name is the kernel's to release.
            return Err(KernReturn::INVALID_CAPABILITY);
        }
        Ok(())
    }

    /// Takes a right from a name, as the disposition says. The result carries one reference on its object.
    pub(crate) fn copyin(
        &mut self,
        task: TaskId,
        name: mach_port_name_t,
        disposition: u32,
        dead: Dead,
    ) -> Result<Carried, KernReturn> {
        self.copyin_check(task, name, disposition, dead)?;
        let Some(entry) = self.space(task).get(name) else {
            return Err(KernReturn::INVALID_NAME);
        };
        let (rights, object) = (entry.rights, entry.object);
        if rights.has(Rights::DEAD_NAME) {
            if disposition != MACH_MSG_TYPE_COPY_SEND {
                self.drop_dead_reference(task, name, 1);
            }
            return Ok(Carried::Dead);
        }
        self.retain(object);
        match disposition {
            MACH_MSG_TYPE_MOVE_SEND => self.drop_send_references(task, name, 1),
            MACH_MSG_TYPE_MOVE_SEND_ONCE => self.free_name(task, name),
            MACH_MSG_TYPE_MOVE_RECEIVE => self.detach_receive_right(task, name, object),
            _ => {}
        }
        Ok(Carried::Object(object))
    }

    /// A right of a message body: `NULL` and `DEAD` pass through, dead names arrive as `DEAD` (C10.4).
    pub(super) fn copyin_body(
        &mut self,
        task: TaskId,
        name: mach_port_name_t,
        disposition: u32,
    ) -> Result<Carried, KernReturn> {
        match name {
            _ if !is_sendable(disposition) => Err(KernReturn::INVALID_RIGHT),
            MACH_PORT_NULL => Ok(Carried::Null),
            MACH_PORT_DEAD => Ok(Carried::Dead),
            name => self.copyin(task, name, disposition, Dead::Accepted),
        }
    }

    /// The receive right leaves the name: the port is in transit, in no set, its context and sequence number reset (C7.1a).
    fn detach_receive_right(&mut self, task: TaskId, name: mach_port_name_t, object: u32) {
        self.unlink_all(object);
        self.event(object);
        let port = self.object_mut(object);
        port.name = MACH_PORT_NULL;
        port.sequence = 0;
        port.context = 0;
        let sends = self
            .space(task)
            .get(name)
            .is_some_and(|entry| entry.rights.has(Rights::SEND));
        if sends {
            if let Some(entry) = self.space_mut(task).get_mut(name) {
                entry.rights = Rights::SEND;
            }
        } else {
            self.unlist_name(task, name, object);
            self.free_name(task, name);
        }
    }

    /// Removes `count` references of a send right; with the last one the right goes. Pegged counts stay (A7.3).
    pub(super) fn drop_send_references(
        &mut self,
        task: TaskId,
        name: mach_port_name_t,
        count: u16,
    ) {
        let Some(entry) = self.space_mut(task).get_mut(name) else {
            return;
        };
        if entry.references == PEGGED && count != PEGGED {
            return;
        }
        entry.references = entry.references.saturating_sub(count);
        if entry.references > 0 {
            return;
        }
        let object = entry.object;
        if entry.rights.has(Rights::RECEIVE) {
            entry.rights = Rights::RECEIVE;
        } else {
            self.unlist_name(task, name, object);
            self.free_name(task, name);
        }
    }

    /// Removes `count` references of a dead name.
    pub(super) fn drop_dead_reference(&mut self, task: TaskId, name: mach_port_name_t, count: u16) {
        let Some(entry) = self.space_mut(task).get_mut(name) else {
            return;
        };
        if entry.references == PEGGED && count != PEGGED {
            return;
        }
        entry.references = entry.references.saturating_sub(count);
        if entry.references == 0 {
            self.space_mut(task).release(name);
        }
    }

    /// Gives a name back, and its reference on the object.
    pub(super) fn free_name(&mut self, task: TaskId, name: mach_port_name_t) {
        let Some(entry) = self.space(task).get(name) else {
            return;
        };
        let object = entry.object;
        self.space_mut(task).release(name);
        if object != 0 {
            self.release_object(object);
        }
    }

    /// A live port with a queue behind this name's receive right.
    pub(super) fn receive_right(
        &self,
        task: TaskId,
        name: mach_port_name_t,
    ) -> Result<u32, KernReturn> {
        if name == MACH_PORT_NULL || name == MACH_PORT_DEAD {
            return Err(KernReturn::INVALID_RIGHT);
        }
        // C7.5: dead names and names of dead ports do not count as names here.
        let entry = self.space(task).get(name).ok_or(KernReturn::INVALID_NAME)?;
        let rights = self.pretended_rights(entry.rights, entry.object);
        if rights.has(Rights::DEAD_NAME) {
            Err(KernReturn::INVALID_NAME)
        } else if rights.has(Rights::RECEIVE) {
            Ok(entry.object)
        } else {
            Err(KernReturn::INVALID_RIGHT)
        }
    }

    /// The kind and owner behind a send right, for calls whose argument is a kernel object.
    pub(crate) fn kernel_object(
        &mut self,
        task: TaskId,
        name: mach_port_name_t,
    ) -> Result<(Kind, u32), KernReturn> {
        self.convert_dead(task, name);
        let entry = self
            .space(task)
            .get(name)
            .ok_or(KernReturn::SEND_INVALID_DEST)?;
        if !entry.rights.has(Rights::SEND) {
            return Err(KernReturn::SEND_INVALID_DEST);
        }
        let object = self.object(entry.object);
        Ok((object.kind, entry.object))
    }
}
