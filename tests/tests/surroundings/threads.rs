//! The kinds of threads that fault.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use thread_mgr::Manager;

/// A kind of thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thread {
    /// The process's first, attached.
    First,
    /// One of Rust's, attached.
    Std,
    /// One of the C library's, without an alternate signal stack, attached.
    Raw,
    /// The same with an alternate signal stack of its own.
    OwnStack,
    /// The same with one that has little room beyond the kernel's frame.
    TinyStack,
    /// One that the manager starts.
    Managed,
    /// One of the C library's that makes no kernel call: only the task's handler is its.
    Unknown,
}

pub(crate) const THREADS: [Thread; 7] = [
    Thread::First,
    Thread::Std,
    Thread::Raw,
    Thread::OwnStack,
    Thread::TinyStack,
    Thread::Managed,
    Thread::Unknown,
];

impl Thread {
    /// Returns whether the thread attaches itself.
    pub(crate) fn attaches(self) -> bool {
        !matches!(self, Self::Managed | Self::Unknown)
    }

    /// Returns whether the thread ends before the process does.
    pub(crate) fn ends(self) -> bool {
        self != Self::First
    }

    /// Runs a body on a thread of this kind, to the thread's end. Without a manager, a thread that it would start is the C library's.
    pub(crate) fn run(self, manager: Option<&Manager>, body: impl FnOnce() + Send + 'static) {
        match self {
            Self::First => body(),
            Self::Std => std::thread::spawn(body).join().expect("the thread's body"),
            Self::Managed => match manager {
                Some(manager) => {
                    let handle = manager.spawn(body).expect("a managed thread");
                    assert!(handle.join().expect("no panic").exit.returned().is_some());
                }
                None => on_raw_thread(body),
            },
            Self::Raw | Self::Unknown => on_raw_thread(body),
            Self::OwnStack => on_raw_thread(|| {
                let _stack = OwnStack::register(256 * 1024);
                body();
            }),
            Self::TinyStack => on_raw_thread(|| {
                let _stack = OwnStack::register(smallest() + 6 * 1024);
                body();
            }),
        }
    }
}

type Body = Box<dyn FnOnce() + Send>;

extern "C" fn enter(body: *mut c_void) -> *mut c_void {
    // SAFETY: the box was given away to this thread.
    let body = unsafe { Box::from_raw(body.cast::<Body>()) };
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(*body));
    usize::from(outcome.is_err()) as *mut c_void
}

/// Runs a body on a thread that Rust's runtime never sees.
pub(crate) fn on_raw_thread(body: impl FnOnce() + Send + 'static) {
    let body: Box<Body> = Box::new(Box::new(body));
    let (mut thread, mut outcome) = (0, core::ptr::null_mut());
    // SAFETY: the thread takes the box over; everything else is local.
    unsafe {
        let body = Box::into_raw(body).cast();
        let error = libc::pthread_create(&mut thread, core::ptr::null(), enter, body);
        assert_eq!(error, 0, "a thread");
        assert_eq!(libc::pthread_join(thread, &mut outcome), 0, "joined");
    }
    assert!(outcome.is_null(), "the thread's body failed");
}

/// Bytes of the smallest alternate signal stack that the kernel takes: its frame with all that this CPU has.
fn smallest() -> usize {
    const AT_MINSIGSTKSZ: libc::c_ulong = 51;
    // SAFETY: asks for a number.
    let told = unsafe { libc::getauxval(AT_MINSIGSTKSZ) } as usize;
    told.max(libc::MINSIGSTKSZ)
}

/// An alternate signal stack of the thread's own, at the top of a mapping with a guard page below.
struct OwnStack {
    base: *mut c_void,
    whole: usize,
}

impl OwnStack {
    fn register(size: usize) -> Self {
        let page = mach_sys::kernel::system::page_size();
        let whole = size.next_multiple_of(page) + page;
        // SAFETY: a new mapping; the stack is at its end, and the page at its start is taken away.
        unsafe {
            let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let write = libc::PROT_READ | libc::PROT_WRITE;
            let base = libc::mmap(core::ptr::null_mut(), whole, write, private, -1, 0);
            assert_ne!(base, libc::MAP_FAILED, "memory");
            assert_eq!(libc::mprotect(base, page, libc::PROT_NONE), 0);
            let stack = libc::stack_t {
                ss_sp: base.byte_add(whole - size.next_multiple_of(16)),
                ss_flags: 0,
                ss_size: size.next_multiple_of(16),
            };
            let error = libc::sigaltstack(&stack, core::ptr::null_mut());
            assert_eq!(error, 0, "an alternate stack");
            Self { base, whole }
        }
    }
}

impl Drop for OwnStack {
    fn drop(&mut self) {
        let none = libc::stack_t {
            ss_sp: core::ptr::null_mut(),
            ss_flags: libc::SS_DISABLE,
            ss_size: 0,
        };
        // SAFETY: the thread is not on it, and nothing else knows of it.
        unsafe {
            libc::sigaltstack(&none, core::ptr::null_mut());
            libc::munmap(self.base, self.whole);
        }
    }
}

/// The calling thread's alternate signal stack and signal mask, as the host has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostState {
    /// Base and size, if there is one.
    pub(crate) stack: Option<(usize, usize)>,
    blocked: u64,
}

impl HostState {
    pub(crate) fn now() -> Self {
        let mut stack = MaybeUninit::<libc::stack_t>::zeroed();
        let mut mask = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: both calls only write what they are asked for.
        unsafe {
            assert_eq!(libc::sigaltstack(core::ptr::null(), stack.as_mut_ptr()), 0);
            libc::pthread_sigmask(libc::SIG_SETMASK, core::ptr::null(), mask.as_mut_ptr());
            let (stack, mask) = (stack.assume_init(), mask.assume_init());
            let blocked = (1..=64).filter(|signal| libc::sigismember(&mask, *signal) == 1);
            Self {
                stack: (stack.ss_flags & libc::SS_DISABLE == 0)
                    .then_some((stack.ss_sp as usize, stack.ss_size)),
                blocked: blocked.fold(0, |mask, signal| mask | 1 << (signal - 1)),
            }
        }
    }
}

/// Changes the calling thread's signal mask, or what it inherits.
pub(crate) fn block(signals: &[i32]) {
    // SAFETY: the set is a local variable.
    unsafe {
        let mut set = MaybeUninit::<libc::sigset_t>::zeroed().assume_init();
        for signal in signals {
            libc::sigaddset(&mut set, *signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, core::ptr::null_mut());
    }
}
