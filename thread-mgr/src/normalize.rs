//! Making the user references of a thread's kernel port exactly 1.
//!
//! Never 0: then the kernel's own release at the end of the thread would hit nothing, or somebody else's right. Never
//! `mach_port_destroy`: that too leaves the thread's end without its reference, and the stack and the thread's structure stay mapped.

use core::fmt;
use mach_sys::kern_return::KernReturn;
use mach_sys::port::{MACH_PORT_RIGHT_DEAD_NAME, MACH_PORT_RIGHT_SEND};
use mach_sys::rights::{Name, modify_references, user_references};
use mach_sys::types::mach_port_name_t;

/// What a thread's name held, and what was done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Normalization {
    /// One reference: the kernel's own. Nothing to do.
    AlreadyOne,
    /// So many references above one, forgotten by somebody, were released.
    Dropped(u32),
    /// So many references above one; without a [`SurplusPromise`](crate::SurplusPromise) nothing was touched.
    Surplus(u32),
    /// The count reached 65535 and stays there (A7.3): on a live thread's pinned name nothing can be done about it (D5.6), and it
    /// becomes a dead name when the thread ends.
    Pegged,
    /// The port died: a dead name with so many references.
    Dead(u32),
    /// No such name, or one that is no send right.
    Invalid(KernReturn),
    /// Somebody else changed the count at the same time: what was seen first, and what the kernel answered last. Success means that
    /// the trim was done and that there is more than one reference again.
    Raced {
        /// References seen at first.
        seen: u32,
        /// The kernel's answer to the last try, or to the look that followed it.
        code: KernReturn,
    },
}

impl Normalization {
    /// Whether exactly the kernel's own reference is left.
    #[must_use]
    pub const fn is_normal(self) -> bool {
        matches!(self, Self::AlreadyOne | Self::Dropped(_))
    }

    /// The user references of the send right that were seen at first; `None` where there was none, or where the count is pegged.
    #[must_use]
    pub const fn seen(self) -> Option<u32> {
        match self {
            Self::AlreadyOne => Some(1),
            Self::Dropped(above) | Self::Surplus(above) => Some(above + 1),
            Self::Raced { seen, .. } => Some(seen),
            Self::Pegged | Self::Dead(_) | Self::Invalid(_) => None,
        }
    }
}

impl fmt::Display for Normalization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyOne => f.write_str("one user reference"),
            Self::Dropped(count) => write!(f, "{count} forgotten user reference(s) released"),
            Self::Surplus(count) => write!(f, "{count} surplus user reference(s), left alone"),
            Self::Pegged => f.write_str("the count of user references is pegged at 65535"),
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
/// Tries, while somebody else changes the count.
const TRIES: usize = 3;

/// Says what a name holds; touches nothing.
#[must_use]
pub fn survey(name: mach_port_name_t) -> Normalization {
    if Name::new(name).is_none() {
        // The kernel says that null and dead have one send reference (C4.1).
        return Normalization::Invalid(KernReturn::INVALID_NAME);
    }
    match user_references(name, MACH_PORT_RIGHT_SEND) {
        Err(code) => Normalization::Invalid(code),
        Ok(1) => Normalization::AlreadyOne,
        Ok(PEGGED..) => Normalization::Pegged,
        Ok(0) => match user_references(name, MACH_PORT_RIGHT_DEAD_NAME) {
            Ok(count @ 1..) => Normalization::Dead(count),
            _ => Normalization::Invalid(KernReturn::INVALID_RIGHT),
        },
        Ok(count) => Normalization::Surplus(count - 1),
    }
}

/// Makes the references exactly 1, if there are more.
///
/// # Safety
/// As [`SurplusPromise::new`](crate::SurplusPromise::new), for the thread of this name, as if it ended now: nobody counts on a
/// reference above one. Whoever releases one of them at this very moment can make the trim reach 0, which the kernel refuses for a
/// pinned name (macOS 26, D5.6) and carries out for another (E37).
#[allow(unsafe_code)]
#[must_use]
pub unsafe fn normalize(name: mach_port_name_t) -> Normalization {
    let mut first = None;
    let mut refused = KernReturn::SUCCESS;
    for _ in 0..TRIES {
        let surplus = match survey(name) {
            Normalization::Surplus(surplus) => surplus,
            // Nothing to do, or nothing that can be done; or somebody else released what was seen before.
            other => return other,
        };
        let seen = *first.get_or_insert(surplus + 1);
        // SAFETY: by the caller's promise nobody counts on the references above one.
        match unsafe { modify_references(name, MACH_PORT_RIGHT_SEND, -(surplus as i32)) } {
            Ok(()) => return after(survey(name), seen, surplus),
            Err(code) => refused = code,
        }
    }
    Normalization::Raced {
        seen: first.unwrap_or(0),
        code: refused,
    }
}

/// What a trim that the kernel carried out comes to, by what is there afterwards.
const fn after(found: Normalization, seen: u32, dropped: u32) -> Normalization {
    match found {
        Normalization::AlreadyOne => Normalization::Dropped(dropped),
        Normalization::Invalid(code) => Normalization::Raced { seen, code },
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
            after(Normalization::Invalid(code), seen, 3),
            Normalization::Raced { seen, code }
        );
        assert_eq!(
            after(Normalization::Dead(1), seen, 3),
            Normalization::Dead(1)
        );
    }
}
