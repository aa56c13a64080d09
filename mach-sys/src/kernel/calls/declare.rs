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
pub(super) use kernel_calls;
