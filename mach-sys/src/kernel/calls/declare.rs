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

/// Declares calls that came with a later macOS than the first that this crate runs on: on Apple's systems each is looked for when it is
/// made, and is `KERN_NOT_SUPPORTED` where the system does not have it.
macro_rules! late_kernel_calls {
    ($($(#[$meta:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> kern_return_t;)*) => {
        $(
            $(#[$meta])*
            ///
            /// # Safety
            /// The contract of [`kernel`](crate::kernel): the pointers are valid for all that the C function reads or writes through them.
            #[allow(clippy::too_many_arguments)]
            pub unsafe fn $name($($argument: $type),*) -> kern_return_t {
                #[cfg(target_vendor = "apple")]
                {
                    const NAME: &core::ffi::CStr = match core::ffi::CStr::from_bytes_with_nul(
                        concat!(stringify!($name), "\0").as_bytes(),
                    ) {
                        Ok(name) => name,
                        Err(_) => c"",
                    };
                    // SAFETY: the name ends with a zero.
                    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, NAME.as_ptr()) };
                    if found.is_null() {
                        return $crate::kern_return::KernReturn::NOT_SUPPORTED.raw();
                    }
                    // SAFETY: the function of libSystem with this name has this signature in Apple's headers.
                    let found: unsafe extern "C" fn($($type),*) -> kern_return_t =
                        unsafe { core::mem::transmute(found) };
                    // SAFETY: the same contract, passed on unchanged.
                    unsafe { found($($argument),*) }
                }
                #[cfg(not(target_vendor = "apple"))]
                // SAFETY: the same contract, passed on unchanged.
                unsafe {
                    mach_emulated::calls::$name($($argument),*)
                }
            }
        )*

        /// The name of each call here.
        pub(in crate::kernel::calls) const CALLS: &[&str] = &[$(stringify!($name)),*];
    };
}
pub(super) use kernel_calls;
pub(super) use late_kernel_calls;
