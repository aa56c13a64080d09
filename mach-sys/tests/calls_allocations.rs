//! Calls on memory allocate nothing: a thread that is suspended within one must not hold the allocator's lock.
#![cfg(not(target_vendor = "apple"))]
#![allow(unsafe_code)]

use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system::task_self};
use mach_sys::types::*;
use mach_sys::vm::*;
use test_support::counting::Counting;
use test_support::emulator::is_emulated;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const PAGE: u64 = 0x1_0000;

fn allocate() -> u64 {
    let mut address = 0;
    let (size, flags) = (8 * PAGE, VM_FLAGS_ANYWHERE);
    // SAFETY: the result goes to a local variable.
    let code = unsafe { kernel::mach_vm_allocate(task_self(), &mut address, size, flags) };
    assert_eq!(code, 0);
    address
}

fn release(address: u64) -> kern_return_t {
    // SAFETY: the test's own memory.
    unsafe { kernel::mach_vm_deallocate(task_self(), address, 8 * PAGE) }
}

fn protect(address: u64, protection: vm_prot_t) -> kern_return_t {
    // SAFETY: the test's own memory.
    unsafe { kernel::mach_vm_protect(task_self(), address, PAGE, 0, protection) }
}

/// Maps all of it a second time, or copies it, and releases that.
fn remap(source: u64, copy: boolean_t) -> kern_return_t {
    let (mut address, mut current, mut maximum) = (0, 0, 0);
    // SAFETY: the results go to local variables; the memory is the test's.
    let code = unsafe {
        kernel::mach_vm_remap(
            task_self(),
            &mut address,
            8 * PAGE,
            0,
            VM_FLAGS_ANYWHERE,
            task_self(),
            source,
            copy,
            &mut current,
            &mut maximum,
            VM_INHERIT_COPY,
        )
    };
    match code {
        0 => release(address),
        error => error,
    }
}

fn region(address: u64) -> kern_return_t {
    let (mut address, mut size, mut count, mut object) = (address, 0, 9, 0);
    let mut words = [0; 9];
    // SAFETY: room for as many words as the count says.
    unsafe {
        kernel::mach_vm_region(
            task_self(),
            &mut address,
            &mut size,
            VM_REGION_BASIC_INFO_64,
            words.as_mut_ptr(),
            &mut count,
            &mut object,
        )
    }
}

fn read(address: u64) -> kern_return_t {
    let (mut data, mut count) = (0, 0);
    // SAFETY: the results go to local variables.
    let code =
        unsafe { kernel::mach_vm_read(task_self(), address, 8 * PAGE, &mut data, &mut count) };
    match code {
        0 => release(data),
        error => error,
    }
}

fn copy(address: u64) -> kern_return_t {
    // SAFETY: the test's own memory.
    unsafe { kernel::mach_vm_copy(task_self(), address, 3 * PAGE, address + 4 * PAGE) }
}

#[test]
fn no_call_on_memory_allocates() {
    // A view of several pieces: not all of it is protected alike.
    let pieces = || {
        let base = allocate();
        for page in [1, 3, 5] {
            assert_eq!(protect(base + page * PAGE, VM_PROT_READ), 0);
        }
        base
    };
    let (whole, base) = (allocate(), pieces());
    // Asked once: that allocates.
    let emulated = is_emulated();
    let calls: [(&str, &dyn Fn() -> kern_return_t); 9] = [
        ("allocate, deallocate", &|| release(allocate())),
        ("protect", &|| protect(base, VM_PROT_DEFAULT)),
        ("region", &|| region(base)),
        ("read", &|| read(base)),
        ("copy", &|| copy(whole)),
        ("remap, a copy", &|| remap(base, 1)),
        ("remap, private memory", &|| match emulated {
            true => 0,
            false => {
                let base = pieces();
                assert_eq!(remap(base, 0), 0);
                release(base)
            }
        }),
        ("remap, shared memory", &|| match emulated {
            true => 0,
            false => remap(base, 0),
        }),
        ("protect with a copy", &|| match emulated {
            true => 0,
            false => protect(base, VM_PROT_DEFAULT | VM_PROT_COPY),
        }),
    ];
    ALLOCATOR.count_this_thread();
    // The counter counts.
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(ALLOCATOR.requests(), 2);
    for (name, call) in calls {
        // What is made once is made.
        let _ = call();
        let before = ALLOCATOR.requests();
        let code = call();
        let requests = ALLOCATOR.requests() - before;
        assert_eq!(
            (KernReturn::new(code), requests),
            (KernReturn::SUCCESS, 0),
            "{name}"
        );
    }
}
