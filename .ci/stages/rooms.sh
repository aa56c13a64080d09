#!/usr/bin/env bash
# Structure: the tables of rooms in ARCHITECTURE.md against the imports, that of tests that skip, and the libraries' dependencies.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

need python3 "install Python 3"
say "the checks themselves, the tally of tests, the limit of time, the long run, and the confirmation report"
python3 "$tools/test_rooms.py"
python3 "$tools/test_skips.py"
python3 "$tools/test_tally.py"
bash "$tools/test_within.sh"
python3 "$tools/test_long_run.py"
python3 "$tools/test_confirm.py"
say "rooms"
python3 "$tools/rooms.py" --circles

say "tests that skip, in the sources and in docs/only-a-mac.md"
python3 "$tools/skips.py"

say "dependencies of the libraries, on every target"
allowed=' mach2 libc thiserror bitflags static_assertions '
for library in "${libraries[@]}"; do
    found=$(cargo tree --locked --target all -e normal,no-proc-macro --prefix none --format '{p}' -p "$library" | cut -d ' ' -f 1 | sort -u)
    [ -n "$found" ] || die "cargo tree says nothing of $library"
    for name in $found; do
        case "$allowed ${libraries[*]} " in
        *" $name "*) ;;
        *) die "$library depends on $name" ;;
        esac
    done
done
