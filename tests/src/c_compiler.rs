//! The C compiler, for tests that need what Rust cannot make.

/// Returns the C compiler of this target.
pub fn compiler() -> String {
    let named = if cfg!(target_arch = "aarch64") {
        std::env::var("CC_aarch64_unknown_linux_gnu")
    } else {
        std::env::var("CC")
    };
    let emulated = std::env::var_os("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER").is_some();
    named.unwrap_or_else(|_| {
        if cfg!(target_arch = "aarch64") && emulated {
            "aarch64-linux-gnu-gcc".into()
        } else {
            "cc".into()
        }
    })
}
