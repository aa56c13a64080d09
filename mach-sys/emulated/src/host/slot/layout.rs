//! Layout of a slot, as a pure function of the page size.
//!
//! From the bottom of a slot:
//!
//! | part | |
//! |---|---|
//! | guard | a page without access |
//! | private | the fault handler's stack, registered only while a handler runs on it |
//! | guard | a page without access |
//! | lent | the alternate stack of a thread that has none of its own: [`LENT_STACK_SIZE`] bytes or more |
//! | copy area | where the kernel's frame is moved out of harm's way; in no registered range |
//! | header | the thread's record |
//!
//! A slot's size is a power of two, and its address a multiple of it. Only pages that are touched take memory.

/// The least number of bytes of the alternate signal stack that the emulation lends to a thread: more than `SIGSTKSZ` is on any system,
/// and room for a handler with 60 KiB of locals that faults itself.
pub const LENT_STACK_SIZE: usize = 96 * 1024;

/// The least number of bytes of the fault handler's own stack. The handler takes a fraction of it; the rest is for frames of signals that
/// are sent to the thread meanwhile, all five at once for example.
const PRIVATE_SIZE: usize = 64 * 1024;
/// Bytes of the copy area and the header: the largest frames that were seen have 12 KiB.
const COPY_AND_HEADER: usize = 16 * 1024;
/// Bytes of the header.
pub(in crate::host) const HEADER_SIZE: usize = 512;

/// Offsets in a slot, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::host) struct Layout {
    /// Bytes of a slot, and its alignment: a power of two.
    pub(in crate::host) size: usize,
    /// Bytes of each guard: one page.
    pub(in crate::host) guard: usize,
    /// Bottom of the private part, top of the guard below it.
    pub(in crate::host) private: usize,
    /// Top of the private part, bottom of the guard above it.
    pub(in crate::host) private_top: usize,
    /// Bottom of the lent part, top of the guard below it.
    pub(in crate::host) lent: usize,
    /// Top of the lent part, bottom of the copy area.
    pub(in crate::host) lent_top: usize,
    /// The header, top of the copy area.
    pub(in crate::host) header: usize,
}

impl Layout {
    /// Returns the layout for a page size, which is a power of two.
    pub(in crate::host) const fn new(page: usize) -> Self {
        let private = page;
        let private_top = private + PRIVATE_SIZE.next_multiple_of(page);
        let lent = private_top + page;
        let above = COPY_AND_HEADER.next_multiple_of(page);
        let size = (lent + LENT_STACK_SIZE.next_multiple_of(page) + above).next_power_of_two();
        Self {
            size,
            guard: page,
            private,
            private_top,
            lent,
            lent_top: size - above,
            header: size - HEADER_SIZE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HEADER_SIZE, LENT_STACK_SIZE, Layout};
    use crate::host::slot::header::Header;

    #[test]
    fn parts_are_large_enough_and_guards_whole_pages() {
        // Page size, size of a slot, bytes lent.
        let table = [
            (4096, 256 << 10, 168 << 10),
            (16384, 256 << 10, 144 << 10),
            (65536, 512 << 10, 256 << 10),
        ];
        for (page, size, lent) in table {
            let layout = Layout::new(page);
            assert_eq!(layout.size, size, "{page}");
            assert_eq!(layout.lent_top - layout.lent, lent, "{page}");
            assert!(layout.size.is_power_of_two() && layout.size % page == 0);
            assert_eq!(layout.guard, page);
            // Each guard is one page, and ends where the part above it begins.
            assert_eq!(layout.private, layout.guard);
            assert_eq!(layout.lent, layout.private_top + layout.guard);
            for bound in [
                layout.private,
                layout.private_top,
                layout.lent,
                layout.lent_top,
            ] {
                assert_eq!(bound % page, 0, "{page}: {bound:#x}");
            }
            assert!(layout.private_top - layout.private >= 64 << 10);
            assert!(lent >= LENT_STACK_SIZE);
            assert!(layout.header - layout.lent_top >= 14 << 10);
            assert_eq!(layout.header + HEADER_SIZE, layout.size);
            assert!(size_of::<Header>() <= HEADER_SIZE);
            assert_eq!(layout.header % align_of::<Header>(), 0);
        }
    }
}
