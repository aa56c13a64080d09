//! The end of threads.
//!
//! The emulation's own end-of-thread work (the one deallocation of the thread's name, the death of its port) happens when the host
//! thread is past its last destructor (G4.1). A thread-specific key, which re-arms itself until the last pass of destructors,
//! announces the end; a thread of the emulation's own watches until the host has no such thread any more, then settles its end.

pub(super) mod key;
pub(super) mod watcher;
