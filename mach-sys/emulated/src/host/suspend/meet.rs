//! Makes threads known that have made no kernel call yet: the suspension signal's handler registers them.

use super::patience::Patience;
use super::signal;
use crate::host::slot::inside::InKernel;
use crate::host::slot::keys::Keys;
use crate::host::slot::origin;
use crate::host::slot::region::{self, Slot};
use crate::host::sys::thread::{exists, send_signal};
use crate::host::sys::{mask, task_list, task_status};
use core::time::Duration;

/// Time that all unknown threads together may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Makes all threads of the process known that the system lists, and waits until they are. Leaves out the emulation's own, and those that have the
/// suspension signal blocked. `is_known` says whether the layers above know the thread that has a slot. Returns `false` if the time
/// ran out.
pub(crate) fn everyone(is_known: impl Fn(crate::host::SlotId) -> bool) -> bool {
    if !signal::is_intact() {
        return true;
    }
    let Some(keys) = region::keys() else {
        return true;
    };
    let knows = |tid: u32| {
        find(keys, tid)
            .is_some_and(|slot| slot.header().owner().tid() == tid && is_known(slot.id()))
    };
    let mut patience = Patience::begin();
    // In portions: one thread after the other would each wait for its turn on a processor.
    loop {
        let mut asked = [0; PORTION];
        let mut count = 0;
        // A thread that is ended meanwhile leaves no file open.
        let inside = InKernel::enter();
        task_list::each(|tid| {
            if count < PORTION && !knows(tid) && may_be_met(tid) {
                send_signal(tid, mask::suspension());
                asked[count] = tid;
                count += 1;
            }
        });
        drop(inside);
        for tid in &asked[..count] {
            while !knows(*tid) && exists(*tid) == Some(true) && patience.waited() < DEADLINE {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
        if patience.waited() >= DEADLINE {
            return false;
        }
        if count < PORTION {
            return true;
        }
    }
}

/// Returns whether each thread of the process is known that the system lists, but for the emulation's own. `is_known` as for [`everyone`].
pub(crate) fn is_everyone_known(is_known: impl Fn(crate::host::SlotId) -> bool) -> bool {
    let Some(keys) = region::keys() else {
        return false;
    };
    let mut unknown = false;
    let _inside = InKernel::enter();
    task_list::each(|tid| {
        let known = find(keys, tid)
            .is_some_and(|slot| slot.header().owner().tid() == tid && is_known(slot.id()));
        unknown |= !known && !origin::is_watching_thread(tid) && exists(tid) != Some(false);
    });
    !unknown
}

/// Number of threads that are asked before the first is waited for.
const PORTION: usize = 128;

/// Returns whether a thread can be asked: `sigwait` would return the signal, and where it is blocked it would stay.
fn may_be_met(tid: u32) -> bool {
    !origin::is_watching_thread(tid)
        && task_status::blocks(tid, mask::suspension()) == Some(false)
        && !task_status::waits_for_signals(tid)
}

/// Returns the slot whose key has a thread's identifier.
fn find(keys: &'static Keys, tid: u32) -> Option<Slot> {
    keys.taken()
        .find(|seen| seen.identity().tid() == tid)
        .and_then(|seen| Slot::of(region::from_index(seen.index())?))
}
