//! The records of routes, which a request reads without a lock.

pub(crate) mod id;
pub(crate) mod installed;
pub(crate) mod table;
