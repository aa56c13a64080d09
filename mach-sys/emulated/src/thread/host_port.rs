//! The host port that an unprivileged task sees.

use super::kernel::Kernel;
use crate::ipc::id::PortId;
use crate::ipc::kobject::{Kobject, KobjectType};
use crate::ipc::port::PortKind;

/// Returns the kernel's host port, which the first call creates and which never dies. `None` when the kernel is full.
pub(crate) fn of(kernel: &mut Kernel<'_, '_>) -> Option<PortId> {
    if kernel.tables.host.is_none() {
        kernel.tables.host = kernel.ipc.create_port(PortKind::Kobject(Kobject {
            kind: KobjectType::Host,
            value: 0,
        }));
    }
    kernel.tables.host
}
