//! temp
#![allow(unsafe_code, dead_code, missing_docs)]
pub(crate) mod pages;
pub(crate) mod futex {
    use core::sync::atomic::AtomicU32;
    use core::time::Duration;
    #[derive(PartialEq, Eq)]
    pub(crate) enum Wait {
        Woken,
        Changed,
        TimedOut,
        Interrupted,
    }
    pub(crate) fn wait(_w: &AtomicU32, _e: u32, _t: Option<Duration>) -> Wait {
        std::thread::yield_now();
        let _ = (Wait::Changed, Wait::TimedOut, Wait::Interrupted);
        Wait::Woken
    }
    pub(crate) fn wake(_w: &AtomicU32, _n: u32) {}
}
pub(crate) mod cpu {
    pub(crate) fn current() -> u32 {
        0
    }
}
pub(crate) mod signals {
    #[derive(Debug)]
    pub(crate) struct Blocked;
    impl Blocked {
        pub(crate) fn new() -> Self {
            Self
        }
    }
    pub(crate) fn block_for_good() {}
}
pub(crate) mod copy {
    use crate::kern_return::KernReturn;
    #[derive(Debug)]
    pub(crate) enum CopyFault {}
    impl From<CopyFault> for KernReturn {
        fn from(_: CopyFault) -> Self {
            KernReturn::INVALID_ADDRESS
        }
    }
    pub(crate) fn read(from: u64, into: &mut [u8]) -> Result<(), CopyFault> {
        unsafe { core::ptr::copy_nonoverlapping(from as *const u8, into.as_mut_ptr(), into.len()) };
        Ok(())
    }
    pub(crate) fn write(to: u64, from: &[u8]) -> Result<(), CopyFault> {
        unsafe { core::ptr::copy_nonoverlapping(from.as_ptr(), to as *mut u8, from.len()) };
        Ok(())
    }
}
pub(crate) mod slot {
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct SlotId(pub u32);
    impl SlotId {
        pub(crate) fn index(self) -> usize {
            self.0 as usize
        }
    }
    #[derive(Debug)]
    pub(crate) struct Exhausted;
    pub(crate) fn register() -> Result<SlotId, Exhausted> {
        Ok(SlotId(0))
    }
    pub(crate) fn of_pthread(_: libc::pthread_t) -> Option<SlotId> {
        None
    }
    pub(crate) fn tid(_: SlotId) -> u32 {
        0
    }
    pub(crate) fn gettid() -> u32 {
        unsafe { libc::gettid() as u32 }
    }
}
pub(crate) mod fault {
    use super::context::Context;
    use super::slot::SlotId;
    #[derive(Debug)]
    pub(crate) struct Raised {
        pub exception: i32,
        pub codes: [i64; 2],
    }
    #[derive(Debug)]
    pub(crate) struct Trap<'a> {
        pub slot: SlotId,
        pub raised: Raised,
        pub context: &'a mut Context,
    }
    pub(crate) enum Verdict {
        Resume,
        HostLevel,
    }
}
pub(crate) mod start {
    use super::fault::*;
    use super::slot::SlotId;
    #[derive(Default)]
    pub(crate) struct Config {
        pub slots: u32,
    }
    pub(crate) struct Hooks {
        pub trap: fn(&mut Trap<'_>) -> Verdict,
        pub ended: fn(SlotId),
    }
    #[derive(Debug, thiserror::Error)]
    #[error("x")]
    pub struct StartError;
    pub(crate) fn start(_: &Config, _h: Hooks) -> Result<(), StartError> {
        Ok(())
    }
}
pub(crate) mod context {
    use core::ffi::c_void;
    #[derive(Debug)]
    pub(crate) struct Context;
    impl Context {
        pub(crate) unsafe fn from_raw(_: *mut c_void) -> Self {
            Self
        }
        pub(crate) fn as_raw(&self) -> *mut c_void {
            core::ptr::null_mut()
        }
    }
}
pub(crate) mod stack {
    pub(crate) fn bounds() -> Option<core::ops::Range<usize>> {
        None
    }
}
