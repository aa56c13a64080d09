//! Counts of the task's port names, for leak checks.

use super::array::Array;
use super::difference::Difference;
use super::name::Name;
use super::owned::owned_references;
use super::references::user_references;
use super::source::{Caller, Source};
use crate::kern_return::{KernError, KernReturn};
use crate::kernel;
use crate::port::{PortRight, PortType};
use core::fmt;

/// Counts of the calling task's port names at one moment, by their [source](Source).
///
/// Compare two censuses with each other, never one with absolute numbers: the main thread's and the task's own names may start with two
/// references (D1.3), and the system's libraries hold names of their own.
///
/// ```
/// use mach_sys::rights::{Census, ReceiveRight, Source};
///
/// let before = Census::take()?;
/// let port = ReceiveRight::new().expect("a port");
/// let with_port = Census::take()?;
/// assert_eq!(with_port.names, before.names + 1);
/// assert_eq!(with_port.since(&before).of(Source::Owned).names, 1);
/// drop(port);
/// assert!(Census::take()?.since(&before).is_leak_free());
/// # Ok::<(), mach_sys::rights::CensusError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[doc(alias = "mach_port_names")]
#[non_exhaustive]
pub struct Census {
    /// Number of names of any kind.
    pub names: u32,
    /// Number of names that hold a send right.
    pub send_names: u32,
    /// Number of user references on send rights, of all names together.
    pub send_references: u64,
    /// Number of dead names.
    pub dead_names: u32,
    /// Number of user references on dead names, of all names together.
    pub dead_references: u64,
    /// Number of the references on send rights and dead names that [`SendRight`](super::SendRight)s own. Code outside this crate, the
    /// system's libraries, or nothing owns the others.
    pub owned_references: u64,
    by_source: [Count; Source::ALL.len()],
}

/// The counts of the names of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Count {
    /// Number of names.
    pub names: u32,
    /// Number of user references on their send rights, or on these dead names.
    pub references: u64,
}

/// One name of the task, as a census found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NameInfo {
    /// The name.
    pub name: Name,
    /// The rights that it holds.
    pub rights: PortType,
    /// Number of user references of its send right, or of the dead name.
    pub references: u32,
    /// The source of the name.
    pub source: Source,
    /// The name of the thread's port that a reply port belongs to. `None` for every other name.
    pub thread: Option<Name>,
}

impl fmt::Display for NameInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.name, self.source, self.rights)?;
        match self.thread {
            Some(thread) => write!(f, " of thread {thread}"),
            None => Ok(()),
        }
    }
}

/// The error of a census: the kernel did not list the task's port names. Its source is the kernel's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the task's port names could not be listed")]
pub struct CensusError(#[source] KernError);

impl CensusError {
    /// Returns the kernel's error.
    #[must_use]
    pub const fn kern_error(self) -> KernError {
        self.0
    }

    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    #[must_use]
    pub const fn code(self) -> u32 {
        0x3001
    }
}

impl Census {
    /// Counts the task's names. Other threads may create and release names meanwhile: a name that is no longer there when its references
    /// are read is not counted, and one that denotes another right by then is counted as that.
    ///
    /// The kernel call is a MIG routine, so the calling thread's reply port (G6.1) is created first, if necessary, and counted.
    ///
    /// # Errors
    /// [`CensusError`]: the kernel could not list the names, because there is no memory for the arrays.
    pub fn take() -> Result<Self, CensusError> {
        Self::list(|_| ())
    }

    /// Counts the task's names like [`take`](Self::take), and passes each name to `found`, in ascending order.
    ///
    /// # Errors
    /// [`CensusError`]: the kernel could not list the names, because there is no memory for the arrays.
    pub fn list(mut found: impl FnMut(NameInfo)) -> Result<Self, CensusError> {
        let caller = Caller::current();
        let (names, types) = list().map_err(CensusError)?;
        let mut census = Self::default();
        for (&name, &rights) in names.words().iter().zip(types.words()) {
            // No kernel lists the null or the dead name.
            let name = Name::new(name);
            let info = name.and_then(|name| caller.look(name, PortType::from_bits_retain(rights)));
            if let Some(info) = info {
                census.count(&info);
                found(info);
            }
        }
        Ok(census)
    }

    fn count(&mut self, info: &NameInfo) {
        let references = u64::from(info.references);
        self.names += 1;
        if info.rights.contains(PortType::SEND) {
            self.send_names += 1;
            self.send_references += references;
        }
        if info.rights.contains(PortType::DEAD_NAME) {
            self.dead_names += 1;
            self.dead_references += references;
        }
        // If the count is stuck at 65535, there may be more owners than references (A7.3).
        self.owned_references += u64::from(owned_references(info.name).min(info.references));
        let count = &mut self.by_source[info.source as usize];
        count.names += 1;
        count.references += references;
    }

    /// Returns the counts of one source.
    #[must_use]
    pub const fn of(&self, source: Source) -> Count {
        self.by_source[source as usize]
    }

    /// Returns the difference from an earlier census.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Difference {
        Difference::between(earlier, self)
    }
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} names: {} send rights with {} user references, {} dead names with {}; {} of them owned",
            self.names,
            self.send_names,
            self.send_references,
            self.dead_names,
            self.dead_references,
            self.owned_references
        )
    }
}

impl Caller {
    /// Looks at a name that was listed with `rights`. Other threads may release the name meanwhile, or give it to another right: what was
    /// seen counts if the name has the same rights afterwards. Returns `None` if the name no longer exists.
    fn look(self, name: Name, mut rights: PortType) -> Option<NameInfo> {
        /// A name whose rights change during all of these looks is counted by the last one.
        const LOOKS: u32 = 8;
        let mut look = 0;
        loop {
            let counted = match rights {
                send if send.contains(PortType::SEND) => Some(PortRight::SEND),
                dead if dead.contains(PortType::DEAD_NAME) => Some(PortRight::DEAD_NAME),
                _ => None,
            };
            let references = counted.map_or(Ok(0), |right| user_references(name, right));
            let (source, thread) = self.source(name, rights);
            let after = rights_of(name)?;
            look += 1;
            if after == rights || look == LOOKS {
                return Some(NameInfo {
                    name,
                    rights,
                    references: references.unwrap_or(0),
                    source,
                    thread,
                });
            }
            rights = after;
        }
    }
}

/// Returns the rights under a name, `None` if the name does not exist.
fn rights_of(name: Name) -> Option<PortType> {
    let mut rights = 0;
    // SAFETY: the result goes to a local variable.
    let raw =
        unsafe { kernel::mach_port_type(kernel::system::task_self(), name.raw(), &mut rights) };
    KernReturn::check(raw).ok()?;
    Some(PortType::from_bits_retain(rights))
}

/// Lists the task's names, and their types.
fn list() -> Result<(Array, Array), KernError> {
    let (mut names, mut types) = (Array::new(), Array::new());
    // SAFETY: only the call below fills them, each with an array that the kernel allocated, or not at all.
    let ((names_to, names_count), (types_to, types_count)) = unsafe { (names.out(), types.out()) };
    // SAFETY: the results go to fields of local variables.
    KernReturn::check(unsafe {
        kernel::mach_port_names(
            kernel::system::task_self(),
            names_to,
            names_count,
            types_to,
            types_count,
        )
    })?;
    Ok((names, types))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::error::Error;

    #[test]
    fn the_kernels_error_is_the_source_and_the_code_is_stable() {
        let error = CensusError(KernError::NO_SPACE);
        assert_eq!(error.code(), 0x3001);
        assert_eq!(error.kern_error(), KernError::NO_SPACE);
        let source = error.source().map(|source| source.to_string());
        assert_eq!(source.as_deref(), Some("KERN_NO_SPACE"));
        assert!(!error.to_string().contains("KERN_NO_SPACE"));
    }
}
