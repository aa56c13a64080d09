//! A server's part of redirects: sends a stopped thread to its handler or resumes it, and checks that frames end in order.

use mach_sys::exception::ExceptionType;
use mach_sys::rights::ReceiveRight;
use mach_sys::thread_state::{NativeState, Registers as _};
use signal_redirect::{
    Code, Fault, Frame, FrameId, Innermost, Memory, Native, OwnMemory, Redirect, RedirectError,
    ReturnError, Trampoline,
};

/// A boxed [`Redirect::apply`] of one plan, for a thread inside the given frame.
pub(crate) type Apply = Box<
    dyn Fn(
            Option<FrameId>,
            &NativeState,
            &Fault,
            &mut dyn Memory,
        ) -> Result<(NativeState, Frame), RedirectError>
        + Send,
>;

/// The tag of every plan.
pub(crate) const TAG: u64 = 0x7a67;
/// Limit of redirects: a fault that no handler repairs fails the test.
const MOST: usize = 10_000;

/// Serves one thread until the server is stopped. `answer` returns the registers with which the stopped thread resumes.
pub(crate) fn serve(
    port: &ReceiveRight,
    mut answer: impl FnMut(&NativeState, &Fault, &mut dyn Memory) -> NativeState,
) {
    // SAFETY: the one thread that is routed here is stopped while it is served, and writes go only to its stack.
    let mut memory = unsafe { OwnMemory::new() };
    port_server::serve(port, |fault, state| {
        let [code, subcode] = fault.codes;
        let fault = Fault::new(ExceptionType::new(fault.exception), code, subcode);
        *state = answer(state, &fault, &mut memory);
        true
    });
}

/// The record of one thread's redirects.
pub(crate) struct Redirects {
    /// Writes the next frame; [`apply_of`] creates it from a plan.
    pub(crate) apply: Apply,
    trampoline: Trampoline,
    /// The thread's innermost frame, which a direct return sets.
    innermost: &'static Innermost,
    /// The frames from the outermost to the innermost, with the registers that each one saved.
    frames: Vec<(Frame, NativeState)>,
    /// Number of times that the thread was sent to a handler.
    pub(crate) redirects: usize,
    /// Number of times that a handler of the thread returned.
    pub(crate) returns: usize,
    /// Number of times that the thread's vector registers did not fit in its frame.
    pub(crate) long_vectors: usize,
    /// The greatest depth of the thread's frames.
    pub(crate) deepest: u32,
    /// Bytes by which to advance a thread that is refused for its vector length; 0 if that must not happen.
    pub(crate) step_over_long_vectors: u64,
}

impl Redirects {
    pub(crate) fn new<C>(
        plan: Redirect<Native, C>,
        trampoline: Trampoline,
        innermost: &'static Innermost,
    ) -> Self
    where
        C: Code<Native> + Clone + Send + 'static,
    {
        Self {
            apply: apply_of(plan),
            trampoline,
            innermost,
            frames: Vec::new(),
            redirects: 0,
            returns: 0,
            long_vectors: 0,
            deepest: 0,
            step_over_long_vectors: 0,
        }
    }

    fn innermost(&self) -> Option<FrameId> {
        self.frames.last().map(|(frame, _)| frame.id())
    }

    /// Takes the frames away whose handlers returned directly.
    pub(crate) fn catch_up(&mut self) {
        while self.innermost() != self.innermost.get() {
            self.frames
                .pop()
                .expect("the frame that the thread is inside of");
            self.returns += 1;
        }
    }

    /// Returns the registers with which the thread resumes. Panics if the thread cannot resume.
    pub(crate) fn answer(
        &mut self,
        state: &NativeState,
        fault: &Fault,
        mut memory: &mut dyn Memory,
    ) -> NativeState {
        self.catch_up();
        match self.trampoline.return_from(state, &mut memory) {
            Ok(Some(resumed)) => {
                self.returns += 1;
                assert_eq!(Some(resumed.frame), self.innermost());
                assert_eq!(resumed.tag, TAG);
                self.frames.pop();
                assert_eq!(resumed.outer, self.innermost());
                self.innermost.set(resumed.outer);
                resumed.state
            }
            Ok(None) => {
                self.redirects += 1;
                assert!(self.redirects <= MOST, "{fault:?} at {state:#x?}");
                let applied = (self.apply)(self.innermost(), state, fault, memory);
                let (entered, frame) = applied.expect("a frame on the thread's stack");
                self.deepest = self.deepest.max(frame.depth);
                self.frames.push((frame, *state));
                self.innermost.set(Some(frame.id()));
                entered
            }
            Err(ReturnError::VectorLength(_)) if self.step_over_long_vectors != 0 => {
                self.long_vectors += 1;
                let (_, mut state) = self.frames.pop().expect("the frame that was refused");
                self.innermost.set(self.innermost());
                state.set_pc(state.pc() + self.step_over_long_vectors);
                state
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Returns [`Redirect::apply`] of a plan with any type of trampoline.
pub(crate) fn apply_of<C>(plan: Redirect<Native, C>) -> Apply
where
    C: Code<Native> + Clone + Send + 'static,
{
    Box::new(move |outer, state, fault, mut memory| {
        plan.clone().inside(outer).apply(state, fault, &mut memory)
    })
}
