#!/usr/bin/env bash
# What linking for macOS needs of Apple's SDK: the list of libSystem's symbols, taken out of a pinned package that carries it,
# and one of libiconv, which std names.
# usage: sdk.sh DIR
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

dir=$1
need python3 "it brings pip, which fetches the stub of libSystem"
echo 'ziglang==0.17.1 --hash=sha256:ea6cc5d87b033cf0aedfbc8f9549a908cae6c50ac31f1698188fa48a74524b54' >"$dir/requirements"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: \
    --platform manylinux_2_12_x86_64 --dest "$dir" -r "$dir/requirements" || die "the package with libSystem's stub cannot be fetched"
mkdir -p "$dir/usr/lib"
python3 - "$dir"/ziglang-*.whl "$dir/usr/lib/libSystem.tbd" <<'PY'
import re
import sys
import zipfile

wheel, out = sys.argv[1:]
text = zipfile.ZipFile(wheel).read("ziglang/lib/libc/darwin/libSystem.tbd").decode()

def readable(match):
    """Most libraries are listed for arm64e alone, which includes arm64; a linker of LLVM 19 knows no arm64e.x1."""
    targets = [target.strip() for target in match.group(1).split(",")]
    targets = [t.replace("arm64e-", "arm64-") for t in targets if not t.startswith("arm64e.")]
    return "targets: [ " + ", ".join(dict.fromkeys(targets)) + " ]"

with open(out, "w") as file:
    file.write(re.sub(r"targets:\s*\[([^\]]*)\]", readable, text))
PY
for name in libSystem.B libc libm libpthread libdl; do
    ln -s libSystem.tbd "$dir/usr/lib/$name.tbd"
done
cat >"$dir/usr/lib/libiconv.tbd" <<'TBD'
--- !tapi-tbd
tbd-version: 4
targets: [ x86_64-macos, arm64-macos ]
install-name: '/usr/lib/libiconv.2.dylib'
exports:
  - targets: [ x86_64-macos, arm64-macos ]
    symbols: [ _iconv, _iconv_open, _iconv_close ]
...
TBD
rm -f "$dir"/ziglang-*.whl "$dir/requirements"
