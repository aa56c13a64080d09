//! Calls that give a task a right, or tie two of its names together: insert_right, extract_right, set membership (C6, C9).

use super::copyin::{Dead, is_sendable, received_disposition};
use super::mach::{Locked, TaskId};
use super::object::Carried;
use super::space::{Choice, Rights};
use mach_wire::kern_return::KernReturn;
use mach_wire::message::*;
use mach_wire::types::{MACH_PORT_DEAD, MACH_PORT_NULL, mach_port_name_t};

const fn is_null_or_dead(name: mach_port_name_t) -> bool {
    name == MACH_PORT_NULL || name == MACH_PORT_DEAD
}

impl Locked<'_> {
    /// `mach_port_insert_right` on the own task (C6.1, C6.2).
    pub(crate) fn insert_right(
        &mut self,
        task: TaskId,
        name: mach_port_name_t,
        poly: mach_port_name_t,
        disposition: u32,
    ) -> Result<(), KernReturn> {
        if name == poly
            && matches!(
                disposition,
                MACH_MSG_TYPE_MAKE_SEND | MACH_MSG_TYPE_COPY_SEND
            )
        {
            return self.insert_same_name(task, name, disposition);
        }
        if is_null_or_dead(poly) {
            return Err(KernReturn::INVALID_NAME);
        }
        let right = self.copyin(task, poly, disposition, Dead::Accepted)?;
        let received = received_disposition(disposition);
        let inserted = self.insert_carried(task, name, right, received);
        if inserted.is_err() {
            // C6.3: what was copied in is destroyed.
            self.destroy_carried(right, received);
        }
        inserted
    }

    fn insert_same_name(
        &mut self,
        task: TaskId,
        name: mach_port_name_t,
        disposition: u32,
    ) -> Result<(), KernReturn> {
        let entry = self.space(task).get(name).ok_or(KernReturn::INVALID_NAME)?;
        let (rights, object) = (entry.rights, entry.object);
        if self.pretended_rights(rights, object).has(Rights::DEAD_NAME) {
            return Err(KernReturn::INVALID_CAPABILITY);
        }
        let needed = if disposition == MACH_MSG_TYPE_MAKE_SEND {
            Rights::RECEIVE
        } else {
            Rights::SEND
        };
        if !rights.has(needed) {
            return Err(KernReturn::INVALID_RIGHT);
        }
        self.name_send_right(task, object);
        Ok(())
    }

    fn insert_carried(
        &mut self,
        task: TaskId,
        name: mach_port_name_t,
        right: Carried,
        received: u32,
    ) -> Result<(), KernReturn> {
        if is_null_or_dead(name) {
            return Err(KernReturn::INVALID_VALUE);
        }
        let Carried::Object(object) = right else {
            return Err(KernReturn::INVALID_CAPABILITY);
        };
        if !self.object(object).alive {
            return Err(KernReturn::INVALID_CAPABILITY);
        }
        let once = received == MACH_MSG_TYPE_PORT_SEND_ONCE;
        let existing = if once {
            None
        } else {
            self.name_of(task, object)
        };
        match self.space(task).admits(name) {
            Choice::BadValue => return Err(KernReturn::INVALID_VALUE),
            Choice::NoSpace => return Err(KernReturn::NO_SPACE),
            Choice::OtherGeneration => return Err(KernReturn::FAILURE),
            Choice::InUse if existing == Some(name) => {}
            _ if existing.is_some() => return Err(KernReturn::RIGHT_EXISTS),
            Choice::InUse => return Err(KernReturn::NAME_EXISTS),
            Choice::Free => {
                let rights = if once {
                    Rights::SEND_ONCE
                } else {
                    Rights::NONE.with(Rights::SEND)
                };
                let rights = if received == MACH_MSG_TYPE_PORT_RECEIVE {
                    Rights::RECEIVE
                } else {
                    rights
                };
                self.space_mut(task).claim_name(name, object, rights);
                self.retain(object);
                if !once {
                    self.list_name(task, name, object);
                }
            }
        }
        // The name exists now; the right itself goes the way of every right that arrives.
        match received {
            MACH_MSG_TYPE_PORT_RECEIVE => {
                self.name_receive_right(task, object);
            }
            MACH_MSG_TYPE_PORT_SEND_ONCE => {}
            _ => {
                self.name_send_right(task, object);
            }
        }
        self.release_object(object);
        Ok(())
    }

    /// `mach_port_extract_right` from the own task (C6.5).
    pub(crate) fn extract_right(
        &mut self,
        task: TaskId,
        name: mach_port_name_t,
        disposition: u32,
    ) -> Result<(mach_port_name_t, u32), KernReturn> {
        if !is_sendable(disposition) {
            return Err(KernReturn::INVALID_VALUE);
        }
        if is_null_or_dead(name) {
            return Err(KernReturn::INVALID_RIGHT);
        }
        let right = self.copyin(task, name, disposition, Dead::Accepted)?;
        let received = received_disposition(disposition);
        Ok((self.copyout(task, right, received), received))
    }

    /// The port and the set behind two names (C9.1).
    fn port_and_set(
        &self,
        task: TaskId,
        name: mach_port_name_t,
        set: mach_port_name_t,
    ) -> Result<(u32, u32), KernReturn> {
        if is_null_or_dead(name) || is_null_or_dead(set) {
            return Err(KernReturn::INVALID_RIGHT);
        }
        let space = self.space(task);
        let port = space.get(name).ok_or(KernReturn::INVALID_NAME)?;
        let set = space.get(set).ok_or(KernReturn::INVALID_NAME)?;
        if !port.rights.has(Rights::RECEIVE) || !set.rights.has(Rights::PORT_SET) {
            return Err(KernReturn::INVALID_RIGHT);
        }
        Ok((port.object, set.object))
    }

    /// `mach_port_insert_member` (C9.1).
    pub(crate) fn insert_member(
        &mut self,
        task: TaskId,
        name: mach_port_name_t,
        set: mach_port_name_t,
    ) -> Result<(), KernReturn> {
        let (port, set) = self.port_and_set(task, name, set)?;
        self.join(port, set)
    }

    /// `mach_port_extract_member` (C9.2).
    pub(crate) fn extract_member(
        &mut self,
        task: TaskId,
        name: mach_port_name_t,
        set: mach_port_name_t,
    ) -> Result<(), KernReturn> {
        let (port, set) = self.port_and_set(task, name, set)?;
        self.leave(port, set)
    }

    /// `mach_port_move_member` (C9.2).
    pub(crate) fn move_member(
        &mut self,
        task: TaskId,
        name: mach_port_name_t,
        after: mach_port_name_t,
    ) -> Result<(), KernReturn> {
        if after == MACH_PORT_NULL {
            let port = self.receive_right(task, name)?;
            return if self.leave_others(port, 0) {
                Ok(())
            } else {
                Err(KernReturn::NOT_IN_SET)
            };
        }
        let (port, set) = self.port_and_set(task, name, after)?;
        match self.join(port, set) {
            Ok(()) | Err(KernReturn::ALREADY_IN_SET) => {
                self.leave_others(port, set);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
