//! Calls about the host, about the scheduling of threads, and about the own process's task (`mach/mach_host.h`, `mach/thread_policy.h`).
#![allow(unsafe_code)]

use mach_sys::host::*;
use mach_sys::info::{TASK_FLAVOR_CONTROL, TASK_FLAVOR_NAME, TASK_FLAVOR_READ, task_flavor_t};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, KERNEL, Kernel, system::task_self};
use mach_sys::policy::*;
use mach_sys::port::{KobjectType, PortRight};
use mach_sys::rights::{Census, Name, ReceiveRight, Right, ThreadRight, user_references};
use mach_sys::types::*;
use test_support::isolated::{isolated, report_partly, report_skipped};
use test_support::wait::wait_for;

type Answer<T = ()> = Result<T, KernReturn>;

/// A name beyond the largest table (C0.7).
const ABSENT: mach_port_name_t = 0x4_b000 << 8 | 3;

fn answer(code: kern_return_t) -> Answer {
    match KernReturn::new(code) {
        KernReturn::SUCCESS => Ok(()),
        error => Err(error),
    }
}

fn deallocate(name: mach_port_name_t) {
    // SAFETY: no pointers; the reference is the caller's.
    let code = unsafe { kernel::mach_port_deallocate(task_self(), name) };
    assert_eq!(answer(code), Ok(()));
}

/// Runs a test with the host's name.
fn with_host<T>(test: impl FnOnce(mach_port_name_t) -> T) -> T {
    // SAFETY: no pointers; the reference is released below.
    let host = unsafe { kernel::mach_host_self() };
    let result = test(host);
    deallocate(host);
    result
}

type Call = unsafe fn(mach_port_name_t, host_flavor_t, *mut integer_t, *mut u32) -> kern_return_t;

/// Words that a call did not write.
const UNTOUCHED: integer_t = 0x5a5a_5a5a;

/// Makes one of the three calls, with room for `room` words of 64, and returns what it wrote.
fn told(call: Call, host: mach_port_name_t, flavor: host_flavor_t, room: u32) -> Answer<Vec<i32>> {
    let mut words = [UNTOUCHED; 64];
    let mut count = room;
    // SAFETY: there are more words than the count says.
    let code = unsafe { call(host, flavor, words.as_mut_ptr(), &mut count) };
    if let Err(error) = answer(code) {
        assert!(
            words.iter().all(|word| *word == UNTOUCHED),
            "{flavor} wrote nothing"
        );
        return Err(error);
    }
    let (told, rest) = words.split_at(count as usize);
    assert!(
        rest.iter().all(|word| *word == UNTOUCHED),
        "{flavor} wrote beyond its count"
    );
    Ok(told.to_vec())
}

fn host_info(host: mach_port_name_t, flavor: host_flavor_t, room: u32) -> Answer<Vec<i32>> {
    told(
        // SAFETY: passed on unchanged.
        |a, b, c, d| unsafe { kernel::host_info(a, b, c, d) },
        host,
        flavor,
        room,
    )
}

fn statistics(host: mach_port_name_t, flavor: host_flavor_t, room: u32) -> Answer<Vec<i32>> {
    told(
        // SAFETY: passed on unchanged.
        |a, b, c, d| unsafe { kernel::host_statistics(a, b, c, d) },
        host,
        flavor,
        room,
    )
}

fn statistics64(host: mach_port_name_t, flavor: host_flavor_t, room: u32) -> Answer<Vec<i32>> {
    told(
        // SAFETY: passed on unchanged.
        |a, b, c, d| unsafe { kernel::host_statistics64(a, b, c, d) },
        host,
        flavor,
        room,
    )
}

/// Returns a structure from its words.
fn structure<T: mach_sys::pod::Pod>(words: &[i32]) -> T {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    mach_sys::pod::read(&bytes).expect("as many words as the structure has")
}

#[test]
fn the_page_size_needs_no_host() {
    let mut size = 0;
    for host in [with_host(|host| host), MACH_PORT_NULL, ABSENT] {
        // SAFETY: the result goes to a local variable.
        let code = unsafe { kernel::host_page_size(host, &mut size) };
        assert_eq!(answer(code), Ok(()));
        assert!(size.is_power_of_two() && size >= 4096);
    }
}

#[test]
fn the_hosts_processors_and_memory_are_told() {
    with_host(|host| {
        let words = host_info(host, HOST_BASIC_INFO, 64).expect("basic info");
        assert_eq!(words.len() as u32, HOST_BASIC_INFO_COUNT);
        let info: host_basic_info = structure(&words);
        let host_basic_info {
            max_cpus,
            avail_cpus,
            physical_cpu,
            logical_cpu,
            ..
        } = info;
        assert!(avail_cpus >= 1 && avail_cpus <= max_cpus, "{info:?}");
        assert!(physical_cpu >= 1 && physical_cpu <= logical_cpu, "{info:?}");
        let (memory, low) = (info.max_mem, info.memory_size);
        assert!(
            memory > 1 << 24 && u64::from(low) == memory.min(1 << 31),
            "{info:?}"
        );
        // An old program's room.
        let old = host_info(host, HOST_BASIC_INFO, HOST_BASIC_INFO_OLD_COUNT);
        assert_eq!(old.as_deref(), Ok(&words[..5]));
        assert_eq!(
            host_info(host, HOST_BASIC_INFO, 11).map(|words| words.len()),
            Ok(5)
        );
        assert_eq!(
            host_info(host, HOST_BASIC_INFO, 4),
            Err(KernReturn::FAILURE)
        );
        assert_eq!(
            host_info(host, HOST_BASIC_INFO, 0),
            Err(KernReturn::FAILURE)
        );
        assert_eq!(host_info(host, HOST_MACH_MSG_TRAP, 0), Ok(Vec::new()));
        assert_eq!(host_info(host, HOST_SEMAPHORE_TRAPS, 9), Ok(Vec::new()));
        for flavor in [0, 2, 6, 99, -1] {
            assert_eq!(
                host_info(host, flavor, 64),
                Err(KernReturn::INVALID_ARGUMENT),
                "{flavor}"
            );
        }
    });
}

#[test]
fn the_hosts_pages_add_up() {
    with_host(|host| {
        let basic = host_info(host, HOST_BASIC_INFO, 64).expect("basic info");
        let basic: host_basic_info = structure(&basic);
        let mut page = 0;
        // SAFETY: the result goes to a local variable.
        unsafe { kernel::host_page_size(host, &mut page) };
        let all = basic.max_mem / page;
        let words = statistics(host, HOST_VM_INFO, 64).expect("statistics");
        assert_eq!(words.len() as u32, HOST_VM_INFO_REV2_COUNT);
        let info: vm_statistics = structure(&words);
        let pages = [
            info.free_count,
            info.active_count,
            info.inactive_count,
            info.wire_count,
        ];
        let sum: u64 = pages.into_iter().map(u64::from).sum();
        assert!(info.free_count > 0 && info.faults > 0, "{info:?}");
        assert!(sum <= all + all / 8, "{info:?} of {all}");
        let words = statistics64(host, HOST_VM_INFO64, 64).expect("statistics");
        assert_eq!(words.len() as u32, HOST_VM_INFO64_REV1_COUNT);
        let wide: vm_statistics64 = structure(&words);
        assert!(wide.faults >= u64::from(info.faults), "{wide:?}");
        let listed = u64::from(wide.external_page_count) + u64::from(wide.internal_page_count);
        assert!(listed > 0 && listed <= all, "{wide:?}");
    });
}

#[test]
fn statistics_have_the_version_that_there_is_room_for() {
    with_host(|host| {
        for (room, expected) in [(12, 12), (13, 12), (14, 14), (15, 15), (64, 15)] {
            let words = statistics(host, HOST_VM_INFO, room).map(|words| words.len());
            assert_eq!(words, Ok(expected), "{room}");
            let words = statistics64(host, HOST_VM_INFO, room).map(|words| words.len());
            assert_eq!(words, Ok(expected), "{room}");
        }
        for (room, expected) in [(24, 24), (37, 24), (38, 38)] {
            let words = statistics64(host, HOST_VM_INFO64, room).map(|words| words.len());
            assert_eq!(words, Ok(expected), "{room}");
        }
        for room in [0, 11] {
            assert_eq!(
                statistics(host, HOST_VM_INFO, room),
                Err(KernReturn::FAILURE)
            );
        }
        assert_eq!(
            statistics64(host, HOST_VM_INFO64, 23),
            Err(KernReturn::FAILURE)
        );
        assert_eq!(
            statistics(host, HOST_CPU_LOAD_INFO, 3),
            Err(KernReturn::FAILURE)
        );
        // Only the newer call knows it.
        let refused = Err(KernReturn::INVALID_ARGUMENT);
        assert_eq!(statistics(host, HOST_VM_INFO64, 64), refused);
        for flavor in [0, 99, -1] {
            assert_eq!(statistics(host, flavor, 64), refused, "{flavor}");
            assert_eq!(statistics64(host, flavor, 64), refused, "{flavor}");
        }
    });
}

#[test]
fn the_processors_ticks_go_on() {
    with_host(|host| {
        let ticks = || -> host_cpu_load_info {
            structure(&statistics(host, HOST_CPU_LOAD_INFO, 4).expect("ticks"))
        };
        let sum = |load: host_cpu_load_info| {
            load.cpu_ticks
                .iter()
                .map(|ticks| u64::from(*ticks))
                .sum::<u64>()
        };
        let before = sum(ticks());
        wait_for("the ticks go on", || sum(ticks()) != before);
    });
}

#[test]
fn a_name_that_is_no_hosts_is_refused_by_its_kind() {
    let port = ReceiveRight::new().expect("a port");
    let send = port.make_send().expect("a send right");
    let other = send.name().raw();
    let name = |name| {
        [
            host_info(name, HOST_BASIC_INFO, 64).map(|_| ()),
            statistics(name, HOST_VM_INFO, 64).map(|_| ()),
            statistics64(name, HOST_VM_INFO64, 64).map(|_| ()),
        ]
    };
    let wrong = [
        Err(KernReturn::INVALID_ARGUMENT),
        Err(KernReturn::INVALID_HOST),
        Err(KernReturn::INVALID_HOST),
    ];
    // A kernel object that is no host.
    assert_eq!(name(task_self()), wrong);
    for bad in [MACH_PORT_NULL, MACH_PORT_DEAD, ABSENT] {
        assert_eq!(
            name(bad),
            [Err(KernReturn::SEND_INVALID_DEST); 3],
            "{bad:#x}"
        );
    }
    match KERNEL {
        Kernel::Emulated => assert_eq!(name(other), wrong),
        _ => report_partly(
            "a_name_that_is_no_hosts_is_refused_by_its_kind",
            "XNU sends a request to a port of the program's own, and waits for the answer",
        ),
    }
    drop(port);
    // A dead name.
    assert_eq!(name(other), [Err(KernReturn::SEND_INVALID_DEST); 3]);
    drop(send);
}

/// The word of a policy, the count that came back, and whether the default was read.
type Policy = ([i32; 4], u32, boolean_t);

fn policy_of(
    thread: mach_port_name_t,
    flavor: thread_policy_flavor_t,
    room: u32,
    default: boolean_t,
) -> Answer<Policy> {
    let (mut words, mut count, mut is_default) = ([UNTOUCHED; 4], room, default);
    // SAFETY: there are as many words as the largest count here says.
    answer(unsafe {
        kernel::thread_policy_get(
            thread,
            flavor,
            words.as_mut_ptr(),
            &mut count,
            &mut is_default,
        )
    })?;
    Ok((words, count, is_default))
}

fn set_policy(thread: mach_port_name_t, flavor: thread_policy_flavor_t, words: &[i32]) -> Answer {
    // SAFETY: the words are as many as the count says.
    answer(unsafe { kernel::thread_policy_set(thread, flavor, words.as_ptr(), words.len() as u32) })
}

#[test]
fn a_threads_policies_are_told() {
    let thread = ThreadRight::current().expect("a thread");
    let name = thread.name().raw();
    let (words, count, _) = policy_of(name, THREAD_EXTENDED_POLICY, 1, 0).expect("a policy");
    assert_eq!((words[0], count), (1, 1), "time sharing");
    // Less room is no error of this one.
    let (words, count, _) = policy_of(name, THREAD_EXTENDED_POLICY, 0, 0).expect("a policy");
    assert_eq!((words[0], count), (UNTOUCHED, 0));
    let (words, ..) = policy_of(name, THREAD_PRECEDENCE_POLICY, 1, 0).expect("a policy");
    assert_eq!(words[0], 0);
    let (words, _, is_default) =
        policy_of(name, THREAD_TIME_CONSTRAINT_POLICY, 4, 0).expect("a policy");
    assert_eq!((words[0], words[3], is_default), (0, 1, 1));
    assert!(words[1] > 0 && words[2] > words[1]);
    let refused = Err(KernReturn::INVALID_ARGUMENT);
    assert_eq!(policy_of(name, THREAD_PRECEDENCE_POLICY, 0, 0), refused);
    assert_eq!(
        policy_of(name, THREAD_TIME_CONSTRAINT_POLICY, 3, 0),
        refused
    );
    for flavor in [0, 99] {
        assert_eq!(policy_of(name, flavor, 4, 0), refused, "{flavor}");
        assert_eq!(
            set_policy(name, flavor, &[0; 4]),
            Err(KernReturn::INVALID_ARGUMENT),
            "{flavor}"
        );
    }
    for bad in [MACH_PORT_NULL, MACH_PORT_DEAD, ABSENT] {
        let refused = Err(KernReturn::SEND_INVALID_DEST);
        assert_eq!(
            policy_of(bad, THREAD_PRECEDENCE_POLICY, 1, 0),
            Err(KernReturn::SEND_INVALID_DEST)
        );
        assert_eq!(set_policy(bad, THREAD_PRECEDENCE_POLICY, &[0]), refused);
    }
    assert_eq!(
        policy_of(task_self(), THREAD_PRECEDENCE_POLICY, 1, 0),
        refused
    );
    assert_eq!(
        set_policy(task_self(), THREAD_PRECEDENCE_POLICY, &[0]),
        refused.map(|_: Policy| ())
    );
}

#[test]
fn a_lower_importance_is_kept_by_the_thread_it_is_set_for() {
    isolated(
        "a_lower_importance_is_kept_by_the_thread_it_is_set_for",
        || {
            std::thread::spawn(|| {
                let thread = ThreadRight::current().expect("a thread");
                let name = thread.name().raw();
                assert_eq!(set_policy(name, THREAD_PRECEDENCE_POLICY, &[-7]), Ok(()));
                let kept = policy_of(name, THREAD_PRECEDENCE_POLICY, 1, 0);
                assert_eq!(kept.map(|(words, ..)| words[0]), Ok(-7));
                let default = policy_of(name, THREAD_PRECEDENCE_POLICY, 1, 1);
                assert_eq!(default.map(|(words, ..)| words[0]), Ok(0));
                if KERNEL == Kernel::Emulated {
                    // SAFETY: a question about the calling thread.
                    assert_eq!(unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }, 7);
                } else {
                    report_partly(
                        "a_lower_importance_is_kept_by_the_thread_it_is_set_for",
                        "XNU has no nice value for a thread",
                    );
                }
                assert_eq!(
                    set_policy(name, THREAD_PRECEDENCE_POLICY, &[i32::MIN]),
                    Ok(())
                );
            })
            .join()
            .expect("the thread's assertions");
            let other = ThreadRight::current().expect("a thread");
            let kept = policy_of(other.name().raw(), THREAD_PRECEDENCE_POLICY, 1, 0);
            assert_eq!(kept.map(|(words, ..)| words[0]), Ok(0));
        },
    );
}

#[test]
fn a_policy_is_checked_before_it_is_refused() {
    let thread = ThreadRight::current().expect("a thread");
    let name = thread.name().raw();
    let refused = Err(KernReturn::INVALID_ARGUMENT);
    // Time sharing is what the thread has, with a word or without.
    assert_eq!(set_policy(name, THREAD_EXTENDED_POLICY, &[1]), Ok(()));
    assert_eq!(set_policy(name, THREAD_STANDARD_POLICY, &[]), Ok(()));
    assert_eq!(set_policy(name, THREAD_PRECEDENCE_POLICY, &[]), refused);
    assert_eq!(
        set_policy(name, THREAD_TIME_CONSTRAINT_POLICY, &[0; 3]),
        refused
    );
    // A computation that is longer than its constraint, too short, too long.
    // On every machine: in units of Apple's oldest and newest processors' time.
    for [computation, constraint] in [
        [2_000_000, 1_000_000],
        [10, 100],
        [600_000_000, 700_000_000],
    ] {
        let words = [0, computation, constraint, 1];
        assert_eq!(
            set_policy(name, THREAD_TIME_CONSTRAINT_POLICY, &words),
            refused
        );
    }
    assert_eq!(
        set_policy(name, THREAD_PRECEDENCE_POLICY, &[0; 17]),
        Err(KernReturn::MIG_ARRAY_TOO_LARGE)
    );
    if KERNEL != Kernel::Emulated {
        report_partly(
            "a_policy_is_checked_before_it_is_refused",
            "XNU grants what Linux refuses",
        );
        return;
    }
    let refused = Err(KernReturn::NOT_SUPPORTED);
    assert_eq!(set_policy(name, THREAD_EXTENDED_POLICY, &[0]), refused);
    assert_eq!(
        set_policy(
            name,
            THREAD_TIME_CONSTRAINT_POLICY,
            &[0, 1_000_000, 2_000_000, 1]
        ),
        refused
    );
    assert_eq!(set_policy(name, THREAD_AFFINITY_POLICY, &[1]), refused);
}

#[test]
fn a_thread_gives_up_its_processor_whatever_the_hint() {
    let switch = |thread, option, time| {
        // SAFETY: no pointers.
        answer(unsafe { kernel::thread_switch(thread, option, time) })
    };
    for option in [
        SWITCH_OPTION_NONE,
        SWITCH_OPTION_DEPRESS,
        SWITCH_OPTION_WAIT,
    ] {
        for thread in [MACH_PORT_NULL, ABSENT, task_self()] {
            assert_eq!(switch(thread, option, 1), Ok(()));
        }
    }
    for option in [-1, 6, i32::MAX] {
        assert_eq!(
            switch(0, option, 0),
            Err(KernReturn::INVALID_ARGUMENT),
            "{option}"
        );
    }
    let start = std::time::Instant::now();
    assert_eq!(switch(0, SWITCH_OPTION_WAIT, 30), Ok(()));
    assert!(start.elapsed() >= std::time::Duration::from_millis(29));
}

#[test]
fn the_own_process_has_a_task_and_no_other_is_found() {
    let found = |task, pid| {
        let mut found = 77;
        // SAFETY: the result goes to a local variable.
        let answered = answer(unsafe { kernel::task_for_pid(task, pid, &mut found) });
        assert_eq!(answered.is_err(), found == MACH_PORT_NULL);
        answered.map(|()| found)
    };
    let own = std::process::id() as i32;
    let references = || {
        let name = Name::new(task_self()).expect("a name");
        user_references(name, PortRight::SEND)
    };
    let before = references();
    let task = found(task_self(), own).expect("the own task");
    assert_eq!(task, task_self());
    let after = references();
    assert_eq!(after.ok(), before.ok().map(|count| count + 1));
    deallocate(task);
    for pid in [0, -1, i32::MAX] {
        assert_eq!(found(task_self(), pid), Err(KernReturn::FAILURE), "{pid}");
    }
    let thread = ThreadRight::current().expect("a thread");
    for bad in [MACH_PORT_NULL, MACH_PORT_DEAD, ABSENT, thread.name().raw()] {
        assert_eq!(found(bad, own), Err(KernReturn::FAILURE), "{bad:#x}");
    }
}

fn task_of(token: mach_port_name_t, flavor: task_flavor_t) -> Answer<mach_port_name_t> {
    let mut port = 77;
    // SAFETY: the result goes to a local variable.
    let code = unsafe { kernel::task_identity_token_get_task_port(token, flavor, &mut port) };
    answer(code).map(|()| port)
}

#[test]
fn a_token_leads_to_its_task_and_goes_with_its_last_right() {
    let mut token = 0;
    // SAFETY: the result goes to a local variable.
    let code = unsafe { kernel::task_create_identity_token(task_self(), &mut token) };
    assert_eq!(answer(code), Ok(()));
    let (mut kind, mut address) = (0, 0);
    // SAFETY: the results go to local variables.
    let code = unsafe { kernel::mach_port_kobject(task_self(), token, &mut kind, &mut address) };
    assert_eq!(
        (answer(code), KobjectType::new(kind)),
        (Ok(()), KobjectType::TASK_ID_TOKEN)
    );
    let task = task_of(token, TASK_FLAVOR_CONTROL).expect("the task");
    assert_eq!(task, task_self());
    deallocate(task);
    assert_eq!(
        task_of(token, TASK_FLAVOR_NAME + 1),
        Err(KernReturn::INVALID_ARGUMENT)
    );
    match KERNEL {
        Kernel::Emulated => {
            assert_eq!(
                task_of(token, TASK_FLAVOR_READ),
                Err(KernReturn::NOT_SUPPORTED)
            );
        }
        _ => report_partly(
            "a_token_leads_to_its_task_and_goes_with_its_last_right",
            "XNU has read ports of tasks",
        ),
    }
    assert_eq!(
        task_of(task_self(), TASK_FLAVOR_CONTROL),
        Err(KernReturn::INVALID_ARGUMENT)
    );
    deallocate(token);
    for bad in [MACH_PORT_NULL, token, ABSENT] {
        assert_eq!(
            task_of(bad, TASK_FLAVOR_CONTROL),
            Err(KernReturn::SEND_INVALID_DEST)
        );
    }
    let thread = ThreadRight::current().expect("a thread");
    for (bad, error) in [
        (MACH_PORT_NULL, KernReturn::SEND_INVALID_DEST),
        (thread.name().raw(), KernReturn::INVALID_ARGUMENT),
    ] {
        // SAFETY: the result goes to a local variable.
        let code = unsafe { kernel::task_create_identity_token(bad, &mut token) };
        assert_eq!(answer(code), Err(error));
    }
}

#[test]
fn a_token_that_nothing_is_left_of_leaves_no_name() {
    if KERNEL == Kernel::Xnu {
        report_skipped(
            "a_token_that_nothing_is_left_of_leaves_no_name",
            "the system's library holds names of its own",
        );
        return;
    }
    isolated("a_token_that_nothing_is_left_of_leaves_no_name", || {
        let census = || Census::take().expect("a census");
        for round in 0..200 {
            let mut token = 0;
            // SAFETY: the result goes to a local variable.
            let code = unsafe { kernel::task_create_identity_token(task_self(), &mut token) };
            assert_eq!(answer(code), Ok(()), "{round}");
            deallocate(token);
        }
        let before = census();
        let mut token = 0;
        // SAFETY: the result goes to a local variable.
        unsafe { kernel::task_create_identity_token(task_self(), &mut token) };
        deallocate(token);
        assert_eq!(census().since(&before).changes().count(), 0);
    });
}
