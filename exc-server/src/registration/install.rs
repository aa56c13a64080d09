//! Installing exception ports, and putting back what was registered before.

use crate::delivery::Delivery;
use crate::error::InstallError;
use crate::local::Local;
use crate::registration::calls::{Found, find, receives_from, set, swap};
use crate::registration::previous::{Previous, PreviousHandler, Registration};
use crate::registration::target::{Owner, Target};
use core::fmt;
use mach_sys::exception::{ExceptionMask, ExceptionType};
use mach_sys::kern_return::KernError;
use mach_sys::rights::{Right, SendRight, ThreadRight};

/// The state that uninstalling found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
#[non_exhaustive]
pub enum Restored {
    /// The installed registration was still in place. The previous handlers whose ports live are registered again; where a previous
    /// port has died, none is.
    Clean,
    /// For these exceptions another registration had replaced the installed one. Where its port lives it was left alone; where its
    /// port has died the previous handlers were put back over it.
    Displaced(ExceptionMask),
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clean => f.write_str("the previous handlers are registered again"),
            Self::Displaced(mask) => write!(f, "another handler had been registered for {mask}"),
        }
    }
}

/// Keeps an exception port registered; dropping it puts the previous handlers back.
///
/// ```
/// use exc_server::mach_sys::{exception::ExceptionMask, rights::{ReceiveRight, ThreadRight}};
/// use exc_server::{Delivery, Installation, Restored, Target};
///
/// let (port, thread) = (ReceiveRight::new()?, ThreadRight::current()?);
/// let (target, mask) = (Target::Thread(&thread), ExceptionMask::BAD_ACCESS);
/// let installation = Installation::install(target, mask, &port.make_send()?, Delivery::THREAD)?;
/// assert_eq!(installation.uninstall()?, Restored::Clean);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Until then it holds one reference on the thread or task, so that the name stays the target's; one on the exception port, so that
/// no other port gets its name; and those on the previous handlers' ports. In the child of a fork it is inert: the registration is
/// the parent's.
#[must_use = "dropping an installation uninstalls it"]
#[derive(Debug)]
pub struct Installation {
    parts: Local<Parts>,
}

#[derive(Debug)]
struct Parts {
    target: Owner,
    wanted: Registration,
    port: SendRight,
    previous: Previous,
    installed: bool,
}

/// The handler that an installation displaced for an exception type, with references of its own.
#[derive(Debug)]
pub(crate) struct Displaced {
    pub(crate) handler: PreviousHandler,
    /// The thread, of a thread's installation.
    pub(crate) thread: Option<ThreadRight>,
}

impl Installation {
    /// Registers a port, and keeps what was registered before (`{thread,task}_swap_exception_ports`).
    ///
    /// # Errors
    /// Nothing was changed then.
    /// - [`InstallError::OwnCrash`]: `mask` has `EXC_CRASH`, `target` is this task or the calling thread, and this task receives from
    ///   `port` (A1.7).
    /// - [`InstallError::Denied`]: a policy forbids the behavior.
    /// - [`InstallError::TargetGone`]: the thread has exited, or the task.
    /// - [`InstallError::Kernel`]: another refusal, such as of a mask with unknown bits.
    #[doc(alias = "task_swap_exception_ports")]
    #[doc(alias = "thread_swap_exception_ports")]
    pub fn install(
        target: Target<'_>,
        mask: ExceptionMask,
        port: &SendRight,
        delivery: Delivery,
    ) -> Result<Self, InstallError> {
        let wanted = Registration::of(mask, port, delivery);
        let port = port
            .try_clone()
            .map_err(|code| install_error(wanted, code))?;
        Self::with_port(target, wanted, port)
    }

    /// As [`install`](Self::install), with a reference that the installation takes.
    pub(crate) fn with_port(
        target: Target<'_>,
        wanted: Registration,
        port: SendRight,
    ) -> Result<Self, InstallError> {
        let refused = |code| install_error(wanted, code);
        let target = target.to_owned().map_err(refused)?;
        if wanted.mask.contains(ExceptionMask::CRASH)
            && target.is_own()
            && receives_from(port.name())
        {
            return Err(InstallError::OwnCrash);
        }
        let previous = swap(&target, wanted).map_err(refused)?;
        Ok(Self {
            parts: Local::new(Parts {
                target,
                wanted,
                port,
                previous,
                installed: true,
            }),
        })
    }

    /// Returns the handlers that were registered before.
    #[must_use]
    pub fn previous(&self) -> &Previous {
        &self.parts.previous
    }

    /// The handler that it displaced. Allocates nothing.
    pub(crate) fn displaced(&self, kind: ExceptionType) -> Option<Displaced> {
        let handler = self.parts.previous.handler(kind)?.duplicate();
        let thread = match &self.parts.target {
            Owner::Thread(thread) => thread.try_clone().ok(),
            Owner::Task(_) => None,
        };
        Some(Displaced { handler, thread })
    }

    /// Puts the previous handlers back where no other handler was registered meanwhile, and releases the saved rights. Allocates
    /// nothing. Does nothing in the child of a fork.
    ///
    /// That the installed port has died does not hinder it. The kernel has no compare-and-swap of registrations: a handler that
    /// is registered between the look and the putting back is displaced.
    ///
    /// # Errors
    /// The saved rights are released all the same.
    /// - [`InstallError::TargetGone`]: the thread has exited, or the task.
    /// - [`InstallError::Denied`], [`InstallError::Kernel`]: another refusal.
    pub fn uninstall(mut self) -> Result<Restored, InstallError> {
        self.restore()
    }

    fn restore(&mut self) -> Result<Restored, InstallError> {
        if !core::mem::take(&mut self.parts.installed) || !self.parts.is_here() {
            return Ok(Restored::Clean);
        }
        self.parts.restore()
    }

    /// Leaves the port registered for good: the previous handlers' rights are released, and nothing is put back.
    pub fn leave_installed(mut self) {
        self.parts.installed = false;
    }
}

impl Parts {
    fn restore(&self) -> Result<Restored, InstallError> {
        let mask = self.wanted.mask;
        let Found { own, dead } = find(&self.target, self.wanted, &self.port)
            .map_err(|code| install_error(Registration::none(mask), code))?;
        let mut outcome = Ok(());
        // A thread that never had registrations returned no entries (B4.2): its slots are cleared.
        let mut bare = own | dead;
        for handler in self.previous.handlers() {
            let back = handler.registration(handler.mask & (own | dead));
            bare &= !handler.mask;
            outcome = outcome.and(self.put(back));
        }
        outcome = outcome.and(self.put(Registration::none(bare)));
        outcome.map(|()| match mask & !own {
            displaced if displaced.is_empty() => Restored::Clean,
            displaced => Restored::Displaced(displaced),
        })
    }

    fn put(&self, back: Registration) -> Result<(), InstallError> {
        if back.mask.is_empty() {
            return Ok(());
        }
        set(&self.target, back).map_err(|code| install_error(back, code))
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        // A thread that has exited has no registrations to put back.
        let _ = self.restore();
    }
}

fn install_error(wanted: Registration, code: KernError) -> InstallError {
    let Registration { mask, behavior, .. } = wanted;
    match code {
        KernError::DENIED | KernError::NO_ACCESS => InstallError::Denied { behavior },
        KernError::SEND_INVALID_DEST | KernError::TERMINATED | KernError::FAILURE => {
            InstallError::TargetGone(code)
        }
        code => InstallError::Kernel {
            mask,
            behavior,
            code,
        },
    }
}
