//! Plain data with a checked layout that can be read at run time.
//!
//! Every C structure of this crate is declared with its size, its alignment and the offset of each field. A declaration that differs
//! from the compiler's layout does not compile. [`Pod::LAYOUT`] has the same numbers as data, for tests, debuggers and generators of
//! foreign declarations.
#![allow(unsafe_code)]

use core::mem::{MaybeUninit, align_of, size_of};

/// The layout of a type: sizes and offsets in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Layout {
    /// The name of the type; for an array, that of its element.
    pub name: &'static str,
    /// The size in bytes.
    pub size: usize,
    /// The alignment in bytes.
    pub align: usize,
    /// The fields in order; empty for integers and arrays.
    pub fields: &'static [Field],
    /// The bit-fields of a type that is one word; empty for other types.
    pub parts: &'static [BitField],
    /// The layout and number of an array's elements; `None` for other types.
    pub element: Option<(&'static Layout, usize)>,
}

/// A bit-field of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BitField {
    /// The C name without leading underscores.
    pub name: &'static str,
    /// The lowest bit.
    pub low: u32,
    /// The number of bits.
    pub width: u32,
}

impl BitField {
    /// Returns `true` if a word of `bits` bits has room for this bit-field.
    pub const fn fits(&self, bits: u32) -> bool {
        self.width > 0 && self.low + self.width <= bits
    }
}

/// A field of a structure, or a member of an overlay (a C union), which has the offset 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Field {
    /// The C name without leading underscores.
    pub name: &'static str,
    /// The offset from the start of the structure, in bytes.
    pub offset: usize,
    /// The layout of the field's type.
    pub layout: &'static Layout,
}

pub(crate) mod sealed {
    /// Restricts [`Pod`](super::Pod) to this crate's types.
    pub trait Sealed {}
}
use sealed::Sealed;

/// Plain data. Sealed: only this crate implements it, for its structures, for integers and for arrays of both. The traits that require
/// it are sealed too ([`ThreadState`](crate::thread_state::ThreadState), [`Trailer`](crate::message::Trailer)).
///
/// # Safety
/// Every bit pattern is a valid value, there is no padding, and the layout does not depend on the compiler (`repr(C)`,
/// an integer, or an array of such).
pub unsafe trait Pod: Sealed + Copy + 'static {
    /// The layout of the type.
    const LAYOUT: &'static Layout;
}

macro_rules! integers {
    ($($int:ident)*) => {$(
        impl Sealed for $int {}
        // SAFETY: an integer has no padding and every bit pattern is a value.
        unsafe impl Pod for $int {
            const LAYOUT: &'static Layout = &Layout {
                name: stringify!($int),
                size: size_of::<$int>(),
                align: align_of::<$int>(),
                fields: &[],
                parts: &[],
                element: None,
            };
        }
    )*};
}
integers!(u8 i8 u16 i16 u32 i32 u64 i64 u128);

impl<T: Pod, const N: usize> Sealed for [T; N] {}
// SAFETY: an array consists of its elements, without padding between them.
unsafe impl<T: Pod, const N: usize> Pod for [T; N] {
    const LAYOUT: &'static Layout = &Layout {
        name: T::LAYOUT.name,
        size: size_of::<Self>(),
        align: align_of::<Self>(),
        fields: &[],
        parts: &[],
        element: Some((T::LAYOUT, N)),
    };
}

/// Returns the value with all bytes 0.
#[inline]
pub const fn zeroed<T: Pod>() -> T {
    // SAFETY: `T: Pod`, so every bit pattern is a value, also all zeroes.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// Returns the bytes of a value.
#[inline]
pub const fn bytes_of<T: Pod>(value: &T) -> &[u8] {
    // SAFETY: the pointer and length describe exactly `value`, borrowed as long as the result; `T: Pod` has no padding, so
    // every byte is initialised; `u8` needs no alignment.
    unsafe { core::slice::from_raw_parts(core::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// Returns the bytes of a value, for reading and writing.
#[inline]
pub const fn bytes_of_mut<T: Pod>(value: &mut T) -> &mut [u8] {
    // SAFETY: as in `bytes_of`, borrowed uniquely; any bytes written are a value of `T: Pod`.
    unsafe { core::slice::from_raw_parts_mut(core::ptr::from_mut(value).cast(), size_of::<T>()) }
}

/// Reads a value from the start of `bytes`, which need not be aligned; `None` if there are too few bytes.
#[inline]
pub const fn read<T: Pod>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: `size_of::<T>()` bytes are readable (checked above), `read_unaligned` needs no alignment, and every bit
    // pattern is a value of `T: Pod`.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// Returns the 32-bit words of a value. Compiles only for a type that consists of aligned words.
#[inline]
pub const fn words_of<T: Pod>(value: &T) -> &[u32] {
    const { assert!(align_of::<T>() >= 4 && size_of::<T>() % 4 == 0) };
    // SAFETY: the pointer is aligned for `u32` and the length covers exactly `value` (asserted above); `T: Pod` has no
    // padding, so every word is initialised; borrowed as long as the result.
    unsafe { core::slice::from_raw_parts(core::ptr::from_ref(value).cast(), size_of::<T>() / 4) }
}

/// Returns the 32-bit words of a value, for reading and writing. Compiles only for a type that consists of aligned words.
#[inline]
pub const fn words_of_mut<T: Pod>(value: &mut T) -> &mut [u32] {
    const { assert!(align_of::<T>() >= 4 && size_of::<T>() % 4 == 0) };
    // SAFETY: as in `words_of`, borrowed uniquely; any words written are a value of `T: Pod`.
    unsafe {
        core::slice::from_raw_parts_mut(core::ptr::from_mut(value).cast(), size_of::<T>() / 4)
    }
}

/// Returns the bytes of words.
#[inline]
pub const fn word_bytes(words: &[u32]) -> &[u8] {
    // SAFETY: the same memory as bytes: initialised, and `u8` needs no alignment.
    unsafe { core::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) }
}

/// Returns the words of bytes; `None` if they are not aligned for words, or are no whole number of them. Without bytes there are no words,
/// and the address does not matter. Not `const`, because `align_to` is not.
#[inline]
pub fn bytes_as_words(bytes: &[u8]) -> Option<&[u32]> {
    // SAFETY: every bit pattern is a `u32`, and the borrow is shared.
    match unsafe { bytes.align_to::<u32>() } {
        ([], words, []) => Some(words),
        _ => None,
    }
}

/// Returns the bytes of words, for reading and writing.
#[inline]
pub const fn word_bytes_mut(words: &mut [u32]) -> &mut [u8] {
    // SAFETY: the same memory, borrowed uniquely; any bytes written are words.
    unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), size_of_val(words)) }
}

/// Declares a C structure with its size, alignment and offsets, checked by the compiler.
///
/// C's padding is declared as a `reserved` field, so that there is none in Rust's sense. `packed` and `raised` are for structures that
/// C packs, or aligns more than their fields.
macro_rules! plain_struct {
    (
        $(#[$meta:meta])*
        pub struct $name:ident: $size:literal, align $align:literal $(, packed $pack:tt)? $(, raised $raised:tt)? {
            $($(#[$field_meta:meta])* $offset:literal $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[doc = ""]
        #[doc = concat!("Layout: ", stringify!($size), " bytes, aligned to ", stringify!($align), ".")]
        #[allow(non_camel_case_types)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(C $(, packed($pack))? $(, align($raised))?)]
        pub struct $name {
            $(
                $(#[$field_meta])*
                #[doc = concat!("`", stringify!($field), "` at byte ", stringify!($offset), ".")]
                pub $field: $type,
            )*
        }

        const _: () = {
            assert!(core::mem::size_of::<$name>() == $size, "size");
            assert!(core::mem::align_of::<$name>() == $align, "alignment");
            $(assert!(core::mem::offset_of!($name, $field) == $offset, stringify!($field));)*
            // Without padding the fields fill the structure.
            assert!(0 $(+ core::mem::size_of::<$type>())* == $size, "padding");
        };

        impl $crate::pod::sealed::Sealed for $name {}
        #[allow(unsafe_code)]
        // SAFETY: `repr(C)`; every field is `Pod` (its layout is read from there), and there is no padding (asserted above).
        unsafe impl $crate::pod::Pod for $name {
            const LAYOUT: &'static $crate::pod::Layout = &$crate::pod::Layout {
                name: stringify!($name),
                size: $size,
                align: $align,
                fields: &[$($crate::pod::Field {
                    name: stringify!($field),
                    offset: $offset,
                    layout: <$type as $crate::pod::Pod>::LAYOUT,
                }),*],
                parts: &[],
                element: None,
            };
        }

        impl Default for $name {
            /// Returns the value with all bytes 0.
            fn default() -> Self {
                $crate::pod::zeroed()
            }
        }
    };
}

/// Declares a word of C bit-fields, with a getter and a setter for each.
macro_rules! bit_struct {
    (
        $(#[$meta:meta])*
        pub struct $name:ident: $word:ty {
            $($(#[$part_meta:meta])* $low:literal $part:ident $set:ident: $width:literal,)*
        }
    ) => {
        $(#[$meta])*
        #[allow(non_camel_case_types)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[repr(transparent)]
        pub struct $name(pub $word);

        impl $name {
            $(
                $(#[$part_meta])*
                #[doc = concat!("Returns `", stringify!($part), "`: ", stringify!($width), " bits from bit ", stringify!($low), ".")]
                pub const fn $part(self) -> $word {
                    self.0 >> $low & (<$word>::MAX >> (<$word>::BITS - $width))
                }

                #[doc = concat!("Sets `", stringify!($part), "`; bits of `value` that do not fit are dropped.")]
                pub const fn $set(&mut self, value: $word) {
                    let mask = (<$word>::MAX >> (<$word>::BITS - $width)) << $low;
                    self.0 = self.0 & !mask | value << $low & mask;
                }
            )*
        }

        const _: () = {
            let mut parts = <$name as $crate::pod::Pod>::LAYOUT.parts;
            while let [part, rest @ ..] = parts {
                assert!(part.fits(<$word>::BITS), "a bit-field beyond the word");
                parts = rest;
            }
        };

        impl $crate::pod::sealed::Sealed for $name {}
        #[allow(unsafe_code)]
        // SAFETY: transparent over an integer, which is `Pod`.
        unsafe impl $crate::pod::Pod for $name {
            const LAYOUT: &'static $crate::pod::Layout = &$crate::pod::Layout {
                name: stringify!($name),
                size: core::mem::size_of::<$word>(),
                align: core::mem::align_of::<$word>(),
                fields: &[],
                parts: &[$($crate::pod::BitField {
                    name: stringify!($part),
                    low: $low,
                    width: $width,
                }),*],
                element: None,
            };
        }
    };
}

/// Declares the storage of a C union of structures, with a getter for each.
///
/// A partly written Rust union has uninitialised bytes; storage made of integers has none.
macro_rules! overlay {
    (
        $(#[$meta:meta])*
        pub struct $name:ident [$element:ty; $elements:literal] { $($member:ident: $type:ty),* $(,)? }
    ) => {
        $(#[$meta])*
        #[allow(non_camel_case_types)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(transparent)]
        pub struct $name(pub(crate) [$element; $elements]);

        const _: () = {
            $(assert!(core::mem::size_of::<$type>() <= core::mem::size_of::<$name>());)*
        };

        impl $name {
            $(
                #[doc = concat!("Returns the start of the storage as `", stringify!($type), "`.")]
                pub fn $member(&self) -> $type {
                    // The storage is large enough, as asserted above.
                    $crate::pod::read($crate::pod::bytes_of(&self.0)).unwrap_or_default()
                }
            )*

            /// Writes a structure to the start of the storage. Bytes that do not fit are dropped.
            pub fn put<T: $crate::pod::Pod>(&mut self, value: &T) {
                let to = $crate::pod::bytes_of_mut(&mut self.0).iter_mut();
                for (to, from) in to.zip($crate::pod::bytes_of(value)) {
                    *to = *from;
                }
            }
        }

        impl $crate::pod::sealed::Sealed for $name {}
        #[allow(unsafe_code)]
        // SAFETY: transparent over an array of integers, which is `Pod`.
        unsafe impl $crate::pod::Pod for $name {
            const LAYOUT: &'static $crate::pod::Layout = &$crate::pod::Layout {
                name: stringify!($name),
                size: core::mem::size_of::<$name>(),
                align: core::mem::align_of::<$name>(),
                fields: &[$($crate::pod::Field {
                    name: stringify!($member),
                    offset: 0,
                    layout: <$type as $crate::pod::Pod>::LAYOUT,
                }),*],
                parts: &[],
                element: None,
            };
        }

        impl Default for $name {
            /// Returns the value with all bytes 0.
            fn default() -> Self {
                $crate::pod::zeroed()
            }
        }
    };
}

pub(crate) use {bit_struct, overlay, plain_struct};

#[cfg(test)]
#[allow(unreachable_pub)] // what the macros declare is public
mod tests {
    use super::*;

    bit_struct! {
        /// Two bit-fields with a gap.
        pub struct Parts: u16 {
            1 low set_low: 2,
            8 high set_high: 8,
        }
    }

    #[test]
    fn a_bit_field_has_its_own_bits_only() {
        let mut parts = Parts(!0);
        parts.set_low(5);
        assert_eq!((parts.low(), parts.high(), parts.0), (1, 0xff, 0xfffb));
        parts.set_high(0);
        assert_eq!((parts.low(), parts.high(), parts.0), (1, 0, 0x00fb));
        let part = |low, width| BitField {
            name: "",
            low,
            width,
        };
        assert!(!part(9, 8).fits(16) && !part(0, 0).fits(16) && part(8, 8).fits(16));
    }

    #[test]
    fn reading_needs_no_alignment_and_refuses_too_few_bytes() {
        let bytes = [0xff, 1, 0, 0, 0, 2];
        assert_eq!(read::<u32>(&bytes[1..]), Some(1u32.to_le()));
        assert_eq!(read::<u32>(&bytes[3..]), None);
    }

    #[test]
    fn words_and_bytes_are_the_same_memory() {
        let mut words = [0u32; 2];
        word_bytes_mut(&mut words)[4] = 7;
        assert_eq!(u32::from_le(words[1]), 7);
        assert_eq!(word_bytes(&words), bytes_of(&words));
    }
}
