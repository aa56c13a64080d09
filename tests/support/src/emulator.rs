//! The user-mode emulator that runs the tests of another machine.

/// Returns the command, words separated by spaces, that goes before a program of this target. `None` if no emulator runs this program.
#[must_use]
pub fn runner() -> Option<String> {
    std::env::var("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER")
        .ok()
        .filter(|_| cfg!(target_arch = "aarch64"))
}

/// Returns whether an emulator runs this program.
#[must_use]
pub fn is_emulated() -> bool {
    runner().is_some()
}
