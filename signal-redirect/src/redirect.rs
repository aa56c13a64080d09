//! Redirects of stopped threads: the pure part.
#![allow(unsafe_code)]

use core::ops::Range;

use mach_sys::capabilities::Capabilities;
use mach_sys::darwin::ucontext_t;
use mach_sys::thread_state::Registers;

use crate::error::RedirectError;
use crate::fault::Fault;
use crate::frame::{
    Frame, FrameId, HEADER_ALIGN, HEADER_WORDS, Header, LARGEST, Parts, flag, sealed, stack_of,
    word,
};
use crate::innermost::Innermost;
use crate::machine::{Native, Rewriter};
use crate::mask::RedirectMask;
use crate::memory::Memory;
#[cfg(feature = "std")]
use crate::trampoline::blocking;
use crate::trampoline::{Code, Entry, Trampoline, TrampolinePlan};

/// The stack that the frame is written to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Stack {
    /// Below the interrupted frame and its red zone, wherever the stack pointer is. If the frame's top is in another page than the stack
    /// pointer, the byte at the stack pointer must be readable: a stack pointer in a guard page is an error.
    #[default]
    Interrupted,
    /// Below the interrupted frame and its red zone, if the stack pointer is on this stack and the frame fits.
    Within(Range<u64>),
    /// At the top of this stack; below the interrupted frame and its red zone if the thread is on it already.
    #[doc(alias("sigaltstack", "SA_ONSTACK"))]
    Alternate(Range<u64>),
}

/// The effect of a handler's return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Return {
    /// The thread resumes with the interrupted registers and the handler's edits, through the return trap or directly
    /// ([`Redirect::return_directly`]).
    #[default]
    Restore,
    /// The handler must not return: [`TrampolinePlan::return_from`] fails with
    /// [`ReturnError::NeverReturns`](crate::ReturnError::NeverReturns).
    Never,
}

/// A plan to send stopped threads to a handler. [`apply`](Self::apply) writes the frame and returns the registers to set.
///
/// `Redirect` without parameters leads to a handler of this process ([`Redirect::to`]). A redirect that is only computed is another
/// type: its second parameter is [`TrampolinePlan`] ([`Redirect::plan`]).
///
/// ```
/// use core::ffi::c_int;
/// use mach_sys::darwin::{siginfo_t, ucontext_t};
/// use mach_sys::exception::ExceptionType;
/// use mach_sys::thread_state::{NativeState, Registers};
/// use signal_redirect::{Entry, Fault, Key, Redirect, Region, Stack, Trampoline};
///
/// unsafe extern "C" fn handler(_: c_int, _: *mut siginfo_t, _: *mut ucontext_t) {}
///
/// let trampoline = Trampoline::native(Key::new(0x5eed));
/// // SAFETY: the handler does nothing.
/// let plan = Redirect::to(unsafe { Entry::new(handler) }, trampoline)
///     .stack(Stack::Interrupted)
///     .emergency(0x9000_0000..0x9002_0000)
///     .room(4096)
///     .tag(7);
///
/// // A made-up thread and a buffer for its stack.
/// let mut bytes = vec![0; 32768];
/// let mut stack = Region::new(0x7000_0000, &mut bytes);
/// let mut stopped = NativeState::default();
/// stopped.set_sp(0x7000_7000);
/// let fault = Fault::new(ExceptionType::BAD_ACCESS, 1, 0x18);
/// let (entered, frame) = plan.apply(&stopped, &fault, &mut stack)?;
/// assert_eq!((entered.pc(), entered.sp()), (trampoline.entry(), frame.address));
/// # Ok::<(), signal_redirect::RedirectError>(())
/// ```
///
/// A plan that is only computed cannot be run:
///
/// ```compile_fail,E0308
/// use signal_redirect::{Key, Native, Redirect, TrampolinePlan};
///
/// fn a_plan_is_not_to_be_run() -> Redirect {
///     Redirect::plan(0x6000_0000, TrampolinePlan::<Native>::at(0x5000_0000, Key::new(1)))
/// }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Redirect<M: Rewriter = Native, C: Code<M> = Trampoline> {
    entry: u64,
    code: C,
    stack: Stack,
    emergency: Option<Range<u64>>,
    room: u64,
    on_return: Return,
    float: Option<M::FloatState>,
    shown_mask: u32,
    tag: u64,
    outer: Option<FrameId>,
    errno_at: Option<u64>,
    only_resumable: bool,
    /// Address of the function that blocks signals around the handler, and the signals.
    blocking: Option<(u64, u32)>,
    /// Address of the thread's [`Innermost`](crate::Innermost), if its handlers return directly; 0 otherwise.
    innermost: u64,
}

/// The smallest page size of either machine, in bytes.
const PAGE: u64 = 4096;
/// Bytes of stack that the trampoline's call needs, aligned.
const CALL: u64 = 16;
/// Bytes of stack that blocking signals around the handler needs, in a debug build.
const BLOCKING: u64 = 2048;
/// Bytes of stack that a direct return needs after the handler, in a debug build.
const DIRECT: u64 = 2048;

impl Redirect {
    /// Creates a plan to send threads to `entry`, through the process's trampoline.
    pub fn to(entry: Entry, trampoline: Trampoline) -> Self {
        Self::with(entry.address(), trampoline)
    }

    /// Blocks `signals` while the handler runs, in Darwin's bits ([`DarwinSignal::mask`](crate::DarwinSignal::mask)), in addition to those
    /// that the thread has blocked. The five signals that a thread's own faults raise are never blocked. `uc_sigmask` has the mask from
    /// before; it is restored when the handler returns, with the handler's edits. A handler that leaves by a jump calls
    /// [`restore_signal_mask`](crate::restore_signal_mask) first. Costs two system calls. With 0 for
    /// `signals` nothing more is blocked. By default the handler runs with the interrupted mask, and none is shown or restored.
    ///
    /// A signal that arrives between the fault and the handler's first instruction, or after its last, is not blocked.
    #[cfg(feature = "std")]
    #[doc(alias("sa_mask", "sigprocmask"))]
    pub fn block_signals(mut self, signals: u32) -> Self {
        self.blocking = Some((blocking::address(), signals));
        self
    }

    /// Lets the thread return from the handler by itself, where it can: on x86_64 by `iretq`, which takes a hundredth of a trap's time and
    /// no server. The thread checks its frame as [`TrampolinePlan::return_from`] does, restores the registers and `errno`, and sets
    /// `innermost` to the frame that it is inside of now. The server of its next exception finds it there.
    ///
    /// The return trap remains the way back, and its server is still needed, whenever anything is out of the ordinary: an error that
    /// `return_from` would find; a frame on an alternate or emergency stack, on which the thread must be known to be until it has left it; a
    /// trace flag or a system flag to restore; segment selectors that the handler changed; a process with a user shadow stack, which `iretq`
    /// does not pop, or one that Rosetta may translate, as `capabilities` say. On arm64, where no instruction restores all registers at
    /// once, it is the only way. By default every handler returns by the trap.
    ///
    /// # Safety
    /// Until the handler has returned or the thread has left it, `innermost` is valid, and is that of the thread to redirect; and an address
    /// that the plan has for `errno` is that of this thread's ([`errno_at`](Self::errno_at)).
    #[doc(alias("iretq", "sigreturn"))]
    pub unsafe fn return_directly(
        mut self,
        innermost: *const Innermost,
        capabilities: &Capabilities,
    ) -> Self {
        let can = self.code.can_return_directly() && !capabilities.may_be_translated();
        self.innermost = if can {
            innermost.expose_provenance() as u64
        } else {
            0
        };
        self
    }
}

impl<M: Rewriter> Redirect<M, TrampolinePlan<M>> {
    /// Creates a plan to send threads to a handler at the address `entry`, through a trampoline that need not exist: for computing, not
    /// for running. The registers that [`apply`](Self::apply) returns lead to the given addresses, whatever is there.
    pub fn plan(entry: u64, trampoline: TrampolinePlan<M>) -> Self {
        Self::with(entry, trampoline)
    }
}

impl<M: Rewriter, C: Code<M>> Redirect<M, C> {
    fn with(entry: u64, code: C) -> Self {
        Self {
            entry,
            code,
            stack: Stack::Interrupted,
            emergency: None,
            room: 0,
            on_return: Return::Restore,
            float: None,
            shown_mask: 0,
            tag: 0,
            outer: None,
            errno_at: None,
            only_resumable: false,
            blocking: None,
            innermost: 0,
        }
    }

    /// Sets the stack that the frame is written to; [`Stack::Interrupted`] by default.
    pub fn stack(mut self, stack: Stack) -> Self {
        self.stack = stack;
        self
    }

    /// Sets the stack to use if the frame does not fit on the first stack or cannot be written there: after a stack overflow, or with a
    /// bad stack pointer. If the thread is already on it, the frame is written below the interrupted frame. None by default.
    ///
    /// The stack pointer does not distinguish a thread that has overflowed this stack from one that was never on it, and the new frame
    /// would overwrite the frames that the thread is inside of. Do not redirect a thread with its stack pointer in the guard page below
    /// this stack.
    pub fn emergency(mut self, stack: Range<u64>) -> Self {
        self.emergency = Some(stack);
        self
    }

    /// Sets the number of bytes that the handler needs on its stack. [`apply`](Self::apply) checks that they are writable. 0 by default.
    pub fn room(mut self, bytes: u64) -> Self {
        self.room = bytes;
        self
    }

    /// Sets the effect of the handler's return; [`Return::Restore`] by default.
    pub fn on_return(mut self, to: Return) -> Self {
        self.on_return = to;
        self
    }

    /// Sets the vector registers and floating-point control words that the machine context shows and the thread resumes with. All zero
    /// means those of a new thread (R19). Registers beyond [`Rewriter::FloatState`], and by default all of them, are the interrupted ones.
    pub fn float_state(mut self, state: M::FloatState) -> Self {
        let given = state != M::FloatState::default();
        self.float = Some(if given { state } else { M::initial_float() });
        self
    }

    /// Sets the value of `uc_sigmask`, in Darwin's bits ([`DarwinSignal::mask`](crate::DarwinSignal::mask)). 0 by default. It is only shown:
    /// [`block_signals`](Redirect::block_signals) chooses the mask that the handler runs with, and then `uc_sigmask` is the thread's own.
    #[doc(alias = "uc_sigmask")]
    pub fn shown_mask(mut self, mask: u32) -> Self {
        self.shown_mask = mask;
        self
    }

    /// Sets a word of the caller's choice. The handler gets it in its fourth argument register, and [`Resumed`](crate::Resumed) returns
    /// it. 0 by default.
    pub fn tag(mut self, tag: u64) -> Self {
        self.tag = tag;
        self
    }

    /// Sets the innermost frame that the thread is inside of, if it was stopped in a handler. [`Resumed`](crate::Resumed) returns it, and
    /// [`TrampolinePlan::still_inside`] follows it. None by default.
    pub fn inside(mut self, outer: Option<FrameId>) -> Self {
        self.outer = outer;
        self
    }

    /// Sets the address of the thread's `errno`. Its value, four bytes, is read when the handler is entered, and written back when it
    /// returns, so that the interrupted code finds its own: by the server, through the same [`Memory`] as the frame, or by the thread that
    /// returns directly ([`return_directly`](Redirect::return_directly)). The trampoline does not look for the address: at an arbitrary
    /// instruction the thread-local storage may be switched. `None`, the default: `errno` stays as the handler left it.
    ///
    /// The thread finds the address with [`errno_address`](mach_sys::kernel::system::errno_address), while its thread-local storage is in
    /// order.
    #[doc(alias("__errno_location", "__error"))]
    pub fn errno_at(mut self, address: Option<u64>) -> Self {
        self.errno_at = address;
        self
    }

    /// Refuses threads that the kernel would not resume with the interrupted stack pointer ([`RedirectError::Unresumable`]).
    ///
    /// By default such a thread is redirected. Unless its handler repairs the stack pointer or never returns, its return fails with
    /// [`ReturnError::Unresumable`](crate::ReturnError::Unresumable), and the exception that remains is that of the return trap, not the
    /// thread's own.
    pub fn only_resumable(mut self) -> Self {
        self.only_resumable = true;
        self
    }

    /// Writes the frame and returns the registers that enter the handler. It does not set them.
    ///
    /// The vector registers of the machine context, which are the last part of the frame, are written by the trampoline when the thread enters
    /// it, unless the plan [has them](Self::float_state).
    ///
    /// It writes to every page of the frame, down to the lowest that the trampoline and the handler's [`room`](Self::room) need, so that
    /// the thread does not fault before its handler runs. It writes nothing outside `frame.low..frame.high`, except on a stack that it
    /// tried before [`emergency`](Self::emergency). It writes pages from the highest to the lowest and stops at the first that cannot be
    /// written: nothing below a guard page is touched.
    ///
    /// # Errors
    /// - [`RedirectError::StackFull`], [`RedirectError::ForeignStack`], [`RedirectError::Memory`]: the frame does not fit or cannot be
    ///   written, neither on the first stack nor on the emergency stack. The error is that of the first stack.
    /// - [`RedirectError::NoSignal`]: the fault is an exception that XNU sends no signal for.
    /// - [`RedirectError::CodeSegment`] on x86_64, [`RedirectError::Signed`] on arm64: this thread's registers cannot be set.
    /// - [`RedirectError::Unresumable`]: the plan is [`only_resumable`](Self::only_resumable), and the kernel would refuse the interrupted
    ///   stack pointer.
    /// - [`RedirectError::Memory`]: `errno` cannot be read.
    pub fn apply(
        &self,
        state: &M::State,
        fault: &Fault<M>,
        memory: &mut impl Memory,
    ) -> Result<(M::State, Frame), RedirectError> {
        M::check(state)?;
        if self.only_resumable {
            M::check_way_back(state)?;
        }
        let errno = match self.errno_at {
            // A thread that returns directly reads its own.
            Some(address) if self.innermost == 0 => read_errno(memory, address)?,
            _ => 0,
        };
        match (
            self.enter(state, fault, memory, &self.stack, errno),
            &self.emergency,
        ) {
            (Err(reason), Some(range)) if is_about_the_stack(&reason) => self
                .enter(
                    state,
                    fault,
                    memory,
                    &Stack::Alternate(range.clone()),
                    errno,
                )
                // The error of the first stack says more.
                .map_err(|_| reason),
            (result, _) => result,
        }
    }

    /// Calls [`apply`](Self::apply), unless the thread holds redirects off with `mask`.
    ///
    /// # Errors
    /// - [`RedirectError::Held`]: the thread holds redirects off. The mask records that one was refused.
    /// - All errors of [`apply`](Self::apply).
    pub fn apply_unless_held(
        &self,
        mask: &RedirectMask,
        state: &M::State,
        fault: &Fault<M>,
        memory: &mut impl Memory,
    ) -> Result<(M::State, Frame), RedirectError> {
        if mask.refuse_if_held() {
            return Err(RedirectError::Held);
        }
        self.apply(state, fault, memory)
    }

    fn enter(
        &self,
        state: &M::State,
        fault: &Fault<M>,
        memory: &mut impl Memory,
        stack: &Stack,
        errno: u32,
    ) -> Result<(M::State, Frame), RedirectError> {
        let (exception, info) = fault.describe(state)?;
        let frame = self.place(state.sp(), stack)?;
        let (alternate, was_on_it) = match stack {
            Stack::Alternate(range) => (Some(range), is_on(range, state.sp())),
            _ => (None, false),
        };
        let ucontext = ucontext_t {
            uc_onstack: i32::from(was_on_it),
            uc_sigmask: self.shown_mask,
            uc_stack: stack_of(alternate, was_on_it),
            uc_link: 0,
            uc_mcsize: frame.high - frame.mcontext,
            uc_mcontext: frame.mcontext,
        };
        let mut bytes = [0; LARGEST];
        let parts = Parts::<M> {
            header: self.header(state, &frame, alternate, errno),
            siginfo: info.siginfo(),
            ucontext,
            exception,
            state,
            float: self.float.as_ref(),
        };
        let image = parts.write(&frame, &mut bytes);
        if *stack == Stack::Interrupted {
            probe_above(memory, state.sp(), &frame)?;
        }
        probe_rest(memory, &frame, image.len() as u64)?;
        put(memory, &frame, image)?;
        probe_below(memory, &frame)?;

        let mut entered = *state;
        M::enter(&mut entered, frame.address, self.innermost);
        entered.set_pc(self.trampoline().entry());
        entered.set_sp(frame.address);
        let signal = u64::from(info.signal.raw() as u32);
        for (number, value) in [signal, frame.siginfo, frame.ucontext, self.tag]
            .into_iter()
            .enumerate()
        {
            entered.set_argument(number, value);
        }
        Ok((entered, frame))
    }

    fn trampoline(&self) -> &TrampolinePlan<M> {
        self.code.borrow()
    }

    /// Returns the frame's addresses on `stack`.
    fn place(&self, sp: u64, stack: &Stack) -> Result<Frame, RedirectError> {
        let (top, bottom) = match stack {
            Stack::Interrupted => (sp.checked_sub(M::RED_ZONE), 0),
            Stack::Within(range) if !is_on(range, sp) => {
                return Err(RedirectError::ForeignStack(sp));
            }
            Stack::Within(range) => (sp.checked_sub(M::RED_ZONE), range.start),
            Stack::Alternate(range) if is_on(range, sp) => {
                (sp.checked_sub(M::RED_ZONE), range.start)
            }
            Stack::Alternate(range) => (Some(range.end), range.start),
        };
        let full = RedirectError::StackFull {
            top: top.unwrap_or(sp),
        };
        let save = self.trampoline().save();
        let context = M::context_size(save);
        let address = top
            .and_then(|top| top.checked_sub(Frame::size(context)))
            .ok_or(full)?
            & !(HEADER_ALIGN - 1);
        let blocking = self.blocking.map_or(0, |_| BLOCKING);
        // A direct return has the room to itself that the handler had.
        let direct = if self.innermost == 0 { 0 } else { DIRECT };
        let room = blocking.saturating_add(self.room).max(direct);
        let low = [save.size(), CALL, room]
            .into_iter()
            .try_fold(address, u64::checked_sub)
            .ok_or(full)?;
        if low < bottom {
            return Err(full);
        }
        let depth = self.outer.map_or(0, |outer| outer.depth.saturating_add(1));
        Ok(Frame::at(address, context, low, depth))
    }

    fn header(
        &self,
        state: &M::State,
        frame: &Frame,
        alternate: Option<&Range<u64>>,
        errno: u32,
    ) -> Header {
        let save = self.trampoline().save();
        let mut header = [0; HEADER_WORDS];
        header[word::ENTRY] = self.entry;
        if self.on_return == Return::Never {
            header[word::FLAGS] |= flag::NEVER;
        }
        if self.float.is_some() {
            header[word::FLAGS] |= flag::FLOAT_GIVEN;
        }
        header[word::SAVE_MASK] = save.word();
        header[word::SAVE_SIZE] = save.size();
        header[word::TAG] = self.tag;
        header[word::OUTER] = self.outer.map_or(0, |outer| outer.address);
        header[word::DEPTH] = u64::from(frame.depth);
        header[word::KEPT..word::KEPT + 4].copy_from_slice(&M::kept(state));
        if let Some(range) = alternate {
            header[word::STACK_START] = range.start;
            header[word::STACK_END] = range.end;
        }
        if let Some((blocking, signals)) = self.blocking {
            header[word::ENTRY] = blocking;
            header[word::BLOCKING_HANDLER] = self.entry;
            header[word::BLOCKED] = signals.into();
        }
        header[word::ERRNO_AT] = self.errno_at.unwrap_or(0);
        header[word::ERRNO] = errno.into();
        header[word::SEAL] = self.trampoline().key().seal(frame.address, sealed(&header));
        header
    }
}

fn read_errno(memory: &impl Memory, address: u64) -> Result<u32, RedirectError> {
    let mut errno = [0; 4];
    memory.read(address, &mut errno)?;
    Ok(u32::from_ne_bytes(errno))
}

/// Reads the byte at the stack pointer if it is in another page than the frame's top. That is the next page above, because the red
/// zone and the alignment take less than a page. If it is a guard page, the frame would go into other memory below it.
fn probe_above(memory: &impl Memory, sp: u64, frame: &Frame) -> Result<(), RedirectError> {
    if page_of(sp) != page_of(frame.high - 1) {
        memory.read(sp, &mut [0])?;
    }
    Ok(())
}

/// Writes to every page of the frame above its first bytes, which are written next: what is there is the trampoline's to write.
fn probe_rest(memory: &mut impl Memory, frame: &Frame, first: u64) -> Result<(), RedirectError> {
    let mut page = page_of(frame.high - 1);
    while page > page_of(frame.address + first - 1) {
        memory.write(page, &[0; 8])?;
        page -= PAGE;
    }
    Ok(())
}

/// Writes the first bytes of the frame page by page, from the top.
fn put(memory: &mut impl Memory, frame: &Frame, image: &[u8]) -> Result<(), RedirectError> {
    let mut rest = image;
    while !rest.is_empty() {
        let end = frame.address + rest.len() as u64;
        let start = page_of(end - 1).max(frame.address);
        let (lower, piece) = rest.split_at((start - frame.address) as usize);
        memory.write(start, piece)?;
        rest = lower;
    }
    Ok(())
}

const fn page_of(address: u64) -> u64 {
    address & !(PAGE - 1)
}

/// Writes to every page below the header's page that the trampoline and the handler will use.
fn probe_below(memory: &mut impl Memory, frame: &Frame) -> Result<(), RedirectError> {
    let lowest = page_of(frame.low);
    let mut page = page_of(frame.address);
    // From the top, so that a stack that grows on demand grows page by page.
    while page > lowest {
        page -= PAGE;
        memory.write(page.max(frame.low), &[0; 8])?;
    }
    Ok(())
}

/// Returns `true` if the stack pointer is on the stack. The end of the stack counts: it is the stack pointer of an empty stack.
fn is_on(stack: &Range<u64>, sp: u64) -> bool {
    stack.start <= sp && sp <= stack.end
}

fn is_about_the_stack(reason: &RedirectError) -> bool {
    matches!(
        reason,
        RedirectError::StackFull { .. } | RedirectError::ForeignStack(_) | RedirectError::Memory(_)
    )
}
