//! Heap allocations between faults and their answers, of all threads of the process.

use crate::Error;
use crate::effort::Effort;
use crate::faults::KINDS;
use crate::line::Line;
use crate::redirect::entry;
use test_support::counting::Counting;
use thread_mgr::Manager;

/// Counts the allocator's requests while a managed thread takes faults, is redirected, and returns.
///
/// # Errors
/// No manager could be built; or the allocator is not the process's.
pub fn measure(effort: Effort, allocator: &'static Counting) -> Result<Vec<Line>, Error> {
    let before = allocator.requests();
    drop(std::hint::black_box(Box::new(1)));
    if allocator.requests() < before + 2 {
        return Err("the allocator is not this process's".into());
    }
    let manager = Manager::builder(entry()).build()?;
    let faults = 4 * effort.batch;
    let body = move || {
        let take = |times| (0..times).for_each(|_| KINDS.iter().for_each(|kind| (kind.take)()));
        // The first faults bring into being what is there from then on.
        take(10);
        allocator.settle();
        let before = allocator.requests();
        take(faults);
        allocator.requests() - before
    };
    let ended = manager.spawn(body)?.join()?;
    let handled = manager.redirect_stats().returned;
    let requests = ended.exit.returned().ok_or("the thread panicked")?;
    let taken = 2 * u64::from(faults + 10);
    if handled < taken {
        return Err(format!("{handled} of {taken} handlers returned").into());
    }
    let what = format!("heap allocations in {} redirected faults", 2 * faults);
    Ok(vec![Line::of(&what, "allocations", requests as f64, 0.0)])
}
