//! Guards: misuse of a name for which XNU raises `EXC_GUARD`, beside the error that the call returns (A13).

use super::name::Name;
use super::state::Ipc;
use mach_wire::exception::{GuardCode, GuardType, MAX_FATAL_kGUARD_EXC_CODE, PortGuardFlavor};
use mach_wire::kern_return::KernReturn;

/// The guard that one operation raised. A fatal guard stays; any other is replaced by a fatal one only (A13.2).
#[derive(Debug, Default)]
pub(super) struct PendingGuard(Option<GuardCode>);

/// Returns whether a guard ends the process whatever its policy (A13.5).
pub(crate) const fn is_fatal(guard: &GuardCode) -> bool {
    guard.flavor <= MAX_FATAL_kGUARD_EXC_CODE
}

/// Notes that an operation misused a name.
pub(super) fn raise(ipc: &mut Ipc<'_, '_>, flavor: PortGuardFlavor, name: Name, payload: u64) {
    let guard = GuardCode {
        kind: GuardType::MACH_PORT,
        flavor: flavor.raw(),
        target: name.raw(),
        payload,
    };
    let pending = &mut ipc.state.guard.0;
    if pending.is_none_or(|pending| is_fatal(&guard) && !is_fatal(&pending)) {
        *pending = Some(guard);
    }
}

/// Raises the guard that goes with an error of a call on a name, and returns the error.
pub(super) fn with_guard(ipc: &mut Ipc<'_, '_>, name: Name, error: KernReturn) -> KernReturn {
    let flavor = match error {
        KernReturn::INVALID_NAME => PortGuardFlavor::INVALID_NAME,
        KernReturn::INVALID_VALUE => PortGuardFlavor::INVALID_VALUE,
        KernReturn::INVALID_ARGUMENT => PortGuardFlavor::INVALID_ARGUMENT,
        KernReturn::FAILURE => PortGuardFlavor::KERN_FAILURE,
        KernReturn::SEND_INVALID_REPLY => PortGuardFlavor::SEND_INVALID_REPLY,
        KernReturn::SEND_INVALID_RIGHT => PortGuardFlavor::SEND_INVALID_RIGHT,
        KernReturn::RCV_INVALID_NAME => PortGuardFlavor::RCV_INVALID_NAME,
        _ => PortGuardFlavor::INVALID_RIGHT,
    };
    raise(ipc, flavor, name, 0);
    error
}

impl Ipc<'_, '_> {
    /// Takes what the operation raised. Each caller of operations asks before it gives the lock back.
    pub(crate) fn take_guard(&mut self) -> Option<GuardCode> {
        self.state.guard.0.take()
    }
}
