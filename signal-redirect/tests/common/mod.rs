//! A stack that knows what was written to it.
#![allow(dead_code)]

use core::ops::Range;

use mach_sys::pod::{self, Pod};
use signal_redirect::{Key, Memory, Trampoline, Unmapped, VectorSave, X86_64};

/// Memory of one range, parts of which may be protected. Remembers every write.
pub(crate) struct Stack {
    pub(crate) base: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) protected: Vec<Range<u64>>,
    pub(crate) writes: Vec<Range<u64>>,
}

impl Stack {
    pub(crate) fn new(range: Range<u64>) -> Self {
        Self {
            base: range.start,
            bytes: vec![0xa5; (range.end - range.start) as usize],
            protected: Vec::new(),
            writes: Vec::new(),
        }
    }

    fn at(&self, address: u64, len: usize) -> Result<Range<usize>, Unmapped> {
        let unmapped = Unmapped { address };
        let start = address.checked_sub(self.base).ok_or(unmapped)? as usize;
        let end = start.checked_add(len).ok_or(unmapped)?;
        let touches =
            |range: &Range<u64>| address < range.end && range.start < address + len as u64;
        if end > self.bytes.len() || self.protected.iter().any(touches) {
            return Err(unmapped);
        }
        Ok(start..end)
    }

    pub(crate) fn get<T: Pod>(&self, address: u64) -> T {
        let mut value: T = pod::zeroed();
        self.read(address, pod::bytes_of_mut(&mut value)).unwrap();
        value
    }

    pub(crate) fn put<T: Pod>(&mut self, address: u64, value: &T) {
        self.write(address, pod::bytes_of(value)).unwrap();
    }

    /// The lowest and the highest address written.
    pub(crate) fn written(&self) -> Range<u64> {
        let low = self.writes.iter().map(|range| range.start).min().unwrap();
        let high = self.writes.iter().map(|range| range.end).max().unwrap();
        low..high
    }

    /// Every page of a range was written to.
    pub(crate) fn touched_every_page(&self, range: Range<u64>) -> bool {
        (range.start >> 12..=(range.end - 1) >> 12).all(|page| {
            let page = page << 12..(page + 1) << 12;
            self.writes
                .iter()
                .any(|write| write.start < page.end && page.start < write.end)
        })
    }
}

impl Memory for Stack {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unmapped> {
        into.copy_from_slice(&self.bytes[self.at(address, into.len())?]);
        Ok(())
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Unmapped> {
        let range = self.at(address, from.len())?;
        self.bytes[range].copy_from_slice(from);
        self.writes.push(address..address + from.len() as u64);
        Ok(())
    }
}

/// A value made of a pattern.
pub(crate) fn patterned<T: Pod>(seed: u8) -> T {
    let mut value: T = pod::zeroed();
    for (at, byte) in pod::bytes_of_mut(&mut value).iter_mut().enumerate() {
        *byte = (at as u8).wrapping_mul(31).wrapping_add(seed);
    }
    value
}

pub(crate) const TRAP: u64 = 0x5000_0000;
pub(crate) const HANDLER: u64 = 0x6000_0000;

pub(crate) fn key() -> Key {
    Key::new(0x0123_4567_89ab_cdef)
}

/// AVX-512, as a big area.
pub(crate) fn avx512() -> Trampoline<X86_64> {
    Trampoline::planned(TRAP, key()).vector_save(VectorSave::xsave(0xe7, 2696, 0xffff))
}
