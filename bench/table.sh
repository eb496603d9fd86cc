#!/bin/bash
# Tables in Markdown from the results of bench/run.sh:  bench/table.sh [build/bench/results.tsv]
# A figure is the median over rounds.
set -u
sed -n 's/^# //p' "${1:-build/bench/results.tsv}" | awk '{print "- " $0}'
awk -F '\t' "$(cat "$(dirname "$0")/median.awk")"'
function show(x) { return x == "" ? "-" : x >= 100 ? sprintf("%.0f", x) : x >= 10 ? sprintf("%.1f", x) : sprintf("%.2f", x) }
# One table: rows are (what, threads), columns the systems that have this metric; the ratio is to the
# best peer.
function table(title, metric, more_is_better,    i, j, row, own, best, value, n_peers, line, rule) {
    n_peers = 0
    for (j = 2; j <= n_systems; j++)
        n_peers += has[systems[j], metric]
    line = "| graph | threads | tgraph |"; rule = "|---|--:|--:|"
    for (j = 2; j <= n_systems; j++)
        if (has[systems[j], metric]) { line = line " " systems[j] " |"; rule = rule "--:|" }
    if (n_peers) { line = line " tgraph / best peer |"; rule = rule "--:|" }
    if (!has["tgraph", metric])
        return
    print "\n### " title "\n\n" line "\n" rule
    for (i = 1; i <= n_rows; i++) {
        row = rows[i]
        own = median(row SUBSEP "tgraph" SUBSEP metric)
        if (own == "")
            continue
        split(row, part, SUBSEP)
        line = "| " part[1] " | " part[2] " | " show(own) " |"
        best = ""
        for (j = 2; j <= n_systems; j++) {
            if (!has[systems[j], metric])
                continue
            value = median(row SUBSEP systems[j] SUBSEP metric)
            line = line " " show(value) " |"
            if (value != "" && (best == "" || (more_is_better ? value > best : value < best)))
                best = value
        }
        print line (n_peers == 0 ? "" : best == "" ? " - |" : sprintf(" %.2f |", own / best))
    }
}
BEGIN {
    n_systems = split("tgraph,tbb,gomp,libomp,starpu,by hand,cuMemAllocAsync,cuSOLVER", systems, ",")
}
/^#/ { next }
{
    row = $1 SUBSEP $3
    has[$2, $4] = 1
    if (!(row in known)) { known[row] = 1; rows[++n_rows] = row }
    values[row SUBSEP $2 SUBSEP $4] = values[row SUBSEP $2 SUBSEP $4] " " $5
}
END {
    table("Cost of an empty task, graph reused where the system can (ns)", "ns/task")
    table("First run of a new graph (ns a task; tgraph: freezing included)", "first run ns/task")
    table("Building the graph (ns a task)", "build ns/task")
    table("Freezing (ns a task)", "freeze ns/task")
    table("Memory of the frozen graph (bytes a task)", "bytes/task")
    table("Edges a task, after removing redundant ones", "edges/task")
    table("Task Bench, METG(75 %), graph reused (us)", "METG us reused")
    table("Task Bench, METG(75 %), graph built every time (us)", "METG us built")
    table("Task Bench, METG(75 %), edges inferred from data every time (us)", "METG us inferred")
    table("Tiled Cholesky (GFLOP/s)", "GFLOP/s", 1)
    table("Time a task (us)", "us/task")
    table("Peak memory while loading (bytes a task)", "peak bytes/task")
    table("Whole command (ms)", "ms")
    table("Allocation and release of device memory (ns a pair)", "ns/pair")
    table("Copies (GB/s)", "GB/s", 1)
    table("A pipeline of copies and kernels, times the longer of the two", "times the longer")
    table("Tile kernels on a GPU, one after the other (TFLOP/s)", "TFLOP/s, one at a time", 1)
    table("Tile kernels on a GPU, sixteen at once (TFLOP/s)", "TFLOP/s, all at once", 1)
    table("Cholesky on GPUs, the number of GPUs as threads (TFLOP/s)", "TFLOP/s", 1)
}
' "${1:-build/bench/results.tsv}"
