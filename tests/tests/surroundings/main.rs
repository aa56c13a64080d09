//! Whatever else lives in the process, faults are served and nothing is lost: surroundings × policy × kind of thread × fault, from tables.
//!
//! Every cell is a process of its own. One with a fault that nothing wants ends as the same process ends without the library: the same
//! wait status, after the same handlers were told the same, by a signal with the same siginfo at the same instruction. In one with faults
//! that the library handles, each is handled once, and mask, alternate signal stack, errno and census are as before.
//!
//! The cells' processes are forked from this one, which never starts the emulation: no other test belongs in this program.
#![cfg(not(target_vendor = "apple"))]
#![allow(unsafe_code)]

mod cell;
mod faults;
mod note;
mod policies;
mod process;
mod surroundings;
mod threads;

use cell::{Cell, Mode};
use core::ffi::c_int;
use core::sync::atomic::{AtomicUsize, Ordering};
use faults::{FAULTS, Fault};
use note::Note;
use policies::POLICIES;
use process::Outcome;
use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd};
use surroundings::{Event, Habit, SURROUNDINGS};
use tests::emulator::is_emulated;
use tests::isolated::report_partly;
use threads::{THREADS, Thread};

/// Returns why a fault is left out of a cell, if it is.
fn excluded(cell: &Cell, fault: Fault) -> Option<&'static str> {
    let handles = cell.mode == Mode::Handles;
    let unknown = cell.thread == Thread::Unknown;
    let ends_it = [Habit::Abort, Habit::Exit, Habit::PutBackAndRaise];
    let returns = fault == Fault::Break
        && cfg!(target_arch = "x86_64")
        && cell.surroundings.newcomer_that(&[Habit::PutBack]);
    match cell.surroundings.event {
        _ if handles && !cell.policy.takes_back() && returns => Some(
            "a newcomer that is left in place runs first, and returns: this trap does not recur",
        ),
        _ if handles && !cell.policy.takes_back() && cell.surroundings.newcomer_that(&ends_it) => {
            Some("a newcomer that is left in place runs first, and ends the process")
        }
        Event::Ignored | Event::SetToDefault if handles && !cell.policy.takes_back() => {
            Some("an action that is left in place is taken first, and ends the process")
        }
        Event::NoTgkill if !surroundings::has_filters() => {
            Some("this system has no filters of system calls")
        }
        Event::Fork if handles => Some("a child's faults are its own"),
        Event::TaskDeclines if handles && unknown => {
            Some("a task has one handler: the one that declines is over the one that handles")
        }
        Event::BlockedByTheThread if handles && unknown => {
            Some("a blocked fault kills a thread that nothing made ready")
        }
        Event::BlockedByTheThread if fault == Fault::Bus && is_emulated() => {
            Some("a processor's emulator lets a blocked SIGBUS wait, and runs into it for ever")
        }
        Event::DestructorAttaches if !cell.thread.ends() => {
            Some("the process's first thread runs no destructors before the process ends")
        }
        _ => None,
    }
}

/// One process with the library, or several that say the same: those of one fault under each policy, compared with one without.
#[derive(Clone, Copy, Debug)]
enum Job {
    Handles(Cell),
    Declines(Cell),
}

fn jobs() -> Vec<Job> {
    let mut jobs = Vec::new();
    for surroundings in SURROUNDINGS {
        for thread in THREADS {
            let cell = |policy, faults, mode| Cell {
                surroundings,
                policy,
                thread,
                faults,
                mode,
            };
            for policy in &POLICIES {
                jobs.push(Job::Handles(cell(policy, FAULTS, Mode::Handles)));
            }
            for fault in FAULTS {
                let faults = core::slice::from_ref(fault);
                jobs.push(Job::Declines(cell(&POLICIES[0], faults, Mode::Declines)));
            }
        }
    }
    jobs
}

/// Counts of cells, by what they showed, or by the reason for leaving them out; and the failures.
#[derive(Debug, Default)]
struct Sums {
    counted: BTreeMap<String, usize>,
    failed: Vec<String>,
}

impl Sums {
    fn count(&mut self, what: &str, cells: usize) {
        *self.counted.entry(what.to_owned()).or_default() += cells;
    }

    fn fail(&mut self, cell: &Cell, found: &Outcome, expected: Option<&Outcome>) {
        let expected = expected.map_or(String::new(), |expected| {
            format!("\n  without: {expected:x?}")
        });
        self.failed.push(format!(
            "{:?}: {} | {} | {:?} | {:?}\n  found: {found:x?}{expected}",
            cell.mode, cell.surroundings.name, cell.policy.name, cell.thread, cell.faults
        ));
    }
}

const HANDLED: &str = "handled";
const ENDED: &str = "ended as without the library";
const WENT_ON: &str = "went on as without the library";

fn run(job: Job, traced: bool, sums: &mut Sums) {
    match job {
        Job::Handles(cell) => {
            let mut faults = Vec::new();
            for fault in cell.faults {
                match excluded(&cell, *fault) {
                    Some(reason) => sums.count(reason, 1),
                    None => faults.push(*fault),
                }
            }
            if faults.is_empty() {
                return;
            }
            let faults = faults.leak();
            let cell = Cell { faults, ..cell };
            let found = process::run(&cell, false);
            if found.status == 0 && found.finished {
                sums.count(HANDLED, cell.faults.len());
            } else {
                sums.fail(&cell, &found, None);
            }
        }
        Job::Declines(cell) => {
            if let Some(reason) = excluded(&cell, cell.faults[0]) {
                return sums.count(reason, POLICIES.len());
            }
            let without = Cell {
                mode: Mode::Without,
                ..cell
            };
            let expected = process::run(&without, traced);
            if let Err(what) = check(&cell, &expected) {
                sums.failed.push(what.to_owned());
                return sums.fail(&without, &expected, None);
            }
            for policy in &POLICIES {
                let cell = Cell { policy, ..cell };
                let found = process::run(&cell, traced);
                let declined = process::declined();
                if found != expected {
                    sums.fail(&cell, &found, Some(&expected));
                } else if cell.library_is_told() && declined == 0 {
                    let what = "the library was not told of the fault";
                    sums.failed.push(what.to_owned());
                    sums.fail(&cell, &found, None);
                } else {
                    sums.count(if found.finished { WENT_ON } else { ENDED }, 1);
                }
            }
        }
    }
}

/// Checks that the process without the library ended as its surroundings say: a comparison with one that did not shows nothing.
fn check(cell: &Cell, outcome: &Outcome) -> Result<(), &'static str> {
    let ends = match cell.surroundings.event {
        Event::Fork => outcome.child,
        _ => outcome.status,
    };
    let signaled = libc::WIFSIGNALED(ends).then(|| libc::WTERMSIG(ends));
    let ends_well = signaled == Some(cell.faults[0].signal())
        || signaled == Some(libc::SIGABRT)
        || libc::WIFEXITED(ends) && libc::WEXITSTATUS(ends) == 9
        || ends == 0 && outcome.finished
        || cell.surroundings.event == Event::Fork && libc::WEXITSTATUS(ends) == 7;
    if !ends_well {
        return Err(
            "without the library the process ended otherwise than the other components alone would end it",
        );
    }
    // A handler lets it go on: one that no handler saw had no fault.
    let survived =
        ends == 0 || cell.surroundings.event == Event::Fork && libc::WEXITSTATUS(ends) == 7;
    if survived && libc::WIFEXITED(ends) && outcome.visits.is_empty() {
        return Err("without the library there was no fault");
    }
    let parties = cell.parties();
    let known = outcome
        .visits
        .iter()
        .all(|visit| parties.contains(&visit.party));
    if !known {
        return Err("without the library a party was told that is not there");
    }
    Ok(())
}

/// Runs jobs until none is left: the workers share the counter of the next one.
fn work(jobs: &[Job], next: &AtomicUsize, step: usize, traced: bool, mut to: std::fs::File) {
    process::prepare();
    Note::map();
    let mut sums = Sums::default();
    loop {
        let at = next.fetch_add(step, Ordering::SeqCst);
        let Some(job) = jobs.get(at) else { break };
        run(*job, traced, &mut sums);
    }
    let mut text = String::new();
    for (what, cells) in sums.counted {
        text.push_str(&format!("{cells} {what}\n"));
    }
    for failure in sums.failed {
        text.push_str(&format!("failed: {}\n", failure.replace('\n', " ")));
    }
    to.write_all(text.as_bytes()).expect("a reader");
}

const WORKERS: usize = 2;

#[test]
fn in_any_surroundings_faults_are_handled_and_others_end_as_without_the_library() {
    let name = "in_any_surroundings_faults_are_handled_and_others_end_as_without_the_library";
    faults::prepare();
    let traced = process::can_trace();
    let mut step = 1;
    if !traced {
        report_partly(
            name,
            "a child cannot be traced here: an emulator's, of whose jobs every 41st is run",
        );
        step = 41;
    }
    if !surroundings::has_filters() {
        report_partly(name, "this system has no filters of system calls");
    }
    let jobs = jobs();
    // SAFETY: a word of shared memory, which lives as long as the process.
    let next = unsafe {
        let shared = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let write = libc::PROT_READ | libc::PROT_WRITE;
        let at = libc::mmap(core::ptr::null_mut(), 4096, write, shared, -1, 0);
        assert_ne!(at, libc::MAP_FAILED);
        &*at.cast::<AtomicUsize>()
    };
    let started = std::time::Instant::now();
    let files: Vec<std::fs::File> = (0..WORKERS)
        .map(|_| {
            // SAFETY: a new file without a name, which nothing else owns; the child works and leaves.
            unsafe {
                let file = libc::memfd_create(c"sums".as_ptr(), libc::MFD_CLOEXEC);
                assert!(file >= 0, "a file");
                let file = std::fs::File::from_raw_fd(file);
                let child = libc::fork();
                if child == 0 {
                    let to = file.try_clone().expect("a file");
                    let done = std::panic::catch_unwind(|| work(&jobs, next, step, traced, to));
                    libc::_exit(c_int::from(done.is_err()));
                }
                assert!(child > 0, "a process");
                file
            }
        })
        .collect();
    for _ in 0..WORKERS {
        let mut status = -1;
        // SAFETY: the result goes to a local variable.
        unsafe { libc::waitpid(-1, &mut status, 0) };
        assert_eq!(status, 0, "a worker ended with an error");
    }
    let mut counted: BTreeMap<String, usize> = BTreeMap::new();
    let mut failed = Vec::new();
    for file in files {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let text = std::fs::read_to_string(path).expect("what a worker wrote");
        for line in text.lines() {
            let (first, rest) = line.split_once(' ').expect("a line of two parts");
            match first.parse::<usize>() {
                Ok(cells) => *counted.entry(rest.to_owned()).or_default() += cells,
                Err(_) => failed.push(rest.to_owned()),
            }
        }
    }
    say(&counted, started.elapsed());
    assert!(
        failed.is_empty(),
        "{} failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
    let all = SURROUNDINGS.len() * THREADS.len() * POLICIES.len() * FAULTS.len() * 2;
    let total: usize = counted.values().sum();
    assert!(step > 1 || total == all, "{total} cells of {all}");
    for what in [HANDLED, ENDED, WENT_ON] {
        assert!(counted.contains_key(what), "none {what}");
    }
}

/// Prints the counts, also when all is well: a cell that is left out must not look like one that ran.
fn say(counted: &BTreeMap<String, usize>, took: std::time::Duration) {
    let mut text = format!("surroundings: {took:.1?}\n");
    for (what, cells) in counted {
        text.push_str(&format!("surroundings: {cells:>6} cells: {what}\n"));
    }
    let _ = std::io::stderr().write_all(text.as_bytes());
}
