#!/bin/bash
# Bodies a warp wide, a warp's POSTs, and tasks that a warp makes, executed with a thread for each lane, give the bits of the CPU variants; with
# another order of sums, a row that another has not handed down, or the like, the test notices.  TGRAPH_TEST_ROUNDS says how many tasks are drawn,
# TGRAPH_TEST_SEED the first.
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
"${CC:-gcc}" -std=gnu11 -O2 -D_GNU_SOURCE= -I. -c -o "$work/align.o" kernels/align.c
"${CC:-gcc}" -std=gnu11 -O2 -D_GNU_SOURCE= -I. -c -o "$work/attention.o" kernels/attention.c
"${CC:-gcc}" -std=gnu11 -O2 -D_GNU_SOURCE= -I. -c -o "$work/matvec.o" kernels/matvec.c

run() { # TEST FILE ROUNDS [EDIT]: of the warp's text
    local objects=()
    case $1 in
    trsv | post) objects=("$work/trsv.o") ;;
    align | attention | matvec) objects=("$work/$1.o") ;;
    esac
    rm -rf "$work/gpu" "$work/kernels" # what was changed before
    mkdir -p "$work/$(dirname "$2")"
    sed "${4:-}" "$2" >"$work/$2"
    [ -z "${4:-}" ] || ! cmp -s "$2" "$work/$2" || { echo "FAIL  nothing is changed by: $4"; exit 1; }
    "${CXX:-g++}" -std=c++17 -O1 -ffp-contract=off -Wall -Wno-unknown-pragmas -Wno-unused-variable -Wno-unused-function -pthread \
        -I"$work" -I. -o "$work/$1" "tests/warp/$1.cpp" "${objects[@]}" -lm || exit 1
    timeout 60 "$work/$1" "$3" "${TGRAPH_TEST_SEED:-1}" >"$work/out"
}
rc=0
test_text() { # TEST FILE EDITS..
    local test=$1 file=$2
    shift 2
    if ! run $test $file "${TGRAPH_TEST_ROUNDS:-90}"; then
        cat "$work/out"
        rc=1
    fi
    for edit; do
        if run $test $file 30 "$edit"; then
            echo "FAIL  nothing is noticed after: $edit"
            rc=1
        fi
    done
}
test_text trsv kernels/trsv.cuh 's/int w = N_SUMS \/ 2; w > 0; w \/= 2/int w = 1; w < N_SUMS; w *= 2/' \
    's/left = fma(-w.value, of_j, left)/left += 0/' 's/f.row = r + 1;/f.row = 0;/'
test_text post gpu/resident/post.h 's/uint32_t d = TGI_POST_SUMS \/ 2; d > 0; d \/= 2/uint32_t d = 1; d < TGI_POST_SUMS; d *= 2/' \
    's/s->e += 2 \* TGI_POST_SUMS/s->e = s->end/' 's/s->is_sound = s->is_sound \&\& tgi_post_can_divide.*/;/'
test_text align kernels/align.cuh 's/chunk = next;/;/' 's/r.corner = next_corner;/;/' 's/s.up\[c\] = lane ? above : outside/s.up[c] = above/' \
    's/ - lane;/ - lane - 1;/'
test_text matvec kernels/matvec.cuh 's/    if (j < n)/    if (false)/' 's/+= v\[r\]\[d\].at\[e\]/+= v[0][d].at[e]/'
test_text attention kernels/attention.cuh 's/a.sum\[s\] \* of_a/a.sum[s]/' 's/+ 32 \* c;/+ 31 * c;/' \
    's/which < WARPS \&\& (int64_t)which \* CHUNK < t.rows/which < WARPS - 1/' 's/join(s, share(t, which, col0, is_wide, lane))/for (int64_t f = which; f * CHUNK < t.rows; f += WARPS) join(s, chunk(t, f * CHUNK, col0, is_wide, lane))/' \
    's/bool is_there = i0 + lane < parts/bool is_there = i0 + lane < parts - 1/'
test_text spawn gpu/library/spawn.h 's/before -= n;/;/' 's/  tgi_spawn_collect(s);/  ;/'
test_text spawn gpu/resident/family.h 's/if (n > paid \&\& tgi_lane() == 0)/if (n > paid)/' 's/n_made + (is_again \&\& !is_member)/n_made \/ 2/'
exit $rc
