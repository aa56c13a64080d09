//! Delivery of a message, by the kind of its destination port.

use super::arrive;
use super::mqueue::QueueFull;
use super::pool::Buffer;
use super::port::PortKind;
use super::right;
use super::state::Ipc;
use mach_wire::kern_return::KernReturn;
use mach_wire::message::mach_msg_header_t;
use mach_wire::mig::{NDR_record_t, mig_reply_error_t};

/// Hands a message to what it is sent to. A dead destination swallows it (C10.6).
pub(super) fn deliver<'k>(ipc: &mut Ipc<'_, 'k>, message: Buffer<'k>) -> Result<(), QueueFull<'k>> {
    let port = message.destination.port();
    let Err(message) = arrive::arrive(ipc, message) else {
        // It may be a reply that ended the kernel's wait.
        if let Some(port) = port {
            right::release_held(ipc, port);
        }
        return Ok(());
    };
    let target = message.destination.port();
    let target = target.filter(|port| ipc.port(*port).alive);
    match target.map(|port| &ipc.port(port).kind) {
        Some(PortKind::Queue(_)) => return Err(QueueFull(message)),
        Some(PortKind::Kobject(_) | PortKind::Semaphore(_)) => refuse_call(ipc, message),
        Some(PortKind::Reply(_)) | None => right::destroy_message(ipc, message),
    }
    Ok(())
}

/// Answers a message to a kernel object. These are called through the seam, not by message: the reply is what a kernel gives to
/// an identifier it does not know: `MIG_BAD_ID`.
fn refuse_call<'k>(ipc: &mut Ipc<'_, 'k>, mut message: Buffer<'k>) {
    let reply = message.reply.take();
    let id = message.header().msgh_id;
    right::destroy_message(ipc, message);
    if reply.port().is_none() {
        return;
    }
    let Some(mut answer) = ipc.pool.take_for_notice() else {
        right::release(ipc, reply);
        return;
    };
    answer.write(&mig_reply_error_t {
        Head: mach_msg_header_t {
            msgh_size: size_of::<mig_reply_error_t>() as u32,
            msgh_id: id.wrapping_add(100),
            ..mach_msg_header_t::default()
        },
        NDR: NDR_record_t::RECORD,
        RetCode: KernReturn::MIG_BAD_ID.raw(),
    });
    answer.from_kernel = true;
    answer.destination = reply;
    if let Err(QueueFull(answer)) = deliver(ipc, answer) {
        right::destroy_message(ipc, answer);
    }
}
