//! The registers of a thread (`mach/thread_act.h`).
#![allow(unsafe_code)]

use super::target::{code, process, put};
use super::threads::{find, reach};
use super::{mig, unreachable};
use crate::host::context::Context;
use crate::host::suspend::own;
use crate::host::suspend::patience::Patience;
use crate::host::suspend::reach::{Target, Unreachable};
use crate::process::Process;
use crate::thread::kernel::Kernel;
use crate::thread::object::{Thread, ThreadId};
use crate::thread::{run, state};
use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use mach_wire::kern_return::KernReturn;
use mach_wire::machine::Machine;
use mach_wire::thread_state::{Flavor, NativeState, THREAD_STATE_MAX, ThreadState};
use mach_wire::types::*;

/// Runs `call` on the registers of a thread that does not run, if they are there. Called under the lock.
fn on_context<T>(
    kernel: &mut Kernel<'_, '_>,
    thread: ThreadId,
    call: &mut impl FnMut(&mut Context) -> Result<T, KernReturn>,
) -> Result<Option<T>, KernReturn> {
    run::check(kernel, thread)?;
    let &Thread {
        context, faulting, ..
    } = kernel.tables.thread(thread);
    let context = match context {
        0 if run::waits_for_reply(kernel, thread) => faulting,
        context => context,
    };
    match context {
        0 => Ok(None),
        context => {
            // SAFETY: the thread put its context here before it began to wait. It uses it again when it has taken it back, if it is
            // suspended, and if it faulted, when the wait for the reply has ended: both happen under the lock that is held now, and until
            // then no other thread uses it.
            let mut context = unsafe { Context::from_raw(context as *mut c_void) };
            call(&mut context).map(Some)
        }
    }
}

/// Runs a register call on the thread behind a name: with what a waiting or suspended thread goes on with; a running thread is stopped meanwhile
/// (A9.1, A9.5).
fn on_registers<T>(
    name: mach_port_name_t,
    mut call: impl FnMut(&mut Context) -> Result<T, KernReturn>,
) -> Result<T, KernReturn> {
    let process = mig::process()?;
    let (thread, target) = {
        let mut held = process.mach.lock();
        let kernel = &mut Kernel::of(&mut held);
        let thread = find(kernel, process, name)?;
        if let Some(outcome) = on_context(kernel, thread, &mut call)? {
            return Ok(outcome);
        }
        let target = run::target(kernel, thread).ok_or(KernReturn::INVALID_ARGUMENT)?;
        if !target.is_this_thread() {
            run::hold(kernel, thread);
        }
        (thread, target)
    };
    if target.is_this_thread() {
        let mut outcome = Err(KernReturn::ABORTED);
        return match own::visit(|context| outcome = call(context)) {
            Ok(()) => outcome,
            Err(reason) => Err(unreachable::note(target.thread_id(), reason)),
        };
    }
    let outcome =
        reach(&target).and_then(|()| wait_for_context(process, thread, &target, &mut call));
    let mut held = process.mach.lock();
    let kernel = &mut Kernel::of(&mut held);
    if run::is_still(kernel, thread, &target) {
        run::release(kernel, thread);
    }
    outcome
}

/// Runs `call` on the registers of a thread that was stopped, as soon as they are there: it may be between two levels of an exception, or in a
/// kernel call.
fn wait_for_context<T>(
    process: &Process,
    thread: ThreadId,
    target: &Target,
    call: &mut impl FnMut(&mut Context) -> Result<T, KernReturn>,
) -> Result<T, KernReturn> {
    let mut patience = Patience::begin();
    loop {
        let event = target.event();
        {
            let mut held = process.mach.lock();
            let kernel = &mut Kernel::of(&mut held);
            if !run::is_still(kernel, thread, target) {
                return Err(KernReturn::TERMINATED);
            }
            if let Some(outcome) = on_context(kernel, thread, call)? {
                return Ok(outcome);
            }
        }
        if !target.wait_for_event(&mut patience, event) {
            let reason = Unreachable::TimedOut;
            return Err(unreachable::note(target.thread_id(), reason));
        }
    }
}

/// Words of the largest state of any version.
pub(super) const MOST_WORDS: usize = THREAD_STATE_MAX;

/// Returns the largest state that MIG carries, in words (A9.6).
pub(super) fn largest_state() -> usize {
    process().map_or(MOST_WORDS, |process| process.mach.rules().largest_state())
}

/// Room for the words of any state, none of which costs anything before it is used.
const NO_WORDS: [MaybeUninit<natural_t>; THREAD_STATE_MAX] =
    [MaybeUninit::uninit(); THREAD_STATE_MAX];

/// Fills the room with zeros.
fn zeroed(room: &mut [MaybeUninit<natural_t>]) -> &mut [natural_t] {
    room.fill(MaybeUninit::new(0));
    // SAFETY: every word was written.
    unsafe { &mut *(core::ptr::from_mut(room) as *mut [natural_t]) }
}

pub unsafe fn thread_get_state(
    thread: mach_port_name_t,
    flavor: thread_state_flavor_t,
    state: *mut natural_t,
    count: *mut mach_msg_type_number_t,
) -> kern_return_t {
    // SAFETY: the seam's contract: `count` is valid.
    let room = unsafe { count.read() as usize }.min(largest_state());
    let mut buffer = NO_WORDS;
    let words = zeroed(&mut buffer[..room]);
    let outcome = on_registers(thread, |context| {
        let mut length = 0;
        state::get(
            context,
            Flavor::new(Machine::NATIVE, flavor),
            words,
            &mut length,
        )
        .map(|()| length)
    });
    code(outcome.map(|length| {
        // SAFETY: the seam's contract: `state` has room for the words that `count` promised, and no more were read.
        unsafe {
            core::ptr::copy_nonoverlapping(words.as_ptr(), state, length as usize);
            put(count, length);
        }
    }))
}

/// Directions of `thread_convert_thread_state`: to the caller's signed pointers, and from them.
const DIRECTIONS: [c_int; 2] = [1, 2];

pub unsafe fn thread_convert_thread_state(
    thread: mach_port_name_t,
    direction: c_int,
    _flavor: thread_state_flavor_t,
    in_state: *const natural_t,
    in_count: mach_msg_type_number_t,
    out_state: *mut natural_t,
    out_count: *mut mach_msg_type_number_t,
) -> kern_return_t {
    let count = in_count as usize;
    if count > largest_state() {
        // MIG's stub does not send it (A9.6).
        return KernReturn::MIG_ARRAY_TOO_LARGE.raw();
    }
    // SAFETY: the seam's contract: `out_count` is valid.
    let room = unsafe { out_count.read() as usize }.min(largest_state());
    let check = || {
        let process = mig::process()?;
        let mut held = process.mach.lock();
        find(&mut Kernel::of(&mut held), process, thread)?;
        if !DIRECTIONS.contains(&direction) {
            return Err(KernReturn::INVALID_ARGUMENT);
        }
        if count > room {
            return Err(KernReturn::INSUFFICIENT_BUFFER_SIZE);
        }
        Ok(())
    };
    code(check().map(|()| {
        // SAFETY: the seam's contract: `in_state` holds `count` words, and `out_state` has room for as many. They may be the same.
        unsafe {
            core::ptr::copy(in_state, out_state, count);
            put(out_count, in_count);
        }
    }))
}

pub unsafe fn thread_set_state(
    thread: mach_port_name_t,
    flavor: thread_state_flavor_t,
    state: *const natural_t,
    count: mach_msg_type_number_t,
) -> kern_return_t {
    let count = count as usize;
    if count > largest_state() {
        // MIG's stub does not send it (A9.6).
        return KernReturn::MIG_ARRAY_TOO_LARGE.raw();
    }
    let mut buffer = NO_WORDS;
    let words = zeroed(&mut buffer[..count]);
    // SAFETY: the seam's contract: `state` holds `count` words.
    unsafe { core::ptr::copy_nonoverlapping(state, words.as_mut_ptr(), count) };
    code(set(thread, flavor, words))
}

/// Sets registers of the thread behind a name.
pub(super) fn set(
    thread: mach_port_name_t,
    flavor: thread_state_flavor_t,
    words: &[u32],
) -> Result<(), KernReturn> {
    on_registers(thread, |context| {
        state::set(context, Flavor::new(Machine::NATIVE, flavor), words)
    })
}

/// Words of a native state that hold general registers, stack pointer and program counter, which come first.
const GENERAL: usize = if cfg!(target_arch = "x86_64") {
    2 * 17
} else {
    2 * 33
};

/// Sets the general registers of the thread behind a name to 0, stack pointer and program counter among them.
pub(super) fn clear(thread: mach_port_name_t) -> Result<(), KernReturn> {
    on_registers(thread, |context| {
        let mut native = NativeState::default();
        let (words, mut count) = (native.as_words_mut(), 0);
        let flavor = Flavor::new(Machine::NATIVE, NativeState::FLAVOR);
        state::get(context, flavor, words, &mut count)?;
        words[..GENERAL].fill(0);
        state::set(context, flavor, words)
    })
}
