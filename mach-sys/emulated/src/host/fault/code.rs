//! The first bytes of a handler: whether it is still there.

use crate::host::sys::call::page_size;
use crate::host::sys::copy::{self, CopyFault};
use core::sync::atomic::{AtomicU64, Ordering};

const BYTES: usize = 32;
/// A debugger's breakpoint or a tool's jump may have been written over some. Code of another library differs in nearly all.
const MAY_DIFFER: usize = BYTES / 2;

/// The code at an address as it once was. A library that is unloaded takes its handler with it, whatever is installed: jumping there
/// would be a second fault, or whatever lies there by then.
#[derive(Debug)]
pub(super) struct Code {
    words: [AtomicU64; BYTES / 8],
    /// Bytes that were read; 0 if none could be.
    length: AtomicU64,
}

impl Code {
    pub(super) const fn none() -> Self {
        Self {
            words: [const { AtomicU64::new(0) }; BYTES / 8],
            length: AtomicU64::new(0),
        }
    }

    /// Notes the code at an address.
    pub(super) fn note(&self, address: usize) {
        let mut bytes = [0; BYTES];
        let length = read(address, &mut bytes).unwrap_or_default();
        for (word, bytes) in self.words.iter().zip(bytes.chunks_exact(8)) {
            let value = bytes.try_into().map_or(0, u64::from_ne_bytes);
            word.store(value, Ordering::Relaxed);
        }
        self.length.store(length as u64, Ordering::Release);
    }

    /// Returns whether the code that was noted is still at its address.
    pub(super) fn is_at(&self, address: usize) -> bool {
        let length = self.length.load(Ordering::Acquire) as usize;
        let mut now = [0; BYTES];
        match read(address, &mut now) {
            Err(CopyFault::InvalidAddress) => false,
            // Code that may be executed and not read: only that it is there can be known.
            Err(CopyFault::ProtectionFailure) => length == 0,
            Ok(_) => {
                let then = self
                    .words
                    .iter()
                    .flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes());
                let differing = then.zip(now).take(length).filter(|(then, now)| then != now);
                differing.count() <= MAY_DIFFER
            }
        }
    }
}

/// Reads the bytes at an address, up to the end of the page. Returns how many.
fn read(address: usize, into: &mut [u8; BYTES]) -> Result<usize, CopyFault> {
    let left = page_size() - address % page_size();
    let length = left.min(BYTES);
    copy::read(address as u64, &mut into[..length])?;
    Ok(length)
}
