//! The end of threads.
//!
//! The emulation's own end-of-thread work (the one deallocation of the thread's name, the death of its port) happens when the system
//! thread is past its last destructor (G4.1). A thread-specific key, which re-arms itself until the last pass of destructors,
//! announces the end; a thread of the emulation's own watches until the system has no such thread any more, then settles its end.
//!
//! The same thread ends the process when only threads of the emulation and of servers are left, or by a signal that no other thread can
//! take.

mod deadly;
pub(super) mod key;
mod last;
pub(super) mod watcher;
