#!/bin/bash
# Every sh block of the README runs as printed, in order, in one shell; the JSON it shows is the file it
# says; the files and folders it names exist.  The program is built without sanitizers here.
set -uo pipefail

if [ -n "${SAN:-}" ]; then
    echo "the README is about the normal build"
    exit 77
fi
failed=0
block() { awk -v kind="$1" '$0 == "```" kind {on = 1; next} $0 == "```" {on = 0} on' README.md; }

if ! diff <(block json) examples/graphs/first.json; then
    echo "README.md does not show examples/graphs/first.json as it is"
    failed=1
fi
for target in $(grep -oE '\]\([^)#]+\)' README.md | tr -d '])(' | grep -v :) $(grep -oE '`[a-z/]+/`' README.md | tr -d '`'); do
    if [ ! -e "$target" ]; then
        echo "README.md names $target, which does not exist"
        failed=1
    fi
done
bash -euxo pipefail -c "$(block sh)" || failed=1
grep -q '<svg' build/first.svg || failed=1
exit $failed
