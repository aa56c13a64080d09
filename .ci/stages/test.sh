#!/usr/bin/env bash
# All tests on this machine, by the very command that the README gives.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

run_tests "$(readme_test_command)"
