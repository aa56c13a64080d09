//! A thread's wait in a kernel call: what suspends a thread must not end the wait, and an abort must.

use super::header::Header;
use super::inside;
use super::region::Slot;

/// The calling thread's wait in a kernel call, from before the kernel's lock is given back.
#[derive(Debug)]
pub(crate) struct CallWait {
    header: Option<&'static Header>,
    arrivals: u32,
}

/// An event that reached the thread during its wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meanwhile {
    Nothing,
    /// The suspension signal arrived: the system ended its wait, and none of the program's handlers ran.
    Suspended,
    /// Another thread aborted the wait (A8.2).
    Aborted,
}

impl CallWait {
    /// Begins a wait for an object, which is not 0. Called under the kernel's lock.
    pub(crate) fn begin(object: u32) -> Self {
        let header = inside::slot().map(Slot::header);
        if let Some(header) = header {
            header.suspension.begin_wait(object);
        }
        Self {
            header,
            arrivals: header.map_or(0, |header| header.suspension.arrivals()),
        }
    }

    /// Ends the wait, under the kernel's lock.
    pub(crate) fn end(self) -> Meanwhile {
        let Some(header) = self.header else {
            return Meanwhile::Nothing;
        };
        if header.suspension.end_wait() {
            return Meanwhile::Aborted;
        }
        match header.suspension.arrivals() == self.arrivals {
            true => Meanwhile::Nothing,
            false => Meanwhile::Suspended,
        }
    }
}
