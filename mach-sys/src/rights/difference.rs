//! Differences between two censuses.

use super::census::Census;
use super::source::Source;
use core::fmt;

/// The difference between two censuses: the number of names and references of each [source](Source) that were added, negative if they
/// were removed.
///
/// Additional names are not always a leak, because the system's libraries keep names of their own: a thread's reply port (G6.1), or the
/// semaphore of its first park (G6.2). [`is_leak_free`](Self::is_leak_free) ignores these sources, and the [`Display`](fmt::Display)
/// form lists the two groups separately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Change of the number of names, of any source.
    pub names: i64,
    /// Change of the number of user references on send rights, of any source.
    pub send_references: i64,
    /// Change of the number of dead names.
    pub dead_names: i64,
    /// Change of the number of user references on dead names.
    pub dead_references: i64,
    /// Change of the number of references on send rights and dead names that rights of this crate own. Other code, the kernel, or nothing
    /// owns the others.
    pub owned_references: i64,
    by_source: [Change; Source::ALL.len()],
}

/// The change of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// Change of the number of names.
    pub names: i64,
    /// Change of the number of user references on their send rights, or on these dead names.
    pub references: i64,
}

impl Difference {
    pub(super) fn between(earlier: &Census, later: &Census) -> Self {
        let change = |earlier: u64, later: u64| later as i64 - earlier as i64;
        let mut by_source = [Change::default(); Source::ALL.len()];
        for &source in Source::ALL {
            let (earlier, later) = (earlier.of(source), later.of(source));
            by_source[source as usize] = Change {
                names: change(earlier.names.into(), later.names.into()),
                references: change(earlier.references, later.references),
            };
        }
        Self {
            names: change(earlier.names.into(), later.names.into()),
            send_references: change(earlier.send_references, later.send_references),
            dead_names: change(earlier.dead_names.into(), later.dead_names.into()),
            dead_references: change(earlier.dead_references, later.dead_references),
            owned_references: change(earlier.owned_references, later.owned_references),
            by_source,
        }
    }

    /// Returns the change of one source.
    #[must_use]
    pub const fn of(&self, source: Source) -> Change {
        self.by_source[source as usize]
    }

    /// Returns the sources that changed, starting with those that are leaks when they grow.
    pub fn changes(&self) -> impl Iterator<Item = (Source, Change)> + use<> {
        let by_source = self.by_source;
        Source::ALL
            .iter()
            .map(move |&source| (source, by_source[source as usize]))
            .filter(|(_, change)| *change != Change::default())
    }

    /// Returns `true` if nothing leaked: no name and no user reference was added or removed of threads, of tasks, of dead names, and of the
    /// rights that right types of this crate own ([`Source::is_leak`]). Names of other sources do not count.
    #[must_use]
    pub fn is_leak_free(&self) -> bool {
        self.owned_references == 0 && !self.changes().any(|(source, _)| source.is_leak())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.is_leak_free() {
            true => "no leak",
            false => "leaked",
        })?;
        let mut introduce = [": ", "; besides: "].map(Some);
        for (source, change) in self.changes() {
            let first = introduce[usize::from(!source.is_leak())].take();
            write!(f, "{}{change} {source}", first.unwrap_or(", "))?;
        }
        if self.owned_references != 0 {
            write!(f, "; {:+} owned references", self.owned_references)?;
        }
        Ok(())
    }
}

/// Prints the change of names, and that of references unless it is 0: `+1 (+3 references)`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+}", self.names)?;
        match self.references {
            0 => Ok(()),
            references => write!(f, " ({references:+} references)"),
        }
    }
}
