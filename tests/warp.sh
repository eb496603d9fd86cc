#!/bin/bash
# Bodies a warp wide, executed with a thread for each lane, give the bits of the CPU variants; with another order of sums, or none of what
# one row has in another, the test notices.  TGRAPH_TEST_ROUNDS says how many tasks are drawn, TGRAPH_TEST_SEED the first.
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
"${CC:-gcc}" -std=gnu11 -O2 -D_GNU_SOURCE= -I. -c -o "$work/trsv.o" kernels/trsv.c

run() { # ROUNDS [EDIT]: of the warp's text
    mkdir -p "$work/kernels"
    sed "${2:-}" kernels/trsv.cuh >"$work/kernels/trsv.cuh"
    [ -z "${2:-}" ] || ! cmp -s kernels/trsv.cuh "$work/kernels/trsv.cuh" || { echo "FAIL  nothing is changed by: $2"; exit 1; }
    "${CXX:-g++}" -std=c++17 -O1 -ffp-contract=off -Wall -Wextra -Wno-unknown-pragmas -Wno-unused-variable -pthread -I"$work" -I. \
        -o "$work/trsv" tests/warp/trsv.cpp "$work/trsv.o" -lm || exit 1
    "$work/trsv" "$1" "${TGRAPH_TEST_SEED:-1}" >"$work/out"
}
rc=0
if ! run "${TGRAPH_TEST_ROUNDS:-90}"; then
    cat "$work/out"
    rc=1
fi
for edit in 's/int w = N_SUMS \/ 2; w > 0; w \/= 2/int w = 1; w < N_SUMS; w *= 2/' 's/left = fma(-w.value, of_j, left)/left += 0/' \
    's/f.row = r + 1;/f.row = 0;/'; do
    if run 30 "$edit"; then
        echo "FAIL  nothing is noticed after: $edit"
        rc=1
    fi
done
exit $rc
