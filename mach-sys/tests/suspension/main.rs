//! Threads that are suspended, read, aborted and ended by others, over the raw kernel calls.
//!
//! Each test has a process of its own: what it stops and counts is the process's.
#![cfg(not(target_vendor = "apple"))]
#![allow(unsafe_code)]

mod blocked;
mod counts;
mod crashes;
mod ended;
mod exceptions;
mod fork;
mod guards;
mod handlers;
mod listing;
mod many;
mod moved;
mod reach;
mod registers;
mod spin;
mod stress;
mod support;
mod task;
