//! Empty on purpose: `links = "mach-sys"` needs a build script, and keeps a second copy out of a dependency graph.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
}
