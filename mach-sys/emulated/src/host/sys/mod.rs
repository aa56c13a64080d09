//! System calls and what is made of them directly: the lowest room, which knows nothing of the emulation.

pub(crate) mod altstack;
pub(in crate::host) mod call;
pub(in crate::host) mod clock;
pub(crate) mod copy;
pub(crate) mod cpu;
pub(crate) mod credentials;
pub(crate) mod futex;
pub(crate) mod installed;
pub(in crate::host) mod main_stack;
pub(crate) mod maps;
pub(in crate::host) mod mask;
pub(in crate::host) mod needed;
pub(in crate::host) mod object;
pub(crate) mod pages;
pub(in crate::host) mod proc_file;
pub(in crate::host) mod process_status;
pub(in crate::host) mod pthread;
pub(crate) mod reservation;
pub(in crate::host) mod signals;
pub(crate) mod stack;
pub(crate) mod status;
pub(in crate::host) mod switch;
pub(crate) mod sync;
pub(in crate::host) mod task_list;
pub(in crate::host) mod task_stat;
pub(in crate::host) mod task_status;
pub(crate) mod thread;
