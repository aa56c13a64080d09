//! The memory of all slots: one reserved region, of which only touched pages count.
#![allow(unsafe_code)]

use super::header::Header;
use super::keys::Keys;
use super::layout::Layout;
use crate::error::ReserveError;
use crate::host::sys::altstack::Stack;
use crate::host::sys::call::{call, page_size};
use crate::host::sys::reservation::Reservation;
use core::sync::atomic::{AtomicU32, Ordering};
use crate::host::sys::installed::Installed;

/// Identifies a slot: the place of a host thread in tables of the layers above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotId(u32);

impl SlotId {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug)]
struct Region {
    _memory: Reservation,
    base: usize,
    layout: Layout,
    keys: Keys,
}

static REGION: Installed<Region> = Installed::new();

/// Reserves the region; once in a start. The number of slots is a power of two.
pub(in crate::host) fn reserve(slots: u32) -> Result<(), ReserveError> {
    let layout = Layout::new(page_size());
    let count = slots as usize;
    let memory = Reservation::new("the threads' slots", (count + 1) * layout.size)?;
    let base = (memory.base().as_ptr() as usize).next_multiple_of(layout.size);
    // A huge page would be taken whole for one touched header. A host without huge pages refuses, and needs nothing.
    // SAFETY: advice about the region that was just reserved, of which nothing was touched.
    unsafe {
        let range = [base, count * layout.size, libc::MADV_NOHUGEPAGE as usize];
        call(libc::SYS_madvise, [range[0], range[1], range[2], 0, 0, 0])
    };
    REGION.set(Region {
        _memory: memory,
        base,
        layout,
        keys: Keys::new(count),
    });
    Ok(())
}

/// Gives the region back.
///
/// # Safety
/// No thread has a stack in it, and nothing of it is used any more, on any thread.
pub(in crate::host) unsafe fn give_back() {
    // SAFETY: the caller's promise.
    drop(unsafe { REGION.take() });
}

/// The keys, once the region is there.
pub(in crate::host) fn keys() -> Option<&'static Keys> {
    REGION.get().map(|region| &region.keys)
}

/// The slot of an index, if there are that many.
pub(in crate::host) fn from_index(index: usize) -> Option<SlotId> {
    (index < REGION.get()?.keys.count()).then_some(SlotId(index as u32))
}

/// The slot at an address inside it.
pub(in crate::host) fn containing(address: usize) -> Option<SlotId> {
    let region = REGION.get()?;
    let offset = address.wrapping_sub(region.base);
    (offset < region.keys.count() * region.layout.size)
        .then_some(SlotId((offset / region.layout.size) as u32))
}

/// A slot: the views of one by its identifier, which exists only once the region does.
#[derive(Clone, Copy, Debug)]
pub(in crate::host) struct Slot {
    region: &'static Region,
    id: SlotId,
}

impl Slot {
    pub(in crate::host) fn of(id: SlotId) -> Option<Self> {
        let region = REGION.get()?;
        (id.index() < region.keys.count()).then_some(Self { region, id })
    }

    pub(in crate::host) fn id(self) -> SlotId {
        self.id
    }

    pub(in crate::host) fn layout(self) -> Layout {
        self.region.layout
    }

    pub(in crate::host) fn address(self) -> usize {
        self.region.base + self.id.index() * self.region.layout.size
    }

    pub(in crate::host) fn header(self) -> &'static Header {
        let at = self.address() + self.region.layout.header;
        // SAFETY: the region is not unmapped while the emulation runs; a header lies in each slot, zeroed at first, which is a valid one; its fields are
        // atomics, or cells that only the slot's own thread touches.
        unsafe { &*(at as *const Header) }
    }

    pub(in crate::host) fn keys(self) -> &'static Keys {
        &self.region.keys
    }

    /// The alternate stack that the slot lends.
    pub(in crate::host) fn lent_stack(self) -> Stack {
        let layout = self.region.layout;
        Stack {
            base: self.address() + layout.lent,
            flags: 0,
            size: layout.lent_top - layout.lent,
        }
    }

    /// The fault handler's own stack.
    pub(in crate::host) fn private_stack(self) -> Stack {
        let layout = self.region.layout;
        Stack {
            base: self.address() + layout.private,
            flags: 0,
            size: layout.private_top - layout.private,
        }
    }

    /// Puts the guards in place, once in a slot's life. Where the host refuses there are none.
    pub(in crate::host) fn guard(self) {
        if self.header().guarded.swap(true, Ordering::Relaxed) {
            return;
        }
        let layout = self.region.layout;
        for bottom in [0, layout.private_top] {
            let none = libc::PROT_NONE as usize;
            let range = [self.address() + bottom, layout.guard, none, 0, 0, 0];
            // SAFETY: a page of the slot that nothing is kept in.
            unsafe { call(libc::SYS_mprotect, range) };
        }
    }
}

/// Faults and registrations that found every slot taken.
static EXHAUSTED: AtomicU32 = AtomicU32::new(0);

/// Counts a fault or a registration that found every slot taken.
pub(in crate::host) fn note_exhausted() {
    EXHAUSTED.fetch_add(1, Ordering::Relaxed);
}

/// Returns how many there were.
pub(crate) fn exhausted() -> u32 {
    EXHAUSTED.load(Ordering::Relaxed)
}
