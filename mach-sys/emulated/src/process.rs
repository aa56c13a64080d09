//! The process's own kernel: one, with one task, over the system's real threads and faults.

use super::exception::deliver;
use super::host::context::Context;
use super::host::fault::{Trap, Verdict};
use super::host::start::{self as host_start, Hooks};
use super::host::suspend::meet;
use super::host::{self, Installed, SlotId, Waits, threads};
use crate::config::{Config, GuardPolicy};
use crate::error::{StartError, StopError};
use crate::ipc::id::Id;
use crate::ipc::name::{Name, SpaceId};
use crate::ipc::state::Ipc;
use crate::ipc::{abandoned, ring};
use crate::rules::{Limits, Rules};
use crate::stopped::Stopped;
use crate::thread::exc_guard::ExcGuard;
use crate::thread::kernel::{self, Kernel, Locked, Mach};
use crate::thread::object::{TaskId, ThreadId, ThreadKind};
use crate::thread::{life, task};
use core::time::Duration;
use mach_wire::types::{MACH_PORT_NULL, mach_port_name_t};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The process's kernel, its task and its threads.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) mach: Mach,
    pub(super) task: TaskId,
    /// The task's name space.
    pub(super) space: SpaceId,
    /// The task's own name, which is pinned (D5.1).
    pub(super) task_name: mach_port_name_t,
    pub(super) guards: GuardPolicy,
    /// The kernel's thread object of each system thread, by its slot; 0 for none.
    threads: Box<[AtomicU32]>,
    /// The name of each system thread's MIG reply port, by its slot; 0 for none.
    mig_reply_ports: Box<[AtomicU32]>,
    /// Time of the first alarm that is set, in nanoseconds of the system clock; the largest number for none.
    next_alarm: AtomicU64,
}

static PROCESS: Installed<Result<Process, StartError>> = Installed::new();

/// Held during a start and a stop.
static CHANGING: Mutex<()> = Mutex::new(());

/// Starts the emulated Mach with [`Config::default`]: memory, signal handlers, the watching thread. The first kernel call does it if
/// nothing did before; calling it again changes nothing.
///
/// ```
/// # #[cfg(not(target_vendor = "apple"))]
/// mach_emulated::start().expect("a system that the emulated kernel can run on");
/// ```
///
/// # Errors
/// - [`StartError::Memory`]: the system has no address space for the kernel's tables.
/// - [`StartError::System`]: it refused a signal handler, a hook, a thread, a system call, or memory for the threads' slots.
/// - [`StartError::Full`]: the kernel's tables have no room for a task.
/// - [`StartError::Forked`]: this process is the child of one in which the kernel was started, whether it shares that one's memory
///   (`vfork`) or not (`fork`).
///
/// After each of these every later kernel call fails with `KERN_RESOURCE_SHORTAGE`. In a signal handler there are two more, after which a
/// later call may succeed:
/// - [`StartError::Starting`]: the handler interrupted the start on the same thread.
/// - [`StartError::SmallStack`]: it would be the start, on an alternate signal stack with too little room.
pub fn start() -> Result<(), &'static StartError> {
    start_with(Config::default())
}

/// Starts the emulated Mach with a configuration. Has no effect if it is already running, because of a kernel call for example.
///
/// # Errors
/// The same as for [`start`].
pub fn start_with(config: Config) -> Result<(), &'static StartError> {
    set_up(|| config).map(|_| ())
}

/// Returns the process's kernel, started if it was not, for a call of the calling thread's: the thread is registered with the system layer, so
/// that it has a record that says when it is in the kernel.
pub(super) fn current() -> Result<&'static Process, &'static StartError> {
    let process = set_up(Config::default)?;
    match threads::is_registered() {
        true => Ok(process),
        false => threads::register().map_or(Err(&StartError::Threads), |_| Ok(process)),
    }
}

/// Returns what [`current`] returns, and makes the thread's reply port for a MIG routine (G6.1), unless there is no room for one. Costs
/// a load and a branch more where it has.
#[inline]
pub(super) fn current_with_reply_port() -> Result<&'static Process, &'static StartError> {
    let (process, slot) = caller()?;
    process.mig_reply_port(slot);
    Ok(process)
}

#[inline]
fn caller() -> Result<(&'static Process, SlotId), &'static StartError> {
    let process = set_up(Config::default)?;
    let slot = threads::register().map_err(|_| &StartError::Threads)?;
    Ok((process, slot))
}

/// Returns the name of the calling thread's MIG reply port, made if there is none. `MACH_PORT_NULL` when the kernel or the name space is full.
pub(super) fn own_mig_reply_port() -> mach_port_name_t {
    caller().map_or(MACH_PORT_NULL, |(process, slot)| {
        process.mig_reply_port(slot)
    })
}

/// Returns the process's own name of its task, once the emulation is started. No system call.
pub(super) fn task_name() -> Option<mach_port_name_t> {
    match PROCESS.get() {
        Some(process) => process.as_ref().ok().map(|process| process.task_name),
        None => set_up(Config::default)
            .ok()
            .map(|process| process.task_name),
    }
}

#[inline]
fn set_up(config: impl FnOnce() -> Config) -> Result<&'static Process, &'static StartError> {
    if host::is_child() {
        // G4.3: another thread may have held the kernel's lock when its copy was made. A child that shares the memory must not take
        // the lock, as it may be killed at any moment.
        return Err(&StartError::Forked);
    }
    match PROCESS.get() {
        Some(process) => process.as_ref(),
        None => set_up_now(config()),
    }
}

#[cold]
fn set_up_now(config: Config) -> Result<&'static Process, &'static StartError> {
    // A signal handler that makes a kernel call would wait for the call that it interrupted, for ever. The five are not blocked: a
    // blocked one kills.
    let inside = host::InKernel::enter();
    let Some(_starting) = host::Starting::begin() else {
        return Err(&StartError::Starting);
    };
    if host::alternate_stack_room().is_some_and(|room| room < STACK) {
        return Err(&StartError::SmallStack);
    }
    let _changing = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
    let process = PROCESS.get();
    process
        .unwrap_or_else(|| PROCESS.set(Process::new(config, inside.outer())))
        .as_ref()
}

/// Stops the emulated Mach, and gives back what it took from the process: the signal handlers, where they are still the emulation's; the
/// thread-specific-data key; the watching thread; all memory. The next kernel call starts it again, empty. Rights and other values of the
/// time before are then as in the child of a fork: dropping them does nothing. Does nothing if the emulation does not run.
///
/// A shared library that contains the emulation stays loaded from the start on, whatever `dlclose` is called; after this call it can be
/// unloaded, unless [`Stopped::displaced`] names signals. Only the `pthread_atfork` handler stays until then. The C library also keeps a
/// library loaded while a thread lives that has thread-local variables of it with destructors, such as those of Rust's `std::thread`.
///
/// # Errors
/// Nothing is changed then.
/// - [`StopError::Servers`]: an exception server runs, or this is its thread.
/// - [`StopError::Threads`]: threads are attached, wait for the answer to a fault, or have an alternate signal stack of the emulation's: a
///   thread without one of its own gets one with its first kernel call, until it ends. The calling thread's is taken away.
/// - [`StopError::SignalHandler`]: this is a signal handler.
/// - [`StopError::Forked`]: this is the child of a fork.
///
/// # Safety
/// From the beginning of this call to its end, no other thread makes a kernel call or is in one, faults, or is ending after it made kernel
/// calls. No other code keeps a pointer that the emulation gave out.
#[allow(unsafe_code)]
pub unsafe fn stop() -> Result<Stopped, StopError> {
    if host::is_child() {
        return Err(StopError::Forked);
    }
    let Some(_starting) = host::Starting::begin() else {
        return Err(StopError::SignalHandler);
    };
    let _changing = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
    if running().is_none() {
        return Ok(Stopped::default());
    }
    host_start::may_stop()?;
    let displaced = {
        // A signal handler would make kernel calls, or fault, in the middle.
        let _blocked = host::AllBlocked::begin();
        let displaced = host_start::stop();
        // SAFETY: no fault and no end of a thread enters the emulation any more, the watching thread is gone, and no other thread is in a
        // kernel call (caller's promise). This one uses nothing of it.
        unsafe {
            drop(PROCESS.take());
            host_start::give_back(&displaced);
        }
        displaced
    };
    Ok(Stopped { displaced })
}

/// Bytes of stack that the start takes, and more: 13 KiB were seen without optimization.
const STACK: usize = 64 * 1024;

/// Returns the process's kernel, if it was set up. For the fault handler and the watching thread.
fn running() -> Option<&'static Process> {
    PROCESS.get().and_then(|process| process.as_ref().ok())
}

impl Process {
    fn new(config: Config, outer: u64) -> Result<Self, StartError> {
        let limits = Limits {
            threads: config.slots().max(Limits::PROCESS.threads),
            ..Limits::for_ports(config.port_slots())
        };
        let mach = kernel::new(Rules {
            generation: config.generation,
            limits,
        })?;
        let task = task::create(&mach)?.ok_or(StartError::Full)?;
        let (space, task_name) = {
            let mut held = mach.lock();
            let kernel = Kernel::of(&mut held);
            if config.guards == GuardPolicy::Deliver {
                kernel.tables.task_mut(task).exc_guard = ExcGuard::DELIVER;
            }
            let name = task::self_name(&kernel, task).ok_or(StartError::Full)?;
            (kernel.tables.task(task).space, name.raw())
        };
        let for_each_slot = || (0..config.slots()).map(|_| AtomicU32::new(0)).collect();
        host_start::start(
            &config,
            outer,
            Hooks {
                trap,
                ended,
                parked,
                tick,
            },
        )?;
        Ok(Self {
            mach,
            task,
            space,
            task_name,
            guards: config.guards,
            threads: for_each_slot(),
            mig_reply_ports: for_each_slot(),
            next_alarm: AtomicU64::new(u64::MAX),
        })
    }

    /// Returns the thread object of the calling thread, made if there is none; `lock` is how the kernel is to be locked here. `None` when
    /// the kernel is full.
    fn thread<'m>(
        &'m self,
        slot: SlotId,
        lock: impl FnOnce(&'m Mach) -> Locked<'m>,
    ) -> Option<ThreadId> {
        let place = self.threads.get(slot.index())?;
        if let Some(thread) = ThreadId::from_word(place.load(Ordering::Acquire)) {
            return Some(thread);
        }
        self.thread_in(slot, &mut Kernel::of(&mut lock(&self.mach)))
    }

    /// Does the same as [`thread`](Self::thread), with the lock held.
    fn thread_in(&self, slot: SlotId, kernel: &mut Kernel<'_, '_>) -> Option<ThreadId> {
        let place = self.threads.get(slot.index())?;
        // Only the thread itself makes its object. A signal handler on it may have, before the thread was in the kernel.
        if let Some(thread) = ThreadId::from_word(place.load(Ordering::Acquire)) {
            return Some(thread);
        }
        let kind = match threads::is_main(slot) {
            true => ThreadKind::Main,
            false => ThreadKind::Pthread,
        };
        let thread = life::create(kernel, self.task, Some(slot), kind)?;
        place.store(thread.to_word(), Ordering::Release);
        Some(thread)
    }

    /// Returns the name of the calling thread's port; the thread is registered with the system layer if it was not.
    pub(super) fn this_threads_name(&self) -> Option<Name> {
        let slot = threads::register().ok()?;
        let mut held = self.mach.lock();
        let kernel = &mut Kernel::of(&mut held);
        let thread = self.thread_in(slot, kernel)?;
        life::name(kernel, thread)
    }

    /// Returns the calling thread's object; the thread is registered with the system layer if it was not.
    pub(super) fn this_thread(&self) -> Option<ThreadId> {
        self.thread(threads::register().ok()?, Mach::lock)
    }

    /// Makes the object of the calling thread, which `thread_create` made (D1.5), and returns its name. `None` when the kernel is full.
    pub(super) fn new_raw_thread(&self) -> Option<Name> {
        let slot = threads::register().ok()?;
        let place = self.threads.get(slot.index())?;
        let mut held = self.mach.lock();
        let kernel = &mut Kernel::of(&mut held);
        let thread = life::create(kernel, self.task, Some(slot), ThreadKind::Raw)?;
        place.store(thread.to_word(), Ordering::Release);
        life::name(kernel, thread)
    }

    /// Returns the name of the MIG reply port of the calling thread, whose slot it is, made if there is none (G6.1). `MACH_PORT_NULL` when the
    /// kernel or the name space is full.
    #[inline]
    fn mig_reply_port(&self, slot: SlotId) -> mach_port_name_t {
        let Some(place) = self.mig_reply_ports.get(slot.index()) else {
            return MACH_PORT_NULL;
        };
        match place.load(Ordering::Relaxed) {
            MACH_PORT_NULL => self.make_mig_reply_port(slot, place),
            name => name,
        }
    }

    #[cold]
    fn make_mig_reply_port(&self, slot: SlotId, place: &AtomicU32) -> mach_port_name_t {
        let Some(thread) = self.thread(slot, Mach::lock) else {
            return MACH_PORT_NULL;
        };
        let mut held = self.mach.lock();
        // Only the thread itself makes it. A signal handler on it may have, before the thread was in the kernel.
        match place.load(Ordering::Relaxed) {
            MACH_PORT_NULL => {}
            name => return name,
        }
        let name = life::make_mig_reply_port(&mut Kernel::of(&mut held), thread);
        let name = name.map_or(MACH_PORT_NULL, Name::raw);
        place.store(name, Ordering::Relaxed);
        name
    }

    /// Makes the process's other threads known that have made no kernel call yet, as far as they can be. Returns `false` if some took
    /// too long.
    pub(super) fn meet_everyone(&self) -> bool {
        meet::everyone(|slot| self.known_thread(slot).is_some())
    }

    /// Notes the time of the first alarm. Called under the kernel's lock.
    fn keep_next(&self, ipc: &Ipc<'_, '_>) {
        let next = ipc.next_alarm().unwrap_or(u64::MAX);
        self.next_alarm.store(next, Ordering::Release);
    }

    /// Notes that an alarm was set, for which the watching thread may have to wake earlier. Called under the kernel's lock.
    pub(super) fn note_alarms(&self, ipc: &Ipc<'_, '_>) {
        let before = self.next_alarm.load(Ordering::Acquire);
        self.keep_next(ipc);
        if self.next_alarm.load(Ordering::Acquire) < before {
            host::wake_watching_thread();
        }
    }

    /// Returns whether each thread that the system lists is known, but for the emulation's own.
    pub(super) fn knows_everyone(&self) -> bool {
        meet::is_everyone_known(|slot| self.known_thread(slot).is_some())
    }

    /// Returns the threads that are known.
    pub(super) fn known_threads(&self) -> impl Iterator<Item = ThreadId> {
        let places = self.threads.iter();
        places.filter_map(|place| ThreadId::from_word(place.load(Ordering::Acquire)))
    }

    /// Returns the object of a thread that is known already.
    pub(super) fn known_thread(&self, slot: SlotId) -> Option<ThreadId> {
        ThreadId::from_word(self.threads.get(slot.index())?.load(Ordering::Acquire))
    }
}

/// Delivers the fault of a thread. Called on that thread, in the fault handler.
fn trap(trap: &mut Trap<'_>) -> Verdict {
    let Some(process) = running() else {
        return Verdict::HostLevel;
    };
    match process.thread(trap.slot, Mach::lock_with_signals_blocked) {
        Some(thread) => deliver::walk(&process.mach, thread, trap),
        None => Verdict::HostLevel,
    }
}

/// Notes the registers of a thread that waits, suspended; `None` when it has them back. Called on that thread, in the fault handler.
fn parked(slot: SlotId, context: Option<&mut Context>) {
    let Some(process) = running() else {
        return;
    };
    if let Some(thread) = process.thread(slot, Mach::lock_with_signals_blocked) {
        let mut held = process.mach.lock_with_signals_blocked();
        let registers = context.map_or(0, |context| context.as_raw() as usize);
        held.parts().1.thread_mut(thread).context = registers;
    }
}

/// Sends the messages of the alarms whose time has come, and returns the time until the next. Called by the watching thread.
fn tick() -> Option<Duration> {
    let process = running()?;
    if process.next_alarm.load(Ordering::Acquire) <= host::nanoseconds() {
        // One at a time, so that the lock is free in between.
        loop {
            let mut held = process.mach.lock_with_signals_blocked();
            let ipc = &mut held.ipc();
            if !ring::due(ipc, host::nanoseconds()) {
                process.keep_next(ipc);
                break;
            }
        }
    }
    match process.next_alarm.load(Ordering::Acquire) {
        u64::MAX => None,
        next => Some(Duration::from_nanos(
            next.saturating_sub(host::nanoseconds()),
        )),
    }
}

#[allow(unsafe_code)]
/// Ends a thread that is gone. Called by the watching thread, or in the fault handler of a thread that got its identifier.
fn ended(slot: SlotId) {
    let Some(process) = running() else {
        return;
    };
    let Some(place) = process.threads.get(slot.index()) else {
        return;
    };
    // The port itself goes with the thread object. The slot's next thread has none.
    if let Some(reply_port) = process.mig_reply_ports.get(slot.index()) {
        reply_port.store(MACH_PORT_NULL, Ordering::Relaxed);
    }
    let waits = host::abandoned(slot);
    if waits != Waits::default() {
        let mut held = process.mach.lock_with_signals_blocked();
        // SAFETY: the thread is gone, and its wait was taken from its record: there is no other call for it.
        unsafe { abandoned::give_back(&mut held.ipc(), waits) };
    }
    if let Some(thread) = ThreadId::from_word(place.swap(0, Ordering::AcqRel)) {
        let mut held = process.mach.lock_with_signals_blocked();
        life::end(&mut Kernel::of(&mut held), thread);
    }
}
