//! The threads of a task, and what tasks and threads are and use (`mach/task.h`, `mach/thread_act.h`).
#![allow(unsafe_code)]

use super::mig;
use super::structures::{give, give_words};
use super::target::{code, put};
use super::threads::find;
use crate::exception::level::{Level, LevelKind};
use crate::host;
use crate::host::pages::{self, Words};
use crate::host::usage::{self, MemoryUsage, ProcessUsage, State, ThreadUsage, Times};
use crate::ipc::name::Name;
use crate::process::Process;
use crate::thread::kernel::Kernel;
use crate::thread::life;
use crate::thread::object::ThreadKind;
use crate::thread::run;
use core::time::Duration;
use mach_wire::info::*;
use mach_wire::kern_return::KernReturn;
use mach_wire::types::*;

/// Returns the process, if a name denotes its own task: the only one whose threads are here.
pub(super) fn own_task(name: mach_port_name_t) -> Result<&'static Process, KernReturn> {
    let process = mig::process()?;
    let mut held = process.mach.lock();
    let kernel = &mut Kernel::of(&mut held);
    match Level::find(kernel, process.space, Name::new(name), LevelKind::Task)? {
        Level::Task(task) if task == process.task => Ok(process),
        Level::Task(_) => Err(KernReturn::NOT_SUPPORTED),
        Level::Thread(_) => Err(KernReturn::INVALID_ARGUMENT),
    }
}

pub unsafe fn task_threads(
    task: mach_port_name_t,
    threads: *mut *mut mach_port_name_t,
    count: *mut mach_msg_type_number_t,
) -> kern_return_t {
    let list = || {
        let process = own_task(task)?;
        process.meet_everyone();
        let mut room = process.known_threads().count();
        loop {
            // Memory is taken outside the lock; threads made meanwhile may ask for more of it.
            room += 16;
            let mut names = Words::new(room).map_err(|_| KernReturn::RESOURCE_SHORTAGE)?;
            let mut held = process.mach.lock();
            let kernel = &mut Kernel::of(&mut held);
            let found = process.known_threads().count();
            if found > room {
                room = found;
                continue;
            }
            // The main thread first (D1.4), as the kernel made it first.
            let main_first = [true, false]
                .into_iter()
                .flat_map(|main| process.known_threads().map(move |thread| (thread, main)));
            let mut length = 0;
            for (thread, main) in main_first {
                if (kernel.tables.thread(thread).kind == ThreadKind::Main) == main {
                    let name = life::thread_self(kernel, thread);
                    names.as_mut_slice()[length] = name.map_or(MACH_PORT_NULL, Name::raw);
                    length += 1;
                }
            }
            drop(held);
            return Ok((names.give_out(length), length));
        }
    };
    code(list().map(|(names, length)| {
        // SAFETY: the seam's contract: both are valid for a write.
        unsafe {
            put(threads, names);
            put(count, length as u32);
        }
    }))
}

pub unsafe fn task_suspend(task: mach_port_name_t) -> kern_return_t {
    code(own_task(task).and_then(|_| match host::stop_process() {
        true => Ok(()),
        false => Err(KernReturn::FAILURE),
    }))
}

pub unsafe fn task_resume(task: mach_port_name_t) -> kern_return_t {
    // While the task is suspended none of its threads gets here.
    code(own_task(task).and(Err(KernReturn::FAILURE)))
}

fn time_value(time: Duration) -> time_value_t {
    time_value_t {
        seconds: time.as_secs().try_into().unwrap_or(integer_t::MAX),
        microseconds: time.subsec_micros() as integer_t,
    }
}

/// The policy of XNU for one of the system's.
fn policy(of_system: i32) -> policy_t {
    match of_system {
        libc::SCHED_RR => POLICY_RR,
        libc::SCHED_FIFO => POLICY_FIFO,
        _ => POLICY_TIMESHARE,
    }
}

/// The run state: that of a suspended thread which waits is stopped, as XNU's is.
fn run_state(usage: &ThreadUsage, suspended: bool) -> integer_t {
    match usage.state {
        State::Running => TH_STATE_RUNNING,
        State::Uninterruptible => TH_STATE_UNINTERRUPTIBLE,
        State::Waiting if !suspended => TH_STATE_WAITING,
        State::Waiting | State::Stopped => TH_STATE_STOPPED,
        State::Halted => TH_STATE_HALTED,
    }
}

pub unsafe fn thread_info(
    thread: mach_port_name_t,
    flavor: thread_flavor_t,
    info: *mut integer_t,
    count: *mut mach_msg_type_number_t,
) -> kern_return_t {
    let tell = || {
        let process = mig::process()?;
        let (target, slot, run) = {
            let mut held = process.mach.lock();
            let kernel = &mut Kernel::of(&mut held);
            let thread = find(kernel, process, thread)?;
            run::check(kernel, thread)?;
            let target = run::target(kernel, thread).ok_or(KernReturn::TERMINATED)?;
            let object = kernel.tables.thread(thread);
            (target, object.slot, object.run)
        };
        if !matches!(
            flavor,
            THREAD_BASIC_INFO | THREAD_IDENTIFIER_INFO | THREAD_EXTENDED_INFO
        ) {
            return Err(KernReturn::INVALID_ARGUMENT);
        }
        // Without `/proc` the system tells nothing of the kind.
        let usage = slot
            .and_then(usage::of_thread)
            .ok_or(KernReturn::NOT_SUPPORTED)?;
        let Times { user, system } = usage.times;
        let state = run_state(&usage, run.holds > 0);
        // SAFETY: the seam's contract: room for the words that `count` says.
        unsafe {
            match flavor {
                THREAD_BASIC_INFO => {
                    let basic = thread_basic_info {
                        user_time: time_value(user),
                        system_time: time_value(system),
                        cpu_usage: usage.share,
                        policy: policy(usage.policy),
                        run_state: state,
                        suspend_count: run.suspensions as integer_t,
                        ..thread_basic_info::default()
                    };
                    give(&basic, info, count)
                }
                THREAD_IDENTIFIER_INFO => {
                    let identifier = thread_identifier_info {
                        thread_id: target.thread_id(),
                        thread_handle: usage.pointer,
                        dispatch_qaddr: 0,
                    };
                    give(&identifier, info, count)
                }
                _ => {
                    let mut name = [0; 64];
                    name[..usage.name.len()].copy_from_slice(&usage.name);
                    let priority = DEFAULT_PRIORITY - usage.nice;
                    let extended = thread_extended_info {
                        pth_user_time: user.as_nanos() as u64,
                        pth_system_time: system.as_nanos() as u64,
                        pth_cpu_usage: usage.share,
                        pth_policy: policy(usage.policy),
                        pth_run_state: state,
                        pth_curpri: priority,
                        pth_priority: priority,
                        pth_maxpriority: HIGHEST_PRIORITY,
                        pth_name: name,
                        ..thread_extended_info::default()
                    };
                    give(&extended, info, count)
                }
            }
        }
    };
    code(tell())
}

/// Priority of a thread of XNU with the nice value 0, and the highest of user threads (`BASEPRI_DEFAULT`, `MAXPRI_USER`).
const DEFAULT_PRIORITY: i32 = 31;
const HIGHEST_PRIORITY: i32 = 63;

/// Returns a count as XNU gives it: the largest stands for all beyond it.
fn counted(count: u64) -> integer_t {
    count.try_into().unwrap_or(integer_t::MAX)
}

/// Returns what `TASK_VM_INFO` tells. Anonymous memory is internal, memory of files external; what is swapped out stands for what XNU
/// compresses. As XNU's, the footprint is what is internal, compressed or a page table. The system keeps no other peak than the resident
/// one, so that the others are what is there now. Purgeable memory, tags and limits do not exist here.
fn vm_info(usage: &ProcessUsage, memory: &MemoryUsage) -> task_vm_info {
    let external = memory.file.min(usage.resident);
    let internal = usage.resident - external;
    let footprint = internal
        .saturating_add(memory.swapped)
        .saturating_add(memory.tables);
    task_vm_info {
        virtual_size: usage.virtual_size,
        region_count: counted(memory.regions.into()),
        page_size: pages::size() as integer_t,
        resident_size: usage.resident,
        resident_size_peak: usage.most_resident,
        internal,
        internal_peak: internal,
        external,
        external_peak: external,
        compressed: memory.swapped,
        compressed_peak: memory.swapped,
        compressed_lifetime: memory.swapped,
        phys_footprint: footprint,
        min_address: memory.addresses[0],
        max_address: memory.addresses[1],
        ledger_phys_footprint_peak: footprint.try_into().unwrap_or(i64::MAX),
        ..task_vm_info::default()
    }
}

/// The counts that a caller of `TASK_VM_INFO` gets: the largest that its own has room for.
const VM_INFO_COUNTS: [mach_msg_type_number_t; 8] = [
    TASK_VM_INFO_REV7_COUNT,
    TASK_VM_INFO_REV6_COUNT,
    TASK_VM_INFO_REV5_COUNT,
    TASK_VM_INFO_REV4_COUNT,
    TASK_VM_INFO_REV3_COUNT,
    TASK_VM_INFO_REV2_COUNT,
    TASK_VM_INFO_REV1_COUNT,
    TASK_VM_INFO_REV0_COUNT,
];

/// Writes the answer of one flavor of `task_info`.
///
/// # Safety
/// `to` has room for the words that `count` says, and `count` is valid.
unsafe fn tell_task(
    flavor: task_flavor_t,
    to: *mut integer_t,
    count: *mut mach_msg_type_number_t,
) -> Result<(), KernReturn> {
    let usage = || usage::of_process().ok_or(KernReturn::NOT_SUPPORTED);
    let times = |times: Times| [times.user, times.system].map(time_value);
    // SAFETY: the caller's promise.
    unsafe {
        match flavor {
            TASK_ABSOLUTETIME_INFO => {
                let ProcessUsage { living, ended, .. } = usage()?;
                let Times { user, system } = living;
                let units = |time: Duration| time.as_nanos() as u64;
                let absolute = task_absolutetime_info {
                    total_user: units(user + ended.user),
                    total_system: units(system + ended.system),
                    threads_user: units(user),
                    threads_system: units(system),
                };
                give(&absolute, to, count)
            }
            TASK_EVENTS_INFO => {
                let usage = usage()?;
                let events = task_events_info {
                    faults: counted(usage.faults),
                    pageins: counted(usage.read_in),
                    csw: counted(usage.switches),
                    ..task_events_info::default()
                };
                give(&events, to, count)
            }
            TASK_THREAD_TIMES_INFO => {
                let [user_time, system_time] = times(usage()?.living);
                let times = task_thread_times_info {
                    user_time,
                    system_time,
                };
                give(&times, to, count)
            }
            TASK_BASIC_INFO_32 | TASK_BASIC2_INFO_32 => {
                let usage = usage()?;
                let resident = match flavor {
                    TASK_BASIC2_INFO_32 => usage.most_resident,
                    _ => usage.resident,
                };
                let [user_time, system_time] = times(usage.ended);
                let basic = task_basic_info_32 {
                    suspend_count: 0,
                    // As XNU's: its low bits.
                    virtual_size: usage.virtual_size as natural_t,
                    resident_size: resident.try_into().unwrap_or(natural_t::MAX),
                    user_time,
                    system_time,
                    policy: POLICY_TIMESHARE,
                };
                give(&basic, to, count)
            }
            TASK_BASIC_INFO => {
                let usage = usage()?;
                let [user_time, system_time] = times(usage.ended);
                let basic = task_basic_info_64 {
                    suspend_count: 0,
                    virtual_size: usage.virtual_size,
                    resident_size: usage.resident,
                    user_time,
                    system_time,
                    policy: POLICY_TIMESHARE,
                };
                give(&basic, to, count)
            }
            MACH_TASK_BASIC_INFO => {
                let usage = usage()?;
                let [user_time, system_time] = times(usage.ended);
                let basic = mach_task_basic_info {
                    virtual_size: usage.virtual_size,
                    resident_size: usage.resident,
                    resident_size_max: usage.most_resident,
                    user_time,
                    system_time,
                    policy: POLICY_TIMESHARE,
                    suspend_count: 0,
                };
                give(&basic, to, count)
            }
            TASK_VM_INFO | TASK_VM_INFO_PURGEABLE => {
                let asked = count.read();
                let words = VM_INFO_COUNTS.into_iter().find(|words| *words <= asked);
                let words = words.ok_or(KernReturn::INVALID_ARGUMENT)?;
                let memory = usage::of_memory().ok_or(KernReturn::NOT_SUPPORTED)?;
                give_words(&vm_info(&usage()?, &memory), words, to, count);
                Ok(())
            }
            TASK_FLAGS_INFO => {
                let flags = task_flags_info {
                    flags: TF_LP64 | TF_64B_DATA,
                };
                give(&flags, to, count)
            }
            _ => Err(KernReturn::INVALID_ARGUMENT),
        }
    }
}

pub unsafe fn task_info(
    task: mach_port_name_t,
    flavor: task_flavor_t,
    info: *mut integer_t,
    count: *mut mach_msg_type_number_t,
) -> kern_return_t {
    let tell = || {
        own_task(task)?;
        // SAFETY: the seam's contract: room for the words that `count` says.
        unsafe { tell_task(flavor, info, count) }
    };
    code(tell())
}
