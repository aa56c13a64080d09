#!/usr/bin/env bash
# Debian's packaged Rust, unpacked: the minimum version that the workspace promises, or the newest with clippy, the source of
# std, the arm64 std, and a linker, a stripper and a disassembler for Mach-O.
# usage: rust.sh 1.85|newest DIR
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

version=$1 dir=$2
[ "$(uname -sm)" = "Linux x86_64" ] || die "Debian's Rust is fetched for x86_64 Linux only, and this is $(uname -sm)"
case $version in
newest)
    bash "$tools/debian.sh" rustc-web cargo-web rust-web-clippy rust-web-src libstd-rust-web-dev:arm64 lld-19 llvm-19 "$dir"
    ;;
*)
    bash "$tools/debian.sh" -r bookworm rustc-web cargo-web "$dir"
    ;;
esac

# The programs need libraries that are unpacked beside them. Each is entered through a wrapper, so that a stage's environment
# stays as it is and a test may start cargo. Through bash, since dash drops variables such as CARGO_BIN_EXE_main-job, whose names
# are no shell's.
mkdir "$dir/bin"
# The name under which rustc looks for the stripper.
[ ! -e "$dir/usr/bin/llvm-objcopy-19" ] || ln -s llvm-objcopy-19 "$dir/usr/bin/rust-objcopy"
for program in cargo rustc rustdoc cargo-clippy clippy-driver ld64.lld-19 llvm-objdump-19 rust-objcopy; do
    [ -e "$dir/usr/bin/$program" ] || continue
    cat >"$dir/bin/$program" <<'SH'
#!/bin/bash
here=$(dirname "$0")/..
LD_LIBRARY_PATH=$here/usr/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
exec "$here/usr/bin/${0##*/}" "$@"
SH
    chmod +x "$dir/bin/$program"
done

found=$("$dir/bin/rustc" --version)
case $version,$found in
newest,* | *,"rustc $version."*) ;;
*) die "Debian 12 has $found now, not the $version that is asked for" ;;
esac
