//! The number of user references of each name that this crate's right types own.
//!
//! All references that a task holds on a name are one counter in the kernel (C0.1). Code that releases forgotten references must know how
//! many are in use: [`send_references`] returns the number that [`SendRight`](super::SendRight)s own.
//!
//! There is one word for each index of the name table, in zeroed memory that is only touched where it is used: no allocation, no lock. The
//! word holds the generation of its name (C0.2), so that a count never applies to the next name with the index: a name that is counted
//! exists, so no earlier name with its index does.
//!
//! A reference and its count cannot change in one step. A *change* is announced before the kernel's count changes, and ends after it. A
//! reader that sees a change in progress, or two different versions of the word, reads again, or counts the changes as owned.

use super::name::Name;
use super::references::user_references;
use super::word::Word;
use crate::kern_return::KernError;
use crate::kernel::system::Origin;
use crate::port::PortRight;
use crate::types::mach_port_urefs_t;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

static WORDS: [AtomicU64; Name::INDICES] = [const { AtomicU64::new(0) }; Name::INDICES];
/// One more than the highest index used so far.
static USED: AtomicU32 = AtomicU32::new(0);

/// The process of the counts; 0 before there are any. With [`FORGETTING`] while one of its threads clears its parent's counts.
static COUNTED_IN: AtomicU32 = AtomicU32::new(0);
/// Bit of [`COUNTED_IN`] that no process identifier has.
const FORGETTING: u32 = 1 << 31;

/// Clears all counts in the child of a fork, which has none of its parent's rights, and after a stop of the emulated kernel.
fn forget_parents() {
    once_in(&COUNTED_IN, Origin::current().mark(), || {
        for word in WORDS.iter().take(USED.load(Ordering::Relaxed) as usize) {
            // Pages that were never touched stay untouched.
            if word.load(Ordering::Relaxed) != 0 {
                word.store(0, Ordering::Relaxed);
            }
        }
    });
}

/// Calls `forget` on the first thread of a process that calls this. The others wait until it has returned, because it would clear their
/// counts too. A process that was forked during `forget` starts again.
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
        // Without earlier counts there is nothing to clear, and a signal handler that interrupts this thread does not wait.
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

/// A name's word in the table, with the name's generation.
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

/// Counts an existing reference as owned by a right.
pub(super) fn enter(name: Name) {
    if let Some(place) = place(name) {
        place.update(|word| word.add(place.generation));
    }
}

/// Counts an existing reference as no longer owned by a right.
pub(super) fn leave(name: Name) {
    if let Some(place) = place(name) {
        place.update(|word| word.remove(place.generation));
    }
}

/// A change of the kernel's count and of this one, in progress from [`begin`](Self::begin) until one of the other calls.
#[must_use]
pub(super) struct Change(Option<Place>);

impl Change {
    /// Announces a change, before the kernel call. If a reader waits until no change is in progress, this waits for it, but only for a
    /// limited time, because the reader's thread may be suspended.
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

    /// Ends the change: the kernel added a reference, which a right owns.
    pub(super) fn taken(self) {
        self.end(Word::add);
    }

    /// Ends the change: the kernel removed a reference, which a right owned.
    pub(super) fn released(self) {
        self.end(Word::remove);
    }

    /// Ends the change: the kernel changed nothing.
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

/// Returns the number of user references under `name` that [`SendRight`](super::SendRight)s own, of a live port or a dead name (C1.1); 0
/// if the name does not exist.
///
/// A right that was leaked with `mem::forget` counts as long as the name exists, as its reference does. If other code released a
/// reference that a right owns, this number is larger than the kernel's count; [`send_references`] never returns more than that count.
#[must_use]
pub fn owned_references(name: Name) -> u32 {
    Place::of(name).map_or(0, |place| place.look().owned_of(place.generation))
}

/// The user references of a send right at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct References {
    /// Number of references that the task holds; 0 for an existing name that is not a send right, such as a dead name.
    pub total: mach_port_urefs_t,
    /// Number of these references that [`SendRight`](super::SendRight)s own.
    pub owned: u32,
    /// `true` if `owned` is exact. Otherwise rights on the name changed during all reads, and `owned` may be too large.
    pub is_exact: bool,
}

impl References {
    /// Returns the number of references that no right of this crate owns.
    #[must_use]
    pub const fn others(self) -> u32 {
        self.total.saturating_sub(self.owned)
    }
}

/// Limit of reads until no change is in progress: about 100 milliseconds in all.
const LOOKS: u32 = 500;
/// Number of reads after which changes must wait.
const LOOKS_ALONE: u32 = 5;
/// Limit of a change's waits: about 6 milliseconds in all.
const WAITS: u32 = 50;

/// Lets other threads run: yields the first times, and later sleeps 200 microseconds.
fn give_way(times: u32) {
    const YIELDS: u32 = 20;
    // SAFETY: neither has preconditions, except that the time must be less than a second, which it is.
    unsafe {
        if times < YIELDS {
            libc::sched_yield();
        } else {
            libc::usleep(200);
        }
    }
}

/// Returns the number of user references of the send right under `name`, and the number that [`SendRight`](super::SendRight)s own, both
/// at the same moment.
///
/// So code can release unowned references while threads create and drop rights on the same name: changing the count by `-(others - n)`
/// with [`modify_references`](super::modify_references) leaves `n` unowned references and all owned ones, whatever these threads do
/// meanwhile. If rights on the name are created and dropped all the time, or a thread is suspended while it does so, `owned` may be too
/// large by the number of changes seen, but never too small.
///
/// # Errors
/// `KERN_INVALID_NAME`: the name does not exist.
pub fn send_references(name: Name) -> Result<References, KernError> {
    let Some(place) = Place::of(name) else {
        // No kernel uses such a name. If one does, all its references count as owned.
        let total = user_references(name, PortRight::SEND)?;
        return Ok(References {
            total,
            owned: total,
            is_exact: false,
        });
    };
    let mut best = look(place, name)?;
    let mut waits_requested = false;
    for tries in 1..LOOKS {
        if best.unsure == 0 {
            break;
        }
        if tries == LOOKS_ALONE {
            waits_requested = true;
            place.update(|word| word.is_looked_at = true);
        }
        give_way(tries);
        match look(place, name) {
            Ok(found) if found.unsure < best.unsure => best = found,
            Ok(_) => {}
            // The name no longer exists.
            Err(_) => break,
        }
    }
    if waits_requested {
        place.update(|word| word.is_looked_at = false);
    }
    Ok(References {
        total: best.total,
        owned: best.owned.min(best.total),
        is_exact: best.unsure == 0,
    })
}

/// The result of one read.
struct Look {
    total: u32,
    /// Upper limit of the references owned when the kernel counted.
    owned: u32,
    /// Number by which `owned` may be too large.
    unsure: u32,
}

fn look(place: Place, name: Name) -> Result<Look, KernError> {
    let before = place.look();
    let total = user_references(name, PortRight::SEND)?;
    // Each change that was in progress may have added one, and so may each announced since.
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
    fn the_first_thread_of_a_process_clears_the_counts_and_the_others_wait() {
        const THREADS: usize = 4;
        let process = 77;
        // A parent with counts, and a parent that was forked while it cleared its own.
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
    fn without_earlier_counts_nothing_is_cleared_and_no_thread_waits() {
        let counted_in = AtomicU32::new(0);
        for _ in 0..2 {
            once_in(&counted_in, 77, || panic!("there is nothing to clear"));
            assert_eq!(counted_in.load(Ordering::Relaxed), 77);
        }
    }

    #[test]
    fn names_that_no_kernel_uses_have_no_place() {
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
