//! The memory of all slots: one reserved region, of which only touched pages count.
#![allow(unsafe_code)]

use super::header::Header;
use super::keys::Keys;
use super::layout::Layout;
use crate::error::ReserveError;
use crate::host::sys::altstack::Stack;
use crate::host::sys::call::{call, page_size};
use crate::host::sys::installed::Installed;
use crate::host::sys::reservation::Reservation;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// Identifies a slot: the place of a system thread in tables of the layers above.
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
    guards: Guards,
    /// The use of each slot's memory, and the number of slots [`IN_USE`].
    uses: Box<[AtomicU8]>,
    in_use: AtomicU32,
}

static REGION: Installed<Region> = Installed::new();

/// Reserves the region; once in a start. The number of slots is a power of two.
pub(in crate::host) fn reserve(slots: u32) -> Result<(), ReserveError> {
    let layout = Layout::new(page_size());
    let count = slots as usize;
    let memory = Reservation::new("the threads' slots", (count + 1) * layout.size)?;
    let base = (memory.base().as_ptr() as usize).next_multiple_of(layout.size);
    // A huge page would be taken whole for one touched header. A system without huge pages refuses, and needs nothing.
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
        guards: Guards::find(base, layout.guard),
        uses: (0..count).map(|_| AtomicU8::new(UNTOUCHED)).collect(),
        in_use: AtomicU32::new(0),
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

/// Returns the keys, once the region is there.
pub(in crate::host) fn keys() -> Option<&'static Keys> {
    REGION.get().map(|region| &region.keys)
}

/// Returns the slot of an index, if there are that many.
pub(in crate::host) fn from_index(index: usize) -> Option<SlotId> {
    (index < REGION.get()?.keys.count()).then_some(SlotId(index as u32))
}

/// Returns the slot at an address inside it.
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

    /// Returns the alternate stack that the slot lends.
    pub(in crate::host) fn lent_stack(self) -> Stack {
        let layout = self.region.layout;
        Stack {
            base: self.address() + layout.lent,
            flags: 0,
            size: layout.lent_top - layout.lent,
        }
    }

    /// Returns the fault handler's own stack.
    pub(in crate::host) fn private_stack(self) -> Stack {
        let layout = self.region.layout;
        Stack {
            base: self.address() + layout.private,
            flags: 0,
            size: layout.private_top - layout.private,
        }
    }

    fn guards(self) -> [usize; 2] {
        [0, self.region.layout.private_top].map(|bottom| self.address() + bottom)
    }

    /// Puts the guards in place, unless they are. Where the system refuses there are none.
    pub(in crate::host) fn guard(self) {
        let before = self.use_of().swap(IN_USE, Ordering::Relaxed);
        if before == IN_USE {
            return;
        }
        self.region.in_use.fetch_add(1, Ordering::Relaxed);
        if before == UNTOUCHED {
            for at in self.guards() {
                self.region.guards.install(at, self.region.layout.guard);
            }
        }
    }

    /// Gives the slot's memory back to the system, if many slots have memory: a thread's identifier says which slot it gets, so that short
    /// threads would use all of them up in turn. Called by the watching thread for a slot that no thread has, or can get. The slots of
    /// [near places](super::keys), which the next threads take, keep theirs.
    pub(in crate::host) fn give_memory_back(self) {
        if self.use_of().load(Ordering::Relaxed) != IN_USE
            || self.keys().is_near(self.id.index())
            || self.region.in_use.load(Ordering::Relaxed) <= KEPT
        {
            return;
        }
        let mut left = GUARDED;
        if self.region.guards == Guards::Protected {
            // Each has a mapping of its own.
            left = UNTOUCHED;
            for at in self.guards() {
                protect(
                    at,
                    self.region.layout.guard,
                    libc::PROT_READ | libc::PROT_WRITE,
                );
            }
        }
        let range = [
            self.address(),
            self.region.layout.size,
            libc::MADV_DONTNEED as usize,
        ];
        // SAFETY: the slot belongs to no thread. Zeroes are a valid record.
        unsafe { call(libc::SYS_madvise, [range[0], range[1], range[2], 0, 0, 0]) };
        self.use_of().store(left, Ordering::Relaxed);
        self.region.in_use.fetch_sub(1, Ordering::Relaxed);
    }

    fn use_of(self) -> &'static AtomicU8 {
        &self.region.uses[self.id.index()]
    }
}

/// State of a slot's memory: never touched.
const UNTOUCHED: u8 = 0;
/// The guards are in place, and nothing else.
const GUARDED: u8 = 1;
/// The guards are in place, and a thread has or had the slot.
const IN_USE: u8 = 2;

/// Slots that keep their memory for the next thread, where there are no near places. A slot is 256 KiB of address space and some 16 KiB of memory.
const KEPT: u32 = 64;

/// Kind of the guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guards {
    /// Marks in the page tables (Linux 6.13): the region stays one mapping.
    Marked,
    /// Pages without access, each a mapping of its own.
    Protected,
}

impl Guards {
    /// Finds out by installing one, whether the system does what it says: emulators answer to all advice alike.
    fn find(at: usize, length: usize) -> Self {
        let marked = Self::mark(at, length) && {
            // A call whose result an instrumenting host does not touch itself, as valgrind does a signal mask.
            let clock = libc::CLOCK_MONOTONIC as usize;
            // SAFETY: the kernel writes the time to a page that nothing is kept in, if it can be written.
            let written = unsafe { call(libc::SYS_clock_gettime, [clock, at, 0, 0, 0, 0]) };
            written == -(libc::EFAULT as isize)
        };
        match marked {
            true => Self::Marked,
            false => Self::Protected,
        }
    }

    fn mark(at: usize, length: usize) -> bool {
        const MADV_GUARD_INSTALL: usize = 102;
        // SAFETY: pages of the region that nothing is kept in.
        unsafe { call(libc::SYS_madvise, [at, length, MADV_GUARD_INSTALL, 0, 0, 0]) == 0 }
    }

    fn install(self, at: usize, length: usize) {
        if self == Self::Protected || !Self::mark(at, length) {
            protect(at, length, libc::PROT_NONE);
        }
    }
}

fn protect(at: usize, length: usize, protection: libc::c_int) {
    // SAFETY: pages of a slot that nothing is kept in.
    unsafe {
        call(
            libc::SYS_mprotect,
            [at, length, protection as usize, 0, 0, 0],
        )
    };
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
