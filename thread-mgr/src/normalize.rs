//! Releases the user references of a thread's kernel port that nothing owns.
//!
//! One reference stays, which the kernel itself releases when the thread is gone, and those that rights of mach-sys own
//! ([`mach_sys::rights::send_references`]). Never release more: without its reference the kernel's release would fail, or release another
//! right that has the name by then (E37), and so would an owner's release (E50, E55). Never call `mach_port_destroy`: the kernel's release
//! would lack its reference then too, and the stack and the thread's structure would stay mapped.

use core::fmt;
use mach_sys::kern_return::{KernError, KernReturn};
use mach_sys::port::PortRight;
use mach_sys::rights::{
    Name, modify_references, owned_references, send_references, user_references,
};

/// The references that a thread's name held, and the action taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Normalization {
    /// The name held one reference, the kernel's own. Nothing was done.
    AlreadyOne,
    /// The name held the kernel's own reference and this many that rights of mach-sys own. Nothing was done. After the thread's exit the
    /// name stays as a dead name until the last of these rights is dropped.
    Owned(u32),
    /// This many references that nothing owned were released.
    Dropped(u32),
    /// The name held this many references that no right of mach-sys owns, beside the kernel's own. They were left alone, for lack of a
    /// [`SurplusPromise`](crate::SurplusPromise).
    Surplus(u32),
    /// The name held no more references than this many that rights own: other code released one that belonged to the kernel or to a right.
    Short(u32),
    /// The count is saturated at 65535 and stays there (A7.3). On a live thread's pinned name it cannot be corrected (D5.6), and the name
    /// becomes a dead name when the thread exits.
    Saturated,
    /// The name is a dead name with this many references: the port died.
    Dead(u32),
    /// The name does not exist, or is no send right.
    Invalid(KernError),
    /// Other code changed the count at the same time, or rights on the name were being made and dropped.
    Raced {
        /// Number of references that were counted first, without those that rights own.
        seen: u32,
        /// The kernel's return code of the last attempt to release, or of the count after it. `KERN_SUCCESS` means that only references
        /// without an owner were released, and that there may be more of them.
        code: KernReturn,
    },
}

impl Normalization {
    /// Returns whether the name holds only the kernel's own reference and those of rights.
    #[must_use]
    pub const fn is_normal(self) -> bool {
        matches!(self, Self::AlreadyOne | Self::Owned(_) | Self::Dropped(_))
    }

    /// Returns the number of user references of the send right that were counted first, without those that rights own. Returns `None` if
    /// there was no send right, or the count is saturated or too low.
    #[must_use]
    pub const fn seen(self) -> Option<u32> {
        match self {
            Self::AlreadyOne | Self::Owned(_) => Some(1),
            Self::Dropped(above) | Self::Surplus(above) => Some(above + 1),
            Self::Raced { seen, .. } => Some(seen),
            Self::Short(_) | Self::Saturated | Self::Dead(_) | Self::Invalid(_) => None,
        }
    }
}

impl fmt::Display for Normalization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyOne => f.write_str("one user reference"),
            Self::Owned(count) => write!(f, "one user reference and {count} owned"),
            Self::Dropped(count) => write!(f, "{count} forgotten user reference(s) released"),
            Self::Surplus(count) => write!(f, "{count} surplus user reference(s), left alone"),
            Self::Short(count) => write!(f, "too few user references for {count} owner(s)"),
            Self::Saturated => f.write_str("the count of user references is saturated at 65535"),
            Self::Dead(count) => write!(f, "a dead name with {count} user reference(s)"),
            Self::Invalid(code) => write!(f, "no send right under that name: {code}"),
            Self::Raced { seen, code } => {
                write!(f, "the count changed meanwhile (from {seen}): {code}")
            }
        }
    }
}

/// The count that a saturated name stays at (`MACH_PORT_UREFS_MAX`).
const SATURATED: u32 = 65_535;
/// Number of attempts while other code changes the count.
const TRIES: usize = 3;

/// The references that a name holds, and their owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) normalization: Normalization,
    /// Number of references that rights of mach-sys own.
    pub(crate) owned: u32,
    /// Number of all references that were counted first; `None` if they could not be counted.
    pub(crate) total: Option<u32>,
}

/// Counts the references that a name holds, and changes nothing.
pub(crate) fn look(name: Name) -> Found {
    let invalid = |code| Found {
        normalization: Normalization::Invalid(code),
        owned: 0,
        total: None,
    };
    let references = match send_references(name) {
        Ok(references) => references,
        Err(code) => return invalid(code),
    };
    let found = |normalization, total| Found {
        normalization,
        owned: references.owned,
        total,
    };
    let (total, owned) = (references.total, references.owned);
    match (total, references.others()) {
        (0, _) => match user_references(name, PortRight::DEAD_NAME) {
            Ok(count @ 1..) => Found {
                normalization: Normalization::Dead(count),
                owned: owned_references(name).min(count),
                total: None,
            },
            _ => invalid(KernError::INVALID_RIGHT),
        },
        (SATURATED.., _) => found(Normalization::Saturated, None),
        (_, others @ (0 | 1)) if !references.is_exact => {
            // A right that was just being made or dropped may hide the kernel's own reference, or one without an owner.
            let (seen, code) = (others, KernReturn::SUCCESS);
            found(Normalization::Raced { seen, code }, Some(total))
        }
        (_, 0) => found(Normalization::Short(owned), Some(total)),
        (1, _) => found(Normalization::AlreadyOne, Some(total)),
        (_, 1) => found(Normalization::Owned(owned), Some(total)),
        (_, others) => found(Normalization::Surplus(others - 1), Some(total)),
    }
}

/// Counts the references that a thread's name holds, and changes nothing.
///
/// ```
/// use thread_mgr::Normalization;
/// use thread_mgr::mach_sys::rights::{Right, ThreadRight};
/// use thread_mgr::normalize::survey;
///
/// # std::thread::spawn(|| {
/// let right = ThreadRight::current()?;
/// // The kernel's own reference, and that of `right`.
/// assert_eq!(survey(right.name()), Normalization::Owned(1));
/// # Ok::<(), thread_mgr::mach_sys::kern_return::KernError>(())
/// # }).join().unwrap().unwrap();
/// ```
#[must_use]
#[doc(alias = "mach_port_get_refs")]
pub fn survey(name: Name) -> Normalization {
    look(name).normalization
}

/// Releases the user references of a thread's name that nothing owns, and returns the number found or released. The kernel's own reference
/// and those that rights of mach-sys own stay. Such rights may be made and dropped on other threads meanwhile.
///
/// # Safety
/// The contract of [`SurplusPromise::new`](crate::SurplusPromise::new) holds for the thread of this name, as if it exited now: no code
/// outside mach-sys's rights counts on a reference above one, and no other thread normalizes the same name at the same time. If other code
/// releases one of them during the call, the count can reach 0. The kernel refuses that for a pinned name (macOS 26, D5.6), and carries it
/// out for any other (E37).
#[allow(unsafe_code)]
#[must_use]
#[doc(alias = "mach_port_mod_refs")]
pub unsafe fn normalize(name: Name) -> Normalization {
    // SAFETY: the same contract, passed on.
    unsafe { trim(name) }.normalization
}

/// Does the same as [`normalize`], and also returns the number of references that rights own.
///
/// # Safety
/// The same as for [`normalize`].
#[allow(unsafe_code)]
pub(crate) unsafe fn trim(name: Name) -> Found {
    let mut first: Option<Found> = None;
    let mut refused = KernReturn::SUCCESS;
    for _ in 0..TRIES {
        let found = look(name);
        let Normalization::Surplus(surplus) = found.normalization else {
            // Nothing to release, nothing that may be released, or other code released the surplus of the attempt before.
            return found;
        };
        let total = first.get_or_insert(found).total;
        // SAFETY: by the caller's promise nothing counts on the references above one that no right owns. A right that was made or dropped
        // since the count changes the kernel's count and the number to keep by the same amount, so that the surplus stays the same.
        match unsafe { modify_references(name, PortRight::SEND, -(surplus as i32)) } {
            Ok(()) => {
                let now = look(name);
                let seen = first
                    .and_then(|first| first.normalization.seen())
                    .unwrap_or(0);
                return Found {
                    normalization: after(now.normalization, seen, surplus),
                    owned: now.owned,
                    total,
                };
            }
            Err(code) => refused = code.into(),
        }
    }
    let seen = first
        .and_then(|first| first.normalization.seen())
        .unwrap_or(0);
    Found {
        normalization: Normalization::Raced {
            seen,
            code: refused,
        },
        owned: owned_references(name),
        total: first.and_then(|first| first.total),
    }
}

/// Returns the result of a trim that the kernel carried out, by the references found afterwards.
const fn after(found: Normalization, seen: u32, dropped: u32) -> Normalization {
    match found {
        Normalization::AlreadyOne | Normalization::Owned(_) => Normalization::Dropped(dropped),
        Normalization::Invalid(error) => Normalization::Raced {
            seen,
            code: error.kern_return(),
        },
        Normalization::Surplus(_) => Normalization::Raced {
            seen,
            code: KernReturn::SUCCESS,
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trim_that_raced_is_reported_as_raced() {
        let seen = 4;
        assert_eq!(
            after(Normalization::AlreadyOne, seen, 3),
            Normalization::Dropped(3)
        );
        let code = KernReturn::SUCCESS;
        assert_eq!(
            after(Normalization::Surplus(1), seen, 3),
            Normalization::Raced { seen, code }
        );
        let code = KernReturn::INVALID_NAME;
        assert_eq!(
            after(Normalization::Invalid(KernError::INVALID_NAME), seen, 3),
            Normalization::Raced { seen, code }
        );
        assert_eq!(
            after(Normalization::Dead(1), seen, 3),
            Normalization::Dead(1)
        );
    }
}
