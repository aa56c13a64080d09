//! Resources that the process and its threads use, as the system reports them. The calling thread is in the kernel meanwhile: one that was ended
//! between a file's opening and its closing would leave it open.
#![allow(unsafe_code)]

use super::slot::inside::InKernel;
use super::slot::region::{Slot, SlotId};
use super::sys::{clock, maps, proc_file, process_status, task_list, task_stat, thread};
use core::mem::MaybeUninit;
use core::time::Duration;

/// Asks the system something, for which it may open files or allocate. The calling thread is in the kernel meanwhile: one that is suspended or
/// ended then stops when it has the answer, and leaves nothing open.
pub(crate) fn ask<T>(question: impl FnOnce() -> T) -> T {
    InKernel::during(question)
}

/// Time in code of the program's, and in the system's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

/// State of a thread, by the letter that the system has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    Waiting,
    Uninterruptible,
    Stopped,
    Halted,
}

/// Resources that a thread uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThreadUsage {
    pub(crate) times: Times,
    /// Share of a processor since the thread started, in thousandths.
    pub(crate) share: i32,
    pub(crate) state: State,
    pub(crate) nice: i32,
    /// `SCHED_*` of the system.
    pub(crate) policy: i32,
    /// Its name and a zero.
    pub(crate) name: [u8; 16],
    /// Its pointer to its own data, `pthread_self()`.
    pub(crate) pointer: u64,
}

/// Returns what the thread uses that has a slot; `None` where the system does not say.
pub(crate) fn of_thread(slot: SlotId) -> Option<ThreadUsage> {
    let header = Slot::of(slot)?.header();
    let tid = header.owner().tid();
    let _inside = InKernel::enter();
    let stat = task_stat::read(tid)?;
    let age = clock::ticks_since_boot().saturating_sub(stat.start).max(1);
    Some(ThreadUsage {
        times: Times {
            user: clock::of_ticks(stat.user),
            system: clock::of_ticks(stat.system),
        },
        share: (stat.ran().saturating_mul(1000) / age).min(1000) as i32,
        state: match stat.state {
            b'R' => State::Running,
            b'D' => State::Uninterruptible,
            b'T' | b't' => State::Stopped,
            b'Z' | b'X' => State::Halted,
            _ => State::Waiting,
        },
        nice: stat.nice,
        policy: stat.policy,
        name: proc_file::thread_name(tid),
        pointer: header.pthread.load(core::sync::atomic::Ordering::Acquire),
    })
}

/// Returns the scheduling policy of the thread that has a slot, `SCHED_*`; `None` where the system does not say.
pub(crate) fn policy_of(slot: SlotId) -> Option<i32> {
    thread::policy(Slot::of(slot)?.header().owner().tid())
}

/// A thread's nice value could not be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NiceError {
    /// The thread is gone.
    Gone,
    /// The system does not let this process do that.
    Refused,
}

/// Sets the nice value of the thread that has a slot.
pub(crate) fn set_nice(slot: SlotId, nice: i32) -> Result<(), NiceError> {
    let tid = Slot::of(slot)
        .ok_or(NiceError::Gone)?
        .header()
        .owner()
        .tid();
    // Not a thread of another process, which got the identifier.
    if thread::exists(tid) == Some(false) {
        return Err(NiceError::Gone);
    }
    match thread::set_nice(tid, nice) {
        0.. => Ok(()),
        error if error == -(libc::ESRCH as isize) => Err(NiceError::Gone),
        _ => Err(NiceError::Refused),
    }
}

/// Resources that the process uses. Sizes are in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProcessUsage {
    pub(crate) virtual_size: u64,
    pub(crate) resident: u64,
    pub(crate) most_resident: u64,
    /// Times of the living threads.
    pub(crate) living: Times,
    /// Times of the threads that have ended.
    pub(crate) ended: Times,
    /// Page faults, and those of them for which the system read a page in.
    pub(crate) faults: u64,
    pub(crate) read_in: u64,
    /// Switches from one of the threads to another thread.
    pub(crate) switches: u64,
}

/// Memory of the process, by kind. Sizes in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemoryUsage {
    /// Resident memory of files.
    pub(crate) file: u64,
    pub(crate) swapped: u64,
    /// Page tables.
    pub(crate) tables: u64,
    pub(crate) regions: u32,
    /// From the start of the lowest region to the end of the highest.
    pub(crate) addresses: [u64; 2],
}

/// Returns what the process's memory consists of; `None` where the system does not say.
pub(crate) fn of_memory() -> Option<MemoryUsage> {
    let _inside = InKernel::enter();
    let kinds = process_status::memory_by_kind()?;
    let extent = maps::extent().ok()??;
    Some(MemoryUsage {
        file: kinds.file,
        swapped: kinds.swapped,
        tables: kinds.tables,
        regions: extent.regions,
        addresses: [extent.addresses.start, extent.addresses.end],
    })
}

/// Returns what the process uses; `None` where the system does not say.
pub(crate) fn of_process() -> Option<ProcessUsage> {
    let _inside = InKernel::enter();
    let [virtual_size, resident] = proc_file::memory()?;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the result goes to a local variable.
    if unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: all zeroes are a valid value, and the call filled it.
    let usage = unsafe { usage.assume_init() };
    let mut living = Times::default();
    task_list::each(|tid| {
        if let Some(stat) = task_stat::read(tid) {
            living.user += clock::of_ticks(stat.user);
            living.system += clock::of_ticks(stat.system);
        }
    });
    let of = |time: libc::timeval| {
        Duration::new(
            time.tv_sec as u64,
            (time.tv_usec as u32).saturating_mul(1000),
        )
    };
    let count = |number: libc::c_long| u64::try_from(number).unwrap_or(0);
    Some(ProcessUsage {
        faults: count(usage.ru_minflt).saturating_add(count(usage.ru_majflt)),
        read_in: count(usage.ru_majflt),
        switches: count(usage.ru_nvcsw).saturating_add(count(usage.ru_nivcsw)),
        virtual_size,
        resident,
        // In KiB.
        most_resident: (usage.ru_maxrss as u64 * 1024).max(resident),
        living,
        ended: Times {
            user: of(usage.ru_utime).saturating_sub(living.user),
            system: of(usage.ru_stime).saturating_sub(living.system),
        },
    })
}
