/* Graphs of fine tasks as runs: the same JSON graph by streams, as a CUDA graph and with its tasks inside a resident kernel, side by
 * side, with the same data at the end, bit for bit; resident with the embedded kernel and with one that NVRTC makes for what
 * the graph uses, while times of all tasks are noted, with all tasks a warp wide, with all that can be a block wide, and as a dynamic program; with the
 * executor left open before and after times are noted, which tells what it took and why, with what it expected.
 *
 *     resident_run [--file GRAPH.json [--param NAME=EXPR].. [--beside NAME=EXPR]..] [--what PATTERN] [--tasks N] [--tile WORDS]
 *                  [--runs N] [--threads GPUS]
 *
 * With several GPUs the tasks are spread over them, with a resident kernel on each and edges of the CUDA graph between these, and once
 * more with kernels that wait for each other (TGRAPH_RESIDENT_SPREAD=on); off for all other rows but those left open.
 *
 * --param sets a parameter of the file.  Tasks fine enough for a resident kernel make a slow CUDA graph, so with --beside the file is
 * measured a second time, with these parameters as well, which should cut the same work into the tiles that suit a graph; the last
 * line compares the resident kernel of the first with the faster of the two graphs.  The one for a step of a transformer decoder:
 *
 *     resident_run --file examples/graphs/decode.json --param CHECK=0 --beside R=E --beside C=T/4 --beside G=1
 *
 * Without a file the graphs are those of `tgraph gen` with hash kernels, N tasks of WORDS 64-bit words (10,000 of 16).  Starts go
 * on with the data of the one before.  A replay is timed on the device, by events around it in its stream, and on the
 * host from the call that starts it to the end of the wait.  The first of each is recorded and not counted.  No wait inside a
 * kernel lasts longer than 10 s or a hundred times what the whole should take. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/must.h"
#include "bench/scratch.h"
#include "graph/model.h"
#include "io/gen.h"
#include "sched/offload_graph.h"

enum {
    N_WARM = 16, /* until an executor that is left open has tried what it wants to, */
    N_STARTS = 100000 /* for which it is told that there will be as many */
};

struct measured {
    double device_ns, wall_ns; /* of a start; device 0: not known */
    double first_ms;           /* recording, planning, making the graph */
    uint64_t digest;
    struct tgi_offload_graph_stats stats;
    enum tg_executor executor;
    char why[768];    /* it was not the executor that was asked for, or was left open; or of what the first cluster's kernel is made */
};

/* Of all data, word by word. */
static uint64_t digest_of(const struct tg_run *run, const struct tg_graph *g)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (uint32_t b = 0; b < g->space->n_buffers; b++)
        for (uint32_t t = 0; t < g->space->buffers[b].n_tiles; t++) {
            const unsigned char *at = tg_run_tile(run, b, t);
            for (size_t i = 0; at && i < g->space->buffers[b].tile_bytes; i++)
                h = (h ^ at[i]) * 0x100000001b3u;
        }
    return h;
}

static void note_kernel(const struct tgi_program *p, struct measured *m)
{
    for (uint32_t i = 0; p && i < p->n; i++)
        if (p->commands[i].kind == TGI_COMMAND_RESIDENT) {
            snprintf(m->why, sizeof m->why, "%s", p->commands[i].cluster->kernel);
            return;
        }
}

static char devices[128]; /* as a runtime takes them */

static struct measured measure(const struct tg_graph *g, enum tg_executor executor, bool is_recorded, uint32_t n_runs)
{
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_run_options run_options = TG_RUN_OPTIONS_INIT;
    struct bench_sample device = {{0}, 0}, wall = {{0}, 0};
    struct measured m = {.device_ns = 0};
    struct tg_runtime *runtime;
    struct tg_run *run;
    const char *why = NULL;
    options.n_workers = 1;
    options.devices = devices;
    run_options.keep_data = true;
    run_options.executor = executor;
    run_options.is_recorded = is_recorded;
    run_options.n_starts_expected = N_STARTS;
    must(tg_runtime_create(&options, &runtime, &err));
    must(tg_run_create(runtime, g, &run_options, &run, &err));
    bool is_timed = executor != TG_EXECUTOR_STREAMS && tgi_offload_graph_time(run, &err) == 0;
    for (uint32_t i = 0; i < N_WARM + n_runs; i++) {
        uint64_t begin = bench_now_ns();
        double ns = 0;
        must(tg_run_execute(run, &err));
        uint64_t end = bench_now_ns();
        if (i == 0)
            m.first_ms = (double)(end - begin) / 1e6;
        if (i < N_WARM)
            continue;
        bench_sample_add(&wall, end - begin);
        if (is_timed && tgi_offload_graph_elapsed(run, &ns, NULL) == 0)
            bench_sample_add(&device, (uint64_t)ns);
    }
    m.executor = tg_run_executor(run, &why);
    snprintf(m.why, sizeof m.why, "%s", why ? why : "");
    if (m.executor == TG_EXECUTOR_RESIDENT && executor != TG_EXECUTOR_AUTO)
        note_kernel(tgi_offload_graph_program(run), &m);
    tgi_offload_graph_stats(run, &m.stats);
    m.wall_ns = (double)bench_sample_median(&wall);
    m.device_ns = device.count ? (double)bench_sample_median(&device) : 0;
    m.digest = digest_of(run, g);
    tg_run_destroy(run);
    tg_runtime_destroy(runtime);
    return m;
}

static const char *name_of(enum tg_executor e)
{
    return e == TG_EXECUTOR_STREAMS ? "streams" : e == TG_EXECUTOR_GRAPH ? "graph" : e == TG_EXECUTOR_AUTO ? "auto" : "resident";
}

static uint32_t n_gpus = 1;

/* Of a start, on the device; 0: not known. */
struct compared {
    double graph_ns, resident_ns;
};

/* Returns false if the data differ. */
static bool compare(const char *name, const struct tg_graph *g, uint32_t n_runs, struct compared *what)
{
    static const struct {
        enum tg_executor executor;
        const char *kernel; /* of TGRAPH_RESIDENT_KERNEL */
        bool is_recorded;
        const char *program; /* of TGRAPH_RESIDENT_PROGRAM, or "warp", "block": TGRAPH_RESIDENT_WIDTH; "spread": TGRAPH_RESIDENT_SPREAD, of several GPUs only */
    } ways[] = {{TG_EXECUTOR_STREAMS, "", false, ""}, {TG_EXECUTOR_GRAPH, "", false, ""}, {TG_EXECUTOR_RESIDENT, "embedded", false, ""},
                {TG_EXECUTOR_RESIDENT, "", false, ""}, {TG_EXECUTOR_AUTO, "", false, ""}, {TG_EXECUTOR_RESIDENT, "", true, ""},
                {TG_EXECUTOR_AUTO, "", false, ""}, {TG_EXECUTOR_RESIDENT, "", false, "warp"}, {TG_EXECUTOR_RESIDENT, "", false, "block"},
                {TG_EXECUTOR_RESIDENT, "", false, "dynamic"}, {TG_EXECUTOR_RESIDENT, "", false, "spread"}};
    uint64_t expected = 0;
    bool is_good = true;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        bool is_spread = strcmp(ways[i].program, "spread") == 0, is_dynamic = strcmp(ways[i].program, "dynamic") == 0;
        if (is_spread && n_gpus == 1)
            continue;
        setenv("TGRAPH_RESIDENT_SPREAD", is_spread || ways[i].executor == TG_EXECUTOR_AUTO ? "on" : "off", 1);
        setenv("TGRAPH_RESIDENT_KERNEL", ways[i].kernel, 1);
        setenv("TGRAPH_RESIDENT_PROGRAM", is_dynamic ? ways[i].program : "", 1);
        setenv("TGRAPH_RESIDENT_WIDTH", is_dynamic || is_spread ? "" : ways[i].program, 1);
        struct measured m = measure(g, ways[i].executor, ways[i].is_recorded, n_runs);
        double n = g->n_tasks;
        char inside[64] = "-", device[32] = "-";
        if (i == 0)
            expected = m.digest;
        if (m.executor == TG_EXECUTOR_RESIDENT)
            snprintf(inside, sizeof inside, "%llu in %u%s, %llu beside", (unsigned long long)m.stats.n_resident, m.stats.n_clusters,
                     m.stats.n_spread ? " on several" : "", (unsigned long long)m.stats.n_nodes);
        if (m.device_ns > 0)
            snprintf(device, sizeof device, "%.1f", m.device_ns / n);
        printf("%-24s %7u  %-8s %12s %12.1f %10.1f  %-26s %s%s%s\n", name, g->n_tasks, name_of(ways[i].executor), device,
               m.wall_ns / n, m.first_ms, inside, m.digest == expected ? "same" : "OTHER BITS", m.why[0] ? "; " : "", m.why);
        fflush(stdout);
        is_good &= m.digest == expected;
        if (m.executor == TG_EXECUTOR_GRAPH && ways[i].executor == TG_EXECUTOR_GRAPH)
            what->graph_ns = m.device_ns;
        if (m.executor == TG_EXECUTOR_RESIDENT && ways[i].executor == TG_EXECUTOR_RESIDENT && !ways[i].kernel[0] && !ways[i].is_recorded &&
            !ways[i].program[0])
            what->resident_ns = m.device_ns; /* of the static program, by the kernel made for it */
    }
    return is_good;
}

static struct tg_graph *load(const char *path, const char *const *params, uint32_t n_params)
{
    struct tg_load_options options = TG_LOAD_OPTIONS_INIT;
    struct tg_graph *g;
    options.params = params;
    options.n_params = n_params;
    options.n_cuda = n_gpus;
    if (tg_graph_load(path, &options, &g, &err) || tg_graph_freeze(g, &err))
        bench_die("%s:%u:%u: %s", err.file, err.line, err.column, err.text);
    return g;
}

/* With --beside the second time. */
static bool compare_file(const struct bench_options *o)
{
    const char *params[2 * BENCH_PARAMS], *slash = strrchr(o->file, '/'), *name = slash ? slash + 1 : o->file;
    struct compared what[2] = {{0, 0}, {0, 0}};
    bool is_good = true;
    memcpy(params, o->params, sizeof o->params);
    memcpy(params + o->n_params, o->beside, sizeof o->beside);
    for (uint32_t i = 0; i < (o->n_beside ? 2u : 1u); i++) {
        struct tg_graph *g = load(o->file, params, o->n_params + (i ? o->n_beside : 0));
        is_good &= compare(name, g, o->n_runs, &what[i]);
        tg_graph_destroy(g);
    }
    double best = what[1].graph_ns > 0 && what[1].graph_ns < what[0].graph_ns ? what[1].graph_ns : what[0].graph_ns;
    if (best > 0 && what[0].resident_ns > 0) {
        printf("%s: resident %.1f us a start, as a graph %.1f us (%.2f times that)", name, what[0].resident_ns / 1e3,
               what[0].graph_ns / 1e3, what[0].graph_ns / what[0].resident_ns);
        if (what[1].graph_ns > 0)
            printf(", cut for a graph %.1f us; the better graph takes %.2f times as long", what[1].graph_ns / 1e3,
                   best / what[0].resident_ns);
        putchar('\n');
    }
    return is_good;
}

static struct tg_graph *generate(const char *pattern, uint64_t n_tasks, uint64_t n_words, uint64_t width)
{
    struct tgi_gen_options o = {.pattern = pattern, .n_tasks = n_tasks, .payload = TGI_GEN_HASH, .bytes = 8 * n_words,
                                .width = width};
    const char *path = bench_scratch_path("graph.json");
    FILE *f = fopen(path, "w");
    if (!f)
        bench_die("cannot write %s", path);
    must(tgi_gen_write(f, &o, &err));
    if (fclose(f))
        bench_die("cannot write %s", path);
    return load(path, NULL, 0);
}

int main(int argc, char **argv)
{
    struct bench_options o = bench_parse(argc, argv);
    static const struct {
        const char *pattern;
        uint64_t width;
    } shapes[] = {{"independent", 0}, {"chain", 1}, {"wavefront", 0}, {"stencil1d", 100}, {"random", 0}};
    bool is_good = true;
    n_gpus = o.n_threads;
    snprintf(devices, sizeof devices, "cuda:0");
    for (uint32_t i = 1; i < n_gpus && i < 16; i++)
        snprintf(devices + strlen(devices), sizeof devices - strlen(devices), ",%u", i);
    printf("%-24s %7s  %-8s %12s %12s %10s  %-26s %s\n", "graph", "tasks", "executor", "device ns/t", "host ns/t", "first ms",
           "resident", "data");
    if (o.file)
        is_good = compare_file(&o);
    for (size_t i = 0; !o.file && i < sizeof shapes / sizeof *shapes; i++) {
        if (o.what && strcmp(o.what, shapes[i].pattern) != 0)
            continue;
        uint64_t n = o.n_tasks ? o.n_tasks : 10000;
        struct tg_graph *g = generate(shapes[i].pattern, shapes[i].width == 1 && !o.n_tasks ? n / 10 : n, o.tile ? o.tile : 16,
                                      shapes[i].width);
        struct compared what = {0, 0};
        is_good &= compare(shapes[i].pattern, g, o.n_runs, &what);
        tg_graph_destroy(g);
    }
    return is_good ? 0 : 1;
}
