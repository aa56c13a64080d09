//! A whole emulated kernel: ports, threads and tasks under one lock.

use super::object::Tables;
use crate::error::ReserveError;
use crate::ipc::monitor::{Held, Monitor};
use crate::ipc::state::Ipc;
use crate::rules::Rules;

/// An emulated kernel.
pub(crate) type Mach = Monitor<Tables>;

/// An emulated kernel whose lock is held.
pub(crate) type Locked<'k> = Held<'k, Tables>;

/// Creates a kernel that follows `rules` and has no task.
pub(crate) fn new(rules: Rules) -> Result<Mach, ReserveError> {
    Monitor::new(rules, Tables::new(rules.limits.threads)?)
}

/// The view of a kernel whose lock is held that operations on threads and tasks work on.
#[derive(Debug)]
pub(crate) struct Kernel<'a, 'k> {
    pub(crate) ipc: Ipc<'a, 'k>,
    pub(crate) tables: &'a mut Tables,
}

impl<'a, 'k> Kernel<'a, 'k> {
    pub(crate) fn of(held: &'a mut Locked<'k>) -> Self {
        let (ipc, tables) = held.parts();
        Self { ipc, tables }
    }
}
