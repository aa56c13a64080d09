//! The calls on memory that the tests make, and the places that they make them for.

use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system::task_self};
use mach_sys::types::*;
use mach_sys::vm::*;
use test_support::emulator::is_emulated;
use test_support::isolated::report_skipped;

pub(crate) type Answer<T = ()> = Result<T, KernReturn>;

/// A name beyond the largest table (C0.7).
pub(crate) const ABSENT: mach_port_name_t = 0x4_b000 << 8 | 3;
/// A multiple of every system's page size.
pub(crate) const PAGE: u64 = 0x1_0000;

pub(crate) fn answer(code: kern_return_t) -> Answer {
    match KernReturn::new(code) {
        KernReturn::SUCCESS => Ok(()),
        error => Err(error),
    }
}

pub(crate) fn allocate(size: u64) -> u64 {
    let mut address = 0;
    // SAFETY: the result goes to a local variable.
    let code =
        unsafe { kernel::mach_vm_allocate(task_self(), &mut address, size, VM_FLAGS_ANYWHERE) };
    assert_eq!(answer(code), Ok(()));
    address
}

pub(crate) fn release(address: u64, size: u64) {
    // SAFETY: the tests release what they mapped.
    let code = unsafe { kernel::mach_vm_deallocate(task_self(), address, size) };
    assert_eq!(answer(code), Ok(()));
}

pub(crate) fn protect(address: u64, size: u64, protection: vm_prot_t) {
    // SAFETY: the tests protect what they mapped.
    let code = unsafe { kernel::mach_vm_protect(task_self(), address, size, 0, protection) };
    assert_eq!(answer(code), Ok(()));
}

pub(crate) fn store(address: u64, value: u64) {
    // SAFETY: the tests write to what they mapped.
    unsafe { (address as *mut u64).write_volatile(value) };
}

pub(crate) fn load(address: u64) -> u64 {
    // SAFETY: the tests read what they mapped.
    unsafe { (address as *const u64).read_volatile() }
}

/// Arguments of `mach_vm_remap`.
#[derive(Clone, Copy)]
pub(crate) struct Remap {
    pub(crate) at: u64,
    pub(crate) size: u64,
    pub(crate) mask: u64,
    pub(crate) flags: i32,
    pub(crate) copy: boolean_t,
    pub(crate) inheritance: vm_inherit_t,
}

pub(crate) const ANYWHERE: Remap = Remap {
    at: 0,
    size: PAGE,
    mask: 0,
    flags: VM_FLAGS_ANYWHERE,
    copy: 0,
    inheritance: VM_INHERIT_NONE,
};

pub(crate) const COPY: Remap = Remap {
    copy: 1,
    ..ANYWHERE
};

/// Address, present and maximal protection of a new mapping.
pub(crate) type Remapped = (u64, vm_prot_t, vm_prot_t);

pub(crate) fn remap_of(tasks: [mach_port_name_t; 2], source: u64, how: Remap) -> Answer<Remapped> {
    let (mut address, mut current, mut maximum) = (how.at, -1, -1);
    // SAFETY: the results go to local variables; the memory is the test's.
    let code = unsafe {
        kernel::mach_vm_remap(
            tasks[0],
            &mut address,
            how.size,
            how.mask,
            how.flags,
            tasks[1],
            source,
            how.copy,
            &mut current,
            &mut maximum,
            how.inheritance,
        )
    };
    answer(code).map(|()| (address, current, maximum))
}

pub(crate) fn remap(source: u64, how: Remap) -> Answer<Remapped> {
    remap_of([task_self(); 2], source, how)
}

pub(crate) const SHOWN: [vm_prot_t; 2] = [VM_PROT_DEFAULT, VM_PROT_ALL];

/// Returns whether second views can be made; says so if they cannot.
pub(crate) fn views_are_made(test: &str) -> bool {
    let made = !is_emulated();
    if !made {
        report_skipped(test, "the emulator's own threads cannot be stopped");
    }
    made
}

/// Start, size and description of a region.
pub(crate) type Recursed = (u64, u64, vm_region_submap_info_64);

pub(crate) fn recursed_with(
    task: mach_port_name_t,
    at: u64,
    room: u32,
) -> Answer<(u64, u64, u32, [u32; 64])> {
    let (mut address, mut size, mut depth, mut count) = (at, 7, 99, room);
    let mut words = [0x5a5a_5a5a_u32; 64];
    // SAFETY: there are more words than the count says, and the other results go to local variables.
    let code = unsafe {
        kernel::mach_vm_region_recurse(
            task,
            &mut address,
            &mut size,
            &mut depth,
            words.as_mut_ptr().cast(),
            &mut count,
        )
    };
    if let Err(error) = answer(code) {
        assert_eq!((address, size, words[0]), (at, 7, 0x5a5a_5a5a));
        return Err(error);
    }
    assert!(
        words[count as usize..]
            .iter()
            .all(|word| *word == 0x5a5a_5a5a)
    );
    Ok((address, size, count, words))
}

pub(crate) fn recursed(at: u64) -> Answer<Recursed> {
    let room = VM_REGION_SUBMAP_INFO_COUNT_64;
    let (address, size, count, words) = recursed_with(task_self(), at, room)?;
    assert_eq!(count, room);
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    Ok((
        address,
        size,
        mach_sys::pod::read(&bytes).expect("enough words"),
    ))
}

/// Returns whether the system tells the pages of regions; says so if it does not.
pub(crate) fn pages_are_told(test: &str) -> bool {
    let word = 0_u64;
    // An emulator tells its own pages.
    let told = !is_emulated() && recursed(&raw const word as u64) != Err(KernReturn::NOT_SUPPORTED);
    if !told {
        report_skipped(test, "this system does not tell the pages of regions");
    }
    told
}
