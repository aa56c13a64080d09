//! Empty on purpose: `links = "mach-emulated"` needs a build script, and keeps a second copy out of a dependency graph.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
}
