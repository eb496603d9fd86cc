/* Reading graphs: a JSON Lines file (--file), which bench/run.sh generates, with the memory the process
 * needed at its peak beside what the graph itself takes. */
#include "graph/tgraph.h"

#include "bench/must.h"
#include "bench/sample.h"

int main(int argc, char **argv)
{
    struct bench_options o = bench_parse(argc, argv);
    if (!o.file)
        bench_die("--file is missing");
    uint64_t before = bench_peak_bytes();
    struct tg_graph *graph;
    struct bench_sample sample = {{0}, 0};
    uint64_t peak = 0;
    for (uint32_t i = 0; i < o.n_runs; i++) {
        uint64_t begin = bench_now_ns();
        must(tg_graph_load(o.file, NULL, &graph, &err));
        bench_sample_add(&sample, bench_now_ns() - begin);
        if (i == 0)
            peak = bench_peak_bytes();
        if (i + 1 < o.n_runs)
            tg_graph_destroy(graph);
    }
    uint64_t begin = bench_now_ns();
    must(tg_graph_freeze(graph, &err));
    uint64_t freeze_ns = bench_now_ns() - begin;
    struct tg_graph_stats stats;
    must(tg_graph_stats(graph, &stats, &err));
    double n = (double)stats.n_tasks;
    bench_report("load jsonl", "tgraph", 1, "us/task", (double)bench_sample_median(&sample) / 1e3 / n);
    bench_report("load jsonl", "tgraph", 1, "tasks", n);
    bench_report("load jsonl", "tgraph", 1, "edges/task", (double)stats.n_edges / n);
    bench_report("load jsonl", "tgraph", 1, "peak bytes/task", (double)(peak - before) / n);
    bench_report("load jsonl", "tgraph", 1, "frozen bytes/task", (double)stats.memory_bytes / n);
    bench_report("load jsonl", "tgraph", 1, "freeze us/task", (double)freeze_ns / 1e3 / n);
    tg_graph_destroy(graph);
    return 0;
}
