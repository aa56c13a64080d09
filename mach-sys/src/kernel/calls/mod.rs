//! The declarations of the kernel calls, by header.

mod declare;
mod guards;
mod hosts;
mod memory;
mod messages;
mod ports;
mod threads;

pub use guards::*;
pub use hosts::*;
pub use memory::*;
pub use messages::*;
pub use ports::*;
pub use threads::*;

const LISTS: [&[&str]; 8] = [
    guards::CALLS,
    guards::NEWER_CALLS,
    hosts::CALLS,
    memory::CALLS,
    messages::CALLS,
    ports::CALLS,
    threads::CALLS,
    threads::NEWER_CALLS,
];

const COUNT: usize = {
    let (mut count, mut list) = (0, 0);
    while list < LISTS.len() {
        count += LISTS[list].len();
        list += 1;
    }
    count
};

/// The name of each call, for this project's tests.
#[doc(hidden)]
pub const CALLS: [&str; COUNT] = {
    let mut calls = [""; COUNT];
    let (mut count, mut list, mut index) = (0, 0, 0);
    while list < LISTS.len() {
        if index < LISTS[list].len() {
            calls[count] = LISTS[list][index];
            (count, index) = (count + 1, index + 1);
        } else {
            (list, index) = (list + 1, 0);
        }
    }
    calls
};
