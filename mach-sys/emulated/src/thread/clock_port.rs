//! The ports of the host's clocks.

use super::kernel::Kernel;
use crate::ipc::id::PortId;
use crate::ipc::kobject::{Kobject, KobjectType};
use crate::ipc::port::PortKind;
use mach_wire::types::{CALENDAR_CLOCK, SYSTEM_CLOCK, clock_id_t};

/// The clocks that there are.
pub(crate) const CLOCKS: [clock_id_t; 2] = [SYSTEM_CLOCK, CALENDAR_CLOCK];

/// Returns the port of a clock by its place among them, which the first call creates and which never dies. `None` when the kernel is full.
pub(crate) fn of(kernel: &mut Kernel<'_, '_>, place: usize) -> Option<PortId> {
    if kernel.tables.clocks[place].is_none() {
        kernel.tables.clocks[place] = kernel.ipc.create_port(PortKind::Kobject(Kobject {
            kind: KobjectType::Clock,
            value: place as u32,
        }));
    }
    kernel.tables.clocks[place]
}
