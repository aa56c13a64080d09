//! Measures faults of eight threads at once, over those of one thread alone: the eight share the kernel's lock, the server and the CPUs.

use crate::Error;
use crate::by_hand::{ByHand, Form};
use crate::effort::Effort;
use crate::faults::{KINDS, Kind};
use crate::line::{Line, Way};
use crate::rounds::{batch, medians};
use crate::served;
use mach_sys::rights::ThreadRight;
use std::sync::Barrier;
use std::time::Instant;

const THREADS: u32 = 8;

/// The most that a fault of eight threads at once may take over one of a thread alone.
const TARGET: f64 = 1.3;

/// Returns the nanoseconds that each fault takes while so many threads fault at once. Each registers its handler before.
fn at_once<T>(
    threads: u32,
    times: u32,
    kind: Kind,
    register: impl Fn() -> Result<T, Error> + Sync,
) -> Result<f64, Error> {
    let ready = Barrier::new(threads as usize);
    let fault = || {
        let registered = register();
        ready.wait();
        let _registered = registered?;
        batch(times / 10, kind.take);
        let start = Instant::now();
        batch(times, kind.take);
        Ok::<_, Error>((start, Instant::now()))
    };
    let spans = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(fault)).collect();
        let spans = threads.into_iter().map(|thread| thread.join());
        spans
            .map(|span| span.map_err(|_| "a thread panicked")?)
            .collect::<Result<Vec<_>, Error>>()
    })?;
    let first = spans.iter().map(|(start, _)| *start).min();
    let last = spans.iter().map(|(_, end)| *end).max();
    let took = first.zip(last).map(|(first, last)| last - first);
    let took = took.ok_or("no threads")?.as_secs_f64() * 1e9;
    Ok(took / f64::from(threads) / f64::from(times))
}

/// Measures faults of eight threads at once.
///
/// # Errors
/// The kernel's, or no thread could be started.
pub fn measure(effort: Effort) -> Result<Vec<Line>, Error> {
    let server = served::start(true)?;
    let by_hand = ByHand::start(Form::State, 1)?;
    let route = || Ok(served::route(&server, &ThreadRight::current()?)?);
    let register = || Ok(by_hand.registration().register()?);
    let mut lines = Vec::new();
    for kind in KINDS {
        let [one, all, all_by_hand] = medians(effort.rounds.div_ceil(2), || {
            let times = effort.batch;
            Ok::<_, Error>([
                at_once(1, times, kind, route)?,
                at_once(THREADS, times, kind, route)?,
                at_once(THREADS, times, kind, register)?,
            ])
        })?
        .map(|nanoseconds| nanoseconds / 1e3);
        let what = format!("{}, {THREADS} threads at once", kind.name);
        let one = Way::new("one thread alone", one);
        let line = Line::over_floor(&what, "µs", all, one, TARGET);
        lines.push(line.or("by hand, STATE", all_by_hand));
    }
    Ok(lines)
}
