# What the stages asan and tsan share. Sourced.
# shellcheck shell=bash

# use_sanitizer address|thread: compiler, flags and std for it. ThreadSanitizer knows what std's locks order only in a std that is built with
# it; AddressSanitizer does not care. The sanitizers' runtimes are those of rustup's toolchain.
use_sanitizer() {
    local runtime=$1 flags="-Zsanitizer=$1 -Cunsafe-allow-abi-mismatch=sanitizer"
    [ "$(uname -sm)" = "Linux x86_64" ] || die "the sanitizers' stages run on x86_64 Linux, and this is $(uname -sm)"
    runtime=$(find "$(rustc --print sysroot)/lib/rustlib/x86_64-unknown-linux-gnu/lib" -name "librustc*_rt.${1:0:1}san.a" | head -n 1)
    [ -n "$runtime" ] || die "the Rust toolchain has no runtime of the sanitizer; take rustup's"
    if [ "$1" = thread ]; then
        use_rust newest
        local library=$cache/std-$1/lib/rustlib/x86_64-unknown-linux-gnu
        once "$library" std.sh x86_64-unknown-linux-gnu "-Zsanitizer=$1" -Zexternal-clangrt
        # Where the compiler looks for it.
        cp "$runtime" "$library/lib/librustc-stable_rt.tsan.a"
        flags="-Zsanitizer=$1 --sysroot $cache/std-$1"
    fi
    export CARGO_TARGET_DIR=$cache/build-$1 CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=line-tables-only
    # For the compiler alone, since build scripts that saw it would choose unstable features for the dependencies.
    local wrapper=$cache/rustc-$1
    printf '#!/bin/bash\nRUSTC_BOOTSTRAP=1 exec "%s" "$@"\n' "$(command -v rustc)" >"$wrapper"
    chmod +x "$wrapper"
    # With a target, the flags are for the target's code and not for build scripts.
    export RUSTC=$wrapper RUSTFLAGS=$flags
}
