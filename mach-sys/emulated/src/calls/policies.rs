//! Scheduling of threads (`mach/thread_policy.h`, `mach/thread_switch.h`).
#![allow(unsafe_code)]

use super::clock::sleep_for;
use super::mig;
use super::target::{code, process, put};
use super::threads::find;
use crate::host::usage::{self, NiceError};
use crate::thread::kernel::Kernel;
use crate::thread::object::Thread;
use crate::thread::run;
use core::ffi::c_int;
use core::time::Duration;
use mach_wire::kern_return::KernReturn;
use mach_wire::policy::*;
use mach_wire::types::*;

/// The most words of a policy that MIG's client code sends.
const MOST_WORDS: mach_msg_type_number_t = 16;
/// Bounds of a computation, in nanoseconds (`min_rt_quantum`, `max_rt_quantum`).
const COMPUTATIONS: core::ops::RangeInclusive<u32> = 50_000..=50_000_000;
/// Computation and constraint of a thread that has no real-time policy: half a quantum, and one.
const DEFAULT_COMPUTATION: u32 = 5_000_000;
const DEFAULT_CONSTRAINT: u32 = 10_000_000;

/// Runs a call on the thread behind a name, under the lock.
fn on_thread<T>(
    name: mach_port_name_t,
    call: impl FnOnce(&mut Thread) -> Result<T, KernReturn>,
) -> Result<T, KernReturn> {
    let process = mig::process()?;
    let mut held = process.mach.lock();
    let kernel = &mut Kernel::of(&mut held);
    let thread = find(kernel, process, name)?;
    run::check(kernel, thread)?;
    call(kernel.tables.thread_mut(thread))
}

/// Gives a thread a nice value that stands for an importance, and notes the importance.
fn set_importance(thread: &mut Thread, importance: integer_t) -> Result<(), KernReturn> {
    let nice = -importance.clamp(-19, 20);
    let slot = thread.slot.ok_or(KernReturn::NOT_SUPPORTED)?;
    usage::set_nice(slot, nice).map_err(|error| match error {
        NiceError::Gone => KernReturn::TERMINATED,
        // A higher priority needs a permission.
        NiceError::Refused => KernReturn::NOT_SUPPORTED,
    })?;
    thread.importance = importance;
    Ok(())
}

/// Returns whether a thread shares time: what the system says of its policy.
fn shares_time(thread: &Thread) -> Result<bool, KernReturn> {
    let policy = thread.slot.and_then(usage::policy_of);
    let policy = policy.ok_or(KernReturn::NOT_SUPPORTED)?;
    Ok(!matches!(policy, libc::SCHED_FIFO | libc::SCHED_RR))
}

pub unsafe fn thread_policy_set(
    thread: mach_port_name_t,
    flavor: thread_policy_flavor_t,
    policy: *const integer_t,
    count: mach_msg_type_number_t,
) -> kern_return_t {
    let set = || {
        if count > MOST_WORDS {
            return Err(KernReturn::MIG_ARRAY_TOO_LARGE);
        }
        // SAFETY: the seam's contract: `policy` has the words that `count` says, of which no more are read.
        let word = |index: usize| unsafe { policy.add(index).read_unaligned() };
        on_thread(thread, |thread| match flavor {
            THREAD_EXTENDED_POLICY => {
                // A policy without a word is time sharing (`THREAD_STANDARD_POLICY`).
                let timeshare = count < THREAD_EXTENDED_POLICY_COUNT || word(0) == 1;
                match timeshare == shares_time(thread)? {
                    true => Ok(()),
                    // Fixed priorities need a permission, and a number that this flavor does not carry.
                    false => Err(KernReturn::NOT_SUPPORTED),
                }
            }
            THREAD_PRECEDENCE_POLICY if count >= THREAD_PRECEDENCE_POLICY_COUNT => {
                set_importance(thread, word(0))
            }
            THREAD_TIME_CONSTRAINT_POLICY if count >= THREAD_TIME_CONSTRAINT_POLICY_COUNT => {
                let (computation, constraint) = (word(1) as u32, word(2) as u32);
                if constraint < computation || !COMPUTATIONS.contains(&computation) {
                    return Err(KernReturn::INVALID_ARGUMENT);
                }
                // The system's deadlines need a permission, and throttle a thread that misses them.
                Err(KernReturn::NOT_SUPPORTED)
            }
            // The tiers of Apple's scheduler, and caches that threads share: nothing here is like them.
            THREAD_AFFINITY_POLICY | THREAD_LATENCY_QOS_POLICY | THREAD_THROUGHPUT_QOS_POLICY => {
                Err(KernReturn::NOT_SUPPORTED)
            }
            _ => Err(KernReturn::INVALID_ARGUMENT),
        })
    };
    code(set())
}

pub unsafe fn thread_policy_get(
    thread: mach_port_name_t,
    flavor: thread_policy_flavor_t,
    policy: *mut integer_t,
    count: *mut mach_msg_type_number_t,
    get_default: *mut boolean_t,
) -> kern_return_t {
    // SAFETY: the seam's contract: both are readable.
    let (room, wants_default) = unsafe { (count.read(), get_default.read() != 0) };
    let told = on_thread(thread, |thread| match flavor {
        // Less room is no error of this flavor.
        THREAD_EXTENDED_POLICY => Ok(Told::One((wants_default || shares_time(thread)?).into())),
        THREAD_TIME_CONSTRAINT_POLICY if room >= THREAD_TIME_CONSTRAINT_POLICY_COUNT => {
            Ok(Told::NoTimeConstraint)
        }
        THREAD_PRECEDENCE_POLICY if room >= THREAD_PRECEDENCE_POLICY_COUNT => {
            Ok(Told::One(if wants_default { 0 } else { thread.importance }))
        }
        THREAD_AFFINITY_POLICY | THREAD_LATENCY_QOS_POLICY | THREAD_THROUGHPUT_QOS_POLICY => {
            Err(KernReturn::NOT_SUPPORTED)
        }
        _ => Err(KernReturn::INVALID_ARGUMENT),
    });
    code(told.map(|told| {
        // SAFETY: the seam's contract: `policy` has room for the words that `count` says, which are enough; the default is valid for a write.
        // As XNU's, the count stays.
        unsafe {
            match told {
                Told::One(word) if room > 0 => policy.write_unaligned(word),
                Told::One(_) => {}
                Told::NoTimeConstraint => {
                    let words = [0, DEFAULT_COMPUTATION, DEFAULT_CONSTRAINT, 1];
                    policy.cast::<[u32; 4]>().write_unaligned(words);
                    put(get_default, 1);
                }
            }
        }
    }))
}

/// The answer of `thread_policy_get`.
enum Told {
    One(integer_t),
    /// The defaults of a thread without a real-time policy, which every thread is here.
    NoTimeConstraint,
}

pub unsafe fn thread_switch(
    _thread: mach_port_name_t,
    option: c_int,
    time: mach_msg_timeout_t,
) -> kern_return_t {
    /// Options of Apple's own locks: milliseconds in place of microseconds for the first.
    const DISPATCH_CONTENTION: c_int = 3;
    const OSLOCK_DEPRESS: c_int = 4;
    const OSLOCK_WAIT: c_int = 5;
    let wait = match option {
        SWITCH_OPTION_NONE | SWITCH_OPTION_DEPRESS | OSLOCK_DEPRESS => None,
        SWITCH_OPTION_WAIT | OSLOCK_WAIT => Some(Duration::from_millis(time.into())),
        DISPATCH_CONTENTION => Some(Duration::from_micros(time.into())),
        _ => return KernReturn::INVALID_ARGUMENT.raw(),
    };
    // The thread is a hint: a name of nothing is no error. Nor is a wait that an abort ended.
    match (wait, process()) {
        (Some(wait), Ok(process)) if !wait.is_zero() => {
            let _ = sleep_for(process, wait);
        }
        // The child of a fork: nothing can abort its wait.
        (Some(wait), Err(_)) => std::thread::sleep(wait),
        _ => std::thread::yield_now(),
    }
    KernReturn::SUCCESS.raw()
}
