//! Mappings of pages: where a caller wants them, as copies, or as second views of memory that is mapped already.
#![allow(unsafe_code)]

use super::call::{call, page_size};
use super::maps::NotTold;
use super::pages::{self, Access, PagesError};
use super::{copy, gaps};
use core::ops::Range;

/// A place for pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At the first free address from one on that has none of these bits; at one of the system's choice from 0 on.
    Anywhere { from: usize, mask: usize },
    /// At an address, whose page is the first, where nothing is mapped.
    At(usize),
    /// At an address, in place of all that is mapped there.
    Over(usize),
}

/// Pages of the child of a fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InChild {
    TheSame,
    ACopy,
    Nothing,
}

/// The lowest address that memory is mapped at, whatever the process may do: a null pointer with an offset must fault, as in a task of XNU.
const LOWEST: usize = 0x1_0000;

/// The end of the addresses that the system maps without being asked for more. Where it has no memory, an address beyond is the reason.
const END: usize = match cfg!(target_arch = "x86_64") {
    true => 1 << 47,
    false => 1 << 48,
};

/// Returns whether an address is beyond those that the system maps memory at.
pub(crate) fn is_beyond(address: usize) -> bool {
    address >= END
}

impl Place {
    /// Any page that is free.
    const ANY: Self = Self::Anywhere { from: 0, mask: 0 };

    /// Returns whether any page of the system's choice will do.
    fn is_any(self) -> bool {
        matches!(self, Self::Anywhere { from: 0, mask } if mask < page_size())
    }

    /// Checks that pages may be there.
    fn check(self, size: usize) -> Result<(), PagesError> {
        match self {
            Self::Anywhere { .. } => Ok(()),
            Self::At(start) | Self::Over(start) => {
                let end = start.checked_add(size);
                match end.is_some() && start >= LOWEST {
                    true => Ok(()),
                    false => Err(PagesError::Unmapped),
                }
            }
        }
    }
}

/// Maps pages; what it is told is that of `mmap`. Touches no `errno`: it may be in memory that is just being replaced.
///
/// # Safety
/// As for `mmap`: what is mapped in that place is the caller's to replace.
unsafe fn map(
    start: usize,
    size: usize,
    protection: usize,
    flags: i32,
    file: i32,
    offset: usize,
) -> Result<usize, PagesError> {
    let arguments = [
        start,
        size,
        protection,
        flags as usize,
        file as isize as usize,
        offset,
    ];
    // SAFETY: the caller's promise.
    let base = unsafe { call(libc::SYS_mmap, arguments) };
    let fixed = flags & (libc::MAP_FIXED | libc::MAP_FIXED_NOREPLACE) != 0;
    usize::try_from(base).map_err(|_| match i32::try_from(-base) {
        Ok(libc::EEXIST) => PagesError::Occupied,
        // Below the lowest address that may be mapped, or above the highest.
        Ok(libc::EPERM) if fixed => PagesError::Unmapped,
        Ok(libc::ENOMEM) if fixed && start.saturating_add(size) > END => PagesError::Unmapped,
        Ok(libc::EACCES) => PagesError::Refused,
        _ => PagesError::Occupied,
    })
}

/// # Safety
/// The pages are the caller's to release.
unsafe fn unmap(start: usize, size: usize) {
    if size > 0 {
        // SAFETY: the caller's promise.
        unsafe { call(libc::SYS_munmap, [start, size, 0, 0, 0, 0]) };
    }
}

/// Maps pages of no file in a place, by `mmap`'s flags. `size` is one of whole pages. Of [`Place::Anywhere`] nothing is heeded: the caller has
/// [looked](Place::is_any).
///
/// # Safety
/// With [`Place::Over`] what is mapped there is the caller's to replace.
unsafe fn anonymous(
    place: Place,
    size: usize,
    protection: usize,
    sharing: i32,
) -> Result<usize, PagesError> {
    let plain = sharing | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    place.check(size)?;
    let (start, fixed) = match place {
        Place::Anywhere { .. } => (0, 0),
        Place::At(start) => (start, libc::MAP_FIXED_NOREPLACE),
        Place::Over(start) => (start, libc::MAP_FIXED),
    };
    // SAFETY: a new mapping that replaces no other but by the caller's promise.
    let base = unsafe { map(start, size, protection, plain | fixed, -1, 0) }?;
    if fixed != 0 && base != start {
        // A kernel before 4.17, which takes the address as a hint.
        // SAFETY: mapped above, and known to nothing else.
        unsafe { unmap(base, size) };
        return Err(PagesError::Occupied);
    }
    Ok(base)
}

/// Maps pages without access, to be replaced by others, in a place. `size` is one of whole pages.
///
/// # Safety
/// With [`Place::Over`] what is mapped there is the caller's to replace.
unsafe fn reserve(place: Place, size: usize) -> Result<usize, PagesError> {
    let none = libc::PROT_NONE as usize;
    let (from, mask) = match place {
        Place::Anywhere { from, mask } if !place.is_any() => (from, mask),
        // SAFETY: the same contract.
        _ => return unsafe { anonymous(place, size, none, libc::MAP_PRIVATE) },
    };
    if from > 0 {
        return reserve_from(from, mask, size);
    }
    let align = mask
        .checked_add(1)
        .and_then(usize::checked_next_power_of_two);
    let align = align.ok_or(PagesError::Occupied)?;
    let all = size.checked_add(align).ok_or(PagesError::Occupied)?;
    // SAFETY: a new mapping that replaces no other.
    let base = unsafe { anonymous(Place::ANY, all, none, libc::MAP_PRIVATE) }?;
    let start = base.next_multiple_of(align);
    // SAFETY: the ends of the mapping that was made above.
    unsafe {
        unmap(base, start - base);
        unmap(start + size, base + all - (start + size));
    }
    Ok(start)
}

/// Maps pages without access at the first free address from one on.
fn reserve_from(from: usize, mask: usize, size: usize) -> Result<usize, PagesError> {
    /// Times that another thread may be faster.
    const TRIES: usize = 32;
    let (from, mask) = (from.max(LOWEST), mask | (page_size() - 1));
    for _ in 0..TRIES {
        let start = match gaps::first(from, mask, size, END) {
            Ok(start) => start.ok_or(PagesError::Occupied)?,
            Err(NotTold) => return Err(PagesError::System),
        };
        let none = libc::PROT_NONE as usize;
        // SAFETY: no mapping is replaced.
        match unsafe { anonymous(Place::At(start), size, none, libc::MAP_PRIVATE) } {
            Err(PagesError::Occupied) => {}
            reserved => return reserved,
        }
    }
    Err(PagesError::Occupied)
}

/// Says what the child of a fork gets of pages that are private or shared already.
fn set_in_child(start: usize, size: usize, in_child: InChild) {
    if in_child == InChild::Nothing {
        let advice = libc::MADV_DONTFORK as usize;
        // SAFETY: a statement about a mapping of the caller's, which reads and writes nothing.
        unsafe { call(libc::SYS_madvise, [start, size, advice, 0, 0, 0]) };
    }
}

/// Maps zero-filled pages, and returns the address of the first. `size` is one of whole pages, and not 0.
///
/// # Safety
/// With [`Place::Over`] what is mapped there is the caller's to replace.
pub(crate) unsafe fn new_pages(
    place: Place,
    size: usize,
    access: Access,
    in_child: InChild,
) -> Result<usize, PagesError> {
    let shared = match in_child {
        InChild::TheSame => libc::MAP_SHARED,
        _ => libc::MAP_PRIVATE,
    };
    let place = match place {
        Place::Anywhere { .. } if !place.is_any() => {
            // SAFETY: no mapping is replaced.
            Place::Over(unsafe { reserve(place, size) }?)
        }
        place => place,
    };
    // SAFETY: the caller's promise, or the pages that were reserved above.
    let base = unsafe { anonymous(place, size, access.bits(), shared) }?;
    set_in_child(base, size, in_child);
    Ok(base)
}

/// Maps zero-filled pages for reading and writing where the system likes, and returns the address of the first. None for 0 bytes.
pub(crate) fn anywhere(bytes: usize) -> Result<usize, PagesError> {
    let size = bytes.checked_next_multiple_of(page_size());
    let size = size.filter(|size| *size > 0).ok_or(PagesError::Range)?;
    let access = Access {
        read: true,
        write: true,
        execute: false,
    };
    // SAFETY: no mapping is replaced.
    unsafe { new_pages(Place::ANY, size, access, InChild::ACopy) }
}

/// Maps zero-filled pages that are to be [moved](move_pages) to a place, and not in it; with [`Place::Anywhere`] at their place.
pub(crate) fn new_pages_beside(
    place: Place,
    size: usize,
    access: Access,
    in_child: InChild,
) -> Result<usize, PagesError> {
    let somewhere = Place::ANY;
    let start = match place {
        // SAFETY: nothing is replaced.
        Place::Anywhere { .. } => return unsafe { new_pages(place, size, access, in_child) },
        Place::At(start) | Place::Over(start) => start,
    };
    // SAFETY: nothing is replaced. The first pages are this function's own.
    unsafe {
        let first = new_pages(somewhere, size, access, in_child)?;
        if first >= start.saturating_add(size) || start >= first + size {
            return Ok(first);
        }
        let second = new_pages(somewhere, size, access, in_child);
        unmap(first, size);
        second
    }
}

/// Moves pages that were mapped by [`new_pages`] to a place, and returns the address of the first. On an error they stay.
///
/// # Safety
/// The pages are the caller's. With [`Place::Over`] what is mapped there is the caller's to replace.
pub(crate) unsafe fn move_pages(
    from: usize,
    size: usize,
    place: Place,
) -> Result<usize, PagesError> {
    const FLAGS: i32 = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    // SAFETY: the caller's promise. What was reserved is replaced.
    unsafe {
        let to = match place {
            Place::Over(to) => {
                place.check(size)?;
                to
            }
            place => reserve(place, size)?,
        };
        let moved = call(libc::SYS_mremap, [from, size, size, FLAGS as usize, to, 0]);
        if moved < 0 {
            if !matches!(place, Place::Over(_)) {
                unmap(to, size);
            }
            return Err(not_moved(moved));
        }
        Ok(to)
    }
}

/// Tells from the result of `mremap` why pages were not moved.
fn not_moved(result: isize) -> PagesError {
    match i32::try_from(-result) {
        Ok(libc::ENOMEM) => PagesError::Occupied,
        Ok(libc::ENOSYS | libc::EPERM | libc::EACCES) => PagesError::System,
        _ => PagesError::Unmapped,
    }
}

/// Releases pages that [`new_pages`] mapped.
///
/// # Safety
/// They are the caller's, and nothing uses them any more.
pub(crate) unsafe fn release_pages(start: usize, size: usize) {
    // SAFETY: the caller's promise.
    unsafe { unmap(start, size) };
}

/// A part of memory that is mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) addresses: Range<usize>,
    pub(crate) access: Access,
    pub(crate) shared: bool,
    /// True for memory without a file.
    pub(crate) anonymous: bool,
    /// True for memory that the system itself writes to.
    pub(crate) of_system: bool,
}

/// A file in memory, which is gone with its last mapping.
#[derive(Debug)]
struct MemoryFile(i32);

impl MemoryFile {
    fn new(size: usize) -> Result<Self, PagesError> {
        // A larger file would be the end of the process, by a signal.
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: the result goes to a local variable.
        let known = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) } == 0;
        if !known || limit.rlim_cur < size as libc::rlim_t {
            return Err(PagesError::Shortage);
        }
        let name = c"mach_vm_remap".as_ptr() as usize;
        let flags = libc::MFD_CLOEXEC as usize;
        // SAFETY: the name ends with a zero.
        let file = unsafe { call(libc::SYS_memfd_create, [name, flags, 0, 0, 0, 0]) };
        let file = match i32::try_from(file) {
            Ok(file @ 0..) => Self(file),
            // A system before 3.17, or a filter of system calls.
            Ok(error) if [libc::ENOSYS, libc::EPERM, libc::EACCES].contains(&-error) => {
                return Err(PagesError::System);
            }
            _ => return Err(PagesError::Shortage),
        };
        // SAFETY: a file of this value's.
        let sized = unsafe { call(libc::SYS_ftruncate, [file.0 as usize, size, 0, 0, 0, 0]) };
        match sized {
            0 => Ok(file),
            _ => Err(PagesError::Shortage),
        }
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        // SAFETY: a file of this value's.
        unsafe { call(libc::SYS_close, [self.0 as usize, 0, 0, 0, 0, 0]) };
    }
}

/// The entries of `/proc/self/pagemap`, one for each page of the process.
struct PageMap {
    file: Option<i32>,
    /// Room for entries, in pages of its own.
    room: usize,
}

impl PageMap {
    /// Entries that are read at a time: reserved memory of many gigabytes takes a read for each 32 MiB.
    const ENTRIES: usize = 8192;
    const ROOM: usize = Self::ENTRIES * size_of::<u64>();

    fn open() -> Result<Self, PagesError> {
        let room = anywhere(Self::ROOM)?;
        let path = c"/proc/self/pagemap".as_ptr() as usize;
        let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as usize;
        let open = [libc::AT_FDCWD as usize, path, flags, 0, 0, 0];
        // SAFETY: the path ends with a zero.
        let file = unsafe { call(libc::SYS_openat, open) };
        let file = i32::try_from(file).ok().filter(|file| *file >= 0);
        Ok(Self { file, room })
    }

    /// Reads the entries of so many pages or fewer from an address on; `None` if the system does not tell.
    fn read(&mut self, address: usize, pages: usize) -> Option<&[u64]> {
        let offset = address / page_size() * size_of::<u64>();
        let bytes = pages.min(Self::ENTRIES) * size_of::<u64>();
        let arguments = [self.file? as usize, self.room, bytes, offset, 0, 0];
        // SAFETY: the kernel writes into the room, which is as large.
        let read = unsafe { call(libc::SYS_pread64, arguments) };
        let read = usize::try_from(read).ok()? / size_of::<u64>();
        // SAFETY: the room is mapped and zero-filled, belongs to this value, which is borrowed exclusively, and has that many entries.
        let entries = unsafe { core::slice::from_raw_parts(self.room as *const u64, read) };
        (read > 0).then_some(entries)
    }
}

impl Drop for PageMap {
    fn drop(&mut self) {
        // SAFETY: a file and pages of this value's.
        unsafe {
            if let Some(file) = self.file {
                call(libc::SYS_close, [file as usize, 0, 0, 0, 0, 0]);
            }
            unmap(self.room, Self::ROOM);
        }
    }
}

/// Copies what pieces of private memory hold to a file, at their places within `whole`. Pages that were never written to stay holes of the file.
fn fill(file: &MemoryFile, whole: &Range<usize>, pieces: &[Piece]) -> Result<(), PagesError> {
    let size = whole.end - whole.start;
    let write = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    // SAFETY: a new mapping that replaces no other.
    let view = unsafe { map(0, size, write, libc::MAP_SHARED, file.0, 0) }?;
    let outcome = PageMap::open().and_then(|mut page_map| {
        let mut private = pieces.iter().filter(|piece| !piece.shared);
        private.try_for_each(|piece| fill_piece(view, whole, piece, &mut page_map))
    });
    // SAFETY: mapped above.
    unsafe { unmap(view, size) };
    outcome
}

fn fill_piece(
    view: usize,
    whole: &Range<usize>,
    piece: &Piece,
    page_map: &mut PageMap,
) -> Result<(), PagesError> {
    let Range { start, end } = piece.addresses.clone();
    let readable = Access {
        read: true,
        ..piece.access
    };
    if !piece.access.read {
        // SAFETY: no other thread runs, and the access is put back below.
        unsafe { pages::protect(start, end - start, readable) }?;
    }
    let outcome = fill_from(view.wrapping_sub(whole.start), piece, page_map);
    if !piece.access.read {
        // SAFETY: as it was.
        unsafe { pages::protect(start, end - start, piece.access) }?;
    }
    outcome
}

/// Copies the pages of a readable piece to the addresses that are `distance` above them.
fn fill_from(distance: usize, piece: &Piece, page_map: &mut PageMap) -> Result<(), PagesError> {
    /// Bits of an entry: the page is there, or swapped out.
    const KEPT: u64 = 3 << 62;
    let page = page_size();
    let Range { start, end } = piece.addresses.clone();
    let mut at = start;
    while at < end {
        let told = match piece.anonymous {
            true => page_map.read(at, (end - at).div_ceil(page)),
            // A file's pages are not there before they are read.
            false => None,
        };
        // What the system does not tell is there.
        for entry in told.unwrap_or(&[KEPT]) {
            if entry & KEPT != 0 {
                copy_page(at, at.wrapping_add(distance))?;
            }
            at += page;
        }
    }
    Ok(())
}

fn copy_page(from: usize, to: usize) -> Result<(), PagesError> {
    let mut bytes = [0_u8; 4096];
    for offset in (0..page_size()).step_by(bytes.len()) {
        let (from, to) = ((from + offset) as u64, (to + offset) as u64);
        copy::read(from, &mut bytes).map_err(|_| PagesError::Unmapped)?;
        // The system has no memory left for the file.
        copy::write(to, &bytes).map_err(|_| PagesError::Shortage)?;
    }
    Ok(())
}

/// Maps the memory of pieces, which follow each other, a second time, and returns the address of the first byte: what is written in one
/// place is read in the other. Memory that is private becomes shared for that, in its place: other threads must not run meanwhile, unless
/// all of it is shared. Allocates nothing and touches no `errno`.
///
/// # Safety
/// The memory is the caller's, and nothing of it is in use by the calling thread's own code. With [`Place::Over`] what is mapped there is the
/// caller's to replace, and none of the pieces.
pub(crate) unsafe fn second_view(
    pieces: &[Piece],
    place: Place,
    in_child: InChild,
) -> Result<usize, PagesError> {
    let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else {
        return Err(PagesError::Range);
    };
    if pieces.iter().any(|piece| piece.of_system) {
        // A view would not be of what the system writes there later.
        return Err(PagesError::System);
    }
    let whole = first.addresses.start..last.addresses.end;
    let size = whole.end - whole.start;
    let is_private = pieces.iter().any(|piece| !piece.shared);
    let file = match is_private {
        true => Some(MemoryFile::new(size)?),
        false => None,
    };
    // SAFETY: the caller's promise. The reserved pages are this function's, and are replaced piece by piece.
    unsafe {
        // What is replaced goes last, when nothing else can fail but for want of memory.
        let is_over = matches!(place, Place::Over(_));
        let early = match is_over {
            true => None,
            false => Some(reserve(place, size)?),
        };
        let filled = file
            .as_ref()
            .map_or(Ok(()), |file| fill(file, &whole, pieces));
        if let Err(error) = filled {
            if let Some(base) = early {
                unmap(base, size);
            }
            return Err(error);
        }
        let base = match early {
            Some(base) => base,
            None => reserve(place, size)?,
        };
        for piece in pieces {
            let to = base + (piece.addresses.start - whole.start);
            if let Err(error) = view_piece(piece, to, file.as_ref(), whole.start) {
                unmap(base, size);
                return Err(error);
            }
        }
        set_in_child(base, size, in_child);
        Ok(base)
    }
}

/// Maps the memory of one piece at a second address, where pages are reserved.
///
/// # Safety
/// As for [`second_view`].
unsafe fn view_piece(
    piece: &Piece,
    to: usize,
    file: Option<&MemoryFile>,
    origin: usize,
) -> Result<(), PagesError> {
    const FLAGS: i32 = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    let Range { start, end } = piece.addresses.clone();
    let size = end - start;
    // SAFETY: the caller's promise.
    unsafe {
        match file.filter(|_| !piece.shared) {
            Some(file) => {
                let flags = libc::MAP_SHARED | libc::MAP_FIXED;
                let (protection, offset) = (piece.access.bits(), start - origin);
                map(to, size, protection, flags, file.0, offset)?;
                map(start, size, protection, flags, file.0, offset)?;
            }
            None => {
                // Of no bytes: a second mapping of the same pages.
                let moved = call(libc::SYS_mremap, [start, 0, size, FLAGS as usize, to, 0]);
                if moved < 0 {
                    return Err(match not_moved(moved) {
                        // Memory of a device, that has one place only.
                        PagesError::Unmapped if moved == -(libc::EINVAL as isize) => {
                            PagesError::Refused
                        }
                        error => error,
                    });
                }
            }
        }
    }
    Ok(())
}

/// Gives pages the access that the pieces of memory had which were copied there.
///
/// # Safety
/// The pages are the caller's to protect.
pub(crate) unsafe fn protect_as(base: usize, pieces: &[Piece]) -> Result<(), PagesError> {
    let origin = pieces.first().map_or(0, |first| first.addresses.start);
    for piece in pieces {
        let Range { start, end } = piece.addresses.clone();
        // SAFETY: the caller's promise.
        unsafe { pages::protect(base + (start - origin), end - start, piece.access) }?;
    }
    Ok(())
}
