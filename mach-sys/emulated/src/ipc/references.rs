//! What a task does with its own names: making them, counting references, releasing them (C2–C4).

use super::mach::{Locked, TaskId};
use super::object::{Kind, Object};
use super::space::{PEGGED, Rights};
use mach_wire::kern_return::KernReturn;
use mach_wire::message::*;
use mach_wire::port::*;
use mach_wire::types::{MACH_PORT_DEAD, MACH_PORT_NULL, mach_port_name_t};

/// `MACH_PORT_RIGHT_NUMBER`: kinds of rights (C0.6).
const RIGHT_KINDS: u32 = 6;

impl Locked<'_> {
    /// `mach_port_allocate` (C2.1).
    pub(crate) fn allocate(
        &mut self,
        task: TaskId,
        right: u32,
    ) -> Result<mach_port_name_t, KernReturn> {
        let (kind, rights) = match right {
            MACH_PORT_RIGHT_RECEIVE => (Kind::Port, Rights::RECEIVE),
            MACH_PORT_RIGHT_PORT_SET => (Kind::Set, Rights::PORT_SET),
            MACH_PORT_RIGHT_DEAD_NAME => {
                return self
                    .new_name(task, 0, Rights::DEAD_NAME)
                    .ok_or(KernReturn::NO_SPACE);
            }
            _ => return Err(KernReturn::INVALID_VALUE),
        };
        let object = self
            .create_object(Object::of_task(kind, task))
            .ok_or(KernReturn::RESOURCE_SHORTAGE)?;
        let name = if kind == Kind::Port {
            self.name_receive_right(task, object)
        } else {
            self.new_name(task, object, rights)
        };
        let Some(name) = name else {
            self.kill(object);
            return Err(KernReturn::NO_SPACE);
        };
        self.object_mut(object).name = name;
        Ok(name)
    }

    /// `mach_port_deallocate` (C3.2).
    pub(crate) fn deallocate(
        &mut self,
        task: TaskId,
        name: mach_port_name_t,
    ) -> Result<(), KernReturn> {
        if name == MACH_PORT_NULL || name == MACH_PORT_DEAD {
            return Ok(());
        }
        self.convert_dead(task, name);
        let entry = self.space(task).get(name).ok_or(KernReturn::INVALID_NAME)?;
        let (rights, object) = (entry.rights, entry.object);
        if rights.has(Rights::DEAD_NAME) {
            self.drop_dead_reference(task, name, 1);
        } else if rights.has(Rights::SEND_ONCE) {
            self.destroy_send_once_name(task, name, object);
        } else if rights.has(Rights::PORT_SET) {
            self.destroy_set(task, name, object);
        } else if rights.has(Rights::SEND) {
            if entry.pinned && entry.references == 1 {
                return Err(KernReturn::INVALID_CAPABILITY);
            }
            self.drop_send_references(task, name, 1);
        } else {
            return Err(KernReturn::INVALID_RIGHT);
        }
        Ok(())
    }

    /// `mach_port_get_refs` (C4.1).
    pub(crate) fn get_refs(
        &mut self,
        task: TaskId,
        name: mach_port_name_t,
        right: u32,
    ) -> Result<u32, KernReturn> {
        if right >= RIGHT_KINDS {
            return Err(KernReturn::INVALID_VALUE);
        }
        if name == MACH_PORT_NULL || name == MACH_PORT_DEAD {
            return match right {
                MACH_PORT_RIGHT_SEND | MACH_PORT_RIGHT_SEND_ONCE => Ok(1),
                _ => Err(KernReturn::INVALID_NAME),
            };
        }
        self.convert_dead(task, name);
        let entry = self.space(task).get(name).ok_or(KernReturn::INVALID_NAME)?;
        let (wanted, counted) = match right {
            MACH_PORT_RIGHT_SEND => (Rights::SEND, true),
            MACH_PORT_RIGHT_RECEIVE => (Rights::RECEIVE, false),
            MACH_PORT_RIGHT_SEND_ONCE => (Rights::SEND_ONCE, false),
            MACH_PORT_RIGHT_PORT_SET => (Rights::PORT_SET, false),
            MACH_PORT_RIGHT_DEAD_NAME => (Rights::DEAD_NAME, true),
            _ => return Ok(0),
        };
        Ok(match (entry.rights.has(wanted), counted) {
            (false, _) => 0,
            (true, true) => u32::from(entry.references),
            (true, false) => 1,
        })
    }

    /// `mach_port_mod_refs` (C4.2).
    pub(crate) fn mod_refs(
        &mut self,
        task: TaskId,
        name: mach_port_name_t,
        right: u32,
        delta: i32,
    ) -> Result<(), KernReturn> {
        if right >= RIGHT_KINDS {
            return Err(KernReturn::INVALID_VALUE);
        }
        if name == MACH_PORT_NULL || name == MACH_PORT_DEAD {
            return match right {
                MACH_PORT_RIGHT_SEND | MACH_PORT_RIGHT_SEND_ONCE => Ok(()),
                _ => Err(KernReturn::INVALID_NAME),
            };
        }
        if matches!(
            right,
            MACH_PORT_RIGHT_SEND | MACH_PORT_RIGHT_SEND_ONCE | MACH_PORT_RIGHT_DEAD_NAME
        ) {
            self.convert_dead(task, name);
        }
        let entry = self.space(task).get(name).ok_or(KernReturn::INVALID_NAME)?;
        let (rights, object) = (entry.rights, entry.object);
        // Rights that there is one of: the only change is to destroy it.
        let single = |has: bool| match (has, delta) {
            (false, _) => Err(KernReturn::INVALID_RIGHT),
            (true, 0) => Ok(false),
            (true, -1) => Ok(true),
            (true, _) => Err(KernReturn::INVALID_VALUE),
        };
        match right {
            MACH_PORT_RIGHT_PORT_SET => {
                if single(rights.has(Rights::PORT_SET))? {
                    self.destroy_set(task, name, object);
                }
            }
            MACH_PORT_RIGHT_RECEIVE => {
                if single(rights.has(Rights::RECEIVE))? {
                    self.destroy_receive_right(task, name, object);
                }
            }
            MACH_PORT_RIGHT_SEND_ONCE => {
                if single(rights.has(Rights::SEND_ONCE))? {
                    self.destroy_send_once_name(task, name, object);
                }
            }
            MACH_PORT_RIGHT_SEND => {
                if !rights.has(Rights::SEND) {
                    return Err(KernReturn::INVALID_RIGHT);
                }
                self.change_references(task, name, delta)?;
            }
            MACH_PORT_RIGHT_DEAD_NAME => {
                if !rights.has(Rights::DEAD_NAME) {
                    return Err(KernReturn::INVALID_RIGHT);
                }
                self.change_references(task, name, delta)?;
            }
            _ => return Err(KernReturn::INVALID_RIGHT),
        }
        Ok(())
    }

    /// The counted kinds: send rights and dead names.
    fn change_references(
        &mut self,
        task: TaskId,
        name: mach_port_name_t,
        delta: i32,
    ) -> Result<(), KernReturn> {
        let Some(entry) = self.space_mut(task).get_mut(name) else {
            return Err(KernReturn::INVALID_NAME);
        };
        let dead = entry.rights.has(Rights::DEAD_NAME);
        let all = u32::from(PEGGED);
        if delta.unsigned_abs() > all {
            return Err(KernReturn::INVALID_VALUE);
        }
        let sum = match entry.references {
            // A pegged count only goes with all of it (A7.3).
            PEGGED if delta.unsigned_abs() == all && delta < 0 => 0,
            PEGGED => return Ok(()),
            references => i32::from(references) + delta,
        };
        if sum < 0 {
            return Err(KernReturn::INVALID_VALUE);
        }
        if sum > 0 {
            entry.references = sum.min(i32::from(PEGGED)) as u16;
            return Ok(());
        }
        if entry.pinned {
            return Err(KernReturn::INVALID_CAPABILITY);
        }
        let references = entry.references;
        if dead {
            self.drop_dead_reference(task, name, references);
        } else {
            self.drop_send_references(task, name, references);
        }
        Ok(())
    }

    /// The one deallocation of a thread's name that the kernel itself does when the thread ends: the pin goes, then a reference
    /// (D5.5, D2.2).
    pub(crate) fn unpin_and_deallocate(&mut self, task: TaskId, object: u32) {
        if let Some(name) = self.name_of(task, object) {
            if let Some(entry) = self.space_mut(task).get_mut(name) {
                entry.pinned = false;
            }
            self.drop_send_references(task, name, 1);
        }
    }

    fn destroy_send_once_name(&mut self, task: TaskId, name: mach_port_name_t, object: u32) {
        self.retain(object);
        self.free_name(task, name);
        self.destroy_carried(
            super::object::Carried::Object(object),
            MACH_MSG_TYPE_PORT_SEND_ONCE,
        );
    }

    fn destroy_set(&mut self, task: TaskId, name: mach_port_name_t, object: u32) {
        self.free_name(task, name);
        self.kill(object);
    }

    /// The port dies; send references under the same name become a dead name (C1.3).
    fn destroy_receive_right(&mut self, task: TaskId, name: mach_port_name_t, object: u32) {
        self.unlist_name(task, name, object);
        let mut sends = false;
        if let Some(entry) = self.space_mut(task).get_mut(name) {
            sends = entry.rights.has(Rights::SEND);
            if sends {
                entry.rights = Rights::DEAD_NAME;
                entry.object = 0;
            }
        }
        if sends {
            self.release_object(object);
        } else {
            self.free_name(task, name);
        }
        self.kill(object);
    }

    /// `mach_port_type` (C5.1).
    pub(crate) fn port_type(
        &mut self,
        task: TaskId,
        name: mach_port_name_t,
    ) -> Result<u32, KernReturn> {
        if name == MACH_PORT_DEAD {
            return Ok(Rights::DEAD_NAME.mach_port_type());
        }
        self.convert_dead(task, name);
        self.space(task)
            .get(name)
            .map(|entry| entry.rights.mach_port_type())
            .ok_or(KernReturn::INVALID_NAME)
    }

    /// `mach_port_names` (C5.2): writes as many as fit; says how many there are.
    pub(crate) fn port_names(&self, task: TaskId, names: &mut [u32], types: &mut [u32]) -> usize {
        let mut count = 0;
        for (name, entry) in self.space(task).iter() {
            if let (Some(slot), Some(kind)) = (names.get_mut(count), types.get_mut(count)) {
                *slot = name;
                *kind = self
                    .pretended_rights(entry.rights, entry.object)
                    .mach_port_type();
            }
            count += 1;
        }
        count
    }

    /// How many names a task has.
    pub(crate) fn name_count(&self, task: TaskId) -> usize {
        self.space(task).names() as usize
    }

    /// `mach_port_set_context` (C5.5).
    pub(crate) fn set_context(
        &mut self,
        task: TaskId,
        name: mach_port_name_t,
        context: u64,
    ) -> Result<(), KernReturn> {
        let port = self.receive_right(task, name)?;
        self.object_mut(port).context = context;
        Ok(())
    }

    /// `mach_port_get_context` (C5.5).
    pub(crate) fn get_context(
        &self,
        task: TaskId,
        name: mach_port_name_t,
    ) -> Result<u64, KernReturn> {
        let port = self.receive_right(task, name)?;
        Ok(self.object(port).context)
    }
}
