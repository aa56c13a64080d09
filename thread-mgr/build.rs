//! Tells the crate of ThreadSanitizer.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // `cfg(sanitize)` itself is unstable; cargo tells build scripts of it when the compiler is given the sanitizer.
    println!("cargo:rustc-check-cfg=cfg(thread_sanitizer)");
    if std::env::var("CARGO_CFG_SANITIZE")
        .is_ok_and(|all| all.split(',').any(|one| one == "thread"))
    {
        println!("cargo:rustc-cfg=thread_sanitizer");
    }
}
