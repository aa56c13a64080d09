//! Names and user references that threads leave which fault and end.

use crate::Error;
use crate::by_hand::{ByHand, Form};
use crate::effort::Effort;
use crate::faults::undefined;
use crate::line::Line;
use crate::redirect::entry;
use core::time::Duration;
use mach_sys::rights::{Census, Change, Difference};
use thread_mgr::{Audit, Manager};

/// Faults of each thread.
const FAULTS: u32 = 10;
/// The most threads that are served by hand: what is left of them stays in the process.
const BY_HAND: u32 = 200;

/// Counts what threads leave, managed and served by hand.
///
/// # Errors
/// The kernel's, or a thread's.
pub fn measure(effort: Effort) -> Result<Vec<Line>, Error> {
    let threads = effort.leak_threads;
    let managed = managed(threads)?;
    let few = threads.min(BY_HAND);
    let by_hand = by_hand(few)?;
    let instead = format!("by hand, DEFAULT, {few} threads");
    let line = |what: &str, unit, figure: fn(Change) -> i64| {
        let what = format!("{what} left by {threads} threads with {FAULTS} faults");
        let sum = |left: &Difference| leaked(left).map(figure).sum::<i64>() as f64;
        Line::of(&what, unit, sum(&managed), 0.0).or(&instead, sum(&by_hand))
    };
    Ok(vec![
        line("port names", "names", |change| change.names),
        line("user references", "references", |change| change.references),
    ])
}

/// Returns the changes of the sources whose growth is a leak. The others are the system's: a thread that lives on keeps its reply port.
fn leaked(left: &Difference) -> impl Iterator<Item = Change> {
    left.changes()
        .filter(|(source, _)| source.is_leak())
        .map(|(_, change)| change)
}

fn managed(threads: u32) -> Result<Difference, Error> {
    let manager = Manager::builder(entry()).build()?;
    // The first thread brings into being what stays.
    let life = || -> Result<(), Error> {
        let thread = manager.spawn(|| (0..FAULTS).for_each(|_| undefined()))?;
        let _ = thread.join()?;
        Ok(())
    };
    let audit = Audit::start()?;
    life()?;
    audit.settle(Duration::from_secs(1).into())?;
    let audit = Audit::start()?;
    for _ in 0..threads {
        life()?;
    }
    Ok(audit.settle(Duration::from_secs(20).into())?)
}

fn by_hand(threads: u32) -> Result<Difference, Error> {
    let server = ByHand::start(Form::Default, 1)?;
    let registration = server.registration();
    let body = move || {
        registration.register()?;
        (0..FAULTS).for_each(|_| undefined());
        registration.remove()
    };
    let life = || -> Result<(), Error> {
        let ended = std::thread::spawn(body).join();
        Ok(ended.map_err(|_| "a thread panicked")??)
    };
    // The kernel's own end of a thread may take a moment.
    let settle = || std::thread::sleep(Duration::from_millis(50));
    life()?;
    settle();
    let before = Census::take()?;
    for _ in 0..threads {
        life()?;
    }
    settle();
    Ok(Census::take()?.since(&before))
}
