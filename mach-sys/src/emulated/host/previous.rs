//! The handlers that were installed before: the host level.
#![allow(unsafe_code)]

use super::entry;
use super::signals::{ASYNCHRONOUS_MASK, SYNCHRONOUS};
use super::sys::{self, Mask};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The kernel's `struct sigaction`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
struct Action {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: Mask,
}

/// A handler that was there before us, for one signal.
#[derive(Debug)]
struct Previous {
    handler: AtomicUsize,
    flags: AtomicUsize,
    mask: AtomicU64,
}

static PREVIOUS: [Previous; SYNCHRONOUS.len()] = [const {
    Previous {
        handler: AtomicUsize::new(libc::SIG_DFL),
        flags: AtomicUsize::new(0),
        mask: AtomicU64::new(0),
    }
}; SYNCHRONOUS.len()];

/// What the host level does with a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostAction {
    Default,
    Ignore,
    Handler(Handler),
}

/// How a handler wants to be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handler {
    pub(super) address: usize,
    /// What is blocked while it runs, beside what was blocked before.
    pub(super) mask: Mask,
    /// `SA_ONSTACK`.
    pub(super) on_alternate_stack: bool,
}

fn index(signal: i32) -> Option<usize> {
    SYNCHRONOUS.iter().position(|known| *known == signal)
}

/// What was installed for a signal before us. `SA_RESETHAND` is honoured: the next question gets the default.
pub(super) fn take_action(signal: i32) -> HostAction {
    let Some(previous) = index(signal).map(|index| &PREVIOUS[index]) else {
        return HostAction::Default;
    };
    let flags = previous.flags.load(Ordering::Acquire);
    let handler = if flags & libc::SA_RESETHAND as usize != 0 {
        previous.handler.swap(libc::SIG_DFL, Ordering::AcqRel)
    } else {
        previous.handler.load(Ordering::Acquire)
    };
    match handler {
        libc::SIG_DFL => HostAction::Default,
        libc::SIG_IGN => HostAction::Ignore,
        address => {
            let mut mask = previous.mask.load(Ordering::Acquire);
            if flags & libc::SA_NODEFER as usize == 0 {
                mask |= super::signals::bit(signal);
            }
            HostAction::Handler(Handler {
                address,
                mask,
                on_alternate_stack: flags & libc::SA_ONSTACK as usize != 0,
            })
        }
    }
}

/// Installs the entry for the five signals and keeps what was there.
pub(super) fn install() -> Result<(), i32> {
    for signal in SYNCHRONOUS {
        arm(signal)?;
    }
    Ok(())
}

/// The signals that somebody installed over us: he is asked first, and we only if he chains.
pub(crate) fn displaced() -> impl Iterator<Item = i32> {
    SYNCHRONOUS
        .into_iter()
        .filter(|signal| read(*signal).is_some_and(|action| action.handler != entry::address()))
}

fn arm(signal: i32) -> Result<(), i32> {
    let Some(previous) = index(signal).map(|index| &PREVIOUS[index]) else {
        return Ok(());
    };
    let current = read(signal).unwrap_or_default();
    if current.handler == entry::address() {
        return Ok(());
    }
    previous.mask.store(current.mask, Ordering::Release);
    previous.flags.store(current.flags, Ordering::Release);
    previous.handler.store(current.handler, Ordering::Release);
    // Through the C library, which knows the restorer that this machine needs.
    // SAFETY: zeroes are a valid value; every field that matters is filled.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    action.sa_sigaction = entry::address();
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER | EXPOSE_TAGS;
    for number in 1..=64 {
        if ASYNCHRONOUS_MASK & super::signals::bit(number) != 0 {
            // SAFETY: a valid set and a valid signal number.
            unsafe { libc::sigaddset(&mut action.sa_mask, number) };
        }
    }
    // SAFETY: the entry is a signal handler with three arguments.
    match unsafe { libc::sigaction(signal, &action, core::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)),
    }
}

/// `SA_EXPOSE_TAGBITS`: arm64 addresses with their top byte, as XNU reports them (G1.8).
const EXPOSE_TAGS: i32 = if cfg!(target_arch = "aarch64") {
    0x800
} else {
    0
};

fn read(signal: i32) -> Option<Action> {
    let mut action = Action::default();
    let at = core::ptr::from_mut(&mut action) as usize;
    let arguments = [signal as usize, 0, at, size_of::<Mask>(), 0, 0];
    // SAFETY: the kernel writes one action.
    (unsafe { sys::call(libc::SYS_rt_sigaction, arguments) } == 0).then_some(action)
}

/// Makes the default action the signal's, for a fault that is about to end the process.
pub(super) fn set_default(signal: i32) {
    let action = Action::default();
    let at = core::ptr::from_ref(&action) as usize;
    let arguments = [signal as usize, at, 0, size_of::<Mask>(), 0, 0];
    // SAFETY: the kernel reads one action; the default needs neither handler nor restorer.
    unsafe { sys::call(libc::SYS_rt_sigaction, arguments) };
}
