//! Defers the answer of an exception.

use crate::answer::{Answered, Outcome};
use crate::clock;
use crate::error::DeferError;
use crate::request::content::Filed;
use crate::request::deferred::{Deferred, Description, Key};
use crate::request::exception::Exception;
use crate::timeout::Timeout;
use alloc::sync::Arc;

/// An exception that could not be deferred, and still waits for an answer.
#[derive(Debug, thiserror::Error)]
#[error("the exception was not deferred")]
#[non_exhaustive]
pub struct NotDeferred<'b> {
    /// The exception. Dropping it declines.
    pub exception: Exception<'b>,
    /// The reason that it was not deferred.
    #[source]
    pub reason: DeferError,
}

impl From<NotDeferred<'_>> for DeferError {
    /// Returns the reason, and drops the exception, which declines it.
    fn from(refused: NotDeferred<'_>) -> Self {
        refused.reason
    }
}

impl<'b> Exception<'b> {
    /// Defers the answer: the exception, with the state set so far, moves into the server's or receiver's table
    /// ([`Deferrals`](crate::Deferrals)). Returns the key that answers it later, from any thread. Allocates nothing.
    ///
    /// After the limit an unanswered exception is declined by a thread that waits for exceptions: by the server's thread, once the handler
    /// has returned; without a server, by any thread in [`Receiver::receive`](crate::Receiver::receive) with the same table.
    ///
    /// # Errors
    /// [`NotDeferred`], with the unanswered exception and the reason:
    /// - [`DeferError::NoTable`]: the receiver has no table.
    /// - [`DeferError::Full`]: the table is full.
    /// - [`DeferError::Closed`]: the route or table is closed, or the calling process is the child of a fork.
    // The exception is returned by value: a box would be an allocation.
    #[allow(clippy::result_large_err)]
    pub fn defer(self, limit: Timeout) -> Result<(Answered, Deferred), NotDeferred<'b>> {
        let refused = |exception, reason| Err(NotDeferred { exception, reason });
        let Some(deferrals) = self.deferrals else {
            return refused(self, DeferError::NoTable);
        };
        let slots = deferrals.slots();
        if !self.question.is_here() {
            return refused(self, DeferError::Closed);
        }
        let Some((index, filling)) = slots.claim() else {
            let capacity = deferrals.capacity();
            return refused(self, DeferError::Full { capacity });
        };
        let open = self.question.place().is_none_or(|place| place.is_open());
        if !open || slots.is_closed() {
            drop(filling);
            return refused(self, DeferError::Closed);
        }
        let description = Description {
            exception_type: self.exception_type(),
            codes: self.codes(),
            tag: self.tag,
        };
        let since = clock::now();
        let filed = Filed {
            route: self.question.place().map_or(0, |place| place.route()),
            tag: self.tag,
            since,
            deadline: limit.deadline(since),
        };
        // Counted before another thread can answer the exception.
        if let Some(counters) = self.counters {
            counters.answered(Outcome::Deferred);
        }
        let new_state = self
            .new_state
            .map(|(flavor, length)| (flavor, &self.scratch.forward[..length]));
        let question = self.question.take();
        let generation = filling.fill(&self.request, question, new_state, filed);
        slots.note_deadline(filed.deadline);
        let key = Key { index, generation };
        let deferred = Deferred::new(Arc::clone(slots), key, description);
        Ok((Answered(Outcome::Deferred), deferred))
    }
}
