#!/usr/bin/env bash
# What builds and runs arm64 Linux programs here: DIR/cc, a C compiler and linker, and DIR/run, which starts a program under
# qemu-user.
# usage: cross-arm64.sh DIR
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

dir=$1
bash "$tools/debian.sh" gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user "$dir"
# A linker script that names its two libraries by absolute paths.
sed -i 's#/usr/aarch64-linux-gnu/lib/##g' "$dir/usr/aarch64-linux-gnu/lib/libc.so"

cat >"$dir/cc" <<'SH'
#!/bin/bash
here=$(cd "$(dirname "$0")" && pwd)
PATH=$here/usr/bin:$PATH
LD_LIBRARY_PATH=$here/usr/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export PATH LD_LIBRARY_PATH
exec aarch64-linux-gnu-gcc "$@"
SH
# bash, as in rust.sh. SVE is off because qemu-user 7.2 ignores a handler's edits of the vector registers while it is on.
cat >"$dir/run" <<'SH'
#!/bin/bash
here=$(cd "$(dirname "$0")" && pwd)
LD_LIBRARY_PATH=$here/usr/lib/x86_64-linux-gnu
QEMU_CPU=${QEMU_CPU:-max,sve=off,sme=off}
export LD_LIBRARY_PATH QEMU_CPU
exec "$here/usr/bin/qemu-aarch64" -U LD_LIBRARY_PATH -L "$here/usr/aarch64-linux-gnu" "$@"
SH
chmod +x "$dir/cc" "$dir/run"
