#!/usr/bin/env bash
# Shows that `within` of lib.sh ends what does not end, with all that it started, and leaves the rest alone.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

status_of() {
    local status=0
    "$@" || status=$?
    printf '%s' "$status"
}

expect() { # expect WHAT FOUND WANTED
    [ "$2" = "$3" ] || die "within: $1: $2 instead of $3"
}

expect "a success" "$(status_of within 60 true)" 0
expect "a failure" "$(status_of within 60 bash -c 'exit 7')" 7
expect "what is printed" "$(within 60 echo text)" text

children=$(mktemp "$cache/children.XXXXXX")
trap 'rm -f "$children"' EXIT
began=$SECONDS
# One that heeds the signal, one that a shell starts behind it, and one that hangs with the output open.
expect "a hang" "$(status_of within 1 bash -c "sleep 600 & echo \$! >'$children'; sleep 600")" 124
[ $((SECONDS - began)) -lt 9 ] || die "within: a hang was ended after $((SECONDS - began)) s"
kill -0 "$(cat "$children")" 2>/dev/null && die "within: what the command had started still runs"

began=$SECONDS
expect "one that does not heed the first signal" "$(status_of within 1 bash -c 'trap "" TERM; while :; do sleep 1; done')" 124
[ $((SECONDS - began)) -lt 20 ] || die "within: one that heeds no signal was ended after $((SECONDS - began)) s"

# Stopped itself, it leaves nothing behind.
: >"$children"
bash -c '. "$1"; within 60 bash -c "echo \$\$ >\"\$1\"; sleep 600" - "$2"' - "$root/.ci/lib.sh" "$children" &
stopped=$!
soon() { # soon COMMAND [ARG...]: waits until it succeeds, at most half a minute
    local left=150
    until "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep 0.2
    done
}
soon test -s "$children" || die "within: the command did not start"
kill -TERM "$stopped"
wait "$stopped" || :
is_gone() { ! kill -0 "$(cat "$children")" 2>/dev/null; }
soon is_gone || die "within: what it ran outlives it"

expect "30m" "$(seconds 30m)" 1800
expect "2h" "$(seconds 2h)" 7200
expect "90s" "$(seconds 90s) $(seconds 90)" "90 90"
