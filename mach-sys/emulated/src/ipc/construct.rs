//! Ports made and destroyed with options: `mach_port_construct`, `mach_port_destruct` (C2.5, C3.3).

use super::copyout;
use super::entry::{Rights, SATURATED};
use super::guard;
use super::kmsg::Right;
use super::mach_port::{self, destroy_receive_right};
use super::name::{Name, SpaceId};
use super::port::{MadeAs, MessagePort, PortKind, Protection};
use super::right;
use super::state::Ipc;
use mach_wire::exception::PortGuardFlavor;
use mach_wire::kern_return::KernReturn;
use mach_wire::port::{MACH_PORT_QLIMIT_MAX, PortOptionFlags};

/// Options of `mach_port_construct`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) flags: PortOptionFlags,
    /// Messages at which senders wait, with `MPO_QLIMIT`.
    pub(crate) limit: u32,
    pub(crate) context: u64,
}

/// The bits that say what a port is, one of its types (C2.7).
const TYPES: [u32; 8] = [0, 0x400, 0x800, 0x1000, 0x4000, 0x4400, 0x8000, 0x1_0000];
const TYPE_BITS: u32 = 0x1_dc00;
/// All bits that are known.
const KNOWN: u32 = 0x1_ffff;

/// Implements `mach_port_construct` (C2.5).
pub(crate) fn construct(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    options: Options,
) -> Result<Name, KernReturn> {
    let flags = options.flags;
    check_types(ipc, flags)?;
    if flags.contains(PortOptionFlags::QLIMIT) && options.limit > MACH_PORT_QLIMIT_MAX {
        return Err(KernReturn::INVALID_VALUE);
    }
    let guarded = flags.contains(PortOptionFlags::CONTEXT_AS_GUARD);
    let immovable = flags.contains(PortOptionFlags::EXCEPTION_PORT)
        || flags.contains(PortOptionFlags::IMMOVABLE_RECEIVE)
            && (guarded || ipc.rules.immovable_needs_no_guard());
    let mut made = MessagePort::new();
    made.context = options.context;
    made.made_as = made_as(flags);
    made.protection = Protection {
        guarded,
        strict: guarded && flags.contains(PortOptionFlags::STRICT),
        immovable,
    };
    if flags.contains(PortOptionFlags::QLIMIT) {
        made.set_limit(options.limit);
    }
    let port = ipc.create_port(PortKind::Queue(made));
    let port = port.ok_or(KernReturn::RESOURCE_SHORTAGE)?;
    let name = match copyout::copyout(ipc, space, Right::Receive(port)) {
        Name::NULL => return Err(KernReturn::NO_SPACE),
        name => name,
    };
    if flags.contains(PortOptionFlags::INSERT_SEND_RIGHT) {
        let send = right::make_send(ipc, port);
        copyout::copyout(ipc, space, send);
    }
    Ok(name)
}

/// Returns the type of the port, as far as a rule asks for it. A port that only enforces the order of replies is an ordinary one (C2.7).
fn made_as(flags: PortOptionFlags) -> MadeAs {
    let others = PortOptionFlags::REPLY_PORT
        | PortOptionFlags::PROVISIONAL_REPLY_PORT
        | PortOptionFlags::CONNECTION_PORT;
    if flags.contains(PortOptionFlags::EXCEPTION_PORT) {
        MadeAs::ExceptionPort
    } else if flags.intersects(others) {
        MadeAs::Other
    } else {
        MadeAs::Ordinary
    }
}

/// Refuses types that exclude each other, and those that only Apple's own programs make.
fn check_types(ipc: &Ipc<'_, '_>, flags: PortOptionFlags) -> Result<(), KernReturn> {
    let one_at_most = |set: PortOptionFlags| (flags & set).bits().count_ones() <= 1;
    let services = PortOptionFlags::SERVICE_PORT
        | PortOptionFlags::CONNECTION_PORT
        | PortOptionFlags::TG_BLOCK_TRACKING;
    let replies = PortOptionFlags::REPLY_PORT
        | PortOptionFlags::ENFORCE_REPLY_PORT_SEMANTICS
        | PortOptionFlags::EXCEPTION_PORT
        | PortOptionFlags::PROVISIONAL_REPLY_PORT;
    let is_valid = if ipc.rules.port_types_are_one_number() {
        flags.bits() & !KNOWN == 0 && TYPES.contains(&(flags.bits() & TYPE_BITS))
    } else {
        one_at_most(services) && one_at_most(replies)
    };
    if !is_valid {
        return Err(KernReturn::INVALID_ARGUMENT);
    }
    let apples = PortOptionFlags::SERVICE_PORT | PortOptionFlags::TG_BLOCK_TRACKING;
    if flags.intersects(apples) {
        return Err(KernReturn::DENIED);
    }
    Ok(())
}

/// Implements `mach_port_destruct` (C3.3): takes send references away, then destroys the receive right, guarded or not.
pub(crate) fn destruct(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    delta: i32,
    guard: u64,
) -> Result<(), KernReturn> {
    if !name.is_valid() {
        return Err(KernReturn::INVALID_NAME);
    }
    let entry = mach_port::entry_of(ipc, space, name)?;
    let receives = entry.rights.has(Rights::RECEIVE);
    let Some(port) = entry.port().filter(|_| receives) else {
        let error = KernReturn::INVALID_RIGHT;
        return Err(match entry.was_receive {
            true => error,
            false => guard::with_guard(ipc, name, error),
        });
    };
    if delta != 0 && !entry.rights.has(Rights::SEND) {
        return Err(guard::with_guard(ipc, name, KernReturn::INVALID_RIGHT));
    }
    if delta > 0 {
        return Err(guard::with_guard(ipc, name, KernReturn::INVALID_VALUE));
    }
    let queue = ipc.port(port).queue();
    let value = queue.map_or(0, |queue| queue.context);
    if queue.is_some_and(|queue| queue.protection.guarded) && guard != value {
        guard::raise(ipc, PortGuardFlavor::DESTROY, name, value);
        return Err(KernReturn::INVALID_ARGUMENT);
    }
    let less = delta.unsigned_abs();
    let references = u32::from(entry.references);
    if less > references {
        return Err(guard::with_guard(ipc, name, KernReturn::INVALID_VALUE));
    }
    let stays_saturated = entry.references == SATURATED && less != references;
    if less > 0 && !stays_saturated {
        if let Some(entry) = ipc.space_mut(space).get_mut(name) {
            entry.references = (references - less) as u16;
            if less == references {
                entry.rights = entry.rights.without(Rights::SEND);
            }
        }
        if less == references {
            right::release(ipc, Right::Send(port));
        }
    }
    let entry = mach_port::entry_of(ipc, space, name)?;
    destroy_receive_right(ipc, space, name, &entry);
    Ok(())
}
