#!/bin/bash
# The tests of the resident executor's and the service's text would notice if an order of memory were missing: each is taken away in turn,
# and ThreadSanitizer has to report a race.  With all of them there is none.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -n "${SAN:-}" ]; then
    echo "the release build does this"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags=(-std=gnu11 -O1 -g -D_GNU_SOURCE= -I. -fsanitize=thread -pthread)
echo 'int main(void) { return 0; }' >"$work/empty.c"
if ! "${CC:-gcc}" "${flags[@]}" -o "$work/empty" "$work/empty.c" 2>/dev/null || ! "$work/empty"; then
    echo "this compiler has no thread sanitizer"
    exit 77
fi
for source in graph/error mem/cluster sched/resident_check sched/resident_dynamic sched/resident_place sched/resident_plan; do
    "${CC:-gcc}" "${flags[@]}" -c -o "$work/${source//\//_}.o" $source.c
done

run() { # TEST [DEFINE]: the number of reports
    "${CC:-gcc}" "${flags[@]}" ${2:+"$2"} -o "$work/test" tests/test_"$1".c "$work"/*.o -lcmocka
    "$work/test" >"$work/out" 2>&1 || true
    grep -c 'WARNING: ThreadSanitizer: data race' "$work/out" || true
}
rc=0
for test in resident resident_block resident_dynamic resident_family resident_peers service_ring; do
    if [ "$(run $test)" != 0 ]; then
        echo "FAIL  test_$test has races"
        cat "$work/out"
        rc=1
    fi
    scope=$([ $test = service_ring ] && echo SYS_ || true)
    for order in ACQUIRE RELEASE $([ $test = resident_peers ] && echo FAR_ACQUIRE FAR_RELEASE || true); do
        if [ "$(run $test -DTGI_$scope$order=__ATOMIC_RELAXED)" = 0 ]; then
            echo "FAIL  test_$test does not notice that $order is missing"
            rc=1
        fi
    done
done
for test in resident_dynamic resident_family; do
    if [ "$(run $test -DTGI_ACQ_REL=__ATOMIC_RELAXED)" = 0 ]; then
        echo "FAIL  test_$test does not notice that ACQ_REL is missing"
        rc=1
    fi
done
# The device library: the orders that each part uses.  One report is enough.
export TSAN_OPTIONS="halt_on_error=1 ${TSAN_OPTIONS:-}"
while read -r test orders; do
    if [ "$(run "$test")" != 0 ]; then
        echo "FAIL  test_$test has races"
        cat "$work/out"
        rc=1
    fi
    for order in $orders; do
        if [ "$(run "$test" -DTGI_$order=__ATOMIC_RELAXED)" = 0 ]; then
            echo "FAIL  test_$test does not notice that $order is missing"
            rc=1
        fi
    done
done <<'END'
library_channel ACQUIRE RELEASE ACQ_REL
library_gang ACQUIRE RELEASE ACQ_REL
library_memory RELEASE ACQ_REL
library_report ACQUIRE RELEASE
END
exit $rc
