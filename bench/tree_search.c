/* A tree search whose tasks make tasks (examples/graphs/queens.json), in nodes per second, beside the same search by one thread of the host and
 * by a launch that cuts the tree into equal numbers of threads before it knows how much is in each.
 *
 *     tree_search [--file examples/graphs/queens.json] [--n N] [--tile ROWS] [--runs N]
 *
 * N queens (15); ROWS at the end of the board are one task's affair; without --tile the bench tries several.  A node is a queen that
 * was placed.  All ways must find as many solutions as are known (OEIS A000170) and place as many queens as the host.  A start is timed
 * on the host, from the call to the end of the wait, and on the device by events around the graph; nodes per second are by the latter where
 * it is known.  A kernel in which no task ends for 10 s ends itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/must.h"
#include "graph/model.h"
#include "sched/offload_graph.h"

enum { N_WARM = 2, MOST_N = 18 };

static const uint64_t known[MOST_N + 1] = {1,    1,     0,     0,      2,       10,      4,        40,       92,       352,
                                           724,  2680,  14200, 73712,  365596,  2279184, 14772512, 95815104, 666090624};

struct searched {
    uint64_t solutions, nodes;
    double wall_ns, device_ns; /* of a start; device 0: not known */
    enum tg_executor executor;
    char why[256]; /* it was not the executor that was asked for; or of what the kernel is made */
};

static struct tg_graph *load(const char *path, uint32_t n, uint32_t leaf)
{
    char text[2][32];
    const char *params[] = {text[0], text[1]};
    struct tg_load_options options = TG_LOAD_OPTIONS_INIT;
    struct tg_graph *g;
    snprintf(text[0], sizeof text[0], "N=%u", n);
    snprintf(text[1], sizeof text[1], "LEAF=%u", leaf);
    options.n_params = 2;
    options.params = params;
    must(tg_graph_load(path, &options, &g, &err));
    must(tg_graph_freeze(g, &err));
    return g;
}

/* devices NULL: by one thread of the host. */
static struct searched search(const struct tg_graph *g, const char *devices, enum tg_executor executor, uint32_t n_runs)
{
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_run_options run_options = TG_RUN_OPTIONS_INIT;
    struct bench_sample device = {{0}, 0}, wall = {{0}, 0};
    struct searched s = {.nodes = 0};
    struct tg_runtime *runtime;
    struct tg_run *run;
    const char *why = NULL;
    bool is_graph = executor != TG_EXECUTOR_STREAMS;
    uint32_t n_warm = devices ? N_WARM : 1; /* compiles, records */
    options.n_workers = 1;
    options.devices = devices;
    run_options.executor = executor;
    must(tg_runtime_create(&options, &runtime, &err));
    must(tg_run_create(runtime, g, &run_options, &run, &err));
    bool is_timed = is_graph && tgi_offload_graph_time(run, &err) == 0;
    for (uint32_t i = 0; i < n_warm + n_runs; i++) {
        uint64_t begin = bench_now_ns();
        double ns = 0;
        must(tg_run_execute(run, &err));
        if (i < n_warm)
            continue;
        bench_sample_add(&wall, bench_now_ns() - begin);
        if (is_timed && tgi_offload_graph_elapsed(run, &ns, NULL) == 0)
            bench_sample_add(&device, (uint64_t)ns);
    }
    const uint64_t *found = tg_run_tile(run, 0, 0);
    if (!found)
        bench_die("there is no result");
    s.solutions = found[0];
    s.nodes = found[1];
    s.executor = tg_run_executor(run, &why);
    snprintf(s.why, sizeof s.why, "%s", why ? why : "");
    const struct tgi_program *p = is_graph && s.executor == TG_EXECUTOR_RESIDENT ? tgi_offload_graph_program(run) : NULL;
    for (uint32_t i = 0; p && i < p->n; i++)
        if (p->commands[i].kind == TGI_COMMAND_RESIDENT)
            snprintf(s.why, sizeof s.why, "%s", p->commands[i].cluster->kernel);
    s.wall_ns = (double)bench_sample_median(&wall);
    s.device_ns = device.count ? (double)bench_sample_median(&device) : 0;
    tg_run_destroy(run);
    tg_runtime_destroy(runtime);
    return s;
}

/* False: it has found something else than there is. */
static bool print(const char *way, uint32_t n, uint32_t leaf, const struct searched *s, const struct searched *host)
{
    bool is_good = s->solutions == known[n] && s->nodes == host->nodes;
    double ns = s->device_ns > 0 ? s->device_ns : s->wall_ns;
    char rows[16] = "-", device[32] = "-";
    if (leaf)
        snprintf(rows, sizeof rows, "%u", leaf);
    if (s->device_ns > 0)
        snprintf(device, sizeof device, "%.3f", s->device_ns / 1e6);
    printf("%-10s %3u %5s %12.3f %12s %12.1f %8.2f  %s%s%s\n", way, n, rows, s->wall_ns / 1e6, device, (double)s->nodes / ns * 1e3,
           host->wall_ns / ns, is_good ? "exact" : "WRONG", s->why[0] ? "; " : "", s->why);
    fflush(stdout);
    return is_good;
}

int main(int argc, char **argv)
{
    struct bench_options o = bench_parse(argc, argv);
    const char *path = o.file ? o.file : "examples/graphs/queens.json";
    uint32_t n = o.n ? (uint32_t)o.n : 15;
    if (n < 4 || n > MOST_N)
        bench_die("N is 4 to %d", MOST_N);
    printf("%-10s %3s %5s %12s %12s %12s %8s\n", "search", "N", "rows", "host ms", "device ms", "Mnodes/s", "speed-up");
    struct tg_graph *g = load(path, n, n);
    struct searched host = search(g, NULL, TG_EXECUTOR_STREAMS, 1);
    bool is_good = print("host", n, 0, &host, &host);
    struct searched flat = search(g, "cuda:0", TG_EXECUTOR_GRAPH, o.n_runs);
    is_good &= print("launch", n, 0, &flat, &host);
    tg_graph_destroy(g);
    for (uint32_t leaf = o.tile ? (uint32_t)o.tile : n - 3, i = 0; leaf >= 2 && i < (o.tile ? 1 : 5); i++, leaf--) {
        g = load(path, n, leaf);
        struct searched s = search(g, "cuda:0", TG_EXECUTOR_RESIDENT, o.n_runs);
        is_good &= print("spawn", n, leaf, &s, &host);
        is_good &= s.executor == TG_EXECUTOR_RESIDENT;
        tg_graph_destroy(g);
    }
    return is_good ? 0 : 1;
}
