//! The stopped thread's memory. An access may fail, but never faults.

/// An address space whose bytes can be read and written. `OwnMemory` (feature `std`) is that of the process, [`Region`] a buffer.
pub trait Memory {
    /// Reads the bytes at `address` into `into`.
    ///
    /// # Errors
    /// [`Unmapped`]: at least one of the bytes cannot be read. The contents of `into` are then unspecified.
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unmapped>;

    /// Writes `from` to the bytes at `address`.
    ///
    /// # Errors
    /// [`Unmapped`]: at least one of the bytes cannot be written. Some may have been written.
    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Unmapped>;
}

/// The error of an access to memory that cannot be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{address:#x} is not mapped for this access")]
#[non_exhaustive]
pub struct Unmapped {
    /// First address of the access that failed; not necessarily the byte that is unmapped.
    pub address: u64,
}

impl Unmapped {
    /// Creates the error of an access that starts at `address`, for implementations of [`Memory`].
    #[must_use]
    pub const fn at(address: u64) -> Self {
        Self { address }
    }

    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    #[must_use]
    pub const fn code(&self) -> u32 {
        0x5001
    }
}

impl<M: Memory + ?Sized> Memory for &mut M {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unmapped> {
        (**self).read(address, into)
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Unmapped> {
        (**self).write(address, from)
    }
}

/// A buffer as memory: one range of addresses, with nothing mapped around it.
#[derive(Debug)]
pub struct Region<'b> {
    base: u64,
    bytes: &'b mut [u8],
}

impl<'b> Region<'b> {
    /// Creates memory that has `bytes` at the address `base`, and nothing else.
    #[must_use]
    pub const fn new(base: u64, bytes: &'b mut [u8]) -> Self {
        Self { base, bytes }
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8] {
        self.bytes
    }

    fn range(&self, address: u64, len: usize) -> Result<core::ops::Range<usize>, Unmapped> {
        let unmapped = Unmapped { address };
        let start = address.checked_sub(self.base).ok_or(unmapped)?;
        let start = usize::try_from(start).map_err(|_| unmapped)?;
        let end = start.checked_add(len).ok_or(unmapped)?;
        if end > self.bytes.len() {
            return Err(unmapped);
        }
        Ok(start..end)
    }
}

impl Memory for Region<'_> {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unmapped> {
        let range = self.range(address, into.len())?;
        into.copy_from_slice(&self.bytes[range]);
        Ok(())
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Unmapped> {
        let range = self.range(address, from.len())?;
        self.bytes[range].copy_from_slice(from);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accesses_outside_a_region_fail() {
        let mut bytes = [0; 16];
        let mut region = Region::new(u64::MAX - 15, &mut bytes);
        assert_eq!(region.write(u64::MAX - 15, &[1; 16]), Ok(()));
        for (address, len) in [
            (u64::MAX - 16, 1),
            (u64::MAX, 2),
            (0, 1),
            (u64::MAX - 15, 17),
        ] {
            let mut into = vec![0; len];
            assert_eq!(region.read(address, &mut into), Err(Unmapped { address }));
            assert_eq!(region.write(address, &into), Err(Unmapped { address }));
        }
    }
}
