//! The rules of `docs/xnu`, asked of whichever kernel answers: raw calls and messages, no types of this crate's in between. What names a
//! rule in its name asserts it; `.ci/confirm` says rule by rule what came of it.
//!
//! Nothing here raises a guard, which would end the process on a Mac. Tests that register at the task's level, or count what others could
//! change, have a process of their own.
#![allow(unsafe_code)]

use test_support::{isolated, watchdog};

/// A test in a process of its own, in which a thread that waits forever is a failure.
macro_rules! isolated {
    ($(#[$meta:meta])* fn $name:ident() $body:block) => {
        $(#[$meta])*
        #[test]
        fn $name() {
            let path = concat!(module_path!(), "::", stringify!($name));
            let (_, name) = path.split_once("::").expect("a path in a crate");
            $crate::isolated::isolated(name, || {
                $crate::watchdog::abort_after(std::time::Duration::from_secs(240));
                $body
            });
        }
    };
}

mod aborted;
mod allocated;
mod created;
mod delivery;
mod hardened;
mod messages;
mod model;
mod names;
mod registers;
mod registration;
mod replies;
mod support;
mod threads;
