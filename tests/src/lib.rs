//! What the scenarios share.

pub mod embed;
pub mod faults;
pub mod own_process;
pub mod watchdog;

/// Compiles and runs the code of the guide, and compiles that of the workspace's README.
#[cfg(doctest)]
mod guide {
    macro_rules! chapters {
        ($($name:ident $file:literal)*) => {$(
            #[doc = include_str!(concat!("../../docs/guide/", $file))]
            struct $name;
        )*};
    }

    chapters! {
        Index "README.md"
        Levels "levels.md"
        Fault "fault.md"
        Leaks "leaks.md"
        Behaviors "behaviors.md"
        Shutdown "shutdown.md"
        Debuggers "debuggers.md"
        MacAndEmulation "mac-and-emulation.md"
        Porting "porting.md"
        Readme "../../README.md"
    }
}
