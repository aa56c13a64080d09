//! Attributes of receive rights: limits, status, counts (C5.3, C5.4, C5.7).

use super::lookup;
use super::name::{Name, SpaceId};
use super::state::Ipc;
use super::waitq::WaitOn;
use mach_wire::kern_return::KernReturn;
use mach_wire::port::{
    MACH_PORT_DNREQUESTS_SIZE_COUNT, MACH_PORT_GUARD_INFO_COUNT, MACH_PORT_INFO_EXT_COUNT,
    MACH_PORT_LIMITS_INFO_COUNT, MACH_PORT_QLIMIT_MAX, MACH_PORT_RECEIVE_STATUS_COUNT, PortFlavor,
    PortStatusFlags,
};

/// The words of the largest attribute.
pub(crate) const LARGEST: usize = MACH_PORT_INFO_EXT_COUNT as usize;

/// Implements `mach_port_get_attributes` (C5.3). `room` is the size of the caller's buffer in words. Returns the number of words written.
pub(crate) fn get(
    ipc: &Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    flavor: PortFlavor,
    room: u32,
    words: &mut [u32; LARGEST],
) -> Result<u32, KernReturn> {
    let count = match flavor {
        PortFlavor::LIMITS_INFO => MACH_PORT_LIMITS_INFO_COUNT,
        PortFlavor::RECEIVE_STATUS => MACH_PORT_RECEIVE_STATUS_COUNT,
        PortFlavor::DNREQUESTS_SIZE => MACH_PORT_DNREQUESTS_SIZE_COUNT,
        PortFlavor::INFO_EXT => MACH_PORT_INFO_EXT_COUNT,
        PortFlavor::GUARD_INFO => MACH_PORT_GUARD_INFO_COUNT,
        _ => return Err(KernReturn::INVALID_ARGUMENT),
    };
    if room < count {
        return Err(KernReturn::FAILURE);
    }
    if !name.is_valid() && flavor == PortFlavor::LIMITS_INFO {
        return Ok(0);
    }
    let port = lookup::receive_right(ipc, space, name)?;
    let object = ipc.port(port);
    let Some(queue) = object.queue() else {
        return Err(KernReturn::INVALID_RIGHT);
    };
    match flavor {
        PortFlavor::LIMITS_INFO => words[0] = queue.limit,
        PortFlavor::GUARD_INFO => {
            let guarded = queue.protection.guarded && !queue.protection.strict;
            let value = if guarded { queue.context } else { 0 };
            words[..2].copy_from_slice(&[value as u32, (value >> 32) as u32]);
        }
        PortFlavor::DNREQUESTS_SIZE => words[0] = 0,
        _ => {
            let mut flags = queue.status;
            let protection = queue.protection;
            if protection.guarded {
                flags |= PortStatusFlags::GUARDED;
                flags.set(PortStatusFlags::STRICT_GUARD, protection.strict);
                flags.set(
                    PortStatusFlags::GUARD_IMMOVABLE_RECEIVE,
                    protection.immovable,
                );
            }
            let is_there = |right: &super::kmsg::Right| u32::from(right.port().is_some());
            words[..10].copy_from_slice(&[
                u32::from(queue.links.is_some()),
                queue.sequence,
                object.mscount,
                queue.limit,
                queue.messages.count(),
                object.sorights,
                u32::from(object.srights > 0),
                is_there(&queue.port_destroyed),
                is_there(&queue.no_senders),
                flags.bits(),
            ]);
        }
    }
    Ok(count)
}

/// Implements `mach_port_set_attributes` (C5.4).
pub(crate) fn set(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    flavor: PortFlavor,
    words: &[u32],
) -> Result<(), KernReturn> {
    let flags = match flavor {
        PortFlavor::LIMITS_INFO => {
            let limit = *words.first().ok_or(KernReturn::FAILURE)?;
            if limit > MACH_PORT_QLIMIT_MAX {
                return Err(KernReturn::INVALID_VALUE);
            }
            let port = lookup::receive_right(ipc, space, name)?;
            if let Some(queue) = ipc.port_mut(port).queue_mut() {
                queue.set_limit(limit);
            }
            // Senders that found it full may go on.
            ipc.wake(WaitOn::Port(port));
            return Ok(());
        }
        PortFlavor::DNREQUESTS_SIZE => {
            words.first().ok_or(KernReturn::FAILURE)?;
            return lookup::receive_right(ipc, space, name).map(|_| ());
        }
        PortFlavor::TEMPOWNER => PortStatusFlags::TEMPOWNER | PortStatusFlags::IMP_DONATION,
        PortFlavor::IMPORTANCE_RECEIVER | PortFlavor::DENAP_RECEIVER => {
            PortStatusFlags::IMP_DONATION
        }
        _ => return Err(KernReturn::INVALID_ARGUMENT),
    };
    let port = lookup::receive_right(ipc, space, name)?;
    if let Some(queue) = ipc.port_mut(port).queue_mut() {
        queue.status |= flags;
    }
    Ok(())
}

/// Implements `mach_port_set_mscount` (C5.5).
pub(crate) fn set_make_send_count(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    count: u32,
) -> Result<(), KernReturn> {
    let port = lookup::receive_right(ipc, space, name)?;
    ipc.port_mut(port).mscount = count;
    Ok(())
}

/// Implements `mach_port_set_seqno` (C5.5).
pub(crate) fn set_sequence(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    number: u32,
) -> Result<(), KernReturn> {
    let port = lookup::receive_right(ipc, space, name)?;
    if let Some(queue) = ipc.port_mut(port).queue_mut() {
        queue.sequence = number;
    }
    Ok(())
}

/// Implements `mach_port_get_srights` (C5.7): one for each name that has a send right, and one for each in a message.
pub(crate) fn send_rights(
    ipc: &Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
) -> Result<u32, KernReturn> {
    if !name.is_valid() {
        return Err(KernReturn::INVALID_NAME);
    }
    let port = lookup::receive_right(ipc, space, name)?;
    Ok(ipc.port(port).srights)
}
