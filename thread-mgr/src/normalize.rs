//! Releases the user references of a thread's kernel port that nothing owns.
//!
//! What is left is one reference, which the kernel itself releases at the end of the thread, and those that rights of mach-sys own
//! ([`mach_sys::rights::send_references`]). Never less: without its reference the kernel's release would hit nothing, or another
//! right under the same name by then (E37), and so would an owner's (E50, E55). Never `mach_port_destroy`: that too leaves the
//! thread's end without its reference, and the stack and the thread's structure stay mapped.

use core::fmt;
use mach_sys::kern_return::{KernError, KernReturn};
use mach_sys::port::PortRight;
use mach_sys::rights::{
    Name, modify_references, owned_references, send_references, user_references,
};

/// Tells what a thread's name held, and what was done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Normalization {
    /// The name held one reference, the kernel's own. Nothing was to be done.
    AlreadyOne,
    /// The name held the kernel's own reference and this many that rights of mach-sys own. Nothing was to be done. The name stays, as
    /// a dead name after the thread's exit, until the last of these rights is dropped.
    Owned(u32),
    /// This many references that nothing owned were released.
    Dropped(u32),
    /// The name held this many references that no right of mach-sys owns, beside the kernel's own. They were left alone, for lack of a
    /// [`SurplusPromise`](crate::SurplusPromise).
    Surplus(u32),
    /// The name held no more references than this many rights own: other code released one that was not its own, but the kernel's or
    /// a right's.
    Short(u32),
    /// The count is saturated at 65535 and stays there (A7.3). On a live thread's pinned name nothing can be done about it (D5.6), and
    /// it becomes a dead name when the thread exits.
    Pegged,
    /// The name is a dead name with this many references: the port died.
    Dead(u32),
    /// The name does not exist, or is no send right.
    Invalid(KernError),
    /// Other code changed the count at the same time, or rights on the name were made and dropped all the while.
    Raced {
        /// Number of references that were seen at first, without those that rights own.
        seen: u32,
        /// The kernel's answer to the last try, or to the look that followed it. `KERN_SUCCESS` means that all was done that was sure to
        /// be right, and that there may be more surplus references.
        code: KernReturn,
    },
}

impl Normalization {
    /// Returns whether the name holds only the kernel's own reference and those of rights.
    #[must_use]
    pub const fn is_normal(self) -> bool {
        matches!(self, Self::AlreadyOne | Self::Owned(_) | Self::Dropped(_))
    }

    /// Returns the user references of the send right that were seen at first, without those that rights own. `None` where there was no
    /// send right, where the count is pegged, and where it is too low.
    #[must_use]
    pub const fn seen(self) -> Option<u32> {
        match self {
            Self::AlreadyOne | Self::Owned(_) => Some(1),
            Self::Dropped(above) | Self::Surplus(above) => Some(above + 1),
            Self::Raced { seen, .. } => Some(seen),
            Self::Short(_) | Self::Pegged | Self::Dead(_) | Self::Invalid(_) => None,
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
            Self::Pegged => f.write_str("the count of user references is saturated at 65535"),
            Self::Dead(count) => write!(f, "a dead name with {count} user reference(s)"),
            Self::Invalid(code) => write!(f, "no send right under that name: {code}"),
            Self::Raced { seen, code } => {
                write!(f, "the count changed meanwhile (from {seen}): {code}")
            }
        }
    }
}

/// Where the count stays (`MACH_PORT_UREFS_MAX`).
const PEGGED: u32 = 65_535;
/// Tries, while other code changes the count.
const TRIES: usize = 3;

/// What a name holds, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) normalization: Normalization,
    /// Owned by rights of mach-sys.
    pub(crate) owned: u32,
    /// All references that were seen at first, if they could be counted.
    pub(crate) total: Option<u32>,
}

/// Looks at what a name holds; touches nothing.
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
        (PEGGED.., _) => found(Normalization::Pegged, None),
        (_, others @ (0 | 1)) if !references.is_exact => {
            // What was in the middle of being made or dropped may hide the kernel's own, or one that nothing owns.
            let (seen, code) = (others, KernReturn::SUCCESS);
            found(Normalization::Raced { seen, code }, Some(total))
        }
        (_, 0) => found(Normalization::Short(owned), Some(total)),
        (1, _) => found(Normalization::AlreadyOne, Some(total)),
        (_, 1) => found(Normalization::Owned(owned), Some(total)),
        (_, others) => found(Normalization::Surplus(others - 1), Some(total)),
    }
}

/// Returns what a thread's name holds, and changes nothing.
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

/// Releases the user references of a thread's name that nothing owns, and returns what was found and done. The kernel's own reference
/// and those that rights of mach-sys own stay. Such rights may be made and dropped on other threads meanwhile.
///
/// # Safety
/// As [`SurplusPromise::new`](crate::SurplusPromise::new), for the thread of this name, as if it ended now: no code outside mach-sys's
/// rights counts on a reference above one, and no other thread normalizes the same name at the same time. Code that releases one of
/// them at this very moment can make the trim reach 0, which the kernel refuses for a pinned name (macOS 26, D5.6) and carries out
/// for another (E37).
#[allow(unsafe_code)]
#[must_use]
#[doc(alias = "mach_port_mod_refs")]
pub unsafe fn normalize(name: Name) -> Normalization {
    // SAFETY: the same contract, passed on.
    unsafe { trim(name) }.normalization
}

/// As [`normalize`], and says what rights own.
///
/// # Safety
/// As [`normalize`].
#[allow(unsafe_code)]
pub(crate) unsafe fn trim(name: Name) -> Found {
    let mut first: Option<Found> = None;
    let mut refused = KernReturn::SUCCESS;
    for _ in 0..TRIES {
        let found = look(name);
        let Normalization::Surplus(surplus) = found.normalization else {
            // Nothing to do, or nothing that can be done; or other code released what was seen before.
            return found;
        };
        let total = first.get_or_insert(found).total;
        // SAFETY: by the caller's promise nothing counts on the references that are above one and that no right owns. Rights that are
        // made or dropped since the look change the kernel's count and what must be left alike, so that what goes stays the same.
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

/// What a trim that the kernel carried out comes to, by what is there afterwards.
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
    fn a_trim_that_raced_is_told_apart_from_one_that_did_not() {
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
