#!/bin/bash
# A chain of a million tasks is read, checked, frozen and run within a stack of 64 KiB: nothing recurses
# along a graph.
set -euo pipefail

if [ -n "${SAN:-}" ]; then
    echo "sanitizers need a larger stack"
    exit 77
fi
file=$(mktemp --suffix=.jsonl)
trap 'rm -f "$file"' EXIT
"$TGRAPH" gen chain --tasks 1000000 --jsonl -o "$file"
ulimit -s 64
"$TGRAPH" run "$file" >"$file.out" || { cat "$file.out"; rm -f "$file.out"; exit 1; }
grep -q '1,000,000 tasks' "$file.out" || { cat "$file.out"; exit 1; }
rm -f "$file.out"
