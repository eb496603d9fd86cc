#!/bin/bash
# Bodies a warp wide, executed with a thread for each lane, give the bits of the CPU variants; with another order of sums, a row that
# another has not handed down, or the like, the test notices.  TGRAPH_TEST_ROUNDS says how many tasks are drawn, TGRAPH_TEST_SEED the first.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -n "${SAN:-}" ]; then
    echo "the release build does this"
    exit 77
fi
if ! command -v "${CXX:-g++}" >/dev/null; then
    echo "there is no C++ compiler"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/kernels"
rc=0

run() { # NAME ROUNDS [EDIT]: of the warp's text
    local text=kernels/$1.cuh
    sed "${3:-}" "$text" >"$work/$text"
    [ -z "${3:-}" ] || ! cmp -s "$text" "$work/$text" || { echo "FAIL  nothing is changed by: $3"; exit 1; }
    "${CXX:-g++}" -std=c++17 -O1 -ffp-contract=off -Wall -Wextra -Wno-unknown-pragmas -Wno-unused-variable -pthread -I"$work" -I. \
        -o "$work/$1" "tests/warp/$1.cpp" "$work/$1.o" -lm || exit 1
    "$work/$1" "$2" "${TGRAPH_TEST_SEED:-1}" >"$work/out"
}
check() { # NAME EDIT..: each of which is noticed
    local name=$1 edit
    shift
    "${CC:-gcc}" -std=gnu11 -O2 -D_GNU_SOURCE= -I. -c -o "$work/$name.o" "kernels/$name.c"
    if ! run "$name" "${TGRAPH_TEST_ROUNDS:-90}"; then
        cat "$work/out"
        rc=1
    fi
    for edit in "$@"; do
        if run "$name" 30 "$edit"; then
            echo "FAIL  nothing is noticed after: $edit"
            rc=1
        fi
    done
}
check trsv 's/int w = N_SUMS \/ 2; w > 0; w \/= 2/int w = 1; w < N_SUMS; w *= 2/' 's/left = fma(-w.value, of_j, left)/left += 0/' \
    's/f.row = r + 1;/f.row = 0;/'
check align 's/chunk = next;/;/' 's/r.corner = next_corner;/;/' 's/s.up\[c\] = lane ? above : outside/s.up[c] = above/' \
    's/ - lane;/ - lane - 1;/'
exit $rc
