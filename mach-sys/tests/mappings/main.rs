//! Regions, second views and copies of the own memory (`mach/mach_vm.h`, `mach/vm_region.h`).
#![allow(unsafe_code)]

mod arguments;
mod blocked;
mod copies;
mod ended;
mod maps;
mod old_names;
#[cfg(target_os = "linux")]
mod refused;
mod regions;
mod support;
mod views;
