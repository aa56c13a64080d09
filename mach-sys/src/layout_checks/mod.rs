//! Comparisons of this crate's declarations with those of other crates, at compile time for Apple.

/// This crate's declarations in one module.
mod ours {
    pub(super) use crate::darwin::*;
    pub(super) use crate::exception::*;
    pub(super) use crate::info::*;
    pub(super) use crate::kern_return::*;
    pub(super) use crate::message::*;
    pub(super) use crate::mig::exc::*;
    pub(super) use crate::mig::*;
    pub(super) use crate::port::*;
    pub(super) use crate::thread_state::*;
    pub(super) use crate::types::*;
    pub(super) use crate::vm::*;
}

/// Checks that constants with the same name have the same value.
macro_rules! same_values {
    ($($theirs:path: $($name:ident)*;)*) => {
        $(const _: () = {
            use $theirs as theirs;
            // As 32-bit patterns, because some have another sign.
            $(assert!(ours::$name as i64 as u32 == theirs::$name as i64 as u32, stringify!($name));)*
        };)*
    };
}

/// Checks that integer types with the same name are the same type, not only of the same size.
macro_rules! same_types {
    ($($theirs:path: $($name:ident)*;)*) => {
        $(const _: () = {
            use $theirs as theirs;
            $(let _: fn(theirs::$name) -> ours::$name = |value| value;)*
        };)*
    };
}

/// Checks size, alignment and the offset of each field of structures with the same name.
macro_rules! same_layouts {
    ($($theirs:path: $($name:ident { $($field:ident $their_field:ident)* })*;)*) => {
        $(const _: () = {
            use $theirs as theirs;
            $(
                assert!(core::mem::align_of::<ours::$name>() == core::mem::align_of::<theirs::$name>(), stringify!($name));
                same_layouts!(@ fields ours::$name, theirs::$name: $($field $their_field)*);
            )*
        };)*
    };
    (@ fields $ours:ty, $theirs:ty: $($field:ident $their_field:ident)*) => {
        assert!(core::mem::size_of::<$ours>() == core::mem::size_of::<$theirs>(), stringify!($theirs));
        $(assert!(
            core::mem::offset_of!($ours, $field) == core::mem::offset_of!($theirs, $their_field),
            stringify!($theirs: $field)
        );)*
    };
}

mod libc;
mod mach2;
