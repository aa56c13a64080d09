//! Notifications: messages that the kernel sends about rights (C8). Each goes through a send-once right and uses it up; where that
//! right's port has died, or no buffer is left for the message, it vanishes (C8.10).

use super::arrive::{self, use_up_send_once};
use super::id::PortId;
use super::kmsg::Right;
use super::mqueue::{self, QueueFull};
use super::name::Name;
use super::state::Ipc;
use super::transit;
use mach_wire::kern_return::KernReturn;
use mach_wire::message::{
    Disposition, MACH_MSGH_BITS_COMPLEX, mach_msg_body_t, mach_msg_header_t,
    mach_msg_port_descriptor_t,
};
use mach_wire::mig::{
    __Request__clock_alarm_reply_t, __Request__mach_notify_dead_name_t,
    __Request__mach_notify_no_senders_t, __Request__mach_notify_port_destroyed_t,
    CLOCK_ALARM_REPLY, MACH_NOTIFY_DEAD_NAME, MACH_NOTIFY_NO_SENDERS, MACH_NOTIFY_PORT_DELETED,
    MACH_NOTIFY_PORT_DESTROYED, MACH_NOTIFY_SEND_ONCE, MACH_NOTIFY_SEND_POSSIBLE, NDR_record_t,
    mk_timer_expire_msg_t,
};
use mach_wire::pod::Pod;
use mach_wire::types::{alarm_type_t, mach_timespec_t};

fn header<T>(id: i32, bits: u32) -> mach_msg_header_t {
    mach_msg_header_t {
        msgh_bits: bits,
        msgh_size: size_of::<T>() as u32,
        msgh_id: id,
        ..mach_msg_header_t::default()
    }
}

/// Sends a message without rights. The right comes back where it does not arrive.
fn try_send<T: Pod>(ipc: &mut Ipc<'_, '_>, to: Right, message: &T) -> Result<(), Right> {
    match ipc.pool.take_for_notice() {
        Some(mut buffer) => {
            buffer.write(message);
            buffer.from_kernel = true;
            buffer.destination = to;
            arrive::arrive(ipc, buffer).map_err(|mut buffer| buffer.destination.take())
        }
        None => Err(to),
    }
}

/// Sends a message without rights, and uses up the right.
fn send<T: Pod>(ipc: &mut Ipc<'_, '_>, to: Right, message: &T) {
    if let Err(Right::SendOnce(port)) = try_send(ipc, to, message) {
        use_up_send_once(ipc, port);
    }
}

/// Sends the message of a timer through a send right, which comes back where it does not arrive.
pub(super) fn timer_expired(ipc: &mut Ipc<'_, '_>, to: Right) -> Result<(), Right> {
    let message = mk_timer_expire_msg_t {
        header: header::<mk_timer_expire_msg_t>(0, 0),
        unused: [0; 3],
    };
    try_send(ipc, to, &message)
}

/// Sends the message of an alarm. Does nothing for a null or dead right.
pub(crate) fn clock_alarm(
    ipc: &mut Ipc<'_, '_>,
    to: Right,
    code: KernReturn,
    kind: alarm_type_t,
    time: mach_timespec_t,
) {
    let message = __Request__clock_alarm_reply_t {
        Head: header::<__Request__clock_alarm_reply_t>(CLOCK_ALARM_REPLY, 0),
        NDR: NDR_record_t::RECORD,
        alarm_code: code.raw(),
        alarm_type: kind,
        alarm_time: time,
    };
    send(ipc, to, &message);
}

/// Sends one of the three notifications about a name.
fn about_a_name(ipc: &mut Ipc<'_, '_>, to: Right, id: i32, name: Name) {
    if to == Right::Null {
        return;
    }
    let message = __Request__mach_notify_dead_name_t {
        Head: header::<__Request__mach_notify_dead_name_t>(id, 0),
        NDR: NDR_record_t::RECORD,
        name: name.raw(),
    };
    send(ipc, to, &message);
}

/// Tells that a name is a dead one now. Does nothing for a null right.
pub(super) fn dead_name(ipc: &mut Ipc<'_, '_>, to: Right, name: Name) {
    about_a_name(ipc, to, MACH_NOTIFY_DEAD_NAME, name);
}

/// Tells that a message can be sent. Does nothing for a null right.
pub(super) fn send_possible(ipc: &mut Ipc<'_, '_>, to: Right, name: Name) {
    about_a_name(ipc, to, MACH_NOTIFY_SEND_POSSIBLE, name);
}

/// Tells that a name was freed before its port died (C8.6). Does nothing for a null right.
pub(super) fn port_deleted(ipc: &mut Ipc<'_, '_>, to: Right, name: Name) {
    about_a_name(ipc, to, MACH_NOTIFY_PORT_DELETED, name);
}

/// Tells that a port has no senders, and how many send rights its receiver made (C8.2). Does nothing for a null right.
pub(super) fn no_senders(ipc: &mut Ipc<'_, '_>, to: Right, made: u32) {
    if to == Right::Null {
        return;
    }
    let message = __Request__mach_notify_no_senders_t {
        Head: header::<__Request__mach_notify_no_senders_t>(MACH_NOTIFY_NO_SENDERS, 0),
        NDR: NDR_record_t::RECORD,
        mscount: made,
    };
    send(ipc, to, &message);
}

/// Sends the receive right of a port that would have been destroyed (C8.5). Without a buffer both rights come back. A message that cannot
/// arrive is doomed, and the port dies with it after all: the caller destroys what is doomed.
pub(super) fn port_destroyed(ipc: &mut Ipc<'_, '_>, to: Right, port: PortId) -> Result<(), Right> {
    let Some(mut buffer) = ipc.pool.take_for_notice() else {
        return Err(to);
    };
    let word = Right::Receive(port).to_word();
    let head = header::<__Request__mach_notify_port_destroyed_t>(
        MACH_NOTIFY_PORT_DESTROYED,
        MACH_MSGH_BITS_COMPLEX,
    );
    buffer.write(&__Request__mach_notify_port_destroyed_t {
        Head: head,
        msgh_body: mach_msg_body_t {
            msgh_descriptor_count: 1,
        },
        rights: mach_msg_port_descriptor_t::new(word, Disposition::PORT_RECEIVE),
    });
    buffer.from_kernel = true;
    buffer.destination = to;
    let unsent = match transit::closes_a_circle(ipc, &buffer) {
        true => Err(buffer),
        false => arrive::arrive(ipc, buffer),
    };
    if let Err(buffer) = unsent {
        ipc.state.doomed.push(buffer);
    }
    Ok(())
}

/// Tells a live port with a queue that a send-once right for it is destroyed unused. The message is delivered through that right,
/// which it uses up (C8.8). Without a buffer, or with 65534 messages queued, the notification is lost, and the right comes back.
pub(super) fn send_once(ipc: &mut Ipc<'_, '_>, port: PortId) -> Result<(), Right> {
    let right = Right::SendOnce(port);
    let Some(mut message) = ipc.pool.take_for_notice() else {
        return Err(right);
    };
    message.write(&header::<mach_msg_header_t>(MACH_NOTIFY_SEND_ONCE, 0));
    message.from_kernel = true;
    message.destination = right;
    mqueue::enqueue(ipc, port, message).map_err(|QueueFull(mut message)| message.destination.take())
}
