//! Installs exception ports, and puts the previous handlers back.

use crate::delivery::Delivery;
use crate::error::InstallError;
use crate::local::Local;
use crate::registration::calls::{InPlace, receives_from, registered, set, swap};
use crate::registration::installations::{Installations, Neighbors};
use crate::registration::lower::{Layer, Nearest};
use crate::registration::previous::{Previous, PreviousHandler, Registration};
use crate::registration::target::{Owner, Target};
use alloc::sync::Arc;
use core::fmt;
use mach_sys::exception::{EXC_TYPES_COUNT, ExceptionMask, ExceptionType};
use mach_sys::kern_return::KernError;
use mach_sys::rights::{Right, SendRight, ThreadRight};

/// The result of uninstalling: the registrations found, and those put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
#[non_exhaustive]
pub enum Restored {
    /// The previous handlers are registered again, or none if there was none. If an [`Installation`] of this process had registered a
    /// previous handler, and has left or its port has died, the nearest handler below it is registered.
    Clean,
    /// For these exception types another registration had replaced the installed one. If its port lives, it was left alone; an installation
    /// of this process puts the previous handlers back itself. If its port has died, the previous handlers were registered over it.
    Displaced(ExceptionMask),
    /// A previous handler has died, and the handler below it is not known, because no [`Installation`] of this process had registered the
    /// dead one.
    PreviousDied {
        /// The exception types that have no handler for this reason.
        died: ExceptionMask,
        /// The exception types that are [`Displaced`](Self::Displaced).
        displaced: ExceptionMask,
    },
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clean => f.write_str("the previous handlers are registered again"),
            Self::Displaced(mask) => write!(f, "another handler had been registered for {mask}"),
            Self::PreviousDied { died, displaced } => {
                write!(
                    f,
                    "no handler is registered for {died}: the previous one has died"
                )?;
                if displaced.is_empty() {
                    return Ok(());
                }
                write!(f, "; another handler had been registered for {displaced}")
            }
        }
    }
}

/// A registered exception port. Dropping the value puts the previous handlers back.
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
/// no other port gets its name; and those on the previous handlers' ports. In the child of a fork it is inert: the registration belongs to
/// the parent.
///
/// # Several installations
/// Several installations of one process on one target form layers. They may be uninstalled in any order, on any thread, and after their
/// ports have died. When a lower one leaves, the one above it inherits its previous handlers: it forwards to them, and puts them back. So
/// the last to leave puts back the handlers registered before the first, as long as they live.
///
/// Registrations by other processes, by other code or by other copies of this crate are not part of these layers. Such a registration over
/// this one is left alone ([`Restored::Displaced`]), and the handlers below this one are lost unless the other code puts them back. If it
/// puts a dead port back, no handler is registered for it. Such a registration below this one is put back as long as its port lives; after
/// that no handler is registered ([`Restored::PreviousDied`]).
#[must_use = "dropping an installation uninstalls it"]
#[derive(Debug)]
pub struct Installation {
    parts: Local<Parts>,
}

#[derive(Debug)]
struct Parts {
    target: Owner,
    layer: Arc<Layer>,
    previous: Arc<Previous>,
    installed: bool,
}

/// The handler that an installation displaced for an exception type. Owns its references.
#[derive(Debug)]
pub(crate) struct Displaced {
    pub(crate) handler: PreviousHandler,
    /// The thread that the installation is for; `None` if it is for a task.
    pub(crate) thread: Option<ThreadRight>,
}

impl Installation {
    /// Registers a port, and keeps the previous handlers (`{thread,task}_swap_exception_ports`).
    ///
    /// # Errors
    /// After an error nothing has changed.
    /// - [`InstallError::OwnCrash`]: `mask` has `EXC_CRASH`, `target` is this task or the calling thread, and this task receives from
    ///   `port` (A1.7).
    /// - [`InstallError::Denied`]: a policy forbids the behavior.
    /// - [`InstallError::TargetGone`]: the thread or task has exited.
    /// - [`InstallError::Kernel`]: another error, for example for a mask with unknown bits.
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

    /// Does the same as [`install`](Self::install), and takes the caller's reference on the port.
    pub(crate) fn with_port(
        target: Target<'_>,
        wanted: Registration,
        port: SendRight,
    ) -> Result<Self, InstallError> {
        let refused = |code| install_error(wanted, code);
        let target = target.to_owned().map_err(|code| match code {
            KernError::INVALID_RIGHT | KernError::INVALID_NAME => InstallError::TargetGone(code),
            code => refused(code),
        })?;
        if wanted.mask.contains(ExceptionMask::CRASH)
            && target.is_own()
            && receives_from(port.name())
        {
            return Err(InstallError::OwnCrash);
        }
        let mut all = Installations::lock();
        let previous = Arc::new(swap(&target, wanted).map_err(refused)?);
        let layer = all.add(&target, wanted, port, &previous);
        drop(all);
        Ok(Self {
            parts: Local::new(Parts {
                target,
                layer,
                previous,
                installed: true,
            }),
        })
    }

    /// Returns the handlers that this installation displaced when it was installed.
    #[must_use]
    pub fn previous(&self) -> &Previous {
        &self.parts.previous
    }

    /// Returns the nearest handler below that lives; `None` if there is none. Allocates nothing.
    pub(crate) fn displaced(&self, kind: ExceptionType) -> Option<Displaced> {
        let nearest = self.parts.layer.nearest(kind, |nearest| match nearest {
            Nearest::Handler(handler) => Some(handler.duplicate()),
            Nearest::Nothing | Nearest::Dead(_) => None,
        });
        let handler = nearest.flatten()?;
        let thread = match &self.parts.target {
            Owner::Thread(thread) => thread.try_clone().ok(),
            Owner::Task(_) => None,
        };
        Some(Displaced { handler, thread })
    }

    /// Puts the previous handlers back unless another handler was registered meanwhile, and releases the saved rights. Works also after the
    /// installed port has died. Allocates nothing. Does nothing in the child of a fork.
    ///
    /// The kernel has no compare-and-swap of registrations: a handler that other code registers while this function reads the registrations
    /// and puts the previous ones back is displaced.
    ///
    /// # Errors
    /// - [`InstallError::TargetGone`]: the thread or task has exited.
    /// - [`InstallError::Denied`]: a policy forbids the behavior of a previous handler.
    /// - [`InstallError::Kernel`]: another error of the kernel.
    ///
    /// The saved rights are released also after an error.
    pub fn uninstall(mut self) -> Result<Restored, InstallError> {
        self.restore()
    }

    fn restore(&mut self) -> Result<Restored, InstallError> {
        if !core::mem::take(&mut self.parts.installed) || !self.parts.is_here() {
            return Ok(Restored::Clean);
        }
        self.parts.restore()
    }

    /// Leaves the port registered for good: nothing is put back. The previous handlers' rights are released at once, or, if another
    /// installation of this process lies over this one, when that one leaves.
    pub fn leave_installed(mut self) {
        self.parts.installed = false;
        if self.parts.is_here() {
            Installations::lock().forget(&self.parts.layer);
        }
    }
}

impl Parts {
    /// Removes the installation from the list, and puts the handlers below back.
    fn restore(&self) -> Result<Restored, InstallError> {
        let mut all = Installations::lock();
        let mask = self.layer.wanted.mask;
        let in_place = registered(&self.target, mask);
        let neighbors = all.leave(&self.layer);
        let in_place = in_place.map_err(|code| install_error(Registration::none(mask), code))?;
        self.put_back(&in_place, &all, &neighbors)
    }

    /// Puts the handlers below back for the exception types whose registration in place is this installation's, or dead. Allocates nothing.
    ///
    /// A dead port cannot be identified (B3.5). While the installed port lives, a dead registration is another's. If the installed port has
    /// died too, a dead registration with the same behavior and flavor counts as this installation's, unless another installation of this
    /// process lies over it. If it was another's after all, nothing is lost.
    fn put_back(
        &self,
        in_place: &[InPlace; EXC_TYPES_COUNT],
        all: &Installations,
        neighbors: &Neighbors,
    ) -> Result<Restored, InstallError> {
        let Layer { wanted, port, .. } = &*self.layer;
        let own_died = port.is_dead();
        let mut back = Batch::default();
        let [mut put_back, mut died, mut displaced] = [ExceptionMask::empty(); 3];
        for kind in wanted.mask.kinds() {
            let bit = kind.mask();
            let InPlace { registration, dead } = in_place[kind.raw() as usize];
            let own = if dead {
                own_died
                    && wanted.has_form(registration.behavior, registration.flavor)
                    && !(neighbors.over_it | neighbors.replaced).has(kind)
            } else {
                registration.port == wanted.port && !neighbors.same_port.has(kind)
            };
            let below = if dead && !own {
                all.highest(&self.layer, kind)
            } else {
                self.layer.put_back(kind)
            };
            // Already in place: an installation above skipped this one, whose port has died.
            let is_back = !dead && registration.is_as(&below.registration);
            if own || dead {
                back.add(below.registration);
                put_back |= bit;
            }
            if !own && !is_back {
                displaced |= bit;
            }
            if below.died && (own || dead || is_back) {
                died |= bit;
            }
        }
        let mut outcome = Ok(());
        for registration in back.registrations() {
            outcome = outcome.and(self.put(*registration));
        }
        if !neighbors.alone || !displaced.is_empty() {
            all.note_put_back(&self.layer, put_back);
        }
        outcome.map(|()| {
            if !died.is_empty() {
                Restored::PreviousDied { died, displaced }
            } else if displaced.is_empty() {
                Restored::Clean
            } else {
                Restored::Displaced(displaced)
            }
        })
    }

    fn put(&self, back: Registration) -> Result<(), InstallError> {
        set(&self.target, back).map_err(|code| install_error(back, code))
    }
}

/// The registrations to put back, one for each different handler.
#[derive(Default)]
struct Batch {
    registrations: [Option<Registration>; EXC_TYPES_COUNT],
}

impl Batch {
    fn add(&mut self, new: Registration) {
        for place in &mut self.registrations {
            match place {
                Some(with) if with.port == new.port && with.has_form(new.behavior, new.flavor) => {
                    with.mask |= new.mask;
                    return;
                }
                Some(_) => {}
                None => {
                    *place = Some(new);
                    return;
                }
            }
        }
    }

    fn registrations(&self) -> impl Iterator<Item = &Registration> {
        self.registrations.iter().flatten()
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
