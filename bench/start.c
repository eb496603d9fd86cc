/* From a process that has a CUDA context to the end of a first run with a kernel given as source: loading the file,
 * opening devices, compiling or finding compiled code, executing.  --file is the graph.
 *
 * The first of the two figures is with an empty cache of kernels, if TGRAPH_CACHE_DIR names an empty folder. */
#include "bench/cuda_bare.h"

#include <stdio.h>

#include "sched/record.h"

static void report_stage(const char *stage, uint64_t *since)
{
    uint64_t now = bench_now_ns();
    bench_report("start", "tgraph", 1, stage, (double)(now - *since) / 1e6);
    *since = now;
}

static double first_run_ms(const char *path)
{
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_load_options load = TG_LOAD_OPTIONS_INIT;
    struct tg_runtime *runtime;
    struct tg_graph *graph;
    struct tg_run *run;
    char opening[512];
    uint64_t begin = bench_now_ns(), since = begin;
    load.n_cuda = 1;
    must(tg_graph_load(path, &load, &graph, &err));
    must(tg_graph_freeze(graph, &err));
    options.devices = "cuda:0";
    report_stage("ms to load and freeze", &since);
    must(tg_runtime_create(&options, &runtime, &err));
    report_stage("ms to open devices", &since);
    tgi_runtime_opening(runtime, opening, sizeof(opening));
    fprintf(stderr, "start: %s\n", opening);
    must(tg_run_create(runtime, graph, NULL, &run, &err));
    report_stage("ms to create the run", &since);
    must(tg_run_execute(run, &err));
    report_stage("ms to execute", &since);
    double ms = (double)(bench_now_ns() - begin) / 1e6;
    tg_run_destroy(run);
    tg_runtime_destroy(runtime);
    tg_graph_destroy(graph);
    return ms;
}

int main(int argc, char **argv)
{
    struct bench_options o = bench_parse(argc, argv);
    uint64_t begin = bench_now_ns();
    if (!o.file)
        bench_die("--file is needed");
    bare_open(0);
    bench_report("start", "tgraph", 1, "ms for a context", (double)(bench_now_ns() - begin) / 1e6);
    bench_report("start", "tgraph", 1, o.what ? "ms to the end of a first run, cached" : "ms to the end of a first run",
                 first_run_ms(o.file));
    bare_close(0);
    return 0;
}
