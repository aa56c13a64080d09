//! A thread's `/proc/self/task/…/stat`, read without allocation.

use super::proc_file::{is_missing_file, read_file};
use super::thread::{getpid, gettid};
use std::io::Write;

/// A thread's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::host) struct TaskStat {
    /// Field 3: `b'R'`, `b'S'`, `b'Z'` and so on.
    pub(in crate::host) state: u8,
    /// Field 14: time in code of its own, in clock ticks (10 ms as a rule).
    pub(in crate::host) user: u64,
    /// Field 15: time in the system's code, in clock ticks.
    pub(in crate::host) system: u64,
    /// Field 19: the nice value.
    pub(in crate::host) nice: i32,
    /// Field 20: how many threads the process has, a first one that ended before the others included.
    pub(in crate::host) threads: u32,
    /// Field 22: when the thread started, in clock ticks (10 ms as a rule) since the system did.
    pub(in crate::host) start: u64,
    /// Field 41: the scheduling policy, `SCHED_*`; 0 where the system does not say.
    pub(in crate::host) policy: i32,
}

impl TaskStat {
    /// Returns the time on a processor, in clock ticks.
    pub(in crate::host) fn ran(&self) -> u64 {
        self.user.saturating_add(self.system)
    }
}

/// Reads the line of a thread of this process. `None` where there is no such thread, or no `/proc`.
pub(in crate::host) fn read(tid: u32) -> Option<TaskStat> {
    let path = task_path(tid)?;
    let mut line = [0; 512];
    let length = read_file(&path, &mut line);
    parse(line.get(..length)?)
}

/// Returns a thread's path. The buffer holds the longest one and its terminating zero.
fn task_path(tid: u32) -> Option<[u8; 64]> {
    let mut path = [0; 64];
    let mut rest = &mut path[..];
    write!(rest, "/proc/self/task/{tid}/stat").ok()?;
    Some(path)
}

/// Returns whether the system lists this process's threads, and the thread is not among them. It must list the calling thread and the
/// process's first one: a `/proc` that is not there, or that is another PID namespace's, says nothing.
pub(in crate::host) fn is_missing(tid: u32) -> bool {
    let listed = |tid: u32| task_path(tid).map(|path| !is_missing_file(&path));
    listed(tid) == Some(false)
        && listed(gettid()) == Some(true)
        && listed(getpid()) == Some(true)
        && read(gettid()).is_some()
}

/// Parses the line. The name is in parentheses and may contain anything; the other fields follow it.
fn parse(line: &[u8]) -> Option<TaskStat> {
    let end = line.iter().rposition(|byte| *byte == b')')?;
    let mut fields = line.get(end + 2..)?.split(|byte| *byte == b' ');
    let state = *fields.next()?.first()?;
    let (user, system) = (number(fields.nth(10)?)?, number(fields.next()?)?);
    let nice = core::str::from_utf8(fields.nth(3)?).ok()?.parse().ok()?;
    let threads = number(fields.next()?)?.try_into().ok()?;
    let start = number(fields.nth(1)?)?;
    let policy = fields.nth(18).and_then(number).unwrap_or(0);
    Some(TaskStat {
        state,
        user,
        system,
        nice,
        threads,
        start,
        policy: i32::try_from(policy).unwrap_or(0),
    })
}

fn number(field: &[u8]) -> Option<u64> {
    core::str::from_utf8(field).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{TaskStat, is_missing, parse, read};

    #[test]
    fn the_name_may_contain_anything() {
        let line = b"7 (a) R (b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 9";
        let expected = TaskStat {
            state: b'S',
            user: 11,
            system: 12,
            nice: 16,
            threads: 17,
            start: 4711,
            policy: 0,
        };
        assert_eq!(parse(line), Some(expected));
        // The whole line: field 41 is the policy.
        let rest: Vec<_> = (24..=52).map(|field| field.to_string()).collect();
        let whole = format!(
            "7 (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 -5 17 18 4711 23 {}",
            rest.join(" ")
        );
        let expected = TaskStat {
            nice: -5,
            policy: 41,
            ..expected
        };
        assert_eq!(parse(whole.as_bytes()), Some(expected));
        for cut in 0..line.len() - 6 {
            assert_eq!(parse(&line[..cut]), None, "{cut} bytes");
        }
    }

    #[test]
    fn the_calling_thread_has_a_start_and_a_thread_that_is_not_has_none() {
        let this = read(crate::host::sys::thread::gettid());
        let told = std::path::Path::new("/proc/self/task").exists();
        assert_eq!(this.is_some(), told);
        let Some(this) = this else {
            return;
        };
        assert_eq!(this.state, b'R');
        assert!(this.start > 0);
        assert!(this.threads > 0);
        assert_eq!(read(u32::MAX), None);
    }

    #[test]
    fn a_thread_is_missing_once_it_is_gone_and_only_where_the_host_tells() {
        let told = std::path::Path::new("/proc/self/task").exists();
        let this = crate::host::sys::thread::gettid();
        assert!(!is_missing(this));
        let other = std::thread::spawn(crate::host::sys::thread::gettid);
        let other = other.join().expect("a thread");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while told && !is_missing(other) {
            // The kernel says that it is over before it takes the thread off its list.
            assert!(std::time::Instant::now() < deadline, "{other} stays");
            std::thread::yield_now();
        }
        assert_eq!(is_missing(u32::MAX >> 1), told);
    }
}
