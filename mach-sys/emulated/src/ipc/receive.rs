//! Receives messages (C11).

use super::abandoned::Holding;
use super::arrive::use_up_send_once;
use super::copyout;
use super::entry::{Entry, Rights};
use super::guard;
use super::header::{self, BodyCopyout, Guarded, View};
use super::id::PortId;
use super::kmsg::Right;
use super::lookup;
use super::member;
use super::monitor::Monitor;
use super::mqueue;
use super::name::{Name, SpaceId};
use super::peer;
use super::pool::Buffer;
use super::requested;
use super::reverse;
use super::right;
use super::state::Ipc;
use super::wait_word::Waited;
use super::waitq::WaitOn;
use crate::host::{Blocked, CallWait};
use core::mem::offset_of;
use core::time::Duration;
use mach_wire::exception::GuardCode;
use mach_wire::kern_return::{KernReturn, MACH_MSG_IPC_SPACE};
use mach_wire::message::{
    MessageOptions, REQUESTED_TRAILER_SIZE, mach_msg_header_t, mach_msg_mac_trailer_t,
    security_token_t,
};
use std::time::Instant;

const HEADER: u32 = size_of::<mach_msg_header_t>() as u32;

/// Arguments of a receive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceiveRequest {
    pub(crate) address: u64,
    /// Size of the buffer in bytes.
    pub(crate) size: u32,
    pub(crate) options: MessageOptions,
    /// Milliseconds, if the options have `RCV_TIMEOUT`.
    pub(crate) timeout: u32,
    pub(crate) name: Name,
}

impl ReceiveRequest {
    /// Returns how guarded ports are received.
    fn guarded(&self) -> Guarded {
        match self.has(MessageOptions::RCV_GUARDED_DESC) {
            true => Guarded::Received(self.address),
            false => Guarded::Destroyed,
        }
    }

    fn has(&self, option: MessageOptions) -> bool {
        self.options.contains(option)
    }

    fn deadline(&self) -> Option<Instant> {
        self.has(MessageOptions::RCV_TIMEOUT)
            .then(|| Instant::now() + Duration::from_millis(u64::from(self.timeout)))
    }

    /// Returns the size of the trailer that the options request, in bytes (C11.9).
    const fn trailer_size(&self) -> u32 {
        REQUESTED_TRAILER_SIZE(self.options.bits())
    }
}

/// Result of one look at the port's queue.
enum Found<'k> {
    Message(Buffer<'k>),
    /// The first message is larger than the caller's buffer. It stays queued (`MACH_RCV_LARGE`): its size and the port's name.
    Large(u32, Name),
    /// It was destroyed; what the caller gets is a bare header (C11.5).
    Destroyed(Buffer<'k>),
    Nothing(u32),
}

/// Receives a message for a task, into names of `space`.
///
/// A guard that the call raises is written to `guard` (A13).
pub(crate) fn receive<T>(
    kernel: &Monitor<T>,
    space: SpaceId,
    request: ReceiveRequest,
    guard: &mut Option<GuardCode>,
) -> Result<(), KernReturn> {
    let mut held = kernel.lock();
    let mut ipc = held.ipc();
    let Some(object) = receivable(&ipc, space, request.name) else {
        let error = not_receivable(&mut ipc, space, request.name);
        *guard = ipc.take_guard();
        return Err(error);
    };
    // While this thread waits the object may die; its slot must not become another object.
    ipc.retain(object);
    let mut deadline = None;
    let mut spin = peer::take_replied_elsewhere();
    let found = loop {
        let mut ipc = held.ipc();
        if receivable(&ipc, space, request.name) != Some(object) {
            ipc.release(object);
            return Err(KernReturn::RCV_PORT_CHANGED);
        }
        let sequence = match take_message(&mut ipc, object, request) {
            Found::Nothing(sequence) => sequence,
            found => break found,
        };
        let wait = CallWait::begin(Holding::Reference.in_wait_for(object));
        drop(held);
        deadline = deadline.or_else(|| request.deadline());
        let waited = kernel.wait(object, sequence, deadline, spin);
        spin = false;
        held = kernel.lock();
        let waited = waited.with(wait.end());
        let error = match waited {
            Waited::Event => continue,
            Waited::TimedOut => KernReturn::RCV_TIMED_OUT,
            Waited::Interrupted if request.has(MessageOptions::RCV_INTERRUPT) => {
                KernReturn::RCV_INTERRUPTED
            }
            Waited::Interrupted => {
                // C11.4: retried with the full timeout again.
                deadline = None;
                continue;
            }
        };
        held.ipc().release(object);
        return Err(error);
    };
    let mut ipc = held.ipc();
    ipc.release(object);
    let (message, destroyed, outcome) = match found {
        Found::Message(message) if lacks_a_name(&mut ipc, space, &message) => {
            // C11.11: what arrives is the bare header of C11.5.
            let port = message.destination.port();
            let queue = port.and_then(|port| ipc.port(port).queue());
            let name = queue.map_or(Name::NULL, |queue| queue.receive_name());
            let bare = bare_header(&mut ipc, message, name, request);
            let error = with_space_bit(KernReturn::RCV_HEADER_ERROR);
            (bare.ok_or(error)?, true, Err(error))
        }
        Found::Message(mut message) => {
            copyout_header(&mut ipc, space, &mut message);
            let mut body = BodyCopyout::of(&message, request.guarded());
            while body.step(&mut held.ipc(), space, &mut message) {
                drop(held);
                held = kernel.lock();
            }
            let outcome = match body.lacked_a_name() {
                true => Err(with_space_bit(KernReturn::RCV_BODY_ERROR)),
                false => Ok(()),
            };
            (message, false, outcome)
        }
        Found::Destroyed(message) => (message, true, Err(KernReturn::RCV_TOO_LARGE)),
        Found::Large(size, name) => {
            let blocked = held.blocked();
            drop(held);
            return report_large(kernel, blocked, request, size, name);
        }
        Found::Nothing(_) => return Err(KernReturn::RCV_TIMED_OUT),
    };
    let blocked = held.blocked();
    drop(held);
    let mut length = message.size as usize + request.trailer_size() as usize;
    if destroyed && !kernel.rules().small_receive_buffer_is_overrun() {
        if request.size < HEADER {
            return Err(KernReturn::RCV_INVALID_DATA);
        }
        length = length.min(request.size as usize);
    }
    kernel
        .copy_to_user(blocked, request.address, &message.bytes()[..length])
        .map_err(|_| KernReturn::RCV_INVALID_DATA)?;
    drop(message);
    kernel.pool().sweep();
    outcome
}

/// Returns an error of a copy out of the kernel for which the space had no name left (C11.11).
fn with_space_bit(error: KernReturn) -> KernReturn {
    KernReturn::new(error.raw() | MACH_MSG_IPC_SPACE)
}

/// Returns whether the space has no name left for the reply right of a message.
fn lacks_a_name(ipc: &mut Ipc<'_, '_>, space: SpaceId, message: &Buffer<'_>) -> bool {
    let Some(port) = message.reply.port() else {
        return false;
    };
    let has_one = match message.reply {
        Right::SendOnce(_) => false,
        _ => reverse::name_of(ipc, space, port).is_some(),
    };
    ipc.port(port).alive && !has_one && ipc.space_mut(space).is_full()
}

/// Writes only the size, and with `MACH_RCV_LARGE_IDENTITY` the port's name (C11.5 with `MACH_RCV_LARGE`).
fn report_large<T>(
    kernel: &Monitor<T>,
    blocked: Blocked,
    request: ReceiveRequest,
    size: u32,
    name: Name,
) -> Result<(), KernReturn> {
    let put = |at: usize, word: u32| {
        if request.size as usize >= at + size_of::<u32>() {
            let address = request.address.wrapping_add(at as u64);
            // What cannot be written is not reported; the result is the same.
            let _ = kernel.copy_to_user(blocked, address, &word.to_ne_bytes());
        }
    };
    put(offset_of!(mach_msg_header_t, msgh_size), size);
    if request.has(MessageOptions::RCV_LARGE_IDENTITY) {
        put(offset_of!(mach_msg_header_t, msgh_local_port), name.raw());
    }
    Err(KernReturn::RCV_TOO_LARGE)
}

/// Returns the port or set that a name allows to receive from (C11.1).
fn receivable(ipc: &Ipc<'_, '_>, space: SpaceId, name: Name) -> Option<WaitOn> {
    let entry = ipc.space(space).get(name)?;
    if let Some(set) = entry.set() {
        return Some(WaitOn::Set(set));
    }
    let receives = |entry: &&Entry| entry.rights.has(Rights::RECEIVE);
    let port = Some(entry).filter(receives).and_then(Entry::port);
    port.map(WaitOn::Port)
}

/// Returns the error for a name that nothing can be received from. The name of a live right of another kind raises a guard (C11.1).
fn not_receivable(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name) -> KernReturn {
    let error = KernReturn::RCV_INVALID_NAME;
    let Some(entry) = ipc.space(space).get(name).copied() else {
        return error;
    };
    let is_dead = lookup::pretended_rights(ipc, &entry).has(Rights::DEAD_NAME);
    if entry.was_receive || is_dead && !ipc.rules.receiving_from_dead_names_is_misuse() {
        return error;
    }
    guard::with_guard(ipc, name, error)
}

/// Returns the port to receive from: the object itself, or the member that the set serves next. `None` when nothing is queued.
fn next_port(ipc: &Ipc<'_, '_>, object: WaitOn) -> Option<PortId> {
    match object {
        WaitOn::Set(set) => member::next_member(ipc, set),
        WaitOn::Port(port) => {
            let queue = ipc.port(port).queue()?;
            (!queue.messages.is_empty()).then_some(port)
        }
    }
}

fn take_message<'k>(ipc: &mut Ipc<'_, 'k>, object: WaitOn, request: ReceiveRequest) -> Found<'k> {
    let nothing = |ipc: &Ipc<'_, 'k>| Found::Nothing(ipc.wait_word(object).sequence());
    let Some(port) = next_port(ipc, object) else {
        return nothing(ipc);
    };
    let pool = ipc.pool;
    let Some(queue) = ipc.port(port).queue() else {
        return nothing(ipc);
    };
    let name = queue.receive_name();
    let size = queue.messages.first(pool).map_or(0, |message| message.size);
    let fits = size + request.trailer_size() <= request.size;
    if !fits && request.has(MessageOptions::RCV_LARGE) {
        return Found::Large(size, name);
    }
    if let WaitOn::Set(set) = object {
        member::rotate(ipc, set);
    }
    let Some(mut message) = mqueue::dequeue(ipc, port) else {
        return nothing(ipc);
    };
    stamp(ipc, &mut message, port, request);
    if fits {
        return Found::Message(message);
    }
    match bare_header(ipc, message, name, request) {
        Some(bare) => Found::Destroyed(bare),
        None => nothing(ipc),
    }
}

/// Destroys a message that is too large for its receiver, which sees a header without the rights (C11.5). The right that it was
/// sent through is used up by the delivery. `None` without a buffer.
fn bare_header<'k>(
    ipc: &mut Ipc<'_, 'k>,
    mut message: Buffer<'k>,
    name: Name,
    request: ReceiveRequest,
) -> Option<Buffer<'k>> {
    let remote = match message.reply {
        Right::Dead => Name::DEAD,
        _ => Name::NULL,
    };
    let trailer = message.trailer(request.trailer_size() as usize);
    header::write_ports(&mut message, View::Receiver, name, remote);
    let header = mach_msg_header_t {
        msgh_size: HEADER,
        ..message.header()
    };
    deliver_destination(ipc, message.destination.take());
    right::destroy_message(ipc, message);
    let pool = ipc.pool;
    let mut bare = pool.take_reserved().or_else(|| pool.take_for_notice())?;
    bare.write(&header);
    bare.put_trailer(&trailer);
    Some(bare)
}

/// Ends the right that a message was sent through, with its delivery.
fn deliver_destination(ipc: &mut Ipc<'_, '_>, right: Right) {
    match right {
        Right::SendOnce(port) => use_up_send_once(ipc, port),
        other => right::release(ipc, other),
    }
}

/// Writes the trailer behind the message (C11.9).
fn stamp(ipc: &mut Ipc<'_, '_>, message: &mut Buffer<'_>, port: PortId, request: ReceiveRequest) {
    let Some(queue) = ipc.port_mut(port).queue_mut() else {
        return;
    };
    let sequence = queue.sequence;
    queue.sequence = sequence.wrapping_add(1);
    let size = request.trailer_size();
    // The kernel's token is {0, 1}; a user's its user and group, which are the process's own here.
    let sender = match (size >= 20, message.from_kernel) {
        (false, _) => [0, 0],
        (true, true) => [0, 1],
        (true, false) => crate::host::user_and_group().into(),
    };
    message.put_trailer(&mach_msg_mac_trailer_t {
        msgh_trailer_size: size,
        msgh_seqno: sequence,
        msgh_sender: security_token_t { val: sender },
        msgh_context: queue.context,
        ..mach_msg_mac_trailer_t::default()
    });
}

/// Gives the receiver names for the rights of a message's header: reply, then destination; the body's come after them. Before that, notifications go
/// to those that waited for room in the queue (C11.6).
fn copyout_header(ipc: &mut Ipc<'_, '_>, space: SpaceId, message: &mut Buffer<'_>) {
    let port = message.destination.port();
    if let Some(port) = port {
        requested::message_received(ipc, port);
    }
    let reply = message.reply.take();
    let reply = copyout::copyout(ipc, space, reply);
    let queue = port.and_then(|port| ipc.port(port).queue());
    let local = queue.map_or(Name::NULL, |queue| queue.receive_name());
    header::write_ports(message, View::Receiver, local, reply);
    deliver_destination(ipc, message.destination.take());
}
