# What the stages asan and tsan share. Sourced: use_sanitizer address|thread puts compiler and flags in place.
# shellcheck shell=bash

# use_sanitizer NAME: compiler, flags and a std that are built with a sanitizer. Its runtime is the one that rustup's toolchain has.
use_sanitizer() {
    local runtime
    [ "$(uname -sm)" = "Linux x86_64" ] || die "the sanitizers' stages run on x86_64 Linux, and this is $(uname -sm)"
    runtime=$(find "$(rustc --print sysroot)/lib/rustlib/x86_64-unknown-linux-gnu/lib" -name "librustc*_rt.$2.a" | head -n 1)
    [ -n "$runtime" ] || die "the Rust toolchain has no runtime of the sanitizer; take rustup's"
    use_rust newest
    local flags="-Zsanitizer=$1 -Zexternal-clangrt"
    # shellcheck disable=SC2086 # several words
    once "$cache/std-$2/lib/rustlib/x86_64-unknown-linux-gnu" std.sh x86_64-unknown-linux-gnu $flags
    export CARGO_TARGET_DIR=$cache/build-$2
    # For the compiler alone, since build scripts that saw it would choose unstable features for the dependencies.
    local wrapper=$cache/rustc-$2
    printf '#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec "%s" "$@"\n' "$(command -v rustc)" >"$wrapper"
    chmod +x "$wrapper"
    export RUSTC=$wrapper
    # With a target, these are for the target's code and not for build scripts.
    export RUSTFLAGS="$flags --sysroot $cache/std-$2 -Clink-arg=-Wl,--whole-archive,$runtime,--no-whole-archive -Clink-arg=-lm -Clink-arg=-lpthread -Clink-arg=-ldl -Clink-arg=-lrt -Clink-arg=-lc"
}
