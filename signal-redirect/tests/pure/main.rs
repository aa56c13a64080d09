//! Redirects and returns on computed threads, for both machines on every host.

mod common;
mod properties;
mod resume;
mod rewrite;
mod signals;
