//! Records of routes, which a request looks at without a lock.

pub(crate) mod id;
pub(crate) mod installed;
pub(crate) mod table;
