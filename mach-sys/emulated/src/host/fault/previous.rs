//! The handlers that were installed before: the signal fallback.
#![allow(unsafe_code)]

use crate::config::WhenDisplaced;
use crate::host::entry;
use crate::host::sys::call::call;
use crate::host::sys::mask::{self, HANDLER_MASK, Mask, SYNCHRONOUS, index};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// The kernel's `struct sigaction`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
struct Action {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: Mask,
}

/// A handler for one signal.
#[derive(Debug)]
struct Installed {
    handler: AtomicUsize,
    flags: AtomicUsize,
    mask: AtomicU64,
}

impl Installed {
    const fn default() -> Self {
        Self {
            handler: AtomicUsize::new(libc::SIG_DFL),
            flags: AtomicUsize::new(0),
            mask: AtomicU64::new(0),
        }
    }

    fn store(&self, action: &Action) {
        self.mask.store(action.mask, Ordering::Release);
        self.flags.store(action.flags, Ordering::Release);
        self.handler.store(action.handler, Ordering::Release);
    }
}

/// The host level of one signal.
#[derive(Debug)]
struct Level {
    /// What was installed when the emulation started.
    below: Installed,
    /// A handler that was installed after the start, and that the emulation replaced again: it runs before `below`, which it may
    /// chain to.
    displacer: Installed,
    displaced: AtomicBool,
}

static LEVELS: [Level; SYNCHRONOUS.len()] = [const {
    Level {
        below: Installed::default(),
        displacer: Installed::default(),
        displaced: AtomicBool::new(false),
    }
}; SYNCHRONOUS.len()];

/// Which handlers are in question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// All but the emulation's.
    All,
    /// The one from before the start: a handler that was installed later has run already.
    Below,
}

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
    /// `SA_RESETHAND`.
    pub(super) once: bool,
}

fn asked(signal: i32, asked: Asked) -> Option<&'static Installed> {
    let level = &LEVELS[index(signal)?];
    Some(match asked {
        Asked::All if level.displaced.load(Ordering::Acquire) => &level.displacer,
        _ => &level.below,
    })
}

/// What the fallback does with a signal. `SA_RESETHAND` is honoured: the next signal gets the default.
pub(super) fn take_action(signal: i32, who: Asked) -> HostAction {
    let action = action(signal, who);
    if let (HostAction::Handler(handler), Some(installed)) = (action, asked(signal, who)) {
        if handler.once {
            installed.handler.store(libc::SIG_DFL, Ordering::Release);
        }
    }
    action
}

/// The same, as a question only.
pub(super) fn action(signal: i32, who: Asked) -> HostAction {
    asked(signal, who).map_or(HostAction::Default, |installed| {
        wanted(signal, installed, installed.handler.load(Ordering::Acquire))
    })
}

fn wanted(signal: i32, installed: &Installed, handler: usize) -> HostAction {
    match handler {
        libc::SIG_DFL => HostAction::Default,
        libc::SIG_IGN => HostAction::Ignore,
        address => {
            let flags = installed.flags.load(Ordering::Acquire);
            let mut blocked = installed.mask.load(Ordering::Acquire);
            if flags & libc::SA_NODEFER as usize == 0 {
                blocked |= mask::bit(signal);
            }
            HostAction::Handler(Handler {
                address,
                mask: blocked,
                on_alternate_stack: flags & libc::SA_ONSTACK as usize != 0,
                once: flags & libc::SA_RESETHAND as usize != 0,
            })
        }
    }
}

/// Installs the entry for the five signals, where it is not yet, and keeps what was there.
pub(in crate::host) fn install() -> Result<(), i32> {
    for signal in SYNCHRONOUS {
        let current = read(signal).unwrap_or_default();
        if current.handler == entry::address() {
            continue;
        }
        if let Some(index) = index(signal) {
            LEVELS[index].below.store(&current);
        }
        arm(signal)?;
    }
    Ok(())
}

/// The signals whose handler was replaced after the start. The new handler runs first; the emulation sees a fault only if that handler
/// chains.
pub(crate) fn displaced() -> impl Iterator<Item = i32> {
    SYNCHRONOUS
        .into_iter()
        .filter(|signal| read(*signal).is_some_and(|action| action.handler != entry::address()))
}

static TAKES_BACK: AtomicBool = AtomicBool::new(false);

pub(in crate::host) fn set_policy(policy: WhenDisplaced) {
    TAKES_BACK.store(policy == WhenDisplaced::TakeBack, Ordering::Relaxed);
}

/// Applies the policy.
pub(in crate::host) fn look() {
    if TAKES_BACK.load(Ordering::Relaxed) {
        // A refusal leaves things as they are: the later handler runs first.
        let _ = take_back();
    }
}

/// Replaces every handler that was installed after the start. That one becomes the signal fallback: it runs for faults that no
/// exception handler wants, and what it chains to, the emulation included, does not run a second time.
fn take_back() -> Result<(), i32> {
    static BUSY: AtomicBool = AtomicBool::new(false);
    if BUSY.swap(true, Ordering::Acquire) {
        // Another thread does it.
        return Ok(());
    }
    let outcome = displaced().try_for_each(|signal| {
        let (Some(index), Some(current)) = (index(signal), read(signal)) else {
            return Ok(());
        };
        if current.handler == libc::SIG_DFL || current.handler == libc::SIG_IGN {
            // No handler; the one from before the start is no longer in question.
            LEVELS[index].displaced.store(false, Ordering::Release);
            LEVELS[index].below.store(&current);
        } else {
            LEVELS[index].displacer.store(&current);
            LEVELS[index].displaced.store(true, Ordering::Release);
        }
        arm(signal)
    });
    BUSY.store(false, Ordering::Release);
    outcome
}

fn arm(signal: i32) -> Result<(), i32> {
    // Through the C library, which knows the restorer that this machine needs.
    // SAFETY: zeroes are a valid value; every field that matters is filled.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    action.sa_sigaction = entry::address();
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | EXPOSE_TAGS;
    // The handler's probed copies raise these two. Of the others several that are sent at once must not pile up frames.
    if matches!(signal, libc::SIGSEGV | libc::SIGBUS) {
        action.sa_flags |= libc::SA_NODEFER;
    }
    // Not by `sigaddset`, which leaves the C library's own signals out.
    // SAFETY: a signal set begins with the kernel's, whatever room is behind it.
    unsafe {
        core::ptr::from_mut(&mut action.sa_mask)
            .cast::<Mask>()
            .write(HANDLER_MASK)
    };
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
    (unsafe { call(libc::SYS_rt_sigaction, arguments) } == 0).then_some(action)
}

/// Makes the default action the signal's, for a fault that is about to end the process.
pub(super) fn set_default(signal: i32) {
    let action = Action::default();
    let at = core::ptr::from_ref(&action) as usize;
    let arguments = [signal as usize, at, 0, size_of::<Mask>(), 0, 0];
    // SAFETY: the kernel reads one action; the default needs neither handler nor restorer.
    unsafe { call(libc::SYS_rt_sigaction, arguments) };
}
