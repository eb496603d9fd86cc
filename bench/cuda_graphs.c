/* Whole DAGs as CUDA graphs: what tgraph makes of them beside graphs of the same DAGs made by hand, with explicit nodes and
 * exactly the DAG's edges, of the same kernel, in the same run.
 *
 * --what chain, fan, wavefront or random takes one shape, rows the comparison with streams, widths the fan
 * with fewer kernels side by side; --tasks the number of kernels (1,000 and 10,000 if not given).  Kernels do nothing; "5 us" are kernels that keep one multiprocessor busy for 5 us, in rows of which each comes after two of
 * the row before, by the stream executor and as a graph.  A replay is timed on the device, by events around it in its stream,
 * and on the host from the call that starts it to the end of the wait. */
#include "bench/cuda_bare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/own_kernel.h"
#include "bench/scratch.h"
#include "sched/offload_graph.h"

enum { MAX_DEPS = 4, WINDOW = 200, ROW = 32, N_WARM = 3 };

/* ---- Shapes -------------------------------------------------------------------------------*/

struct dag {
    char name[48];
    uint32_t n, n_edges;
    uint32_t *first, *pred; /* predecessors of task t: pred[first[t] .. first[t + 1]) */
};

static struct dag dag_new(const char *name, uint32_t n, size_t most_edges)
{
    struct dag d = {.n = n, .first = calloc((size_t)n + 1, sizeof *d.first), .pred = malloc((most_edges + 1) * sizeof *d.pred)};
    if (!d.first || !d.pred)
        bench_die("no memory for a graph of %u tasks", n);
    snprintf(d.name, sizeof d.name, "%s %u", name, n);
    return d;
}

static void dag_free(struct dag *d)
{
    free(d->first);
    free(d->pred);
}

static void depend(struct dag *d, uint32_t on) { d->pred[d->n_edges++] = on; }
static void next_task(struct dag *d, uint32_t t) { d->first[t + 1] = d->n_edges; }

static struct dag make_chain(uint32_t n)
{
    struct dag d = dag_new("chain", n, n);
    for (uint32_t t = 0; t < n; t++) {
        if (t)
            depend(&d, t - 1);
        next_task(&d, t);
    }
    return d;
}

/* One root, one join. */
static struct dag make_fan(uint32_t n)
{
    struct dag d = dag_new("fan", n, 2 * (size_t)n);
    for (uint32_t t = 0; t < n; t++) {
        for (uint32_t k = 1; t == n - 1 && k + 1 < n; k++)
            depend(&d, k);
        if (t && t < n - 1)
            depend(&d, 0);
        next_task(&d, t);
    }
    return d;
}

static struct dag make_wavefront(uint32_t n)
{
    uint32_t side = 1;
    while (side * side < n)
        side++;
    struct dag d = dag_new("wavefront", side * side, 2 * (size_t)side * side);
    for (uint32_t t = 0; t < d.n; t++) {
        if (t >= side)
            depend(&d, t - side);
        if (t % side)
            depend(&d, t - 1);
        next_task(&d, t);
    }
    return d;
}

/* Up to four predecessors among the two hundred tasks before. */
static struct dag make_random(uint32_t n)
{
    struct dag d = dag_new("random", n, (size_t)MAX_DEPS * n);
    uint64_t state = 1;
    for (uint32_t t = 0; t < n; t++) {
        uint32_t window = t < WINDOW ? t : WINDOW;
        for (uint32_t k = 0; window && k < MAX_DEPS; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            uint32_t on = t - 1 - (uint32_t)(state >> 33) % window;
            bool is_new = true;
            for (uint32_t i = d.first[t]; i < d.n_edges; i++)
                is_new = is_new && d.pred[i] != on;
            if (is_new)
                depend(&d, on);
        }
        next_task(&d, t);
    }
    return d;
}

/* Each comes after itself and its neighbour in the row before. */
static struct dag make_rows(uint32_t n)
{
    struct dag d = dag_new("rows", n, 2 * (size_t)n);
    for (uint32_t t = 0; t < n; t++) {
        if (t >= ROW) {
            depend(&d, t - ROW);
            depend(&d, t - ROW - t % ROW + (t + 1) % ROW);
        }
        next_task(&d, t);
    }
    return d;
}

/* ---- The kernel ---------------------------------------------------------------------------*/

static const char ptx[] = ".version 7.0\n.target sm_80\n.address_size 64\n"
                          ".visible .entry burn(.param .u64 cycles)\n{\n"
                          ".reg .u64 %rd<4>;\n.reg .pred %p<2>;\n"
                          "ld.param.u64 %rd1, [cycles];\nsetp.eq.u64 %p1, %rd1, 0;\n@%p1 bra done;\n"
                          "mov.u64 %rd2, %clock64;\nagain:\nmov.u64 %rd3, %clock64;\nsub.u64 %rd3, %rd3, %rd2;\n"
                          "setp.lt.u64 %p1, %rd3, %rd1;\n@%p1 bra again;\ndone:\nret;\n}\n";
static bool is_real(void) { return getenv("TGRAPH_CUDA_DRIVER") == NULL; }
static const char *image_path; /* a file with what image() says */
static const char *image(void) { return is_real() ? ptx : "standin 1\nkernel burn\n"; }

/* ---- tgraph -------------------------------------------------------------------------------*/

static struct tg_graph *build(const struct dag *d, uint64_t cycles)
{
    static const struct tg_param param = {.name = "cycles", .access = TG_SCALAR, .dtype = TG_I64};
    struct tg_graph *graph;
    struct tg_task_spec task = TG_TASK_SPEC_INIT;
    const struct tg_arg arg = tg_arg_int((int64_t)cycles);
    must(tg_graph_create(d->name, &graph, &err));
    task.kernel = bench_add_kernel(graph, "burn", &param, image_path);
    task.n_args = 1;
    task.args = &arg;
    task.on = "cuda";
    for (uint32_t t = 0; t < d->n; t++) {
        task.n_after = d->first[t + 1] - d->first[t];
        task.after = d->pred + d->first[t];
        must(tg_graph_add_task(graph, &task, NULL, &err));
    }
    must(tg_graph_freeze(graph, &err));
    return graph;
}

struct timer {
    CUstream stream;
    CUevent begin, end;
};

static void timer_open(struct timer *t)
{
    DO(cuStreamCreate, (&t->stream, CU_STREAM_NON_BLOCKING));
    DO(cuEventCreate, (&t->begin, 0));
    DO(cuEventCreate, (&t->end, 0));
}

static void timer_close(struct timer *t)
{
    api->cuEventDestroy(t->begin);
    api->cuEventDestroy(t->end);
    api->cuStreamDestroy(t->stream);
}

static uint64_t timer_read(const struct timer *t)
{
    float ms;
    DO(cuEventSynchronize, (t->end));
    DO(cuEventElapsedTime, (&ms, t->begin, t->end));
    return (uint64_t)(ms * 1e6f);
}

struct figures {
    double device_us, wall_us, host_us, instantiate_us; /* of one replay; host: until it is enqueued */
};

static void expect_executor(const struct tg_run *run, enum tg_executor executor)
{
    const char *why;
    if (tg_run_executor(run, &why) != executor)
        bench_die("not executed as it was asked for: %s", why ? why : "no reason");
}

/* is_timed: by events on the device, which the host's figures are not to hold. */
static struct figures measure_runs(struct tg_runtime *runtime, struct tg_graph *graph, enum tg_executor executor, bool is_timed,
                                   uint32_t n_runs)
{
    struct tg_run_options run_options = TG_RUN_OPTIONS_INIT;
    struct bench_sample device = {{0}, 0}, wall = {{0}, 0}, host = {{0}, 0};
    struct tgi_offload_graph_stats stats;
    struct tg_run *run;
    run_options.keep_data = true;
    run_options.executor = executor;
    must(tg_run_create(runtime, graph, &run_options, &run, &err));
    if (is_timed)
        must(tgi_offload_graph_time(run, &err));
    for (uint32_t i = 0; i < N_WARM + n_runs; i++) {
        uint64_t begin = bench_now_ns();
        double ns = 0;
        must(tg_run_execute(run, &err));
        if (i < N_WARM)
            continue;
        bench_sample_add(&wall, bench_now_ns() - begin);
        if (is_timed)
            must(tgi_offload_graph_elapsed(run, &ns, &err));
        bench_sample_add(&device, (uint64_t)ns);
        tgi_offload_graph_stats(run, &stats);
        bench_sample_add(&host, stats.launch_ns);
    }
    expect_executor(run, executor);
    tg_run_destroy(run);
    return (struct figures){(double)bench_sample_median(&device) / 1e3, (double)bench_sample_median(&wall) / 1e3,
                            (double)bench_sample_median(&host) / 1e3,
                            (double)(stats.record_ns + stats.instantiate_ns) / 1e3};
}

static struct figures measure_tgraph(const struct dag *d, uint64_t cycles, enum tg_executor executor, uint32_t n_runs)
{
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_graph *graph = build(d, cycles);
    struct tg_runtime *runtime;
    options.n_workers = 1;
    options.devices = "cuda:0";
    must(tg_runtime_create(&options, &runtime, &err));
    struct figures f = measure_runs(runtime, graph, executor, false, n_runs);
    if (executor == TG_EXECUTOR_GRAPH)
        f.device_us = measure_runs(runtime, graph, executor, true, n_runs).device_us;
    tg_runtime_destroy(runtime);
    tg_graph_destroy(graph);
    return f;
}

/* ---- By hand ------------------------------------------------------------------------------*/

/* The DAG as a program, of which tasks are launches; narrowed if width is not 0. */
static struct tgi_program program_of(const struct dag *d, uint32_t width)
{
    struct tgi_program wide = {0}, narrow = {0};
    for (uint32_t t = 0; t < d->n; t++) {
        struct tgi_command c = {.kind = TGI_COMMAND_LAUNCH, .owner = t};
        uint32_t id;
        must(tgi_program_add(&wide, &c, d->pred + d->first[t], d->first[t + 1] - d->first[t], &id, &err));
    }
    if (width == 0)
        return wide;
    must(tgi_program_narrow(&wide, width, &narrow, &err));
    tgi_program_fini(&wide);
    return narrow;
}

static CUgraphExec instantiate(const struct dag *d, uint32_t width, CUfunction f, uint64_t cycles, double *us_p)
{
    struct tgi_program p = program_of(d, width);
    void *args[] = {&cycles};
    CUDA_KERNEL_NODE_PARAMS params = {.func = f, .gridDimX = 1, .gridDimY = 1, .gridDimZ = 1, .blockDimX = 1, .blockDimY = 1,
                                      .blockDimZ = 1, .kernelParams = args};
    CUgraphNode *nodes = malloc(p.n * sizeof *nodes), *after = malloc(((size_t)p.n + 1) * sizeof *after);
    CUgraph graph;
    CUgraphExec exec;
    uint64_t begin = bench_now_ns();
    DO(cuGraphCreate, (&graph, 0));
    for (uint32_t t = 0; t < p.n; t++) {
        const struct tgi_command *c = &p.commands[t];
        for (uint32_t i = 0; i < c->n_deps; i++)
            after[i] = nodes[p.deps[c->first_dep + i]];
        if (c->kind == TGI_COMMAND_LAUNCH)
            DO(cuGraphAddKernelNode, (&nodes[t], graph, after, c->n_deps, &params));
        else
            DO(cuGraphAddEmptyNode, (&nodes[t], graph, after, c->n_deps));
    }
    DO(cuGraphInstantiateWithFlags, (&exec, graph, 0));
    *us_p = (double)(bench_now_ns() - begin) / 1e3;
    api->cuGraphDestroy(graph);
    tgi_program_fini(&p);
    free(nodes);
    free(after);
    return exec;
}

static struct figures measure_by_hand(const struct dag *d, uint32_t width, uint64_t cycles, uint32_t n_runs)
{
    struct bench_sample device = {{0}, 0}, wall = {{0}, 0}, host = {{0}, 0};
    struct figures figures;
    struct timer timer;
    CUmodule module;
    CUfunction f;
    DO(cuModuleLoadData, (&module, image()));
    DO(cuModuleGetFunction, (&f, module, "burn"));
    timer_open(&timer);
    CUgraphExec exec = instantiate(d, width, f, cycles, &figures.instantiate_us);
    for (uint32_t i = 0; i < N_WARM + n_runs; i++) {
        DO(cuEventRecord, (timer.begin, timer.stream));
        uint64_t begin = bench_now_ns();
        DO(cuGraphLaunch, (exec, timer.stream));
        uint64_t launched = bench_now_ns();
        DO(cuEventRecord, (timer.end, timer.stream));
        DO(cuStreamSynchronize, (timer.stream));
        if (i < N_WARM)
            continue;
        bench_sample_add(&wall, bench_now_ns() - begin);
        bench_sample_add(&host, launched - begin);
        bench_sample_add(&device, timer_read(&timer));
    }
    figures.device_us = (double)bench_sample_median(&device) / 1e3;
    figures.wall_us = (double)bench_sample_median(&wall) / 1e3;
    figures.host_us = (double)bench_sample_median(&host) / 1e3;
    api->cuGraphExecDestroy(exec);
    timer_close(&timer);
    api->cuModuleUnload(module);
    return figures;
}

/* ---- Comparing ----------------------------------------------------------------------------*/

static void report(const struct dag *d, const char *system, const struct figures *f)
{
    bench_report(d->name, system, 1, "us/replay on the device", f->device_us);
    bench_report(d->name, system, 1, "us/replay", f->wall_us);
    bench_report(d->name, system, 1, "us to launch", f->host_us);
    bench_report(d->name, system, 1, "us/node to instantiate", f->instantiate_us / d->n);
}

static void compare(struct dag d, uint32_t n_runs)
{
    struct figures ours = measure_tgraph(&d, 0, TG_EXECUTOR_GRAPH, n_runs), theirs = measure_by_hand(&d, 0, 0, n_runs);
    report(&d, "tgraph", &ours);
    report(&d, "by hand", &theirs);
    bench_report(d.name, "tgraph/by hand", 1, "replay on the device", ours.device_us / theirs.device_us);
    dag_free(&d);
}

static void compare_executors(uint32_t n, uint32_t n_runs)
{
    enum { CYCLES = 9900 }; /* 5 us at 1.98 GHz */
    struct dag d = make_rows(n);
    struct figures streams = measure_tgraph(&d, CYCLES, TG_EXECUTOR_STREAMS, n_runs),
                   graph = measure_tgraph(&d, CYCLES, TG_EXECUTOR_GRAPH, n_runs),
                   by_hand = measure_by_hand(&d, 0, CYCLES, n_runs);
    snprintf(d.name, sizeof d.name, "5 us, two before, %u", n);
    bench_report(d.name, "streams", 1, "us/run", streams.wall_us);
    bench_report(d.name, "graph", 1, "us/run", graph.wall_us);
    bench_report(d.name, "graph by hand", 1, "us/run", by_hand.wall_us);
    bench_report(d.name, "streams/graph", 1, "time", streams.wall_us / graph.wall_us);
    dag_free(&d);
}

/* A fan whose kernels are laid into chains, at most so many side by side. */
static void measure_widths(uint32_t n, uint32_t n_runs)
{
    static const uint32_t widths[] = {0, 16, 32, 64, 128, 256, 512};
    struct dag d = make_fan(n);
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        struct figures f = measure_by_hand(&d, widths[i], 0, n_runs);
        char system[32];
        snprintf(system, sizeof system, widths[i] ? "width %u" : "as it is", widths[i]);
        report(&d, system, &f);
    }
    dag_free(&d);
}

static void measure_size(const struct bench_options *o, uint32_t n)
{
    static const struct {
        const char *name;
        struct dag (*make)(uint32_t n);
    } shapes[] = {{"chain", make_chain}, {"fan", make_fan}, {"wavefront", make_wavefront}, {"random", make_random}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (!o->what || strcmp(o->what, shapes[i].name) == 0)
            compare(shapes[i].make(n), o->n_runs);
    if (!o->what || strcmp(o->what, "rows") == 0)
        compare_executors(n, o->n_runs);
    if (!o->what || strcmp(o->what, "widths") == 0)
        measure_widths(n, o->n_runs);
}

int main(int argc, char **argv)
{
    struct bench_options o = bench_parse(argc, argv);
    image_path = bench_scratch_file("burn.ptx", image());
    bare_open(0);
    if (o.n_tasks) {
        measure_size(&o, o.n_tasks);
    } else {
        measure_size(&o, 1000);
        measure_size(&o, 10000);
    }
    bare_close(0);
    return 0;
}
