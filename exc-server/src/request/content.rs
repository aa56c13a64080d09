//! What a deferred exception consists of.

use crate::request::question::{NewState, Question};
use mach_sys::exception::ExceptionType;
use mach_sys::mig::Request;
use mach_sys::thread_state::THREAD_STATE_MAX;
use mach_sys::types::{natural_t, thread_state_flavor_t};

/// All that answering needs.
pub(crate) struct Content {
    pub(crate) question: Option<Question>,
    state: Option<(thread_state_flavor_t, usize)>,
    new_state: Option<(thread_state_flavor_t, usize)>,
    state_words: [natural_t; THREAD_STATE_MAX],
    new_words: [natural_t; THREAD_STATE_MAX],
}

impl Content {
    pub(super) const fn new() -> Self {
        Self {
            question: None,
            state: None,
            new_state: None,
            state_words: [0; THREAD_STATE_MAX],
            new_words: [0; THREAD_STATE_MAX],
        }
    }

    /// Takes all that answering needs: the request's state is copied.
    pub(super) fn fill(
        &mut self,
        request: &Request<'_>,
        question: Question,
        new_state: Option<NewState<'_>>,
    ) {
        self.state = request.flavor().and_then(|flavor| {
            let words = request.old_state().copy_to(&mut self.state_words)?;
            Some((flavor, words.len()))
        });
        self.set_new_state(new_state);
        self.question = Some(question);
    }

    /// The flavor and words of the state that came.
    pub(crate) fn state(&self) -> Option<(thread_state_flavor_t, &[natural_t])> {
        let (flavor, length) = self.state?;
        Some((flavor, self.state_words.get(..length)?))
    }

    /// The state that the thread is to go on with.
    pub(crate) fn new_state(&self) -> Option<NewState<'_>> {
        let (flavor, length) = self.new_state?;
        Some((flavor, self.new_words.get(..length)?))
    }

    pub(crate) fn set_new_state(&mut self, new: Option<NewState<'_>>) {
        self.new_state = new.and_then(|(flavor, words)| {
            self.new_words
                .get_mut(..words.len())?
                .copy_from_slice(words);
            Some((flavor, words.len()))
        });
    }
}

/// What a deferred exception is listed with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    pub(crate) generation: u64,
    pub(crate) route: u64,
    pub(crate) tag: u64,
    pub(crate) exception_type: ExceptionType,
    pub(crate) since: u64,
    pub(crate) deadline: u64,
}

/// What is put into a slot beside the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filed {
    pub(crate) route: u64,
    pub(crate) tag: u64,
    pub(crate) since: u64,
    pub(crate) deadline: u64,
}
