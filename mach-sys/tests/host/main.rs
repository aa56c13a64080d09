//! The emulation's host layer: real faults in every situation that a thread can be in, the handlers installed before as the host
//! level, and the beginning and end of threads.
//!
//! Each test has a process of its own: signal dispositions, the pool of threads and the task's exception ports are the process's.
#![cfg(not(target_vendor = "apple"))]
#![allow(unsafe_code)]

use test_support::isolated;

mod context;
mod faults;
mod registers;
mod support;

#[cfg(target_arch = "x86_64")]
mod alignment;
mod as_on_xnu;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod chained;
mod changed;
mod children;
#[cfg(target_arch = "x86_64")]
mod debug_registers;
mod deferred;
mod depth;
mod flavors;
#[cfg(target_arch = "x86_64")]
mod foreign_frames;
mod fork;
mod groups;
mod host_level;
mod identity;
#[cfg(target_arch = "x86_64")]
mod injected;
mod inside;
mod keys;
mod lent;
mod lifetimes;
mod masks;
mod memory;
mod newcomers;
mod overflow;
mod pool;
mod posted;
mod readiness;
mod reservations;
mod sandbox;
mod sent;
mod situations;
mod starting;
mod steps;
mod valgrind;
#[cfg(target_arch = "x86_64")]
mod vectors;
#[cfg(target_arch = "x86_64")]
mod width;
