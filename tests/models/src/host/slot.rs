//! The files of `mach-emulated` themselves.

#[path = "../../../../mach-sys/emulated/src/host/slot/identity.rs"]
pub(crate) mod identity;
#[path = "../../../../mach-sys/emulated/src/host/slot/keys.rs"]
pub(crate) mod keys;
#[path = "../../../../mach-sys/emulated/src/host/slot/suspension.rs"]
pub(crate) mod suspension;
