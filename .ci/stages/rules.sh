#!/usr/bin/env bash
# Rules: every number that code, tests and docs cite is defined in docs/xnu or docs/field-reports.md; the table of what proves it is fresh.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

need python3 "install Python 3"
python3 "$tools/test_rules.py"
cd "$root"
python3 "$tools/rules.py"
