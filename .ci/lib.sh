# Sourced by everything here: strict mode, places, words for a person. Runs under bash 3.2 too, which is what a Mac has.
# shellcheck shell=bash
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$root/.ci/tools
target=${CARGO_TARGET_DIR:-$root/target}
# Toolchains and their builds. It stands under target/, so that neither git nor a search through the tree meets it.
cache=${CI_CACHE:-$target/ci}
mkdir -p "$target" "$cache"
target=$(cd "$target" && pwd)
cache=$(cd "$cache" && pwd)
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
# Unattended, nothing is built twice: what only a second build would use is left out.
[ -z "${CI-}" ] || export CARGO_INCREMENTAL=0
cd "$root"

# The packages that others take.
# shellcheck disable=SC2034 # the stages use it
libraries=(mach-wire mach-emulated mach-sys exc-server signal-redirect thread-mgr)

# The packages that have a form without std.
# shellcheck disable=SC2034 # the stages use it
no_std_libraries=(mach-wire mach-sys exc-server signal-redirect)

say() { printf '   %s\n' "$*" >&2; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

need() { # need PROGRAM: how to get it
    command -v "$1" >/dev/null || die "$1 is missing; $2"
}

# once DIR TOOL ARG...: has DIR made by `TOOL ARG... NEW`, whole or not at all, and again when the tool or an argument changes.
once() {
    local dir=$1 tool=$2 mark
    shift 2
    mark=$(printf '%s\n' "$@" | cat - "$tools/$tool" | cksum)
    [ "$(cat "$dir/.made-by" 2>/dev/null || :)" = "$mark" ] && return
    say "making ${dir#"$cache/"} (once)"
    rm -rf "$dir" "$dir.new"
    mkdir -p "$dir.new"
    bash "$tools/$tool" "$@" "$dir.new" || die "$tool ${*-} failed; nothing of it was kept"
    printf '%s\n' "$mark" >"$dir.new/.made-by"
    mv "$dir.new" "$dir"
}

# use_rust 1.85|newest: Debian's Rust on PATH, with a target folder of its own.
use_rust() {
    once "$cache/rust-$1" rust.sh "$1"
    # A wrapper that a developer has in the environment (sccache, say) knows the other compiler.
    unset RUSTUP_TOOLCHAIN RUSTC RUSTC_WRAPPER RUSTFLAGS
    export PATH=$cache/rust-$1/bin:$PATH CARGO_TARGET_DIR=$cache/build-$1
    # Three targets are built here, and a fresh machine's disk may hold ten gigabytes: what only a debugger and a second build
    # would use is left out.
    export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=line-tables-only
    say "$(rustc --version)"
}

# rustdoc_unstable: prints the path of a rustdoc that takes unstable options, whatever the toolchain. The switch is set for rustdoc
# alone, since build scripts that saw it would choose unstable features for the dependencies.
rustdoc_unstable() {
    local wrapper=$cache/rustdoc-unstable
    printf '#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec "%s" "$@"\n' "${RUSTDOC:-rustdoc}" >"$wrapper"
    chmod +x "$wrapper"
    printf '%s\n' "$wrapper"
}

# seconds 30m: prints 1800. A number without a letter is seconds.
seconds() {
    case $1 in
    *h) printf '%s\n' $((${1%h} * 3600)) ;;
    *m) printf '%s\n' $((${1%m} * 60)) ;;
    *) printf '%s\n' "${1%s}" ;;
    esac
}

# within SECONDS COMMAND [ARG...]: runs it in a process group of its own, and returns its status. After so long the whole group is ended,
# with all that the command started, and the status is 124. Needs nothing that a Mac does not have: there is no `timeout`.
within() {
    local limit=$1 late group='' watcher='' status=0
    shift
    late=$(mktemp "$cache/late.XXXXXX")
    # Ctrl-C reaches the terminal's group, which is not that of the command.
    trap 'kill -TERM -- ${group:+"-$group"} ${watcher:+"-$watcher"} 2>/dev/null || :; exit 130' INT TERM HUP
    set -m
    "$@" </dev/null &
    group=$!
    (
        sleep "$limit"
        echo late >"$late"
        kill -TERM -- "-$group"
        sleep 10
        kill -KILL -- "-$group"
    ) >/dev/null 2>&1 </dev/null &
    watcher=$!
    # Nothing is said of the watcher's end, which is always a signal.
    disown "$watcher"
    set +m
    { wait "$group"; } 2>/dev/null || status=$?
    trap - INT TERM HUP
    if [ -s "$late" ]; then
        # What does not heed the first signal is ended by the second.
        local left=12
        while kill -0 -- "-$group" 2>/dev/null && [ "$left" -gt 0 ]; do
            sleep 1
            left=$((left - 1))
        done
        status=124
    fi
    kill -KILL -- "-$watcher" 2>/dev/null || :
    rm -f "$late"
    return "$status"
}

# The command by which the README says that all tests are run.
readme_test_command() {
    local command
    command=$(sed -n 's/^\$ \(cargo test.*\)/\1/p' "$root/README.md")
    [ -n "$command" ] || die "README.md has no line that starts with '$ cargo test'"
    head -n 1 <<<"$command"
}

# run_tests COMMAND [ARG...]: runs it (with the test programs' arguments), shows what it prints, counts what ran by package,
# and fails where nothing did.
run_tests() {
    local command=$1 log build status=0
    shift
    log=$(mktemp "$cache/tests.XXXXXX")
    build=$(mktemp "$cache/build.XXXXXX")
    say "$command ${*:+-- $*}"
    bash -c "$command ${*:+-- $*}" 2>&1 | tee "$log" || status=$?
    bash -c "$command --no-run --quiet --message-format=json" >"$build" 2>/dev/null || :
    python3 "$tools/tally.py" "$log" "$build" "$status" "${CI_RESULT:-/dev/null}" || status=1
    rm -f "$log" "$build"
    return "$status"
}
