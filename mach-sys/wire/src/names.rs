//! Constants with their C names: one list declares the C constant, the typed constant, and the names for `Display` and `FromStr`.
//!
//! Open sets of the kernel are newtypes, never enums: an unknown value is kept and printed as a number.

/// Parses a number in C's notation: decimal or `0x…`, with an optional minus sign.
pub(crate) fn parse_number(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let magnitude = match digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
    {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => digits.parse::<u64>().ok()?,
    };
    let value = i128::from(magnitude);
    Some(if negative { -value } else { value })
}

/// The error of a text that is neither a name of the set nor a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a {set}")]
pub struct ParseNameError {
    set: &'static str,
}

impl ParseNameError {
    pub(crate) const fn new(set: &'static str) -> Self {
        Self { set }
    }

    /// Returns the set in which the name was looked up, such as `"KernReturn"`.
    pub const fn set(&self) -> &'static str {
        self.set
    }

    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    pub const fn code(&self) -> u32 {
        0x1001
    }
}

/// Declares C constants of one type, and a table of their names.
macro_rules! raw_constants {
    ($raw:ty; $table:ident; $($(#[$doc:meta])* $c:ident = $value:expr;)*) => {
        $(
            $(#[$doc])*
            #[doc = concat!("`", stringify!($c), "`")]
            pub const $c: $raw = $value;
        )*
        /// Every constant of this list with its C name, for this project's tests.
        #[doc(hidden)]
        pub const $table: &[(&str, $raw)] = &[$((stringify!($c), $c)),*];
    };
}

/// Declares an open set of values: the C constants, and a newtype with typed constants.
macro_rules! open_set {
    (
        $(#[$meta:meta])*
        pub struct $name:ident($raw:ty);
        $($(#[$doc:meta])* $short:ident = $c:ident = $value:expr;)*
    ) => {
        $(
            $(#[$doc])*
            #[doc = concat!("`", stringify!($c), "`")]
            pub const $c: $raw = $value;
        )*

        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name($raw);

        impl $name {
            $(
                $(#[$doc])*
                #[doc = concat!("`", stringify!($c), "`")]
                pub const $short: Self = Self($c);
            )*

            /// Every named value with its C name, in the header's order.
            pub const NAMES: &[(&str, $raw)] = &[$((stringify!($c), $c)),*];

            /// Creates a value from any C value, known or not.
            pub const fn new(raw: $raw) -> Self {
                Self(raw)
            }

            /// Returns the C value.
            pub const fn raw(self) -> $raw {
                self.0
            }

            /// Returns the C name; the first in the header's order if the value has several, `None` if it has none.
            pub const fn name(self) -> Option<&'static str> {
                let mut at = 0;
                while at < Self::NAMES.len() {
                    if Self::NAMES[at].1 == self.0 {
                        return Some(Self::NAMES[at].0);
                    }
                    at += 1;
                }
                None
            }

            fn parse(text: &str) -> Option<Self> {
                const SHORT: &[(&str, $raw)] = &[$((stringify!($short), $c)),*];
                let mut known = Self::NAMES.iter().chain(SHORT);
                if let Some(&(_, raw)) = known.find(|(name, _)| *name == text) {
                    return Some(Self(raw));
                }
                let number = $crate::names::parse_number(text)?;
                <$raw>::try_from(number).ok().map(Self)
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

/// Implements `Display` and `FromStr` for an [`open_set!`], with the C name, or the number of a value without a name.
macro_rules! display_by_name {
    ($name:ident) => {
        impl core::str::FromStr for $name {
            type Err = $crate::names::ParseNameError;

            /// Parses a C name, the name of a constant of this type, or a number.
            ///
            /// # Errors
            /// [`ParseNameError`](crate::ParseNameError): any other text.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text.trim())
                    .ok_or($crate::names::ParseNameError::new(stringify!($name)))
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self.name() {
                    Some(name) => f.pad(name),
                    None => core::fmt::Display::fmt(&self.raw(), f),
                }
            }
        }
    };
}

/// Declares a set of flags: the C constants, and bitflags. `from_bits_retain` keeps every bit.
///
/// `show c` prints C names, `show short` the names of the type's constants; both are parsed. With `unknown !0` unnamed bits may have a
/// meaning, and `all` and `!` include them. Without it, `all` and `!` include only the named flags.
macro_rules! flag_set {
    (
        $(#[$($meta:tt)*])*
        pub struct $name:ident($raw:ty), show $show:ident $(, unknown $unknown:expr)?;
        $($(#[$($doc:tt)*])* $short:ident = $c:ident = $value:expr;)*
    ) => {
        $(
            $(#[$($doc)*])*
            #[doc = concat!("`", stringify!($c), "`")]
            pub const $c: $raw = $value;
        )*

        bitflags::bitflags! {
            $(#[$($meta)*])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
            #[repr(transparent)]
            pub struct $name: $raw {
                $(
                    $(#[$($doc)*])*
                    #[doc = concat!("`", stringify!($c), "`")]
                    const $short = $c;
                )*
                $(const _ = $unknown;)?
            }
        }

        impl $name {
            /// Every named flag or combination with its C name, in the header's order.
            pub const NAMES: &[(&str, $raw)] = &[$((stringify!($c), $c)),*];
            const SHORT: &[(&str, $raw)] = &[$((stringify!($short), $c)),*];
        }

        impl core::fmt::Display for $name {
            /// Prints names joined by `|`, unnamed bits as one hexadecimal number, and `0` for no bit.
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let names = $crate::names::flag_set!(@names $show);
                let mut rest = self.bits();
                let mut first = true;
                for &(name, bits) in names {
                    // Only single flags: a combination such as EXC_MASK_ALL is printed as its parts.
                    if bits.count_ones() == 1 && rest & bits == bits {
                        if !first {
                            f.write_str("|")?;
                        }
                        f.write_str(name)?;
                        first = false;
                        rest &= !bits;
                    }
                }
                match (rest, first) {
                    (0, true) => f.write_str("0"),
                    (0, false) => Ok(()),
                    (_, true) => write!(f, "{rest:#x}"),
                    (_, false) => write!(f, "|{rest:#x}"),
                }
            }
        }

        impl core::str::FromStr for $name {
            type Err = $crate::names::ParseNameError;

            /// Parses C names, names of the type's constants and numbers, joined by `|`.
            ///
            /// # Errors
            /// [`ParseNameError`](crate::ParseNameError): any other text.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let refused = $crate::names::ParseNameError::new(stringify!($name));
                let mut bits = 0;
                for part in text.split('|').map(str::trim) {
                    let mut known = Self::NAMES.iter().chain(Self::SHORT);
                    bits |= match known.find(|(name, _)| *name == part) {
                        Some(&(_, value)) => value,
                        // A bit pattern: a number that does not fit in a signed type is read as the unsigned type of the same width.
                        None => $crate::names::parse_number(part)
                            .filter(|number| (0..1_i128 << <$raw>::BITS).contains(number))
                            .map(|number| number as $raw)
                            .ok_or(refused)?,
                    };
                }
                Ok(Self::from_bits_retain(bits))
            }
        }
    };
    (@names c) => { Self::NAMES };
    (@names short) => { Self::SHORT };
}

pub(crate) use {display_by_name, flag_set, open_set, raw_constants};
