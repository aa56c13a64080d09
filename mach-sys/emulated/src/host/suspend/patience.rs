//! Limits of the waits for other threads.
//!
//! The time in which the whole process is stopped, by `SIGSTOP` or a debugger, does not count: no thread gets anywhere in it.

use core::time::Duration;
use std::time::Instant;

/// The longest time from one look to the next that counts. A waiting thread looks every few milliseconds; on a busy machine it first gets its turn.
const STEP: Duration = Duration::from_millis(250);

/// The time that a thread has waited so far, as far as it counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    looked: Instant,
    waited: Duration,
}

impl Patience {
    /// Begins to wait.
    pub(crate) fn begin() -> Self {
        Self {
            looked: Instant::now(),
            waited: Duration::ZERO,
        }
    }

    /// Looks how long it was. Called in each round of the wait: what lies between two calls counts as one step at most.
    pub(crate) fn waited(&mut self) -> Duration {
        self.waited_at(Instant::now())
    }

    fn waited_at(&mut self, now: Instant) -> Duration {
        self.waited += now.saturating_duration_since(self.looked).min(STEP);
        self.looked = now;
        self.waited
    }
}

#[cfg(test)]
mod tests {
    use super::{Patience, STEP};
    use core::time::Duration;

    #[test]
    fn time_between_looks_counts_and_a_stop_of_the_process_does_not() {
        let mut patience = Patience::begin();
        let mut now = patience.looked;
        let mut expected = Duration::ZERO;
        for (after, counts) in [
            (Duration::ZERO, Duration::ZERO),
            (Duration::from_millis(5), Duration::from_millis(5)),
            (STEP, STEP),
            (Duration::from_secs(3600), STEP),
            (Duration::from_micros(50), Duration::from_micros(50)),
        ] {
            now += after;
            expected += counts;
            assert_eq!(patience.waited_at(now), expected, "{after:?}");
        }
    }
}
