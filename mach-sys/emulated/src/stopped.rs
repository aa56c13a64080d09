//! The report of a stop of the emulation.

/// Report of what `mach_sys::kernel::stop` left behind. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped {
    /// The signals whose handler another component installed over the emulation's. It stays installed, and may chain to the emulation's,
    /// which passes everything on to what was there before.
    pub displaced: Vec<i32>,
}

impl Stopped {
    /// Returns whether nothing can call the emulation's code any more: a library that contains it can be unloaded. Otherwise the library
    /// stays loaded, whatever is unloaded.
    #[must_use]
    pub fn can_be_unloaded(&self) -> bool {
        self.displaced.is_empty()
    }
}
