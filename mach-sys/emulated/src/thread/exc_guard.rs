//! A task's behavior at guards (A13.6).

use mach_wire::info::*;
use mach_wire::kern_return::KernReturn;

/// The bits `TASK_EXC_GUARD_…` of a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExcGuard(task_exc_guard_behavior_t);

/// Bits that no task of a release kernel clears.
const KEPT: task_exc_guard_behavior_t = TASK_EXC_GUARD_MP_FATAL
    | TASK_EXC_GUARD_VM_FATAL
    | TASK_EXC_GUARD_MP_DELIVER
    | TASK_EXC_GUARD_VM_DELIVER;

/// Bits that none sets.
const NEVER_SET: task_exc_guard_behavior_t = TASK_EXC_GUARD_MP_ONCE | TASK_EXC_GUARD_VM_ONCE;

impl ExcGuard {
    /// Guards about ports are delivered.
    pub(crate) const DELIVER: Self = Self(TASK_EXC_GUARD_MP_DELIVER);

    pub(crate) const fn bits(self) -> task_exc_guard_behavior_t {
        self.0
    }

    /// Implements `task_set_exc_guard_behavior`, as on a release kernel.
    pub(crate) fn set(&mut self, bits: task_exc_guard_behavior_t) -> Result<(), KernReturn> {
        if bits & !TASK_EXC_GUARD_ALL != 0 {
            return Err(KernReturn::INVALID_VALUE);
        }
        if self.0 & KEPT & !bits != 0 || bits & NEVER_SET & !self.0 != 0 {
            return Err(KernReturn::DENIED);
        }
        self.0 = bits;
        Ok(())
    }

    pub(crate) const fn is_delivered(self) -> bool {
        self.0 & TASK_EXC_GUARD_MP_DELIVER != 0
    }

    pub(crate) const fn is_fatal(self) -> bool {
        self.0 & TASK_EXC_GUARD_MP_FATAL != 0
    }
}
