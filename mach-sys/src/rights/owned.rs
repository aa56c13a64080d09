//! How many user references of each name this crate's right types own.
//!
//! All references that a task holds on a name are one counter in the kernel (C0.1). Code that releases forgotten references
//! has to know how many are needed: [`send_references`] tells those of [`SendRight`](super::SendRight)s apart.
//!
//! One word for each index of the name table, in zeroed memory of which only what is used is ever touched: no allocation, no lock. The
//! word holds the generation of the name that it counts for (C0.2), so that a count never passes from a name to the next one of that
//! index: when a name is counted, it is there, and so nothing is left of an earlier one.
//!
//! A reference and its count cannot change in one step. A *change* is announced before the kernel's count moves and ends after it; a
//! reader that saw one, or whose two looks at the word differ, looks again, or counts what it saw as owned.

use super::name::Name;
use super::references::user_references;
use super::word::Word;
use crate::kern_return::KernError;
use crate::kernel::system::Origin;
use crate::port::PortRight;
use crate::types::mach_port_urefs_t;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

static WORDS: [AtomicU64; Name::INDICES] = [const { AtomicU64::new(0) }; Name::INDICES];
/// One more than the highest index in use so far.
static USED: AtomicU32 = AtomicU32::new(0);

/// The process that the counts are of; 0 before there are any. With [`FORGETTING`] while one of its threads forgets its parent's.
static COUNTED_IN: AtomicU32 = AtomicU32::new(0);
/// No process identifier has this bit.
const FORGETTING: u32 = 1 << 31;

/// Forgets all counts in the child of a fork, which has none of its parent's rights, and after a stop of the emulated kernel.
fn forget_parents() {
    once_in(&COUNTED_IN, Origin::current().mark(), || {
        for word in WORDS.iter().take(USED.load(Ordering::Relaxed) as usize) {
            // Pages that were never touched stay so.
            if word.load(Ordering::Relaxed) != 0 {
                word.store(0, Ordering::Relaxed);
            }
        }
    });
}

/// Calls `forget` on the first of a process's threads to come here; the others wait until that is over, since what they count meanwhile
/// would be forgotten as well. A process that was forked in the middle begins anew.
fn once_in(counted_in: &AtomicU32, process: u32, forget: impl FnOnce()) {
    let mut times = 0;
    loop {
        let seen = counted_in.load(Ordering::Acquire);
        if seen == process {
            return;
        }
        let under_way = process | FORGETTING;
        if seen == under_way {
            give_way(times);
            times += 1;
            continue;
        }
        // Where nothing was counted before, nothing is to be forgotten, and a signal handler on top of this waits for nothing.
        let next = if seen == 0 { process } else { under_way };
        let (acquire, relaxed) = (Ordering::Acquire, Ordering::Relaxed);
        if counted_in
            .compare_exchange(seen, next, acquire, relaxed)
            .is_ok()
        {
            if seen == 0 {
                return;
            }
            break;
        }
    }
    forget();
    counted_in.store(process, Ordering::Release);
}

/// The place of a name in the table; `None` for an index that no kernel gives out.
#[derive(Clone, Copy)]
struct Place {
    word: &'static AtomicU64,
    generation: u32,
}

impl Place {
    fn of(name: Name) -> Option<Self> {
        forget_parents();
        Some(Self {
            word: WORDS.get(name.index())?,
            generation: name.generation(),
        })
    }

    fn look(self) -> Word {
        Word::unpack(self.word.load(Ordering::SeqCst))
    }

    fn update(self, edit: impl Fn(&mut Word)) {
        let edited = |bits| {
            let mut word = Word::unpack(bits);
            edit(&mut word);
            word.version += 1;
            Some(word.pack())
        };
        let _ = self
            .word
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, edited);
    }
}

fn place(name: Name) -> Option<Place> {
    let index = name.index() as u32;
    if index >= USED.load(Ordering::Relaxed) {
        USED.fetch_max(index.saturating_add(1), Ordering::Relaxed);
    }
    Place::of(name)
}

/// A reference that existed before is owned by a right from here on.
pub(super) fn enter(name: Name) {
    if let Some(place) = place(name) {
        place.update(|word| word.add(place.generation));
    }
}

/// A reference goes on to exist, and no right owns it any more.
pub(super) fn leave(name: Name) {
    if let Some(place) = place(name) {
        place.update(|word| word.remove(place.generation));
    }
}

/// A change of the kernel's count and of this one, under way between [`begin`](Self::begin) and one of the other calls.
#[must_use]
pub(super) struct Change(Option<Place>);

impl Change {
    /// Announces a change, before the kernel is called. Waits a moment for a reader that waits for a quiet one, and no longer: the
    /// reader's thread may be suspended.
    pub(super) fn begin(name: Name) -> Self {
        let place = place(name);
        if let Some(place) = place {
            for times in 0..WAITS {
                if !place.look().is_looked_at {
                    break;
                }
                give_way(times);
            }
            place.update(Word::begin);
        }
        Self(place)
    }

    /// The kernel counts one more, which a right owns.
    pub(super) fn taken(self) {
        self.end(Word::add);
    }

    /// The kernel counts one less, which a right owned.
    pub(super) fn released(self) {
        self.end(Word::remove);
    }

    /// Nothing changed.
    pub(super) fn nothing(self) {
        self.end(|_, _| ());
    }

    fn end(self, count: impl Fn(&mut Word, u32)) {
        if let Some(place) = self.0 {
            place.update(|word| {
                count(word, place.generation);
                word.end();
            });
        }
    }
}

/// Returns how many user references of the send right under `name` are owned by [`SendRight`](super::SendRight)s: of live ports and of
/// dead names (C1.1). 0 for a name that is not there.
///
/// A right that was forgotten (`mem::forget`) counts for as long as the name exists, as its reference does. The kernel's own count
/// bounds what is true of this one: if other code released a reference that a right owned, this is too large, and
/// [`send_references`] never returns more than there are.
#[must_use]
pub fn owned_references(name: Name) -> u32 {
    Place::of(name).map_or(0, |place| place.look().owned_of(place.generation))
}

/// The user references of a send right at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct References {
    /// All that the task holds. 0 for a name that is there and is no send right, such as a dead name.
    pub total: mach_port_urefs_t,
    /// Of these, those that [`SendRight`](super::SendRight)s own.
    pub owned: u32,
    /// Whether `owned` is exact. Otherwise rights on the name changed during the whole look, and it may be too large.
    pub is_exact: bool,
}

impl References {
    /// Returns how many are owned by no right of this crate.
    #[must_use]
    pub const fn others(self) -> u32 {
        self.total.saturating_sub(self.owned)
    }
}

/// Looks for a moment at which nothing changes: some 100 milliseconds in all.
const LOOKS: u32 = 500;
/// Looks after which changes are asked to wait, and how often these then wait: some 6 milliseconds.
const LOOKS_ALONE: u32 = 5;
const WAITS: u32 = 50;

/// Lets other threads run for a while; the first few times only those that are about to.
fn give_way(times: u32) {
    const YIELDS: u32 = 20;
    // SAFETY: neither has preconditions but the time's, which is well below a second.
    unsafe {
        if times < YIELDS {
            libc::sched_yield();
        } else {
            libc::usleep(200);
        }
    }
}

/// Returns the user references of the send right under `name`, and how many of them are owned by [`SendRight`](super::SendRight)s, both
/// as they were at one moment.
///
/// So references of others stay releasable while threads make and drop rights on the same name: taking
/// `-(others - n)` of them with [`modify_references`](super::modify_references) leaves `n` and every owned one, whatever these threads
/// do meanwhile. Where rights on the name are made and dropped all the time, or a thread is suspended while it does so, `owned` is too
/// large by at most the changes that were seen, never too small.
///
/// # Errors
/// `KERN_INVALID_NAME`: no such name.
pub fn send_references(name: Name) -> Result<References, KernError> {
    let Some(place) = Place::of(name) else {
        // No kernel gives such a name out. If one does, nothing of it is taken for a reference without an owner.
        let total = user_references(name, PortRight::SEND)?;
        return Ok(References {
            total,
            owned: total,
            is_exact: false,
        });
    };
    let mut best = look(place, name)?;
    let mut asked = false;
    for tries in 1..LOOKS {
        if best.unsure == 0 {
            break;
        }
        if tries == LOOKS_ALONE {
            asked = true;
            place.update(|word| word.is_looked_at = true);
        }
        give_way(tries);
        match look(place, name) {
            Ok(found) if found.unsure < best.unsure => best = found,
            Ok(_) => {}
            // The name went away meanwhile.
            Err(_) => break,
        }
    }
    if asked {
        place.update(|word| word.is_looked_at = false);
    }
    Ok(References {
        total: best.total,
        owned: best.owned.min(best.total),
        is_exact: best.unsure == 0,
    })
}

/// What one look saw.
struct Look {
    total: u32,
    /// What was owned when the kernel counted, at most.
    owned: u32,
    /// By how much that may be too large.
    unsure: u32,
}

fn look(place: Place, name: Name) -> Result<Look, KernError> {
    let before = place.look();
    let total = user_references(name, PortRight::SEND)?;
    // Each change that was under way may have added one, and so may each that was announced since.
    let unsure = before.changes + place.look().updates_since(before);
    Ok(Look {
        total,
        owned: before.owned_of(place.generation) + unsure,
        unsure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn the_first_thread_of_a_process_forgets_and_the_others_wait_for_it() {
        const THREADS: usize = 4;
        let process = 77;
        // A parent, and a parent in the middle.
        for before in [50, 50 | FORGETTING] {
            let counted_in = AtomicU32::new(before);
            let (begun, over) = (AtomicU32::new(0), AtomicU32::new(0));
            let barrier = Barrier::new(THREADS);
            std::thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        barrier.wait();
                        once_in(&counted_in, process, || {
                            begun.fetch_add(1, Ordering::Relaxed);
                            std::thread::sleep(core::time::Duration::from_millis(5));
                            over.fetch_add(1, Ordering::Relaxed);
                        });
                        assert_eq!(over.load(Ordering::Relaxed), 1, "{before:#x}");
                    });
                }
            });
            assert_eq!(begun.load(Ordering::Relaxed), 1, "{before:#x}");
            once_in(&counted_in, process, || {
                panic!("{before:#x}: a second time")
            });
        }
    }

    #[test]
    fn where_nothing_was_counted_nothing_is_forgotten_and_no_thread_waits() {
        let counted_in = AtomicU32::new(0);
        for _ in 0..2 {
            once_in(&counted_in, 77, || panic!("nothing is to be forgotten"));
            assert_eq!(counted_in.load(Ordering::Relaxed), 77);
        }
    }

    #[test]
    fn names_that_no_kernel_gives_out_have_no_place() {
        for name in [u32::MAX - 1, (Name::INDICES as u32) << 8] {
            if let Some(name) = Name::new(name) {
                assert_eq!(owned_references(name), 0);
                enter(name);
                leave(name);
                Change::begin(name).taken();
            }
        }
    }
}
