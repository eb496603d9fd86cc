/* Graphs on GPUs against sequential execution on CPUs, in one process, so that the GPUs are opened once: by streams, as a CUDA graph
 * that is replayed, and with fine tasks inside a resident kernel.
 *
 *     run_graphs [--devices cuda:0,1] [--replays N] [--seconds N] GRAPH.json..
 *
 * A start gives what sequential execution gives: bit for bit, or up to rounding where the order of sums is open or a kernel rounds
 * otherwise on a GPU; and every start as a CUDA graph (1,000; the first, each tenth and the last are looked at, the others go on unseen)
 * or resident (20) gives bit for bit what streams gave, unless the order of sums is open.  A run that cannot be a graph says why and
 * is started 20 times.  What has not begun after --seconds (3,600) is told, and counts as failed.
 *
 * A line for each graph, then one for all.  Exits 1 if anything differs or fails, 77 without a GPU. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "graph/model.h"
#include "io/results.h"
#include "io/verify.h"

enum { N_FEW = 20, LOOK_EACH = 10 };

static struct {
    const char *devices;
    uint32_t n_devices, n_replays;
    double seconds;
} options = {"cuda:0", 1, 1000, 3600};

static struct {
    unsigned n_graphs, n_exact, n_rounded, n_failed, n_late;
    unsigned n_as_graph, n_resident;
    uint64_t n_replays;
} all;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- One graph ----------------------------------------------------------------------------*/

struct subject {
    struct tg_graph *graph;
    struct tg_runtime *runtime;
    struct tg_run *sequential, *streams;
    bool is_open;  /* the order in which sums are taken */
    bool is_exact; /* all that has been compared was the same bit for bit */
};

static int expect_near(struct subject *s, const struct tg_run *run, struct tg_error *err)
{
    bool is_exact;
    int rc = tgi_results_compare_sequential(s->graph, run, s->sequential, &is_exact, err);
    s->is_exact &= is_exact;
    return rc;
}
static int expect_same(struct subject *s, const struct tg_run *run, struct tg_error *err)
{
    return s->is_open ? expect_near(s, run, err) : tgi_results_compare(s->graph, run, s->streams, 0, 0, err);
}

static int execute(struct subject *s, bool is_deterministic, struct tg_run **run_p, struct tg_error *err)
{
    struct tg_run_options o = TG_RUN_OPTIONS_INIT;
    o.is_deterministic = is_deterministic;
    o.timeout_ns = 60000000000u;
    int rc = tg_run_create(s->runtime, s->graph, &o, run_p, err);
    return rc ? rc : tg_run_execute(*run_p, err);
}

/* Starts of a run with that executor; which it was is told in text. */
static int repeat(struct subject *s, enum tg_executor executor, char *text, size_t size, struct tg_error *err)
{
    struct tg_run_options o = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    uint32_t n = executor == TG_EXECUTOR_GRAPH ? options.n_replays : N_FEW;
    double begin = now();
    o.executor = executor;
    o.timeout_ns = 60000000000u;
    int rc = tg_run_create(s->runtime, s->graph, &o, &run, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        rc = tg_run_execute(run, err);
        if (rc == 0 && i == 0 && tg_run_executor(run, NULL) == TG_EXECUTOR_STREAMS && n > N_FEW)
            n = N_FEW;
        if (rc == 0 && (i == 0 || i % LOOK_EACH == LOOK_EACH - 1 || i == n - 1))
            rc = expect_same(s, run, err);
    }
    enum tg_executor was = tg_run_executor(run, NULL);
    static const char *const names[] = {"by streams", "as a graph", "resident", "auto"};
    snprintf(text, size, "%s %u in %.2f s", names[was], n, now() - begin);
    if (executor == TG_EXECUTOR_GRAPH && was == TG_EXECUTOR_GRAPH) {
        all.n_as_graph++;
        all.n_replays += n;
    }
    all.n_resident += was == TG_EXECUTOR_RESIDENT;
    tg_run_destroy(run);
    return rc;
}

static int run_all(struct subject *s, char *as_graph, char *resident, size_t size, struct tg_error *err)
{
    int rc = execute(s, true, &s->sequential, err);
    if (rc == 0)
        rc = execute(s, false, &s->streams, err);
    if (rc == 0)
        rc = tgi_verify(s->graph, s->streams, NULL, NULL, err);
    if (rc == 0)
        rc = expect_near(s, s->streams, err);
    if (rc == 0)
        rc = repeat(s, TG_EXECUTOR_GRAPH, as_graph, size, err);
    return rc ? rc : repeat(s, TG_EXECUTOR_RESIDENT, resident, size, err);
}

/* After a failure the context may be lost, so the next graph gets a runtime of its own. */
static bool run_graph(const char *path, struct tg_runtime *runtime)
{
    struct subject s = {.runtime = runtime, .is_exact = true};
    struct tg_load_options lo = TG_LOAD_OPTIONS_INIT;
    struct tg_error err;
    char as_graph[64] = "", resident[64] = "";
    lo.n_cuda = options.n_devices;
    int rc = tg_graph_load(path, &lo, &s.graph, &err);
    if (rc == 0)
        rc = tg_graph_freeze(s.graph, &err);
    if (rc == 0) {
        s.is_open = tgi_results_may_reorder(s.graph);
        rc = run_all(&s, as_graph, resident, sizeof as_graph, &err);
    }
    all.n_graphs++;
    if (rc) {
        all.n_failed++;
        printf("FAIL  %s: %s (%s; %s)\n", path, err.text, as_graph, resident);
    } else {
        all.n_exact += s.is_exact;
        all.n_rounded += !s.is_exact;
        printf("ok    %s: %s; %s, %s\n", path, s.is_exact ? "bit for bit" : "up to rounding", as_graph, resident);
    }
    fflush(stdout);
    tg_run_destroy(s.streams);
    tg_run_destroy(s.sequential);
    tg_graph_destroy(s.graph);
    return rc == 0;
}

/* ---- All of them --------------------------------------------------------------------------*/

static int parse(int argc, char **argv)
{
    int i = 1;
    for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
        if (strcmp(argv[i], "--devices") == 0)
            options.devices = argv[i + 1];
        else if (strcmp(argv[i], "--replays") == 0)
            options.n_replays = (uint32_t)atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--seconds") == 0)
            options.seconds = atof(argv[i + 1]);
        else
            return argc;
    }
    for (const char *c = options.devices; *c && *c != '+'; c++)
        options.n_devices += *c == ',';
    return i;
}

int main(int argc, char **argv)
{
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_runtime *runtime = NULL;
    struct tg_error err;
    double begin = now();
    int i = parse(argc, argv);
    if (i >= argc || options.n_replays < 1) {
        fprintf(stderr, "usage: run_graphs [--devices cuda:0,1] [--replays N] [--seconds N] GRAPH.json..\n");
        return 2;
    }
    ro.devices = options.devices;
    for (; i < argc; i++) {
        if (now() - begin > options.seconds) {
            all.n_late++;
            printf("LATE  %s\n", argv[i]);
            continue;
        }
        int rc = runtime ? 0 : tg_runtime_create(&ro, &runtime, &err);
        if (rc) {
            fprintf(stderr, "run_graphs: %s: %s\n", options.devices, err.text);
            return rc == TG_E_NO_DEVICE || rc == TG_E_NO_LIBRARY ? 77 : 1;
        }
        if (!run_graph(argv[i], runtime)) {
            tg_runtime_destroy(runtime);
            runtime = NULL;
        }
    }
    tg_runtime_destroy(runtime);
    printf("%u graphs on %s in %.0f s: %u bit for bit, %u up to rounding, %u failed, %u not begun; %u were CUDA graphs, started %llu times, %u had"
           " resident kernels\n",
           all.n_graphs, options.devices, now() - begin, all.n_exact, all.n_rounded, all.n_failed, all.n_late, all.n_as_graph,
           (unsigned long long)all.n_replays, all.n_resident);
    return all.n_failed || all.n_late ? 1 : 0;
}
