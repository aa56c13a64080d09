//! Helpers that the scenarios share.

pub mod c_program;
pub mod embed;
pub mod faults;

#[cfg(target_os = "linux")]
pub use test_support::sandbox;
pub use test_support::{emulator, instructions, isolated, watchdog};

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

#[cfg(test)]
mod tests {
    /// A chapter that is not listed above is never compiled.
    #[test]
    fn the_code_of_every_chapter_is_compiled() {
        let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide");
        let mut chapters = 0;
        for entry in std::fs::read_dir(guide).expect("the guide") {
            let name = entry.expect("an entry").file_name();
            let name = name.to_str().expect("a name");
            if name.ends_with(".md") {
                let listed = include_str!("lib.rs").contains(&format!(" \"{name}\"\n"));
                assert!(listed, "{name} is missing in tests/src/lib.rs");
                chapters += 1;
            }
        }
        assert!(chapters > 1, "{chapters} chapters");
    }
}
