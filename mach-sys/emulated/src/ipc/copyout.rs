//! Rights on their way out of the kernel: under which name a task finds them (A7.2, C7.3).

use super::mach::{Locked, TaskId};
use super::object::Carried;
use super::space::{NameRef, Rights};
use mach_wire::message::{MACH_MSG_TYPE_PORT_RECEIVE, MACH_MSG_TYPE_PORT_SEND_ONCE};
use mach_wire::types::{MACH_PORT_DEAD, MACH_PORT_NULL, mach_port_name_t};

impl Locked<'_> {
    /// The name under which a task holds the send or receive right of an object.
    pub(crate) fn name_of(&self, task: TaskId, object: u32) -> Option<mach_port_name_t> {
        let mut at = self.object(object).names;
        while at.index != 0 {
            if at.task == task {
                return Some(self.space(task).name_at(at.index));
            }
            at = self.space(at.task).next_of(at.index);
        }
        None
    }

    /// Enters a name into its object's list.
    pub(super) fn list_name(&mut self, task: TaskId, name: mach_port_name_t, object: u32) {
        let first = self.object(object).names;
        let index = name >> 8;
        self.space_mut(task).set_next_of(index, first);
        self.object_mut(object).names = NameRef { task, index };
    }

    /// Takes a name out of its object's list.
    pub(super) fn unlist_name(&mut self, task: TaskId, name: mach_port_name_t, object: u32) {
        let index = name >> 8;
        let after = self.space(task).next_of(index);
        let wanted = NameRef { task, index };
        let mut at = self.object(object).names;
        if at == wanted {
            self.object_mut(object).names = after;
            return;
        }
        while at.index != 0 {
            let next = self.space(at.task).next_of(at.index);
            if next == wanted {
                self.space_mut(at.task).set_next_of(at.index, after);
                return;
            }
            at = next;
        }
    }

    /// Gives a task one more reference on an object's send right, under the name that it has or a new one. `None` when the
    /// space is full.
    pub(crate) fn name_send_right(
        &mut self,
        task: TaskId,
        object: u32,
    ) -> Option<mach_port_name_t> {
        if let Some(name) = self.name_of(task, object) {
            if let Some(entry) = self.space_mut(task).get_mut(name) {
                if !entry.rights.has(Rights::SEND) {
                    entry.rights = entry.rights.with(Rights::SEND);
                    entry.references = 0;
                }
                // A full count absorbs the right and stays (A7.3).
                entry.references = entry.references.saturating_add(1);
            }
            return Some(name);
        }
        let name = self.new_name(task, object, Rights::SEND)?;
        self.list_name(task, name, object);
        Some(name)
    }

    /// A new name with one reference.
    pub(super) fn new_name(
        &mut self,
        task: TaskId,
        object: u32,
        rights: Rights,
    ) -> Option<mach_port_name_t> {
        let name = self.space_mut(task).claim(object, rights)?;
        if let Some(entry) = self.space_mut(task).get_mut(name) {
            entry.references = u16::from(rights.has(Rights::SEND) || rights.has(Rights::DEAD_NAME));
        }
        if object != 0 {
            self.retain(object);
        }
        Some(name)
    }

    /// Makes the last reference of a send right the kernel's to release (D5.1).
    pub(crate) fn pin(&mut self, task: TaskId, object: u32) {
        if let Some(name) = self.name_of(task, object) {
            if let Some(entry) = self.space_mut(task).get_mut(name) {
                entry.pinned = true;
            }
        }
    }

    /// Hands a carried right to a task and uses it up; `disposition` is the received one. A right that finds no room in the space
    /// is destroyed, and the answer is `MACH_PORT_NULL` (C7.3).
    pub(super) fn copyout(
        &mut self,
        task: TaskId,
        right: Carried,
        disposition: u32,
    ) -> mach_port_name_t {
        let object = match right {
            Carried::Null => return MACH_PORT_NULL,
            Carried::Dead => return MACH_PORT_DEAD,
            Carried::Object(object) => object,
        };
        if !self.object(object).alive {
            self.release_object(object);
            return MACH_PORT_DEAD;
        }
        let name = match disposition {
            MACH_MSG_TYPE_PORT_SEND_ONCE => self.new_name(task, object, Rights::SEND_ONCE),
            MACH_MSG_TYPE_PORT_RECEIVE => self.name_receive_right(task, object),
            _ => self.name_send_right(task, object),
        };
        match name {
            Some(name) => {
                self.release_object(object);
                name
            }
            None => {
                self.destroy_carried(right, disposition);
                MACH_PORT_NULL
            }
        }
    }

    /// The receive right arrives: under the name of a send right that is there, or a new one (C7.3).
    pub(super) fn name_receive_right(
        &mut self,
        task: TaskId,
        object: u32,
    ) -> Option<mach_port_name_t> {
        let name = match self.name_of(task, object) {
            Some(name) => {
                if let Some(entry) = self.space_mut(task).get_mut(name) {
                    entry.rights = entry.rights.with(Rights::RECEIVE);
                }
                name
            }
            None => {
                let name = self.new_name(task, object, Rights::RECEIVE)?;
                self.list_name(task, name, object);
                name
            }
        };
        let port = self.object_mut(object);
        port.task = task;
        port.name = name;
        Some(name)
    }
}
