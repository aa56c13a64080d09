//! Messages: header, body, descriptors, trailers, and the options of `mach_msg` (`mach/message.h`).
//!
//! All structures are those of 64-bit user space and packed to 4, as Apple's `#pragma pack(4)` makes them.
//! The errors of `mach_msg` are in [`kern_return`](crate::kern_return), which shares their number space.

mod bits;
mod descriptors;
mod header;
mod options;
mod trailer;

pub use bits::*;
pub use descriptors::*;
pub use header::*;
pub use options::*;
pub use trailer::*;

use crate::types::mach_msg_size_t;

/// The largest size of a message in bytes (`MACH_MSG_SIZE_MAX`).
pub const MACH_MSG_SIZE_MAX: mach_msg_size_t = !0;
/// A size in bytes that can be sent without exhausting the kernel (`MACH_MSG_SIZE_RELIABLE`).
pub const MACH_MSG_SIZE_RELIABLE: mach_msg_size_t = 256 * 1024;
/// No size (`MACH_MSG_SIZE_NULL`).
pub const MACH_MSG_SIZE_NULL: mach_msg_size_t = 0;
/// No priority (`MACH_MSG_PRIORITY_UNSPECIFIED`).
pub const MACH_MSG_PRIORITY_UNSPECIFIED: u32 = 0;
/// An ordinary message (`MACH_MSGH_KIND_NORMAL`).
pub const MACH_MSGH_KIND_NORMAL: mach_msg_size_t = 0;
/// A notification (`MACH_MSGH_KIND_NOTIFICATION`).
pub const MACH_MSGH_KIND_NOTIFICATION: mach_msg_size_t = 1;
