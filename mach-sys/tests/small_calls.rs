//! Calls about the task's memory, its ports, the host, time and errors.
#![allow(unsafe_code)]

use core::ffi::CStr;
use mach_sys::exception::{EXC_MASK_BAD_ACCESS, EXCEPTION_DEFAULT};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, KERNEL, Kernel, system::task_self};
use mach_sys::port::PortRight;
use mach_sys::port::{
    KobjectType, TASK_BOOTSTRAP_PORT, TASK_HOST_PORT, TASK_KERNEL_PORT, THREAD_KERNEL_PORT,
};
use mach_sys::rights::{Name, Right, SendRight, ThreadRight, user_references};
use mach_sys::types::*;
use mach_sys::vm::*;
use test_support::isolated::isolated;

const PAGE: u64 = 0x1_0000;

fn allocate(address: u64, size: u64, flags: i32) -> Result<u64, KernReturn> {
    let mut address = address;
    // SAFETY: the result goes to a local variable.
    let code = unsafe { kernel::mach_vm_allocate(task_self(), &mut address, size, flags) };
    result(code).map(|()| address)
}

fn result(code: kern_return_t) -> Result<(), KernReturn> {
    match KernReturn::new(code) {
        KernReturn::SUCCESS => Ok(()),
        error => Err(error),
    }
}

fn release(address: u64, size: u64) {
    // SAFETY: the tests release what they allocated.
    let code = unsafe { kernel::mach_vm_deallocate(task_self(), address, size) };
    assert_eq!(result(code), Ok(()));
}

fn protect(address: u64, size: u64, protection: vm_prot_t) -> Result<(), KernReturn> {
    // SAFETY: the tests protect what they allocated, or what is not there.
    result(unsafe { kernel::mach_vm_protect(task_self(), address, size, 0, protection) })
}

type Region = (u64, u64, vm_region_basic_info_64);

fn region(address: u64, flavor: vm_region_flavor_t, room: u32) -> Result<Region, KernReturn> {
    let (mut address, mut size, mut object) = (address, 0, 77);
    let mut info = vm_region_basic_info_64::default();
    let mut count = room;
    // SAFETY: the structure has room for the words that are promised, the other results go to local variables.
    let code = unsafe {
        kernel::mach_vm_region(
            task_self(),
            &mut address,
            &mut size,
            flavor,
            (&raw mut info).cast(),
            &mut count,
            &mut object,
        )
    };
    result(code)?;
    assert_eq!(
        (count, object),
        (VM_REGION_BASIC_INFO_COUNT_64, MACH_PORT_NULL)
    );
    Ok((address, size, info))
}

#[test]
fn memory_is_allocated_anywhere_and_where_it_is_asked_for() {
    // No other thread may take the addresses meanwhile.
    isolated(
        "memory_is_allocated_anywhere_and_where_it_is_asked_for",
        || {
            let base = allocate(0, 3 * PAGE, VM_FLAGS_ANYWHERE).expect("pages");
            // SAFETY: allocated above.
            assert_eq!(unsafe { (base as *const u64).read() }, 0, "zero-filled");
            assert_eq!(
                allocate(base, PAGE, VM_FLAGS_FIXED),
                Err(KernReturn::NO_SPACE)
            );
            release(base, PAGE);
            // The page of the address is the first.
            assert_eq!(allocate(base + 5, PAGE, VM_FLAGS_FIXED), Ok(base));
            release(base, 3 * PAGE);
            assert_eq!(allocate(7, 0, VM_FLAGS_ANYWHERE), Ok(0));
            assert_eq!(
                allocate(0, u64::MAX, VM_FLAGS_ANYWHERE),
                Err(KernReturn::INVALID_ARGUMENT)
            );
            assert_eq!(allocate(0, PAGE, 1 << 9), Err(KernReturn::INVALID_ARGUMENT));
            let mut address = 0;
            // SAFETY: the result goes to a local variable.
            let code = unsafe { kernel::vm_allocate(MACH_PORT_NULL, &mut address, PAGE, 1) };
            assert_eq!(result(code), Err(KernReturn::SEND_INVALID_DEST));
        },
    );
}

#[test]
fn a_region_tells_its_protection_and_the_next_one_is_found() {
    let base = allocate(0, 3 * PAGE, VM_FLAGS_ANYWHERE).expect("pages");
    protect(base, PAGE, VM_PROT_READ).expect("pages");
    release(base + PAGE, PAGE);
    for flavor in [VM_REGION_BASIC_INFO_64, VM_REGION_BASIC_INFO] {
        let (start, size, info) =
            region(base + 8, flavor, VM_REGION_BASIC_INFO_COUNT_64).expect("a region");
        assert!(start <= base && start + size >= base + PAGE);
        let protection = info.protection;
        assert_eq!(protection, VM_PROT_READ);
        assert_eq!({ info.shared }, 0);
    }
    let (next, _, _) = region(base + PAGE, VM_REGION_BASIC_INFO_64, 9).expect("a region");
    assert!(
        (base + PAGE..=base + 2 * PAGE).contains(&next),
        "the region in or above the hole"
    );
    assert_eq!(
        region(base, VM_REGION_BASIC_INFO_64, 8).err(),
        Some(KernReturn::INVALID_ARGUMENT)
    );
    assert_eq!(region(base, 0, 9).err(), Some(KernReturn::INVALID_ARGUMENT));
    assert_eq!(
        region(u64::MAX, VM_REGION_BASIC_INFO_64, 9).err(),
        Some(KernReturn::INVALID_ADDRESS)
    );
    release(base, PAGE);
    release(base + 2 * PAGE, PAGE);
}

#[test]
fn protecting_what_is_not_there_is_an_error() {
    // No other thread may take the addresses meanwhile.
    isolated("protecting_what_is_not_there_is_an_error", || {
        let base = allocate(0, PAGE, VM_FLAGS_ANYWHERE).expect("pages");
        assert_eq!(protect(base + 3, 1, VM_PROT_NONE), Ok(()));
        assert_eq!(protect(base, 0, VM_PROT_ALL), Ok(()));
        assert_eq!(protect(base, PAGE, 0x40), Err(KernReturn::INVALID_ARGUMENT));
        assert_eq!(
            protect(base, u64::MAX, VM_PROT_READ),
            Err(KernReturn::INVALID_ARGUMENT)
        );
        release(base, PAGE);
        assert_eq!(
            protect(base, PAGE, VM_PROT_READ),
            Err(KernReturn::INVALID_ADDRESS)
        );
    });
}

fn read(address: u64, size: u64) -> Result<(u64, u32), KernReturn> {
    let (mut data, mut count) = (77, 77);
    // SAFETY: the results go to local variables.
    let code = unsafe { kernel::mach_vm_read(task_self(), address, size, &mut data, &mut count) };
    result(code).map(|()| (data, count))
}

#[test]
fn memory_is_read_into_pages_of_its_own_and_a_bad_address_is_an_error() {
    let text = *b"thirteen byte";
    let (copy, count) = read(text.as_ptr() as u64, 13).expect("readable");
    assert_eq!(count, 13);
    // SAFETY: the pages are this test's.
    assert_eq!(unsafe { (copy as *const [u8; 13]).read() }, text);
    release(copy, 13);
    assert_eq!(read(8, 4), Err(KernReturn::INVALID_ADDRESS));
    assert_eq!(
        read(text.as_ptr() as u64, 1 << 32),
        Err(KernReturn::INVALID_ARGUMENT)
    );
    let base = allocate(0, PAGE, VM_FLAGS_ANYWHERE).expect("pages");
    protect(base, PAGE, VM_PROT_NONE).expect("pages");
    assert_eq!(read(base, 4), Err(KernReturn::PROTECTION_FAILURE));
    release(base, PAGE);
    assert_eq!(read(base, 0), Ok((0, 0)));
}

fn kind_of(name: mach_port_name_t) -> KobjectType {
    let (mut kind, mut address) = (0, 0);
    // SAFETY: the results go to local variables.
    let code = unsafe { kernel::mach_port_kobject(task_self(), name, &mut kind, &mut address) };
    assert_eq!(result(code), Ok(()));
    KobjectType::new(kind)
}

fn owned(name: mach_port_name_t) -> SendRight {
    // SAFETY: the call that returned the name added a reference for its caller.
    unsafe { SendRight::from_name(Name::new(name).expect("a name")) }
}

#[test]
fn c7_3_the_host_port_gains_a_reference_with_each_call() {
    // SAFETY: no arguments.
    let first = owned(unsafe { kernel::mach_host_self() });
    let references = || user_references(first.name(), PortRight::SEND).expect("a send right");
    let before = references();
    // SAFETY: no arguments.
    let second = owned(unsafe { kernel::mach_host_self() });
    assert_eq!((second.name(), references()), (first.name(), before + 1));
    let mut third = 0;
    // SAFETY: the result goes to a local variable.
    let code = unsafe { kernel::task_get_special_port(task_self(), TASK_HOST_PORT, &mut third) };
    assert_eq!((result(code), third), (Ok(()), first.name().raw()));
    drop((second, owned(third)));
    assert_eq!(references(), before);
    assert_eq!(kind_of(first.name().raw()), KobjectType::HOST);
}

#[test]
fn c7_3_the_special_ports_are_the_control_ports() {
    let thread = ThreadRight::current().expect("the thread");
    let before = thread.user_references();
    let mut name = 0;
    // SAFETY: the results go to local variables.
    unsafe {
        let code = kernel::task_get_special_port(task_self(), TASK_KERNEL_PORT, &mut name);
        assert_eq!((result(code), name), (Ok(()), task_self()));
        drop(owned(name));
        let own = thread.name().raw();
        let code = kernel::thread_get_special_port(own, THREAD_KERNEL_PORT, &mut name);
        assert_eq!((result(code), name), (Ok(()), own));
        drop(owned(name));
        assert_eq!(thread.user_references(), before);
        let code = kernel::task_get_special_port(task_self(), 77, &mut name);
        assert_eq!(result(code), Err(KernReturn::INVALID_ARGUMENT));
        let code = kernel::thread_get_special_port(own, 77, &mut name);
        assert_eq!(result(code), Err(KernReturn::INVALID_ARGUMENT));
        if KERNEL == Kernel::Emulated {
            let code = kernel::task_get_special_port(task_self(), TASK_BOOTSTRAP_PORT, &mut name);
            assert_eq!((result(code), name), (Ok(()), MACH_PORT_NULL));
        }
    }
}

#[test]
fn b7_1_the_host_level_needs_the_privileged_port() {
    // SAFETY: no arguments.
    let host = owned(unsafe { kernel::mach_host_self() });
    // SAFETY: no pointers.
    let code = unsafe {
        let mask = EXC_MASK_BAD_ACCESS;
        kernel::host_set_exception_ports(host.name().raw(), mask, 0, EXCEPTION_DEFAULT, 0)
    };
    assert_eq!(result(code), Err(KernReturn::INVALID_ARGUMENT));
    // SAFETY: no pointers.
    let code = unsafe { kernel::host_set_exception_ports(0, 0, 0, EXCEPTION_DEFAULT, 0) };
    assert_eq!(result(code), Err(KernReturn::SEND_INVALID_DEST));
}

#[test]
fn the_tasks_process_is_this_one() {
    let mut pid = 0;
    // SAFETY: the result goes to a local variable.
    let code = unsafe { kernel::pid_for_task(task_self(), &mut pid) };
    assert_eq!((result(code), pid as u32), (Ok(()), std::process::id()));
    // SAFETY: as above.
    let code = unsafe { kernel::pid_for_task(0xdead03, &mut pid) };
    assert_eq!((result(code), pid), (Err(KernReturn::FAILURE), -1));
}

#[test]
fn absolute_time_goes_on_in_its_unit() {
    let mut unit = mach_timebase_info_data_t::default();
    // SAFETY: the result goes to a local variable.
    assert_eq!(unsafe { kernel::mach_timebase_info(&mut unit) }, 0);
    // SAFETY: no arguments.
    let now = || unsafe { kernel::mach_absolute_time() };
    let before = now();
    std::thread::sleep(std::time::Duration::from_millis(20));
    let passed = (now() - before) * u64::from(unit.numer) / u64::from(unit.denom);
    assert!(passed >= 20_000_000, "{passed} ns");
}

#[test]
fn an_error_has_apples_text() {
    for (error, wanted) in [
        (KernReturn::INVALID_NAME, c"(os/kern) invalid name"),
        (
            KernReturn::SEND_INVALID_DEST,
            c"(ipc/send) invalid destination port",
        ),
        (KernReturn::RCV_TIMED_OUT, c"(ipc/rcv) timed out"),
        (KernReturn::MIG_SERVER_DIED, c"(ipc/mig) server died"),
    ] {
        // SAFETY: the text ends with a zero and lives forever.
        let text = unsafe { CStr::from_ptr(kernel::mach_error_string(error.raw())) };
        assert_eq!(text, wanted);
    }
}
