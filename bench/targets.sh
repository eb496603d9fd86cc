#!/bin/bash
# Our own bounds beside the medians of the last run:  bench/targets.sh [build/bench/results.tsv]
# A bound is on tgraph's figure; `of peer` is the bound as a share of that peer's figure in the same run.
set -u
awk -F '\t' "$(cat "$(dirname "$0")/median.awk")"'
function row(what, threads, metric, value, bound) {
    if (value == "") { n_absent++; return }
    value <= bound ? n_met++ : n_missed++
    printf "| %s | %s | %s | %.4g | %.4g | %s |\n", what, threads, metric, bound, value, value <= bound ? "met" : "**missed**"
}
function check(what, threads, metric, bound) { row(what, threads, metric, median(what SUBSEP threads SUBSEP "tgraph" SUBSEP metric), bound) }
function half_of_tbb(what, threads,    own, peer) {
    own = median(what SUBSEP threads SUBSEP "tgraph" SUBSEP "ns/task")
    peer = median(what SUBSEP threads SUBSEP "tbb" SUBSEP "ns/task")
    if (own != "" && peer != "")
        row(what, threads, "share of oneTBB", own / peer, 0.5)
}
/^#/ { next }
{ values[$1 SUBSEP $3 SUBSEP $2 SUBSEP $4] = values[$1 SUBSEP $3 SUBSEP $2 SUBSEP $4] " " $5; names[$1] = 1 }
END {
    print "| graph | threads | figure | bound | measured | |\n|---|--:|---|--:|--:|---|"
    n = split("independent 20 60 chain 8 8 wavefront 20 15 random 55 60 tree 10 10 fib 15 10", t, " ")
    for (i = 1; i <= n; i += 3)
        for (threads = 1; threads <= 2; threads++)
            check(t[i], threads, "ns/task", t[i + threads])
    for (i = 1; i < n - 2; i += 3)
        for (threads = 1; threads <= 2; threads++)
            half_of_tbb(t[i], threads)
    one = median("join" SUBSEP 1 SUBSEP "tgraph" SUBSEP "ns/task")
    if (one != "")
        check("join", 2, "ns/task", one)
    for (threads = 1; threads <= 2; threads++) {
        check("wavefront", threads, "first run ns/task", 150)
        check("data", threads, "first run ns/task", 150)
    }
    check("wavefront", 1, "bytes/task", 100)
    check("data", 1, "bytes/task", 100)
    n = split("trivial no_comm stencil_1d stencil_1d_periodic dom tree fft all_to_all nearest spread random_nearest", p, " ")
    for (i = 1; i <= n; i++)
        check(p[i], 2, "METG us reused", 0.6)
    for (i = 1; i <= n; i++)
        check(p[i], 2, "METG us built", 1.0)
    check("load jsonl", 1, "us/task", 2.5)
    check("expand cholesky NT=84", 1, "ms", 300)
    printf "\n%d bounds met, %d missed, %d not measured\n", n_met, n_missed, n_absent
}
' "${1:-build/bench/results.tsv}"
