//! The content of a deferred exception.

use crate::request::question::{NewState, Question};
use mach_sys::exception::ExceptionType;
use mach_sys::mig::Request;
use mach_sys::thread_state::THREAD_STATE_MAX;
use mach_sys::types::{natural_t, thread_state_flavor_t};

/// The parts of an exception that its answer needs.
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

    /// Takes the question, and copies the request's state and the new state.
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

    /// Returns the flavor and words of the request's state; `None` if it carried none.
    pub(crate) fn state(&self) -> Option<(thread_state_flavor_t, &[natural_t])> {
        let (flavor, length) = self.state?;
        Some((flavor, self.state_words.get(..length)?))
    }

    /// Returns the state that the thread will resume with; `None` for an unchanged one.
    pub(crate) fn new_state(&self) -> Option<NewState<'_>> {
        let (flavor, length) = self.new_state?;
        Some((flavor, self.new_words.get(..length)?))
    }

    /// Copies the state that the thread will resume with.
    pub(crate) fn set_new_state(&mut self, new: Option<NewState<'_>>) {
        self.new_state = new.and_then(|(flavor, words)| {
            self.new_words
                .get_mut(..words.len())?
                .copy_from_slice(words);
            Some((flavor, words.len()))
        });
    }
}

/// The properties of a deferred exception that can be read without holding its slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    pub(crate) generation: u64,
    pub(crate) route: u64,
    pub(crate) tag: u64,
    pub(crate) exception_type: ExceptionType,
    pub(crate) since: u64,
    pub(crate) deadline: u64,
}

/// The properties that a slot stores beside the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filed {
    pub(crate) route: u64,
    pub(crate) tag: u64,
    pub(crate) since: u64,
    pub(crate) deadline: u64,
}
