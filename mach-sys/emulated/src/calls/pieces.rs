//! The pieces that memory consists of, each with one protection and one way of sharing.

use crate::host::mappings::Piece;
use crate::host::maps;
use crate::host::page_list::PageList;
use crate::host::pages::Access;
use crate::host::usage::ask;
use core::ops::Range;
use mach_wire::kern_return::KernReturn;
use mach_wire::vm::*;

/// Returns the protection of all of several pieces.
pub(super) fn common_protection(pieces: &[Piece]) -> vm_prot_t {
    let mut protection = Protection::from_bits_truncate(VM_PROT_ALL);
    for piece in pieces {
        let Access {
            read,
            write,
            execute,
        } = piece.access;
        protection.set(
            Protection::READ,
            protection.contains(Protection::READ) && read,
        );
        protection.set(
            Protection::WRITE,
            protection.contains(Protection::WRITE) && write,
        );
        protection.set(
            Protection::EXECUTE,
            protection.contains(Protection::EXECUTE) && execute,
        );
    }
    protection.bits()
}

/// Calls `see` with each piece of memory in a range, in order. `KERN_INVALID_ADDRESS` if something of it is not mapped.
fn each(range: &Range<usize>, mut see: impl FnMut(Piece)) -> Result<(), KernReturn> {
    let mut at = range.start;
    maps::each_after(at as u64, |region| {
        let Range { start, end } = region.addresses;
        if start > at as u64 {
            return false;
        }
        // One that grew while the list was read may come twice.
        if end > at as u64 {
            let end = range.end.min(end as usize);
            see(Piece {
                addresses: at..end,
                access: Access {
                    read: region.readable,
                    write: region.writable,
                    execute: region.executable,
                },
                shared: region.shared,
                anonymous: region.object == 0,
                of_system: region.of_system,
            });
            at = end;
        }
        at < range.end
    })?;
    match at < range.end {
        true => Err(KernReturn::INVALID_ADDRESS),
        false => Ok(()),
    }
}

/// Lists the pieces of memory in a range, with room for the ones that it may have a moment later.
pub(super) fn list(range: &Range<usize>) -> Result<PageList<Piece>, KernReturn> {
    let mut count = 0;
    ask(|| each(range, |_| count += 1))?;
    let mut pieces = PageList::with_room(count * 2 + 16)?;
    ask(|| fill(&mut pieces, range))?;
    Ok(pieces)
}

/// Fills an empty list with the pieces of memory in a range. `KERN_RESOURCE_SHORTAGE` for more than it has room for.
pub(super) fn fill(pieces: &mut PageList<Piece>, range: &Range<usize>) -> Result<(), KernReturn> {
    let mut fits = true;
    each(range, |piece| fits = fits && pieces.push(piece))?;
    match fits {
        true => Ok(()),
        false => Err(KernReturn::RESOURCE_SHORTAGE),
    }
}
