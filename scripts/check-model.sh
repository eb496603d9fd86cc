#!/bin/bash
# Checks a Promela model exhaustively:  scripts/check-model.sh tests/model/NAME.pml
#
# A line "Must fail: -DA -DB" in the model names variants that are broken on purpose: the check has to
# find an error in each, or it would not find one in the real protocol either.
set -euo pipefail
cd "$(dirname "$0")/.."
model=$PWD/$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

explore() { # DEFINE..
    spin -a "$@" "$model" >spin.log 2>&1 || { cat spin.log; exit 1; }
    ${CC:-gcc} -O2 -DSAFETY -DMEMLIM=4096 -w -o pan pan.c
    timeout 300 ./pan -m1000000 >pan.log 2>&1
}
complain() {
    echo "FAIL  $1"
    tail -n 30 pan.log
    exit 1
}

explore
grep -q 'errors: 0' pan.log && ! grep -qE 'max search depth too small|out of memory' pan.log || complain "$1"
states=$(grep -oE '[0-9]+ states, stored' pan.log)
for define in $(sed -n 's/.*Must fail: *\(.*[^ *]\) *\*\/.*/\1/p' "$model"); do
    explore "$define"
    grep -q 'errors: 0' pan.log && complain "$1 with $define has no error"
done
echo "pass  $1: $states"
