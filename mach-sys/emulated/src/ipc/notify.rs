//! Notifications: messages that the kernel sends about rights (C8).

use super::id::PortId;
use super::kmsg::Right;
use super::mqueue::{self, QueueFull};
use super::state::Ipc;
use mach_wire::message::mach_msg_header_t;
use mach_wire::mig::MACH_NOTIFY_SEND_ONCE;

/// Tells a live port with a queue that a send-once right for it is destroyed unused. The message is delivered through that right,
/// which it uses up (C8.8). Without a buffer, or with 65534 messages queued, the notification is lost, and the right comes back.
pub(super) fn send_once(ipc: &mut Ipc<'_, '_>, port: PortId) -> Result<(), Right> {
    let right = Right::SendOnce(port);
    let Some(mut message) = ipc.pool.take_for_notice() else {
        return Err(right);
    };
    message.write(&mach_msg_header_t {
        msgh_size: size_of::<mach_msg_header_t>() as u32,
        msgh_id: MACH_NOTIFY_SEND_ONCE,
        ..mach_msg_header_t::default()
    });
    message.from_kernel = true;
    message.destination = right;
    mqueue::enqueue(ipc, port, message).map_err(|QueueFull(mut message)| message.destination.take())
}
