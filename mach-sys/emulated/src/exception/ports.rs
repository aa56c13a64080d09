//! Registration: set, get and swap of exception ports (B1–B4).

use super::level::Level;
use super::list::{Compare, List};
use crate::ipc::copyin::{self, Dead};
use crate::ipc::kmsg::Right;
use crate::ipc::name::{Name, SpaceId};
use crate::ipc::right;
use crate::ipc::state::Ipc;
use crate::rules::{KobjectHandler, Rules};
use crate::thread::action::Action;
use crate::thread::kernel::Kernel;
use crate::thread::state;
use mach_wire::exception::{Behavior, BehaviorKind, BehaviorModifiers, ExceptionMask};
use mach_wire::kern_return::KernReturn;
use mach_wire::message::Disposition;
use mach_wire::thread_state::Flavor;

/// The arguments of a registration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registration {
    pub(crate) mask: ExceptionMask,
    pub(crate) port: Name,
    pub(crate) behavior: Behavior,
    pub(crate) flavor: Flavor,
}

/// Implements `{thread,task}_set_exception_ports` (B3.1). The names are those of `space`.
pub(crate) fn set(
    kernel: &mut Kernel<'_, '_>,
    space: SpaceId,
    level: Level,
    registration: Registration,
) -> Result<(), KernReturn> {
    let port = registered_port(&mut kernel.ipc, space, registration)?;
    // B3.1: no slot is hardened afterwards.
    replace(
        kernel,
        level,
        registration,
        port,
        Hardened::Cleared,
        None,
        space,
    );
    Ok(())
}

/// Implements `{thread,task}_swap_exception_ports` (B3.2).
pub(crate) fn swap(
    kernel: &mut Kernel<'_, '_>,
    space: SpaceId,
    level: Level,
    registration: Registration,
) -> Result<List, KernReturn> {
    let port = registered_port(&mut kernel.ipc, space, registration)?;
    let mut list = List::new(Compare::Returned);
    // B3.2: a hardened slot stays one.
    let hardened = Hardened::Kept;
    replace(
        kernel,
        level,
        registration,
        port,
        hardened,
        Some(&mut list),
        space,
    );
    Ok(list)
}

/// Implements `{thread,task}_get_exception_ports` (B4).
pub(crate) fn get(
    kernel: &mut Kernel<'_, '_>,
    space: SpaceId,
    level: Level,
    mask: ExceptionMask,
) -> Result<List, KernReturn> {
    if !ExceptionMask::VALID.contains(mask) {
        return Err(KernReturn::INVALID_ARGUMENT);
    }
    let mut list = List::new(Compare::Stored);
    let per_thread = matches!(level, Level::Thread(_));
    if per_thread && !level.actions(kernel.tables).present {
        return Ok(list);
    }
    for exception in mask.kinds() {
        if let Some(action) = level.actions(kernel.tables).get(exception) {
            list.add(&mut kernel.ipc, space, exception, action);
        }
    }
    Ok(list)
}

/// Takes the port of a registration from the caller's name (B1.1), then validates in the order of B2.
fn registered_port(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    registration: Registration,
) -> Result<Right, KernReturn> {
    let port = sent_port(ipc, space, registration.port)?;
    let validated = validate(ipc, registration, port);
    if let Err(error) = validated {
        right::release(ipc, port);
        return Err(error);
    }
    if is_kobject(ipc, port) && ipc.rules.kobject_as_handler() == KobjectHandler::StoredAsNull {
        // B1.6
        right::release(ipc, port);
        return Ok(Right::Null);
    }
    Ok(port)
}

/// Takes the port that a call carries from the caller's name (B1.1).
pub(super) fn sent_port(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
) -> Result<Right, KernReturn> {
    match name {
        Name::NULL => Ok(Right::Null),
        Name::DEAD => Ok(Right::Dead),
        name => copyin::copyin(ipc, space, name, Disposition::COPY_SEND, Dead::Accepted)
            .map_err(|_| KernReturn::SEND_INVALID_RIGHT),
    }
}

/// Returns whether the right is for something that no user receives from.
fn is_kobject(ipc: &Ipc<'_, '_>, right: Right) -> bool {
    let port = right.port();
    port.is_some_and(|port| ipc.port(port).queue().is_none())
}

/// Returns the kind of a behavior, and whether it needs 64-bit codes and has none (B2.2, B2.5).
fn kind_of(behavior: Behavior, rules: &Rules) -> (BehaviorKind, bool) {
    let mut modifiers = BehaviorModifiers::CODES | BehaviorModifiers::ERRORS;
    if rules.backtrace_is_a_modifier() {
        modifiers |= BehaviorModifiers::BACKTRACE_PREFERRED;
    }
    let kind = BehaviorKind::new(behavior.raw() & !modifiers.bits());
    let backtrace = BehaviorModifiers::BACKTRACE_PREFERRED;
    let needs_codes =
        kind == BehaviorKind::IDENTITY_PROTECTED || behavior.modifiers().contains(backtrace);
    (kind, needs_codes && !behavior.has_codes())
}

/// Validates a registration in the order of B2.
pub(super) fn validate(
    ipc: &Ipc<'_, '_>,
    registration: Registration,
    port: Right,
) -> Result<(), KernReturn> {
    let refused = Err(KernReturn::INVALID_ARGUMENT);
    // B2.1
    if !ExceptionMask::VALID.contains(registration.mask) {
        return refused;
    }
    let (kind, lacks_codes) = kind_of(registration.behavior, ipc.rules);
    if port.port().is_some() {
        // B2.2
        if !(1..=ipc.rules.highest_behavior()).contains(&kind.raw()) {
            return refused;
        }
        // B2.3
        let handler = ipc.rules.kobject_as_handler();
        let queue = port.port().and_then(|port| ipc.port(port).queue());
        let refused = match queue {
            Some(queue) => queue.is_refused_as_handler(ipc.rules),
            None => handler == KobjectHandler::Refused,
        };
        if refused {
            return Err(KernReturn::INVALID_RIGHT);
        }
    }
    // B2.4
    if registration.flavor.raw != 0 && !state::is_registrable(registration.flavor) {
        return refused;
    }
    // B2.5
    if lacks_codes && ipc.rules.missing_codes_are_refused() {
        return refused;
    }
    Ok(())
}

/// The hardened mark of slots that are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hardened {
    Cleared,
    Kept,
    Set,
}

/// Replaces the slots of the mask; `old` lists each action before its port is released (B1.4). Uses up `port`.
pub(super) fn replace(
    kernel: &mut Kernel<'_, '_>,
    level: Level,
    registration: Registration,
    port: Right,
    hardened: Hardened,
    mut old: Option<&mut List>,
    space: SpaceId,
) {
    level.actions_mut(kernel.tables).present = true;
    let ipc = &mut kernel.ipc;
    for exception in registration.mask.kinds() {
        let copy = match port.port() {
            Some(port) => right::copy_send(ipc, port),
            None => port,
        };
        let actions = level.actions_mut(kernel.tables);
        let was_hardened = actions.get(exception).is_some_and(|slot| slot.hardened);
        let action = Action {
            port: copy,
            behavior: registration.behavior,
            flavor: registration.flavor,
            hardened: match hardened {
                Hardened::Cleared => false,
                Hardened::Kept => was_hardened,
                Hardened::Set => true,
            },
        };
        let Some(replaced) = actions.replace(exception, action) else {
            continue;
        };
        if let Some(list) = &mut old {
            list.add(ipc, space, exception, replaced);
        }
        right::release(ipc, replaced.port);
    }
    right::release(ipc, port);
}
