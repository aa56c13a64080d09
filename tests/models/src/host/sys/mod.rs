//! Replacements of the system's calls.

pub(crate) mod futex;

pub(crate) mod sync;

/// The processor that a thread runs on: the same for all.
pub(crate) mod cpu {
    pub(crate) fn current() -> u32 {
        0
    }
}

/// Signal masks: a model's thread has none.
pub(crate) mod mask {
    pub(crate) enum How {
        Set,
        Unblock,
    }

    pub(crate) fn change(_: How, mask: u64) -> u64 {
        mask
    }

    pub(crate) fn suspension() -> i32 {
        0
    }

    pub(crate) fn suspension_mask() -> u64 {
        0
    }
}

/// Threads: a model sends the suspension signal by a flag of its own.
pub(crate) mod thread {
    pub(crate) use crate::host::gettid;

    pub(crate) fn send_signal(_: u32, _: i32) -> isize {
        0
    }
}
