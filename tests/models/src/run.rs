//! A model, and how it is run.

use loom::model::Builder;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A few threads that use a protocol, and what must hold.
pub(crate) struct Model {
    pub(crate) name: &'static str,
    /// Preemptions in one interleaving, at most.
    pub(crate) preemptions: usize,
    pub(crate) body: fn(),
}

impl Model {
    /// Runs it in all its interleavings.
    pub(crate) fn run(&self) {
        let count = Arc::new(AtomicU64::new(0));
        let mut builder = Builder::new();
        builder.preemption_bound = Some(self.preemptions);
        builder.max_branches = 10_000;
        let (counted, body) = (Arc::clone(&count), self.body);
        builder.check(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            body();
        });
        let count = count.load(Ordering::Relaxed);
        println!(
            "model {} ... ok, {count} interleavings, {} preemptions",
            self.name, self.preemptions
        );
    }
}
