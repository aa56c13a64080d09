//! Registering exception ports, and putting back what was there.

use crate::delivery::Delivery;
use crate::error::InstallError;
use crate::registration::{
    Previous, PreviousHandler, Registration, Target, Whose, registered, set, swap,
};
use core::fmt;
use mach_sys::exception::{ExceptionMask, ExceptionType};
use mach_sys::kern_return::KernReturn;
use mach_sys::rights::{SendRight, ThreadRight};

/// What putting back found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Restored {
    /// Ours were still in place; the previous ones are back.
    Clean,
    /// Somebody registered over us for these; his registrations were left alone.
    Displaced(ExceptionMask),
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clean => f.write_str("the previous handlers are back"),
            Self::Displaced(mask) => write!(f, "somebody else had registered for {mask}"),
        }
    }
}

/// Keeps handlers registered; dropping it puts the previous ones back.
///
/// Until then it holds one reference on the thread or task, so that the name stays the target's; one on the exception port, so
/// that it is told from another that came by its name; and those on the previous handlers' ports.
#[must_use = "dropping an installation uninstalls it"]
#[derive(Debug)]
pub struct Installation {
    whose: Whose,
    mask: ExceptionMask,
    port: SendRight,
    previous: Previous,
    installed: bool,
}

/// Whom an installation displaced for a kind of exception, with references of its own.
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
    /// The kernel's refusal. Nothing was changed then.
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
        let whose = target.to_owned().map_err(refused)?;
        let previous = swap(&whose, wanted).map_err(refused)?;
        Ok(Self {
            whose,
            mask: wanted.mask,
            port,
            previous,
            installed: true,
        })
    }

    /// Who was there before.
    #[must_use]
    pub fn previous(&self) -> &Previous {
        &self.previous
    }

    /// Whom it displaced. Allocates nothing.
    pub(crate) fn displaced(&self, kind: ExceptionType) -> Option<Displaced> {
        let handler = self.previous.handler(kind)?.duplicate();
        let thread = match &self.whose {
            Whose::Thread(thread) => thread.try_clone().ok(),
            Whose::Task(_) => None,
        };
        Some(Displaced { handler, thread })
    }

    /// Puts the previous handlers back where ours are still in place, and releases the saved rights. Allocates nothing.
    ///
    /// The kernel has no compare-and-swap of registrations: somebody who registers between the look and the putting back is
    /// displaced.
    ///
    /// # Errors
    /// The kernel's refusal, such as for a thread that is gone; the saved rights are released all the same.
    pub fn uninstall(mut self) -> Result<Restored, InstallError> {
        self.restore()
    }

    fn restore(&mut self) -> Result<Restored, InstallError> {
        if !core::mem::take(&mut self.installed) {
            return Ok(Restored::Clean);
        }
        let ours = self.still_ours()?;
        let mut outcome = Ok(());
        // A thread that never had registrations returned no entries (B4.2): its slots are cleared.
        let mut bare = ours;
        for handler in self.previous.handlers() {
            bare &= !handler.mask;
            let back = handler.registration(handler.mask & ours);
            outcome = outcome.and(self.put(back));
        }
        outcome = outcome.and(self.put(Registration::none(bare)));
        outcome.map(|()| match self.mask & !ours {
            displaced if displaced.is_empty() => Restored::Clean,
            displaced => Restored::Displaced(displaced),
        })
    }

    /// For which exceptions our port is still registered.
    fn still_ours(&self) -> Result<ExceptionMask, InstallError> {
        registered(&self.whose, self.mask, &self.port)
            .map_err(|code| install_error(Registration::none(self.mask), code))
    }

    fn put(&self, back: Registration) -> Result<(), InstallError> {
        if back.mask.is_empty() {
            return Ok(());
        }
        set(&self.whose, back).map_err(|code| install_error(back, code))
    }

    /// Leaves the handlers registered for good: the previous ones' rights are released, and nothing is put back.
    pub fn leave_installed(mut self) {
        self.installed = false;
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        // A thread that is gone has no registrations to put back.
        let _ = self.restore();
    }
}

fn install_error(wanted: Registration, code: KernReturn) -> InstallError {
    let Registration { mask, behavior, .. } = wanted;
    match code {
        KernReturn::DENIED | KernReturn::NO_ACCESS => InstallError::Denied { behavior },
        KernReturn::SEND_INVALID_DEST | KernReturn::TERMINATED | KernReturn::FAILURE => {
            InstallError::TargetGone(code)
        }
        code => InstallError::Kernel {
            mask,
            behavior,
            code,
        },
    }
}
