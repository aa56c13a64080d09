//! What the programs here share: instructions that really fault, with every register known before and after.
#![deny(unsafe_code)]

pub mod pages;
pub mod traps;
