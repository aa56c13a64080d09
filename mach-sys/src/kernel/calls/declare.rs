//! The macro that declares kernel calls: functions of libSystem, or of the emulation.

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
        pub(in crate::kernel::calls) const CALLS: &[&str] = &[$(stringify!($name)),*];

        /// A reference to each call makes the linker resolve it: linking for Apple fails if libSystem does not have it.
        #[cfg(test)]
        #[test]
        fn every_call_is_there() {
            $(assert_ne!($name as *const () as usize, 0, stringify!($name));)*
        }
    };
}

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
        pub(in crate::kernel::calls) const NEWER_CALLS: &[&str] = &[$(stringify!($name)),*];
    };
}

pub(super) use {kernel_calls, newer_calls};
