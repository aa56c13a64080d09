//! The handler that the kernel below has for a signal, and the entry's installation.
#![allow(unsafe_code)]

use crate::host::entry;
use crate::host::sys::call::call;
use crate::host::sys::mask::{self, HANDLER_MASK, Mask, SYNCHRONOUS};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The kernel's `struct sigaction`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Action {
    pub(super) handler: usize,
    pub(super) flags: usize,
    pub(super) restorer: usize,
    pub(super) mask: Mask,
}

impl Action {
    /// Returns whether this is what the kernel leaves of a handler with `SA_RESETHAND` that it entered.
    pub(super) fn has_fired_once(&self) -> bool {
        self.handler == libc::SIG_DFL && self.flags & ONCE != 0
    }

    /// Returns whether this is what the kernel leaves of the entry, if another component added `SA_RESETHAND` and a signal came.
    pub(super) fn was_the_entry_once(&self, signal: i32) -> bool {
        self.has_fired_once()
            && own(signal, 0).is_some_and(|own| {
                (own.flags | ONCE) as u32 == self.flags as u32 && own.mask == self.mask
            })
    }
}

const ONCE: usize = libc::SA_RESETHAND as u32 as usize;

/// `SA_EXPOSE_TAGBITS`: arm64 addresses with their top byte, as XNU reports them (G1.8).
const EXPOSE_TAGS: i32 = if cfg!(target_arch = "aarch64") {
    0x800
} else {
    0
};

/// The entry's action for one signal as the system shows it. Systems drop flags that they do not know, and add one of their own.
#[derive(Debug)]
struct Shown {
    flags: AtomicUsize,
    restorer: AtomicUsize,
    mask: AtomicU64,
}

static SHOWN: [Shown; SYNCHRONOUS.len()] = [const {
    Shown {
        flags: AtomicUsize::new(0),
        restorer: AtomicUsize::new(0),
        mask: AtomicU64::new(0),
    }
}; SYNCHRONOUS.len()];

/// Returns the entry's action for a signal, under one of its addresses.
fn own(signal: i32, alias: usize) -> Option<Action> {
    let shown = &SHOWN[mask::index(signal)?];
    Some(Action {
        handler: entry::address(alias),
        flags: shown.flags.load(Ordering::Acquire),
        restorer: shown.restorer.load(Ordering::Acquire),
        mask: shown.mask.load(Ordering::Acquire),
    })
}

/// The handler installed for a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Installed {
    /// The entry, under one of its addresses. `intact`: with the flags and the mask that the emulation gave it, too.
    Entry {
        alias: usize,
        intact: bool,
    },
    Other(Action),
}

impl Installed {
    fn of(signal: i32, action: Action) -> Self {
        match entry::alias_of(action.handler) {
            Some(alias) => Self::Entry {
                alias,
                intact: own(signal, alias).is_some_and(|own| {
                    own.flags as u32 == action.flags as u32 && own.mask == action.mask
                }),
            },
            None => Self::Other(action),
        }
    }
}

/// Reads what is installed. `None` where the system refuses to say.
pub(super) fn read(signal: i32) -> Option<Installed> {
    read_first(signal).ok()
}

/// Does the same as [`read`], with the host's error number.
pub(super) fn read_first(signal: i32) -> Result<Installed, i32> {
    raw(signal, None).map(|action| Installed::of(signal, action))
}

/// Installs the entry again, under one of its addresses. Returns what was installed.
pub(super) fn arm(signal: i32, alias: usize) -> Option<Installed> {
    install(signal, &own(signal, alias)?)
}

/// Installs an action that was read. Returns what was installed; `None` where the host refuses.
pub(super) fn install(signal: i32, action: &Action) -> Option<Installed> {
    let old = raw(signal, Some(action)).ok()?;
    Some(Installed::of(signal, old))
}

/// Makes the default action the signal's, for a fault that is about to end the process. Returns whether the host does it.
#[must_use]
pub(super) fn set_default(signal: i32) -> bool {
    // The default needs neither handler nor restorer.
    raw(signal, Some(&Action::default())).is_ok()
}

/// Installs an action, if there is one, and returns the one before. Fails with the error number.
fn raw(signal: i32, action: Option<&Action>) -> Result<Action, i32> {
    let mut old = Action::default();
    let new = action.map_or(0, |action| core::ptr::from_ref(action) as usize);
    let old_at = core::ptr::from_mut(&mut old) as usize;
    let arguments = [signal as usize, new, old_at, size_of::<Mask>(), 0, 0];
    // SAFETY: the kernel reads one action at most, and writes one. What is installed was installed before, or is the entry.
    match unsafe { call(libc::SYS_rt_sigaction, arguments) } {
        0 => Ok(old),
        error => Err(-error as i32),
    }
}

/// Installs the entry for the first time, and notes how the system shows it.
pub(super) fn arm_first(signal: i32, alias: usize) -> Result<(), i32> {
    // Through the C library, which knows the restorer that this machine needs.
    // SAFETY: zeroes are a valid value; every field that matters is filled.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    action.sa_sigaction = entry::address(alias);
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
    if unsafe { libc::sigaction(signal, &action, core::ptr::null_mut()) } != 0 {
        return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0));
    }
    if cfg!(thread_sanitizer) {
        // It has installed a handler of its own, which calls this one, and would take the rest of the program for that of a handler where it
        // is left behind. The restorer is the C library's.
        if let Ok(theirs) = raw(signal, None) {
            const RESTORER: usize = if cfg!(target_arch = "x86_64") {
                0x0400_0000
            } else {
                0
            };
            let entry = Action {
                handler: entry::address(alias),
                flags: action.sa_flags as usize | theirs.flags & RESTORER,
                restorer: theirs.restorer,
                mask: HANDLER_MASK,
            };
            let _ = raw(signal, Some(&entry));
        }
    }
    if let (Some(index), Ok(shown)) = (mask::index(signal), raw(signal, None)) {
        SHOWN[index].flags.store(shown.flags, Ordering::Release);
        SHOWN[index]
            .restorer
            .store(shown.restorer, Ordering::Release);
        SHOWN[index].mask.store(shown.mask, Ordering::Release);
    }
    Ok(())
}
