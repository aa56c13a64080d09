//! The task's own memory, accessed through the kernel.

use signal_redirect::{Memory, OwnMemory, Unmapped};

use crate::child::in_child;

#[test]
fn own_memory_reads_and_writes_mapped_memory() {
    let mut bytes = [0u8; 64];
    let base = bytes.as_mut_ptr() as u64;
    // SAFETY: writes go only to the array, which nothing else uses meanwhile.
    let mut memory = unsafe { OwnMemory::new() };
    memory.write(base + 3, &[1, 2, 3]).unwrap();
    let mut back = [0; 5];
    memory.read(base + 2, &mut back).unwrap();
    assert_eq!(back, [0, 1, 2, 3, 0]);
    assert_eq!(core::hint::black_box(bytes)[3..6], [1, 2, 3]);
}

/// Returns the address of three new pages, and the page size: one page for reads and writes, one for reads only, one without access.
fn pages() -> (u64, u64) {
    // SAFETY: sysconf has no preconditions; the mapping is new, and nothing else uses it.
    unsafe {
        let page = libc::sysconf(libc::_SC_PAGESIZE) as usize;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let base = libc::mmap(
            core::ptr::null_mut(),
            3 * page,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            -1,
            0,
        );
        assert_ne!(base, libc::MAP_FAILED);
        assert_eq!(
            libc::mprotect(base.byte_add(page), page, libc::PROT_READ),
            0
        );
        assert_eq!(
            libc::mprotect(base.byte_add(2 * page), page, libc::PROT_NONE),
            0
        );
        (base as u64, page as u64)
    }
}

#[test]
fn own_memory_answers_for_what_cannot_be_used() {
    in_child(
        "own_memory::own_memory_answers_for_what_cannot_be_used",
        || {
            let (base, page) = pages();
            // SAFETY: writes go only to the pages above, and to addresses that are not mapped.
            let mut memory = unsafe { OwnMemory::new() };
            for address in [0, 8, base + 2 * page, 1 << 46, 1 << 63, u64::MAX - 7] {
                let unmapped = Err(Unmapped::at(address));
                assert_eq!(memory.read(address, &mut [0; 8]), unmapped, "{address:#x}");
                assert_eq!(memory.write(address, &[0; 8]), unmapped, "{address:#x}");
            }
            // Across the border between two pages; and writes to a read-only page.
            let end = base + 2 * page;
            assert!(memory.read(end - 4, &mut [0; 8]).is_err());
            assert!(memory.read(end - 8, &mut [0; 8]).is_ok());
            assert!(memory.write(end - 8, &[0; 8]).is_err());
            assert!(memory.write(base + page - 4, &[0; 8]).is_err());
            assert!(memory.write(base + page - 8, &[0; 8]).is_ok());
            assert!(memory.read(u64::MAX - 3, &mut [0; 8]).is_err());
        },
    );
}
