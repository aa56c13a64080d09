//! The stopped thread's memory, as the rewriter sees it: every access may fail, none may fault.

/// Bytes of an address space.
pub trait Memory {
    /// Fills `into` from `address` on. On an error its contents are unspecified.
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unmapped>;

    /// Writes `from` to `address` on. On an error a part may have been written.
    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Unmapped>;
}

/// An address that cannot be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{address:#x} is not mapped for this access")]
pub struct Unmapped {
    /// The first byte of the access that failed.
    pub address: u64,
}

impl<M: Memory + ?Sized> Memory for &mut M {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unmapped> {
        (**self).read(address, into)
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Unmapped> {
        (**self).write(address, from)
    }
}

/// Memory that is a buffer: one range of addresses, and nothing mapped around it.
#[derive(Debug)]
pub struct Region<'b> {
    base: u64,
    bytes: &'b mut [u8],
}

impl<'b> Region<'b> {
    /// `bytes` as the memory from `base` on.
    pub const fn new(base: u64, bytes: &'b mut [u8]) -> Self {
        Self { base, bytes }
    }

    /// The bytes.
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
    fn a_region_ends_where_it_ends() {
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
