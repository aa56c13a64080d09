//! The other components of a process: their table, and their handlers.

use crate::faults::{SIGNALS, index};
use crate::note::{Note, Visit};
use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, OnceLock};
use tests::sandbox::refuse;

/// Action of a signal handler on a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Habit {
    /// Resumes where the note says.
    Skip,
    /// Calls what it found installed; if that is the default action, has that taken.
    Chain,
    /// Puts back what it found, and returns: the fault recurs.
    PutBack,
    /// Puts back what it found, and raises the signal.
    PutBackAndRaise,
    Abort,
    /// Ends the process quietly.
    Exit,
}

/// A signal handler for all five signals.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Party {
    pub(crate) habit: Habit,
    flags: c_int,
}

/// The handlers from before the library's start.
#[derive(Clone, Copy, Debug)]
enum Before {
    /// The handlers that Rust's runtime installs.
    Runtime,
    Default,
    Ignore,
    Party(Party),
}

/// An event after the start, beside newcomers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Nothing,
    /// `signal(…, SIG_IGN)`, and what it returned put back.
    IgnoredForAWhile,
    /// `signal(…, SIG_IGN)`, for good.
    Ignored,
    /// The default action is set, for good.
    SetToDefault,
    /// The installed handler's mask is emptied.
    MaskEmptied,
    /// The installed handler's flags and mask are cleared.
    FlagsCleared,
    /// The last newcomer puts back what it found.
    LastLeaves,
    /// The first newcomer puts back what it found, and the others are off with it.
    FirstLeaves,
    /// The thread blocks the five signals before it attaches.
    BlockedByTheThread,
    /// A destructor of thread-specific data attaches the thread.
    DestructorAttaches,
    /// `tgkill` is refused to all threads.
    NoTgkill,
    /// The thread forks, and its child faults.
    Fork,
    /// A server at the task level declines.
    TaskDeclines,
    /// A server of another library is put over the level's handler, and forwards.
    Forwarder,
}

/// The other components of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings {
    pub(crate) name: &'static str,
    before: Before,
    pub(crate) newcomers: &'static [Party],
    pub(crate) event: Event,
}

const fn party(habit: Habit, flags: c_int) -> Party {
    Party { habit, flags }
}

const fn surroundings(
    name: &'static str,
    before: Before,
    newcomers: &'static [Party],
    event: Event,
) -> Surroundings {
    Surroundings {
        name,
        before,
        newcomers,
        event,
    }
}

const INFO: c_int = libc::SA_SIGINFO;
const STACK: c_int = libc::SA_SIGINFO | libc::SA_ONSTACK;
const ONE_ARGUMENT: c_int = 0;
const SKIPS: Before = Before::Party(party(Habit::Skip, STACK));
const CHAINS: &[Party] = &[party(Habit::Chain, STACK)];
const THREE: &[Party] = &[
    party(Habit::Chain, STACK),
    party(Habit::Chain, INFO),
    party(Habit::Chain, STACK),
];

#[rustfmt::skip]
pub(crate) const SURROUNDINGS: &[Surroundings] = &[
    surroundings("nothing else", Before::Default, &[], Event::Nothing),
    surroundings("Rust's runtime", Before::Runtime, &[], Event::Nothing),
    surroundings("ignored before", Before::Ignore, &[], Event::Nothing),
    surroundings("a handler before", SKIPS, &[], Event::Nothing),
    surroundings("a handler before, off the alternate stack", Before::Party(party(Habit::Skip, INFO)), &[], Event::Nothing),
    surroundings("a reporter before that puts back", Before::Party(party(Habit::PutBack, STACK)), &[], Event::Nothing),
    surroundings("a reporter before that aborts", Before::Party(party(Habit::Abort, STACK)), &[], Event::Nothing),
    surroundings("a reporter before that exits", Before::Party(party(Habit::Exit, INFO)), &[], Event::Nothing),
    surroundings("a newcomer that chains", Before::Default, CHAINS, Event::Nothing),
    surroundings("a newcomer that chains off the alternate stack", Before::Default, &[party(Habit::Chain, INFO)], Event::Nothing),
    surroundings("a newcomer that chains to a handler before", SKIPS, CHAINS, Event::Nothing),
    surroundings("newcomers that chain", Before::Default, THREE, Event::Nothing),
    surroundings("newcomers that chain to a handler before", SKIPS, THREE, Event::Nothing),
    surroundings("a newcomer that puts back", Before::Default, &[party(Habit::PutBack, STACK)], Event::Nothing),
    surroundings("a newcomer that puts back off the alternate stack", SKIPS, &[party(Habit::PutBack, INFO)], Event::Nothing),
    surroundings("a newcomer with one argument", Before::Default, &[party(Habit::PutBack, ONE_ARGUMENT)], Event::Nothing),
    surroundings("a newcomer that raises", Before::Default, &[party(Habit::PutBackAndRaise, STACK)], Event::Nothing),
    surroundings("a newcomer that aborts", SKIPS, &[party(Habit::Abort, STACK)], Event::Nothing),
    surroundings("a newcomer that exits", Before::Default, &[party(Habit::Exit, INFO)], Event::Nothing),
    surroundings("signal() to SIG_IGN and back", Before::Default, &[], Event::IgnoredForAWhile),
    surroundings("signal() to SIG_IGN", Before::Default, &[], Event::Ignored),
    surroundings("the default set", SKIPS, &[], Event::SetToDefault),
    surroundings("an emptied mask", SKIPS, &[], Event::MaskEmptied),
    surroundings("cleared flags", Before::Default, &[], Event::FlagsCleared),
    surroundings("one that left", Before::Default, CHAINS, Event::LastLeaves),
    surroundings("the last of three left", SKIPS, THREE, Event::LastLeaves),
    surroundings("the first of three left", SKIPS, THREE, Event::FirstLeaves),
    surroundings("blocked signals", Before::Default, &[], Event::BlockedByTheThread),
    surroundings("a destructor that attaches", Before::Default, &[], Event::DestructorAttaches),
    surroundings("a filter for tgkill", Before::Default, &[], Event::NoTgkill),
    surroundings("a child of fork", Before::Default, &[], Event::Fork),
    surroundings("a child of fork and a handler before", SKIPS, &[], Event::Fork),
    surroundings("a child of fork and a newcomer", SKIPS, CHAINS, Event::Fork),
    surroundings("a task-level handler that declines", Before::Default, &[], Event::TaskDeclines),
    surroundings("a server that forwards", Before::Default, &[], Event::Forwarder),
    surroundings("a server that forwards, and newcomers", SKIPS, THREE, Event::Forwarder),
];

/// The party that was there before the library.
pub(crate) const FROM_BEFORE: u8 = 9;

/// The handlers that a component found when it was installed.
type Found = [[Option<libc::sigaction>; SIGNALS.len()]; PLACES];
const PLACES: usize = 10;

// Written before the first fault, and read in signal handlers of the one thread that faults.
static FOUND: Mutex<Found> = Mutex::new([[None; SIGNALS.len()]; PLACES]);
static HABITS: [AtomicU8; PLACES] = [const { AtomicU8::new(0) }; PLACES];

extern "C" fn with_three<const N: usize>(
    signal: c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
) {
    // SAFETY: the kernel's siginfo, or that of a handler that chains.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as u64) };
    Note::get().visit(Visit {
        party: N as u8,
        signal,
        code,
        // Of a sent signal it is the sender.
        address: if code > 0 { address } else { 0 },
    });
    act(N, signal, info, context);
}

extern "C" fn with_one<const N: usize>(signal: c_int) {
    Note::get().visit(Visit {
        party: N as u8,
        signal,
        code: 0,
        address: 0,
    });
    act(N, signal, core::ptr::null_mut(), core::ptr::null_mut());
}

fn act(party: usize, signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let found = FOUND.lock().expect("unpoisoned")[party][index(signal)];
    let found = found.expect("the party was installed");
    let habit = HABITS[party].load(Ordering::SeqCst);
    // SAFETY: what was found is installed again, or called as the kernel would; the context is the kernel's.
    unsafe {
        if habit == Habit::Skip as u8 {
            set_pc(context.cast(), Note::get().resume());
        } else if habit == Habit::Chain as u8 {
            match found.sa_sigaction {
                libc::SIG_DFL | libc::SIG_IGN => {
                    libc::signal(signal, libc::SIG_DFL);
                    if signal == libc::SIGTRAP {
                        // It may not recur: it is sent again with what was told.
                        let (process, thread) = (libc::getpid(), libc::gettid());
                        let call = libc::SYS_rt_tgsigqueueinfo;
                        libc::syscall(call, process, thread, signal, info);
                    }
                }
                handler => {
                    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                        core::mem::transmute(handler);
                    handler(signal, info, context);
                }
            }
        } else if habit == Habit::Abort as u8 {
            libc::abort();
        } else if habit == Habit::Exit as u8 {
            libc::_exit(9);
        } else {
            libc::sigaction(signal, &found, core::ptr::null_mut());
            if habit == Habit::PutBackAndRaise as u8 {
                libc::raise(signal);
            }
        }
    }
}

/// # Safety
/// The context is the kernel's.
unsafe fn set_pc(context: *mut libc::ucontext_t, pc: u64) {
    // SAFETY: the caller's promise.
    let context = unsafe { &mut (*context).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    {
        context.gregs[libc::REG_RIP as usize] = pc as i64;
    }
    #[cfg(target_arch = "aarch64")]
    {
        context.pc = pc;
    }
}

fn handler(party: usize, flags: c_int) -> usize {
    let (three, one) = match party {
        0 => (with_three::<0> as *const (), with_one::<0> as *const ()),
        1 => (with_three::<1> as *const (), with_one::<1> as *const ()),
        2 => (with_three::<2> as *const (), with_one::<2> as *const ()),
        _ => (with_three::<9> as *const (), with_one::<9> as *const ()),
    };
    match flags & libc::SA_SIGINFO {
        0 => one as usize,
        _ => three as usize,
    }
}

fn install(place: usize, party: Party) {
    HABITS[place].store(party.habit as u8, Ordering::SeqCst);
    for signal in SIGNALS {
        // SAFETY: zeroes are a valid action; the handler has the arguments that its flags say.
        unsafe {
            let mut action: libc::sigaction = core::mem::zeroed();
            let mut old: libc::sigaction = core::mem::zeroed();
            action.sa_sigaction = handler(place, party.flags);
            action.sa_flags = party.flags;
            assert_eq!(libc::sigaction(signal, &action, &mut old), 0);
            FOUND.lock().expect("unpoisoned")[place][index(signal)] = Some(old);
        }
    }
}

fn put_back(place: usize) {
    for signal in SIGNALS {
        let found = FOUND.lock().expect("unpoisoned")[place][index(signal)];
        let found = found.expect("the party was installed");
        // SAFETY: what was installed is installed again.
        unsafe { libc::sigaction(signal, &found, core::ptr::null_mut()) };
    }
}

fn edit(change: impl Fn(&mut libc::sigaction)) {
    for signal in SIGNALS {
        // SAFETY: the action is a local variable; the handler is the one that was installed.
        unsafe {
            let mut action: libc::sigaction = core::mem::zeroed();
            libc::sigaction(signal, core::ptr::null(), &mut action);
            change(&mut action);
            libc::sigaction(signal, &action, core::ptr::null_mut());
        }
    }
}

fn set_all(action: usize) {
    for signal in SIGNALS {
        // SAFETY: `action` is one of the two that are no handlers.
        unsafe { libc::signal(signal, action) };
    }
}

impl Surroundings {
    /// Installs the handlers from before the start.
    pub(crate) fn before(&self) {
        match self.before {
            Before::Runtime => {}
            Before::Default => set_all(libc::SIG_DFL),
            Before::Ignore => set_all(libc::SIG_IGN),
            Before::Party(party) => install(usize::from(FROM_BEFORE), party),
        }
    }

    /// Installs the newcomers, and lets the event happen.
    pub(crate) fn after(&self) {
        for (place, party) in self.newcomers.iter().enumerate() {
            install(place, *party);
        }
        match self.event {
            Event::IgnoredForAWhile => {
                for signal in SIGNALS {
                    // SAFETY: the handler is the one that was installed.
                    unsafe {
                        let old = libc::signal(signal, libc::SIG_IGN);
                        libc::signal(signal, old);
                    }
                }
            }
            Event::Ignored => set_all(libc::SIG_IGN),
            Event::SetToDefault => set_all(libc::SIG_DFL),
            Event::MaskEmptied => edit(empty_mask),
            Event::FlagsCleared => edit(|action| {
                empty_mask(action);
                action.sa_flags = 0;
            }),
            Event::LastLeaves => put_back(self.newcomers.len() - 1),
            Event::FirstLeaves => put_back(0),
            Event::NoTgkill => assert!(refuse(&[libc::SYS_tgkill]), "a filter"),
            _ => {}
        }
    }

    /// The newcomers that are there when the fault comes.
    pub(crate) fn present(&self) -> usize {
        match self.event {
            Event::LastLeaves => self.newcomers.len() - 1,
            Event::FirstLeaves => 0,
            _ => self.newcomers.len(),
        }
    }

    pub(crate) fn newcomer_that(&self, habits: &[Habit]) -> bool {
        self.newcomers
            .iter()
            .any(|party| habits.contains(&party.habit))
    }
}

fn empty_mask(action: &mut libc::sigaction) {
    // SAFETY: the set is a local variable.
    unsafe { libc::sigemptyset(&mut action.sa_mask) };
}

/// Returns whether this system has filters of system calls. Found once, in a child, because a filter cannot be removed.
pub(crate) fn has_filters() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        let mut status = -1;
        // SAFETY: the child leaves by `_exit`.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::_exit(c_int::from(!refuse(&[libc::SYS_tgkill])));
            }
            libc::waitpid(child, &mut status, 0);
        }
        status == 0
    })
}
