//! Ports, names and messages. Nothing here knows of threads, tasks or exceptions.
//!
//! A file uses files of its own row and of the rows above, never in a circle.
//!
//! | file | contents |
//! |---|---|
//! | `id`, `arena`, `lock` | identifiers, memory that is reserved once, the lock |
//! | `name`, `entry`, `space` | a task's table of names (C0) |
//! | `block`, `kmsg`, `body`, `pool` | messages inside the kernel, their pages, descriptors, buffers and queues |
//! | `kobject`, `reply`, `port`, `pset` | kernel objects, reply ports of the kernel, ports, port sets |
//! | `wait_word` | a word that threads wait on |
//! | `waitq` | one for each port and set |
//! | `alarm` | the alarms that are set |
//! | `state`, `monitor`, `guard` | all of it: the view under the lock, the lock around it, and what raises `EXC_GUARD` (A13) |
//! | `member`, `mqueue`, `peer`, `arrive` | membership in sets, queues, a message's arrival (C9) |
//! | `transit`, `notify`, `requested` | receive rights in messages, notifications and the requests for them (C7.6, C8) |
//! | `right` | rights in the kernel's hands, and what dies with them (C1) |
//! | `reverse`, `lookup`, `uref`, `copyin`, `copyout` | rights under names (C1, C7) |
//! | `mach_port`, `names`, `insert`, `sets` | the calls on names (C2–C6, C9) |
//! | `construct`, `attributes`, `guarded`, `request_notification` | the calls on receive rights, and for notifications (C2.5, C3.3, C5, C8) |
//! | `semaphore` | semaphores |
//! | `timer`, `ring` | timers, and what happens at the time of an alarm |
//! | `deliver`, `header`, `send`, `receive`, `request` | messages (C10, C11) |

pub(crate) mod abandoned;
pub(crate) mod alarm;
pub(crate) mod arena;
pub(crate) mod arrive;
pub(crate) mod attributes;
pub(crate) mod block;
pub(crate) mod body;
pub(crate) mod construct;
pub(crate) mod copyin;
pub(crate) mod copyout;
pub(crate) mod deliver;
pub(crate) mod entry;
pub(crate) mod guard;
pub(crate) mod guarded;
pub(crate) mod header;
pub(crate) mod id;
pub(crate) mod insert;
pub(crate) mod kmsg;
pub(crate) mod kobject;
pub(crate) mod lock;
pub(crate) mod lookup;
pub(crate) mod mach_port;
pub(crate) mod member;
pub(crate) mod monitor;
pub(crate) mod mqueue;
pub(crate) mod name;
pub(crate) mod names;
pub(crate) mod notify;
pub(crate) mod peer;
pub(crate) mod pool;
pub(crate) mod port;
pub(crate) mod pset;
pub(crate) mod receive;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod request_notification;
pub(crate) mod requested;
pub(crate) mod reverse;
pub(crate) mod right;
pub(crate) mod ring;
pub(crate) mod semaphore;
pub(crate) mod send;
pub(crate) mod sets;
pub(crate) mod sleep;
pub(crate) mod space;
pub(crate) mod state;
pub(crate) mod timer;
pub(crate) mod transit;
pub(crate) mod uref;
pub(crate) mod wait_word;
pub(crate) mod waitq;

#[cfg(test)]
mod tests;
