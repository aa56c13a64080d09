//! Shared by the programs here: instructions that really fault, memory to fault on, a way out of a fault, charts.
#![deny(unsafe_code)]

pub mod chart;
pub mod escape;
pub mod fault;
pub mod old_way;
pub mod pages;
pub mod program;
pub mod registers;
pub mod traps;
