//! The loaded object that this code is in: a program, or a library that may be unloaded.
#![allow(unsafe_code)]

use core::ffi::{c_char, c_int, c_void};
use core::ptr::{null, null_mut};
use core::sync::atomic::{AtomicPtr, Ordering};

/// A reference on the object, as `dlopen` gives it; null for none.
static PIN: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// Keeps the object loaded until [`unpin`], even if other code unloads it. Does nothing for the program itself, which nothing unloads, and where it is
/// kept already.
pub(in crate::host) fn pin() {
    if !PIN.load(Ordering::Acquire).is_null() {
        return;
    }
    let mut found = Found {
        address: pin as *const () as usize,
        is_first: true,
        name: null(),
    };
    // SAFETY: the callback takes the value for what it is, and does not outlive the call.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut found).cast()) };
    if found.name.is_null() {
        return;
    }
    // Not in the callback, which the loader calls with one of its locks held: `dlopen` takes another one, which a thread that is loading or
    // unloading something holds while it waits for the first.
    // SAFETY: the name is a string of the loader's for as long as the object is loaded, and this code, which is part of it, runs. The call
    // only counts one reference more.
    let handle = unsafe { libc::dlopen(found.name, libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
    PIN.store(handle, Ordering::Release);
}

/// Ends [`pin`]. The calling code stays loaded as long as another reference is held.
pub(in crate::host) fn unpin() {
    let handle = PIN.swap(null_mut(), Ordering::AcqRel);
    if !handle.is_null() {
        // SAFETY: a handle that `dlopen` gave, closed once.
        unsafe { libc::dlclose(handle) };
    }
}

struct Found {
    /// Address in the object to find.
    address: usize,
    /// The loader tells of the program before all libraries.
    is_first: bool,
    /// The object's name, if it is a library; null otherwise.
    name: *const c_char,
}

unsafe extern "C" fn look(
    object: *mut libc::dl_phdr_info,
    _: libc::size_t,
    found: *mut c_void,
) -> c_int {
    // SAFETY: the loader hands over its own description of an object, and the pointer that it was given.
    let (object, found) = unsafe { (&*object, &mut *found.cast::<Found>()) };
    let is_program = core::mem::replace(&mut found.is_first, false);
    let headers = match object.dlpi_phdr.is_null() {
        true => &[],
        // SAFETY: the loader's description of the object's segments.
        false => unsafe {
            core::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum))
        },
    };
    let contains = |header: &&libc::Elf64_Phdr| {
        let start = (object.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
        header.p_type == libc::PT_LOAD
            && found.address.wrapping_sub(start) < header.p_memsz as usize
    };
    if headers.iter().find(contains).is_none() {
        return 0;
    }
    if !is_program {
        found.name = object.dlpi_name;
    }
    1
}
