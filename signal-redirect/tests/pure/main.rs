//! The pure rewriter, of both machines on every host.

mod common;
mod properties;
mod resume;
mod rewrite;
mod signals;
