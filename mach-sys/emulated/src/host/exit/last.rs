//! The end of the process with the last thread of its own.
//!
//! The C library ends a process when its last thread does. The watching thread never does, nor does a server's before its server is
//! dropped: where the main thread left by `pthread_exit`, the process would live for ever. So the watching thread calls `exit` when only
//! these are left. Where `main` returns the C library does it by itself.
#![allow(unsafe_code)]

use crate::host::slot::identity::Identity;
use crate::host::slot::origin;
use crate::host::slot::region::{self, Slot};
use crate::host::sys::mask::{self, How, Mask};
use crate::host::sys::pthread::{self, Start};
use crate::host::sys::task_stat::{self, TaskStat};
use crate::host::sys::thread;
use core::sync::atomic::{AtomicU64, Ordering};

/// Signal mask of the thread that started the emulation.
static OUTER: AtomicU64 = AtomicU64::new(0);

/// Notes the signal mask that `exit` is called with.
pub(super) fn note_outer(outer: Mask) {
    OUTER.store(outer, Ordering::Relaxed);
}

/// The threads of servers, as the watching thread saw them at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Servers {
    count: u32,
    /// Differs if one of them was another thread, or was none for a while.
    mark: u64,
}

impl Servers {
    fn now() -> Self {
        let mut servers = Self::default();
        let Some(keys) = region::keys() else {
            return servers;
        };
        for seen in keys.taken() {
            let Some(slot) = region::from_index(seen.index()).and_then(Slot::of) else {
                continue;
            };
            let header = slot.header();
            let (owner, served) = (header.owner(), header.served());
            if served % 2 == 1
                && owner == seen.identity()
                && is_there(owner, header.registered.load(Ordering::Relaxed))
            {
                let one = owner.bits().wrapping_mul(u64::from(served) | 1 << 32);
                servers.count += 1;
                servers.mark = servers.mark.wrapping_add(one);
            }
        }
        servers
    }
}

/// Returns whether the thread lives that registered at a time. Its identifier may be another's by now, which started later.
fn is_there(owner: Identity, registered: u64) -> bool {
    thread::exists(owner.tid()) != Some(false)
        && task_stat::read(owner.tid()).is_some_and(|stat| stat.start <= registered)
}

/// Returns the line of the main thread, once that has ended before the process. `None` where the system does not say.
fn main_that_left() -> Option<TaskStat> {
    let stat = task_stat::read(origin::process()?)?;
    matches!(stat.state, b'Z' | b'X').then_some(stat)
}

/// Returns whether the main thread has ended before the process.
pub(super) fn main_has_left() -> bool {
    main_that_left().is_some()
}

/// Returns whether all threads have ended but the watching thread, which calls this, and those of servers that are not in user code. `false`
/// as long as the main thread lives, and where the system does not say.
pub(super) fn only_servers_are_left() -> bool {
    let before = Servers::now();
    // How many threads there are is counted at one time. Servers' threads before and after it were there then; if there was no other
    // thread, none has been made since, as these make none but in user code.
    let Some(main) = main_that_left() else {
        return false;
    };
    before == Servers::now() && main.threads == before.count + 2
}

/// Ends the process as the end of its last thread does: `exit(0)`, with what was registered by `atexit`, on a thread with an ordinary
/// signal mask.
pub(super) fn end_process() {
    // On a thread of its own, so that the ends of threads that the handlers start and join are watched.
    let start = Start {
        name: c"mach-sys-exit",
        stack_size: None,
        run: exit,
    };
    if pthread::start(&start).map(pthread::Thread::detach).is_err() {
        exit();
    }
}

fn exit() {
    mask::change(How::Set, OUTER.load(Ordering::Relaxed));
    // SAFETY: no other thread of the process's own is left that could be in `exit`.
    unsafe { libc::exit(0) }
}
