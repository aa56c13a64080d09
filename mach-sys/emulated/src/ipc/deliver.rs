//! What becomes of a message, by the kind of port that it is sent to.

use super::id::PortId;
use super::kmsg::Right;
use super::mqueue::{self, QueueFull};
use super::peer;
use super::pool::Buffer;
use super::port::PortKind;
use super::right;
use super::state::Ipc;
use super::waitq::WaitOn;
use mach_wire::kern_return::KernReturn;
use mach_wire::message::mach_msg_header_t;
use mach_wire::mig::{NDR_record_t, mig_reply_error_t};

/// Hands a message to what it is sent to. A dead destination swallows it (C10.6).
pub(super) fn deliver<'k>(
    ipc: &mut Ipc<'_, 'k>,
    message: Buffer<'k>,
) -> Result<(), QueueFull<'k>> {
    let target = message
        .destination
        .port()
        .filter(|port| ipc.port(*port).alive);
    let Some(port) = target else {
        right::destroy_message(ipc, message);
        return Ok(());
    };
    match ipc.port(port).kind {
        PortKind::Queue(_) => mqueue::enqueue(ipc, port, message),
        PortKind::Reply(_) => {
            reply(ipc, message, port);
            Ok(())
        }
        PortKind::Kobject(_) => {
            refuse_call(ipc, message);
            Ok(())
        }
    }
}

/// Delivers a message to a port on which the kernel waits for a reply.
fn reply<'k>(ipc: &mut Ipc<'_, 'k>, mut message: Buffer<'k>, port: PortId) {
    let arrived = match &mut ipc.port_mut(port).kind {
        PortKind::Reply(reply) if reply.is_waiting() => {
            // The right is used up by this message: its end is no news to the thread that waits.
            let used = message.destination.take();
            debug_assert_eq!(used, Right::SendOnce(port));
            reply.arrive(message)
        }
        _ => Err(message),
    };
    match arrived {
        Ok(()) => {
            right::use_up_send_once(ipc, port);
            let object = WaitOn::Port(port);
            peer::note_reply(ipc.wait_word(object).waiter_is_elsewhere());
            ipc.wake(object);
        }
        Err(message) => right::destroy_message(ipc, message),
    }
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
