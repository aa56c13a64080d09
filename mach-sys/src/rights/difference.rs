//! What changed between two censuses, and whether it is a leak.

use super::census::Census;
use super::source::Source;
use core::fmt;

/// Tells how many more names and references of each [source](Source) there are than before; fewer, if a number is negative.
///
/// What a leak is does not follow from the number of names: a process's own libraries take names that they keep, a thread's reply port
/// (G6.1) or the semaphore of its first park (G6.2). [`is_leak_free`](Self::is_leak_free) looks at the others, and the
/// [`Display`](fmt::Display) form lists both, apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Names of any source.
    pub names: i64,
    /// User references on send rights, of any source.
    pub send_references: i64,
    /// Dead names.
    pub dead_names: i64,
    /// User references on dead names.
    pub dead_references: i64,
    /// Of the references on send rights and dead names, those that rights of this crate own. The others are owned by other code, by the
    /// kernel, or by nothing.
    pub owned_references: i64,
    by_source: [Change; Source::ALL.len()],
}

/// How the names of one source changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// Names.
    pub names: i64,
    /// User references on their send rights, or on these dead names.
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

    /// Returns how the names of one source changed.
    #[must_use]
    pub const fn of(&self, source: Source) -> Change {
        self.by_source[source as usize]
    }

    /// Returns the sources of which anything changed, those whose growth is a leak first.
    pub fn changes(&self) -> impl Iterator<Item = (Source, Change)> + use<> {
        let by_source = self.by_source;
        Source::ALL
            .iter()
            .map(move |&source| (source, by_source[source as usize]))
            .filter(|(_, change)| *change != Change::default())
    }

    /// Returns `true` if nothing leaked: no name and no user reference more, and none fewer, of threads, tasks, dead names, and of what
    /// right types of this crate own ([`Source::is_leak`]). Names of other sources do not count.
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

/// As in `+1 (+3 references)`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+}", self.names)?;
        match self.references {
            0 => Ok(()),
            references => write!(f, " ({references:+} references)"),
        }
    }
}
