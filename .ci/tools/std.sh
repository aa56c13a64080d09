#!/usr/bin/env bash
# Builds std for TARGET out of the source beside the compiler on PATH. Where DIR is the compiler's lib/rustlib/TARGET, plain
# cargo works for the target afterwards, as after adding a prebuilt std.
# usage: std.sh TARGET [FLAG...] DIR     FLAGs are rustc's: a sanitizer, say
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

triple=$1 dir=${*: -1}
flags=${*:2:$#-2}
library=$(rustc --print sysroot)/lib/rustlib/src/rust/library
[ -d "$library/vendor" ] || die "no source of std at $library"

probe=$dir/.probe
mkdir -p "$probe/src" "$dir/lib"
echo '#![no_std]' >"$probe/src/lib.rs"
cat >"$probe/Cargo.toml" <<'TOML'
[package]
name = "stdprobe"
version = "0.0.0"
edition = "2024"
[profile.dev]
debug = 0
[workspace]
TOML
cd "$probe"
# A released compiler builds std only when told that it may; nothing of the workspace is ever built under this variable.
RUSTC_BOOTSTRAP=1 RUSTFLAGS=$flags CARGO_TARGET_DIR=$probe/target CARGO_INCREMENTAL=0 cargo build --quiet \
    -Zbuild-std=std,panic_unwind,test --target "$triple" \
    --config 'source.crates-io.replace-with="vendored"' \
    --config "source.vendored.directory=\"$library/vendor\""
rm -f "$probe/target/$triple"/debug/deps/libstdprobe*
cp "$probe/target/$triple"/debug/deps/*.rlib "$dir/lib/"
cd "$root"
rm -rf "$probe"
