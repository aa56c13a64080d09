//! Compares what other crates also declare with their declarations, while compiling for Apple.

/// This crate, without its folders.
mod ours {
    pub(super) use crate::darwin::*;
    pub(super) use crate::exception::*;
    pub(super) use crate::kern_return::*;
    pub(super) use crate::message::*;
    pub(super) use crate::mig::exc::*;
    pub(super) use crate::mig::*;
    pub(super) use crate::port::*;
    pub(super) use crate::thread_state::*;
    pub(super) use crate::types::*;
}

/// Values under the same names.
macro_rules! same_values {
    ($($theirs:path: $($name:ident)*;)*) => {
        $(const _: () = {
            use $theirs as theirs;
            // As bit patterns of 32 bits: signs differ for some.
            $(assert!(ours::$name as i64 as u32 == theirs::$name as i64 as u32, stringify!($name));)*
        };)*
    };
}

/// Integer types: the same type, not only the same size.
macro_rules! same_types {
    ($($theirs:path: $($name:ident)*;)*) => {
        $(const _: () = {
            use $theirs as theirs;
            $(let _: fn(theirs::$name) -> ours::$name = |value| value;)*
        };)*
    };
}

/// Structures: size, alignment, offset and size of each field.
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
