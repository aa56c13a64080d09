//! The rights of a message, on their way from a task's names into the message and back: the header's two, and the body's.

use super::body::{Memory, Rights as BodyRights, Slot};
use super::copyin::{self, Dead};
use super::copyout;
use super::entry::{Entry, Rights};
use super::guard;
use super::kmsg::{Kmsg, Right};
use super::name::{Name, SpaceId};
use super::port::{PortKind, Protection};
use super::requested;
use super::right;
use super::state::Ipc;
use super::uref;
use mach_wire::exception::PortGuardFlavor;
use mach_wire::kern_return::KernReturn;
use mach_wire::message::{
    Disposition, MACH_MSG_GUARD_FLAGS_IMMOVABLE_RECEIVE, MACH_MSG_GUARD_FLAGS_UNGUARDED_ON_SEND,
    MACH_MSGH_BITS, MACH_MSGH_BITS_COMPLEX, MACH_MSGH_BITS_LOCAL, MACH_MSGH_BITS_REMOTE,
    MACH_MSGH_BITS_USER, MACH_MSGH_BITS_VOUCHER_MASK, mach_msg_header_t,
};

/// The header's rights as its sender wrote them.
#[derive(Clone, Copy)]
struct Wanted {
    destination: Name,
    to: Disposition,
    reply: Name,
    answer: Disposition,
}

/// Takes the destination and reply rights from the sender's names: both or none (C10.2, C10.3).
pub(super) fn copyin_header(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    message: &mut Kmsg,
) -> Result<(), KernReturn> {
    let wanted = validate(ipc, &message.header())?;
    let vanishes = check_rights(ipc, space, wanted)?;
    take_rights(ipc, space, wanted, vanishes, message)
}

fn is_sendable(disposition: Disposition) -> bool {
    // A receive right is no header's.
    disposition != Disposition::MOVE_RECEIVE && disposition.as_received().is_some()
}

/// Finds what is wrong with the header alone (C10.1).
fn validate(ipc: &Ipc<'_, '_>, header: &mach_msg_header_t) -> Result<Wanted, KernReturn> {
    let bits = header.msgh_bits;
    if bits & !MACH_MSGH_BITS_USER != 0 && ipc.rules.unknown_header_bits_are_refused() {
        return Err(KernReturn::SEND_INVALID_HEADER);
    }
    let wanted = Wanted {
        destination: Name::new(header.msgh_remote_port),
        to: Disposition::new(MACH_MSGH_BITS_REMOTE(bits)),
        reply: Name::new(header.msgh_local_port),
        answer: Disposition::new(MACH_MSGH_BITS_LOCAL(bits)),
    };
    let answer_fits = match wanted.answer {
        Disposition::PORT_NONE => wanted.reply == Name::NULL,
        answer => is_sendable(answer),
    };
    if !answer_fits {
        return Err(KernReturn::SEND_INVALID_HEADER);
    }
    if bits & MACH_MSGH_BITS_VOUCHER_MASK != 0 {
        return Err(KernReturn::SEND_INVALID_VOUCHER);
    }
    if !is_sendable(wanted.to) {
        return Err(KernReturn::SEND_INVALID_HEADER);
    }
    Ok(wanted)
}

/// Finds what is wrong with the rights, in the order of C10.2. Changes nothing but dead names. Returns whether the message
/// [vanishes].
fn check_rights(ipc: &mut Ipc<'_, '_>, space: SpaceId, wanted: Wanted) -> Result<bool, KernReturn> {
    let Wanted {
        destination,
        to,
        reply,
        answer,
    } = wanted;
    let invalid = Err(KernReturn::SEND_INVALID_DEST);
    let once = Disposition::MOVE_SEND_ONCE;
    if !destination.is_valid() {
        return invalid;
    }
    let shared_once = destination == reply && (to == once || answer == once);
    // A dead name or a set.
    let none = |ipc: &Ipc<'_, '_>| match ipc.space(space).get(destination) {
        Some(entry) => entry.rights.has(Rights::DEAD_NAME) || entry.rights.has(Rights::PORT_SET),
        None => true,
    };
    let early = !ipc.rules.reply_is_checked_before_destination();
    if ipc.space(space).get(destination).is_none() || early && (shared_once || none(ipc)) {
        return invalid;
    }
    if reply.is_valid() {
        check_reply(ipc, space, reply, answer)
            .map_err(|error| guard::with_guard(ipc, reply, error))?;
    }
    if shared_once || none(ipc) {
        return invalid;
    }
    let vanishes = vanishes(ipc, space, wanted);
    if !vanishes {
        copyin::check(ipc, space, destination, to, Dead::Refused)
            .map_err(|_| KernReturn::SEND_INVALID_DEST)?;
    }
    if destination == reply && to == Disposition::MOVE_SEND && answer == to {
        let references = ipc.space(space).get(reply).map_or(0, |e| e.references);
        if references < 2 || copyin::keep_pinned(ipc, space, reply, 2).is_err() {
            return invalid;
        }
    }
    Ok(vanishes)
}

/// Returns whether the destination is a send-once right whose port died and which no call looked at since: the message is
/// accepted, and vanishes, unless a notification request waits for the death.
fn vanishes(ipc: &Ipc<'_, '_>, space: SpaceId, wanted: Wanted) -> bool {
    let entry = ipc.space(space).get(wanted.destination);
    let once = entry.filter(|entry| entry.rights.has(Rights::SEND_ONCE));
    let once = once.filter(|entry| !requested::is_armed(ipc, entry));
    let port = once.and_then(Entry::port);
    wanted.to == Disposition::MOVE_SEND_ONCE && port.is_some_and(|port| !ipc.port(port).alive)
}

/// Refuses a reply right that is absent, a set, a dead name already, or of the wrong kind. One whose port died without its name
/// having been looked at since goes through (C10.2).
fn check_reply(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    reply: Name,
    answer: Disposition,
) -> Result<(), KernReturn> {
    let refused = KernReturn::SEND_INVALID_REPLY;
    let entry = ipc.space(space).get(reply).ok_or(refused)?;
    if entry.rights.has(Rights::DEAD_NAME) && !ipc.rules.dead_name_is_a_reply() {
        return Err(refused);
    }
    copyin::check(ipc, space, reply, answer, Dead::Accepted).map_err(|_| refused)
}

fn take_rights(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    wanted: Wanted,
    vanishes: bool,
    message: &mut Kmsg,
) -> Result<(), KernReturn> {
    let Wanted {
        destination,
        to,
        reply,
        answer,
    } = wanted;
    let take_reply = |ipc: &mut Ipc<'_, '_>| match reply {
        Name::NULL => Ok(Right::Null),
        Name::DEAD => Ok(Right::Dead),
        name => copyin::copyin(ipc, space, name, answer, Dead::Accepted)
            .map_err(|_| KernReturn::SEND_INVALID_REPLY),
    };
    // One reference moved and copied at once suffices when the copy is made first (C10.3).
    let copy_first = destination == reply && to == Disposition::MOVE_SEND;
    let early = if copy_first {
        Some(take_reply(ipc)?)
    } else {
        None
    };
    message.destination = if vanishes {
        let entry = ipc.space(space).get(destination);
        let port = entry.and_then(Entry::port);
        let request = uref::free(ipc, space, destination);
        debug_assert_eq!(request, Right::Null);
        port.map_or(Right::Dead, Right::SendOnce)
    } else if copy_first {
        copyin::copyin(ipc, space, destination, to, Dead::Refused)
            .map_err(|_| KernReturn::SEND_INVALID_DEST)?
    } else {
        // Nothing has changed since it was checked.
        copyin::take(ipc, space, destination, to).map_err(|_| KernReturn::SEND_INVALID_DEST)?
    };
    message.reply = match early {
        Some(right) => right,
        None => take_reply(ipc)?,
    };
    message.reply_disposition = answer.as_received().unwrap_or(Disposition::PORT_NONE);
    Ok(())
}

/// Rights of a body that are taken or named in one go under the kernel's lock, which is given back before the next ones.
const AT_ONCE: usize = 256;

/// The taking of a body's rights, in order (C10.4).
#[derive(Debug)]
pub(super) struct BodyCopyin {
    rights: BodyRights,
    /// Offset in bytes of the descriptor whose memory cannot be read, if there is one.
    bad_memory: Option<usize>,
    /// The error, and the offset of the descriptor.
    failed: Option<(KernReturn, usize)>,
}

impl BodyCopyin {
    pub(super) fn of(message: &Kmsg, bad_memory: Option<usize>) -> Self {
        Self {
            rights: BodyRights::of(message),
            bad_memory,
            failed: None,
        }
    }

    /// Takes the next rights. Returns whether there are more. After an error the message holds what was taken before it, for destruction.
    pub(super) fn step(
        &mut self,
        ipc: &mut Ipc<'_, '_>,
        space: SpaceId,
        message: &mut Kmsg,
    ) -> bool {
        for _ in 0..AT_ONCE {
            let Some(slot) = self.rights.next(message) else {
                self.look_at_memory(usize::MAX);
                return false;
            };
            self.look_at_memory(slot.at);
            let right = match self.failed {
                None => self.take(ipc, space, message, slot),
                Some(_) => Right::Null,
            };
            let received = slot.disposition.as_received();
            let received = received.unwrap_or(Disposition::PORT_SEND);
            message.set_word(slot, right.to_word(), received);
            if slot.is_guarded && right.port().is_some() {
                // The move has removed the guard (C7.1a).
                let found = message.guarded_port(slot);
                let flags = u32::from(found.flags) | MACH_MSG_GUARD_FLAGS_UNGUARDED_ON_SEND;
                message.set_guard(slot, found.context, flags);
            }
        }
        true
    }

    /// Notes memory that cannot be read, if its descriptor comes before an offset.
    fn look_at_memory(&mut self, before: usize) {
        if let (Some(at), None) = (self.bad_memory, self.failed) {
            if at <= before {
                self.failed = Some((KernReturn::SEND_INVALID_MEMORY, at));
            }
        }
    }

    fn take(&mut self, ipc: &mut Ipc<'_, '_>, space: SpaceId, message: &Kmsg, slot: Slot) -> Right {
        let name = Name::new(message.word(slot));
        let guarded = match slot.is_guarded && name.is_valid() {
            true => check_guard(ipc, space, name, message, slot),
            false => Ok(()),
        };
        let taken = guarded.and_then(|()| copyin::copyin_body(ipc, space, name, slot.disposition));
        taken.unwrap_or_else(|error| {
            let refused = KernReturn::SEND_INVALID_RIGHT;
            let error = match error {
                // A right of another kind (C10.4).
                KernReturn::INVALID_RIGHT => guard::with_guard(ipc, name, refused),
                _ => refused,
            };
            self.failed = Some((error, slot.at));
            Right::Null
        })
    }

    pub(super) fn outcome(&self) -> Result<(), KernReturn> {
        self.failed.map_or(Ok(()), |(error, _)| Err(error))
    }

    /// Returns whether the descriptor at an offset was copied in, with its memory.
    pub(super) fn has_taken(&self, memory: Memory) -> bool {
        match self.failed {
            None => true,
            // An array is copied in, and its sender's memory released, before its rights are looked at.
            Some((error, at)) => {
                memory.at < at || memory.at == at && error != KernReturn::SEND_INVALID_MEMORY
            }
        }
    }
}

/// Returns whether a message, as its sender wrote it, goes to a port on which the kernel waits for a reply.
pub(super) fn is_reply_to_the_kernel(ipc: &Ipc<'_, '_>, space: SpaceId, message: &Kmsg) -> bool {
    let destination = Name::new(message.header().msgh_remote_port);
    let port = ipc.space(space).get(destination).and_then(Entry::port);
    port.is_some_and(|port| matches!(ipc.port(port).kind, PortKind::Reply(_)))
}

/// Whose view of a header's two ports is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// The receiver's: the reply right is remote, the destination local (C11.6).
    Receiver,
    /// The sender's, which gets a message back (C10.7).
    Sender,
}

/// Returns the header's bits as a receiver or sender sees them.
fn bits(message: &Kmsg, view: View) -> u32 {
    let (destination, reply) = (
        message.destination_disposition().raw(),
        message.reply_disposition.raw(),
    );
    let dispositions = match view {
        View::Receiver => MACH_MSGH_BITS(reply, destination),
        View::Sender => MACH_MSGH_BITS(destination, reply),
    };
    dispositions | message.header().msgh_bits & MACH_MSGH_BITS_COMPLEX
}

/// Writes the two ports into the header, and the dispositions of the rights that the message still carries.
pub(super) fn write_ports(message: &mut Kmsg, view: View, destination: Name, reply: Name) {
    let (remote, local) = match view {
        View::Receiver => (reply, destination),
        View::Sender => (destination, reply),
    };
    let header = mach_msg_header_t {
        msgh_bits: bits(message, view),
        msgh_remote_port: remote.raw(),
        msgh_local_port: local.raw(),
        ..message.header()
    };
    message.set_header(&header);
}

/// Finds whether the guard of a port that is sent with it is the one that its descriptor names (C5.6). A name without a receive right, or
/// an immovable one, is looked at later.
fn check_guard(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    message: &Kmsg,
    slot: Slot,
) -> Result<(), KernReturn> {
    let entry = ipc.space(space).get(name);
    let entry = entry.filter(|entry| entry.rights.has(Rights::RECEIVE));
    let queue = entry
        .and_then(Entry::port)
        .and_then(|port| ipc.port(port).queue());
    let Some(queue) = queue.filter(|queue| !queue.protection.immovable) else {
        return Ok(());
    };
    let wanted = message.guarded_port(slot);
    let flags = u32::from(wanted.flags);
    let unguarded = flags & MACH_MSG_GUARD_FLAGS_UNGUARDED_ON_SEND != 0;
    let (is_guarded, value) = (queue.protection.guarded, queue.context);
    let fits = match is_guarded {
        true => wanted.context == value,
        false => unguarded && wanted.context == 0,
    };
    if fits {
        return Ok(());
    }
    guard::raise(ipc, PortGuardFlavor::INCORRECT_GUARD, name, value);
    Err(KernReturn::INVALID_ARGUMENT)
}

/// Treatment of a body's guarded ports on their way out of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guarded {
    /// Their receiver does not want such descriptors (`MACH_RCV_GUARDED_DESC`): the ports die.
    Destroyed,
    /// Into a message at this address, which is the guard of those that become immovable.
    Received(u64),
    /// Back to their sender, into a message at this address: movable.
    GivenBack(u64),
}

/// The naming of a body's rights for its receiver, or for the sender that gets it back, in order.
#[derive(Debug)]
pub(super) struct BodyCopyout {
    rights: BodyRights,
    guarded: Guarded,
    lacked_a_name: bool,
}

impl BodyCopyout {
    pub(super) fn of(message: &Kmsg, guarded: Guarded) -> Self {
        Self {
            rights: BodyRights::of(message),
            guarded,
            lacked_a_name: false,
        }
    }

    /// Returns whether a right found no room in the space, and was destroyed (C11.11).
    pub(super) fn lacked_a_name(&self) -> bool {
        self.lacked_a_name
    }

    /// Names the next rights. Returns whether there are more; where there are none, the out-of-line memory is the task's too.
    pub(super) fn step(
        &mut self,
        ipc: &mut Ipc<'_, '_>,
        space: SpaceId,
        message: &mut Kmsg,
    ) -> bool {
        for _ in 0..AT_ONCE {
            let Some(slot) = self.rights.next(message) else {
                message.give_out_memory();
                return false;
            };
            let right = message.body_right(slot);
            let name = match slot.is_guarded {
                true => self.guarded_port(ipc, space, message, slot),
                false => copyout::copyout(ipc, space, right),
            };
            let destroyed = slot.is_guarded && self.guarded == Guarded::Destroyed;
            if name == Name::NULL && right.port().is_some() && !destroyed {
                self.lacked_a_name = true;
            }
            message.set_word(slot, name.raw(), slot.disposition);
        }
        true
    }

    /// Names a port that was sent with its guard. With the flag `IMMOVABLE_RECEIVE` it gets the message's address as its guard.
    fn guarded_port(
        &self,
        ipc: &mut Ipc<'_, '_>,
        space: SpaceId,
        message: &mut Kmsg,
        slot: Slot,
    ) -> Name {
        let right = message.body_right(slot);
        let (address, immovable) = match self.guarded {
            Guarded::Destroyed => {
                let flags = message.guarded_port(slot).flags;
                message.set_guard(slot, 0, flags.into());
                right::release(ipc, right);
                return Name::NULL;
            }
            Guarded::Received(address) => (address, true),
            Guarded::GivenBack(address) => (address, false),
        };
        let flags = u32::from(message.guarded_port(slot).flags);
        let name = copyout::copyout(ipc, space, right);
        let port = right.port().filter(|_| name.is_valid());
        if flags & MACH_MSG_GUARD_FLAGS_IMMOVABLE_RECEIVE == 0 {
            return name;
        }
        if let Some(queue) = port.and_then(|port| ipc.port_mut(port).queue_mut()) {
            queue.context = address;
            queue.protection = Protection {
                guarded: true,
                strict: false,
                immovable,
            };
            let flags = flags & !MACH_MSG_GUARD_FLAGS_UNGUARDED_ON_SEND;
            message.set_guard(slot, address, flags);
        }
        name
    }
}
