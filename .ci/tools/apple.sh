#!/usr/bin/env bash
# Everything that can be proven about an Apple target without a Mac.
# usage: apple.sh TARGET
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

triple=$1
use_rust newest
# A folder of its own: it may run beside the stage of another target, and waits for nothing of that. Nothing is debugged here.
export CARGO_TARGET_DIR=$cache/build-apple CARGO_PROFILE_DEV_DEBUG=0
once "$cache/rust-newest/usr/lib/rustlib/$triple" std.sh "$triple"
once "$cache/macos-sdk" sdk.sh

export SDKROOT=$cache/macos-sdk MACOSX_DEPLOYMENT_TARGET=11.0
variable=CARGO_TARGET_$(printf '%s' "$triple" | tr 'a-z-' 'A-Z_')
export "${variable}_LINKER=ld64.lld-19" "${variable}_RUSTFLAGS=-Clinker-flavor=ld64.lld"

say "the libraries without std, whose rights and kernel calls are there on a Mac"
for library in "${no_std_libraries[@]}"; do
    # One at a time: checked together, the features that one asks for would be on for all.
    cargo clippy --locked -p "$library" --lib --no-default-features --target "$triple" -- -D warnings
done
cargo clippy --locked -p exc-server --lib --no-default-features --features receiver --target "$triple" -- -D warnings
say "documentation"
RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --target "$triple"

say "types, lints, layout assertions; programs, tests and benches, linked"
build=$(mktemp "$cache/build.XXXXXX")
trap 'rm -f "$build"' EXIT
# The compiler that cargo clippy takes for a check builds as well: not everything is looked at twice.
RUSTC_WORKSPACE_WRAPPER=clippy-driver CLIPPY_ARGS=-Dwarnings__CLIPPY_HACKERY__ \
    cargo build --locked --keep-going --workspace --all-targets --target "$triple" --message-format=json-render-diagnostics >"$build"
programs=()
while read -r program; do
    programs+=("$program")
done < <(grep -o '"executable":"[^"]*"' "$build" | cut -d '"' -f 4)
[ ${#programs[@]} -gt 0 ] || die "nothing was linked"
python3 "$tools/imports.py" "$SDKROOT/usr/lib/libSystem.tbd" "${programs[@]}"

say "release: stripped, and every routine of assembly whole, here and in the programs above (the linker drops what nothing names)"
python3 "$tools/test_whole.py"
# What others wrote is not optimized: nobody looks at it, and the build would take twice as long.
cargo build --locked --release -p examples --bin main-job --target "$triple" --config 'profile.release.package."*".opt-level=0'
python3 "$tools/whole.py" llvm-objdump-19 "$CARGO_TARGET_DIR/$triple/release/main-job" "${programs[@]}"
# Unattended, nothing is built twice, and the next target needs the room.
if [ -n "${CI-}" ]; then rm -rf "${CARGO_TARGET_DIR:?}/$triple"; fi
