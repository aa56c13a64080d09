//! Kernel objects: the objects behind ports whose messages the kernel itself would receive.

use mach_wire::port;

/// The type of a kernel object, of those that this kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KobjectType {
    /// A thread's control port.
    Thread,
    /// A task's control port.
    Task,
    /// A task identity token: a new one for each delivery (A7.10).
    TaskToken,
    /// The host.
    Host,
    /// A clock, whose number is the value.
    Clock,
    /// A semaphore.
    Semaphore,
    /// A timer, whose messages its task receives.
    Timer,
}

impl KobjectType {
    /// Returns whether the object lives as long as its port has senders: a token (A7.10), a semaphore.
    pub(super) const fn dies_without_senders(self) -> bool {
        matches!(self, Self::TaskToken | Self::Semaphore)
    }

    /// Returns the type as `mach_port_kobject` shows it.
    pub(crate) const fn shown(self) -> port::KobjectType {
        match self {
            Self::Thread => port::KobjectType::THREAD_CONTROL,
            Self::Task => port::KobjectType::TASK_CONTROL,
            Self::TaskToken => port::KobjectType::TASK_ID_TOKEN,
            Self::Host => port::KobjectType::HOST,
            Self::Clock => port::KobjectType::CLOCK,
            Self::Semaphore => port::KobjectType::SEMAPHORE,
            Self::Timer => port::KobjectType::TIMER,
        }
    }
}

/// A kernel object, as its port knows it. The rooms above give `value` a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kobject {
    pub(crate) kind: KobjectType,
    pub(crate) value: u32,
}
