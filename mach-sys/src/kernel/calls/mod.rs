//! The declarations of the kernel calls, by header.

macro_rules! kernel_calls {
    ($($(#[$meta:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $result:ty;)*) => {
        #[cfg(target_vendor = "apple")]
        unsafe extern "C" {
            $($(#[$meta])* pub fn $name($($argument: $type),*) -> $result;)*
        }

        $(
            $(#[$meta])*
            ///
            /// # Safety
            /// The contract of [`kernel`](crate::kernel): the pointers are valid for all that the C function reads or writes through them.
            #[cfg(not(target_vendor = "apple"))]
            #[allow(clippy::too_many_arguments)]
            pub unsafe fn $name($($argument: $type),*) -> $result {
                // SAFETY: the same contract, passed on unchanged.
                unsafe { mach_emulated::calls::$name($($argument),*) }
            }
        )*

        /// The name of each call here.
        pub(super) const CALLS: &[&str] = &[$(stringify!($name)),*];

        /// A reference to each call makes the linker resolve it: linking for Apple fails if libSystem does not have it.
        #[cfg(test)]
        #[test]
        fn every_call_is_there() {
            $(assert_ne!($name as *const () as usize, 0, stringify!($name));)*
        }
    };
}
use kernel_calls;

/// Declares calls that not every supported system has. On Apple's systems they are looked for once they are called.
macro_rules! newer_calls {
    ($($(#[$meta:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> kern_return_t;)*) => {
        $(
            $(#[$meta])*
            ///
            /// # Safety
            /// The contract of [`kernel`](crate::kernel).
            #[allow(clippy::too_many_arguments)]
            pub unsafe fn $name($($argument: $type),*) -> kern_return_t {
                #[cfg(target_vendor = "apple")]
                {
                    let name = concat!(stringify!($name), "\0");
                    match crate::kernel::apple::find_function(name) {
                        // SAFETY: libSystem's function of this name has these arguments.
                        Some(found) => unsafe {
                            let call: unsafe extern "C" fn($($type),*) -> kern_return_t =
                                core::mem::transmute(found);
                            call($($argument),*)
                        },
                        None => crate::kern_return::KernReturn::MIG_BAD_ID.raw(),
                    }
                }
                // SAFETY: the same contract, passed on unchanged.
                #[cfg(not(target_vendor = "apple"))]
                unsafe { mach_emulated::calls::$name($($argument),*) }
            }
        )*

        /// The name of each call here that not every system has.
        pub(super) const NEWER_CALLS: &[&str] = &[$(stringify!($name)),*];
    };
}

mod guards;
mod hosts;
mod memory;
mod messages;
mod ports;
mod threads;

pub use guards::*;
pub use hosts::*;
pub use memory::*;
pub use messages::*;
pub use ports::*;
pub use threads::*;

const LISTS: [&[&str]; 7] = [
    guards::CALLS,
    guards::NEWER_CALLS,
    hosts::CALLS,
    memory::CALLS,
    messages::CALLS,
    ports::CALLS,
    threads::CALLS,
];

const COUNT: usize = {
    let (mut count, mut list) = (0, 0);
    while list < LISTS.len() {
        count += LISTS[list].len();
        list += 1;
    }
    count
};

/// The name of each call, for this project's tests.
#[doc(hidden)]
pub const CALLS: [&str; COUNT] = {
    let mut calls = [""; COUNT];
    let (mut count, mut list, mut index) = (0, 0, 0);
    while list < LISTS.len() {
        if index < LISTS[list].len() {
            calls[count] = LISTS[list][index];
            (count, index) = (count + 1, index + 1);
        } else {
            (list, index) = (list + 1, 0);
        }
    }
    calls
};
