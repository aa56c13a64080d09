//! Sources of the task's names.

use super::label::{self, Label};
use super::name::Name;
use crate::kern_return::{KernError, KernReturn};
use crate::kernel;
use crate::port::{KobjectType, PortType};
use crate::types::mach_port_name_t;
use core::fmt;

/// The source of a name in the task's name space, as far as the kernel and this crate's labels identify it.
///
/// ```
/// use mach_sys::rights::Source;
///
/// assert!(Source::Thread.is_leak() && Source::Dead.is_leak());
/// assert!(!Source::ReplyPort.is_leak() && !Source::Semaphore.is_leak());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// A send right to a thread's port.
    Thread,
    /// A send right to a task's port, or to a token that identifies a task.
    Task,
    /// A dead name.
    Dead,
    /// The receive right of a route ([`ReceiveRight::mark_route`](super::ReceiveRight::mark_route)).
    Route,
    /// Another receive right, port set or send-once right that a right type of this crate owns.
    Owned,
    /// The receive right of a thread's MIG reply port (G6.1): that of the calling thread, or one with a label ([`ReplyPort`](super::ReplyPort)).
    ReplyPort,
    /// A send right to a semaphore. On Apple's systems a thread's first blocking park creates one (G6.2).
    Semaphore,
    /// A send right to another kernel object: the host, a clock, a voucher.
    KernelObject,
    /// A receive right of other code, including reply ports of other threads.
    Receive,
    /// A send right to a port that is not a kernel object, without its receive right.
    Send,
    /// A send-once right of other code.
    SendOnce,
    /// A port set of other code.
    PortSet,
}

impl Source {
    /// Every source, starting with those that are leaks when they grow.
    pub const ALL: &[Self] = &[
        Self::Thread,
        Self::Task,
        Self::Dead,
        Self::Route,
        Self::Owned,
        Self::ReplyPort,
        Self::Semaphore,
        Self::KernelObject,
        Self::Receive,
        Self::Send,
        Self::SendOnce,
        Self::PortSet,
    ];

    /// Returns `true` if additional names or references of this source are a leak: those of threads and tasks, dead names, and rights that
    /// this crate's right types own. The system's libraries create and keep the others, once for each thread or once for the process.
    #[must_use]
    pub const fn is_leak(self) -> bool {
        matches!(
            self,
            Self::Thread | Self::Task | Self::Dead | Self::Route | Self::Owned
        )
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Thread => "threads",
            Self::Task => "tasks",
            Self::Dead => "dead names",
            Self::Route => "routes",
            Self::Owned => "owned rights",
            Self::ReplyPort => "reply ports",
            Self::Semaphore => "semaphores",
            Self::KernelObject => "kernel objects",
            Self::Receive => "receive rights of other code",
            Self::Send => "send rights of other code",
            Self::SendOnce => "send-once rights of other code",
            Self::PortSet => "port sets of other code",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

/// The calling thread, with its reply port, which a census recognizes without a label.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    reply_port: mach_port_name_t,
    port: mach_port_name_t,
}

impl Caller {
    pub(super) fn current() -> Self {
        Self {
            // SAFETY: no arguments.
            reply_port: unsafe { kernel::mig_get_reply_port() },
            port: kernel::system::own_thread_port(),
        }
    }

    /// Returns the source of a name, and for a reply port the name of its thread's port.
    pub(super) fn source(self, name: Name, rights: PortType) -> (Source, Option<Name>) {
        let one_of_a_kind = PortType::RECEIVE | PortType::PORT_SET | PortType::SEND_ONCE;
        let source = match label::of(name).filter(|_| rights.intersects(one_of_a_kind)) {
            Some(Label::ReplyPort(thread)) => return (Source::ReplyPort, Name::new(thread)),
            Some(Label::Route) => Source::Route,
            Some(Label::Owned) => Source::Owned,
            // After the labels: the library may still have the name of a destroyed port, and a right type may own the name now.
            None if rights.contains(PortType::RECEIVE) && name.raw() == self.reply_port => {
                return (Source::ReplyPort, Name::new(self.port));
            }
            None if rights.contains(PortType::RECEIVE) => Source::Receive,
            None if rights.contains(PortType::PORT_SET) => Source::PortSet,
            None if rights.contains(PortType::SEND_ONCE) => Source::SendOnce,
            None if rights.contains(PortType::DEAD_NAME) => Source::Dead,
            // A name that no longer exists counts like a port of another task.
            None => kobject(name).map_or(Source::Send, of_kobject),
        };
        (source, None)
    }
}

fn of_kobject(object: KobjectType) -> Source {
    match object {
        KobjectType::NONE => Source::Send,
        KobjectType::THREAD_CONTROL | KobjectType::THREAD_READ | KobjectType::THREAD_INSPECT => {
            Source::Thread
        }
        KobjectType::TASK_CONTROL
        | KobjectType::TASK_READ
        | KobjectType::TASK_INSPECT
        | KobjectType::TASK_NAME
        | KobjectType::TASK_ID_TOKEN => Source::Task,
        KobjectType::SEMAPHORE => Source::Semaphore,
        _ => Source::KernelObject,
    }
}

fn kobject(name: Name) -> Result<KobjectType, KernError> {
    let (mut kind, mut address) = (0, 0);
    // SAFETY: the results go to local variables.
    KernReturn::check(unsafe {
        kernel::mach_port_kobject(
            kernel::system::task_self(),
            name.raw(),
            &mut kind,
            &mut address,
        )
    })?;
    Ok(KobjectType::new(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_has_its_own_index_in_the_list() {
        for (index, source) in Source::ALL.iter().enumerate() {
            assert_eq!(*source as usize, index, "{source}");
        }
    }

    /// The library stores a thread's reply port by its name. If that port is destroyed, a port of another owner may get the name.
    #[cfg(feature = "std")]
    #[test]
    fn an_owned_right_with_the_name_of_a_reply_port_counts_as_owned() {
        use crate::rights::{ReceiveRight, Right};

        let port = ReceiveRight::new().expect("a port");
        let name = port.name();
        let caller = Caller {
            reply_port: name.raw(),
            port: 0,
        };
        let source = || caller.source(name, PortType::RECEIVE).0;
        assert_eq!(source(), Source::Owned);
        let raw = port.into_name();
        assert_eq!(source(), Source::ReplyPort);
        // SAFETY: `into_name` gave up the right under this name.
        drop(unsafe { ReceiveRight::from_name(raw) });
    }
}
