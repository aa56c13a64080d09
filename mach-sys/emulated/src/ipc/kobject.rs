//! Kernel objects: what a port stands for whose messages the kernel itself would receive.

/// The type of a kernel object (`ipc_kobject_type_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KobjectType {
    /// A thread's control port.
    Thread,
    /// A task's control port.
    Task,
    /// A task identity token: a new one for each delivery (A7.10).
    TaskToken,
}

/// A kernel object, as its port knows it. The rooms above give `value` a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kobject {
    pub(crate) kind: KobjectType,
    pub(crate) value: u32,
}
