//! The names of `mach/vm_map.h`.

use crate::support::*;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system::task_self};
use mach_sys::vm::*;
use std::ptr::null_mut;

#[test]
fn the_old_names_do_the_same() {
    if !views_are_made("the_old_names_do_the_same") {
        return;
    }
    let base = allocate(PAGE);
    store(base, 1);
    let (mut address, mut current, mut maximum) = (0, 0, 0);
    // SAFETY: the results go to local variables; the memory is the test's.
    unsafe {
        let code = kernel::vm_remap(
            task_self(),
            &mut address,
            PAGE,
            0,
            VM_FLAGS_ANYWHERE,
            task_self(),
            base,
            0,
            &mut current,
            &mut maximum,
            VM_INHERIT_NONE,
        );
        assert_eq!((answer(code), load(address)), (Ok(()), 1));
        let code = kernel::vm_copy(task_self(), base, 8, address + 8);
        assert_eq!((answer(code), load(base + 8)), (Ok(()), 1));
        let mut other = 0;
        let code = kernel::vm_map(
            task_self(),
            &mut other,
            PAGE,
            0xf_ffff,
            VM_FLAGS_ANYWHERE,
            0,
            0,
            0,
            VM_PROT_DEFAULT,
            VM_PROT_ALL,
            VM_INHERIT_COPY,
        );
        assert_eq!((answer(code), other & 0xf_ffff), (Ok(()), 0));
        let mut state = 0;
        let code =
            kernel::vm_purgable_control(task_self(), other, VM_PURGABLE_GET_STATE, &mut state);
        assert_eq!(answer(code), Err(KernReturn::INVALID_ARGUMENT));
        let (mut at, mut size, mut depth, mut count) = (other, 0, 0, 11);
        let code = kernel::vm_region_recurse_64(
            task_self(),
            &mut at,
            &mut size,
            &mut depth,
            null_mut(),
            &mut count,
        );
        assert_eq!(answer(code), Err(KernReturn::INVALID_ARGUMENT));
        release(other, PAGE);
    }
    release(address, PAGE);
    release(base, PAGE);
}
