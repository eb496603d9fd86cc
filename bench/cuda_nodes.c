/* What nodes of a CUDA graph cost, by hand: to instantiate by how many edges they have and how large the graph is, and to time.
 *
 * --what edges: random graphs of so many predecessors a node, as they are and laid into 128 chains.
 * --what widths: the one of four predecessors in fewer chains, which has fewer edges.
 * --what cuts: one random graph as several that are launched one after the other, whose edges between parts are thereby implied.
 * --what stamps: how finely the device's clocks tell time, and what it costs to time every node: by event record nodes, and by
 * kernels of one thread that read %globaltimer.
 * --tasks is the number of nodes, 10,000 if it is not given.  Kernels do nothing. */
#include "bench/cuda_bare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/shape.h"
#include "mem/program.h"

enum { WINDOW = 200, WIDTH = 128, N_WARM = 3, MOST_PARTS = 64 };

static const char ptx[] = ".version 7.0\n.target sm_80\n.address_size 64\n"
                          ".visible .entry burn()\n{\nret;\n}\n"
                          ".visible .entry stamp(.param .u64 to)\n{\n.reg .u64 %rd<3>;\n"
                          "ld.param.u64 %rd1, [to];\nmov.u64 %rd2, %globaltimer;\nst.global.u64 [%rd1], %rd2;\nret;\n}\n"
                          /* the smallest step that the clock was seen to make */
                          ".visible .entry ticks(.param .u64 to)\n{\n.reg .u64 %rd<6>;\n.reg .u32 %r<2>;\n.reg .pred %p<3>;\n"
                          "ld.param.u64 %rd1, [to];\nmov.u64 %rd5, 0x7fffffffffffffff;\nmov.u32 %r1, 1000000;\n"
                          "mov.u64 %rd2, %globaltimer;\nagain:\nmov.u64 %rd3, %globaltimer;\nsub.u64 %rd4, %rd3, %rd2;\n"
                          "setp.eq.u64 %p1, %rd4, 0;\n@%p1 bra same;\nmin.u64 %rd5, %rd5, %rd4;\nmov.u64 %rd2, %rd3;\nsame:\n"
                          "sub.u32 %r1, %r1, 1;\nsetp.ne.u32 %p2, %r1, 0;\n@%p2 bra again;\nst.global.u64 [%rd1], %rd5;\nret;\n}\n";

static bool is_real(void) { return getenv("TGRAPH_CUDA_DRIVER") == NULL; }

enum stamping { NO_STAMPS, BY_EVENTS, BY_KERNELS, N_STAMPINGS };
static const char *const stamping_names[N_STAMPINGS] = {"as it is", "timed by events", "timed by kernels"};

struct kernels { /* all NULL: the stand-in driver has none of them, its nodes are empty */
    CUmodule module;
    CUfunction burn, stamp, ticks;
};

static struct kernels kernels_load(void)
{
    struct kernels k = {0};
    if (!is_real())
        return k;
    DO(cuModuleLoadData, (&k.module, ptx));
    DO(cuModuleGetFunction, (&k.burn, k.module, "burn"));
    DO(cuModuleGetFunction, (&k.stamp, k.module, "stamp"));
    DO(cuModuleGetFunction, (&k.ticks, k.module, "ticks"));
    return k;
}

/* ---- Graphs -------------------------------------------------------------------------------*/

/* Of `n_before` predecessors each, among the two hundred before. */
static struct bench_shape make_random(uint32_t n, uint32_t n_before)
{
    struct bench_shape s = {.name = "random", .first = calloc((size_t)n + 1, sizeof *s.first),
                            .pred = malloc(((size_t)n * n_before + 1) * sizeof *s.pred)};
    uint64_t state = 1;
    if (!s.first || !s.pred)
        bench_die("no memory for a graph of %u nodes", n);
    for (uint32_t t = 0; t < n; t++) {
        uint32_t window = t < WINDOW ? t : WINDOW;
        for (uint32_t k = 0; window && k < n_before; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            uint32_t on = t - 1 - (uint32_t)(state >> 33) % window;
            bool is_new = true;
            for (uint32_t i = s.first[t]; i < s.n_edges; i++)
                is_new = is_new && s.pred[i] != on;
            if (is_new)
                s.pred[s.n_edges++] = on;
        }
        s.first[++s.n_tasks] = s.n_edges;
    }
    return s;
}

/* Without the edges that others imply; narrowed if width is not 0. */
static struct tgi_program program_of(const struct bench_shape *s, uint32_t width)
{
    struct tgi_program wide = {0}, narrow = {0};
    for (uint32_t t = 0; t < s->n_tasks; t++) {
        struct tgi_command c = {.kind = TGI_COMMAND_LAUNCH, .owner = t};
        uint32_t id;
        must(tgi_program_add(&wide, &c, s->pred + s->first[t], s->first[t + 1] - s->first[t], &id, &err));
    }
    if (width == 0)
        return wide;
    must(tgi_program_narrow(&wide, width, &narrow, &err));
    tgi_program_fini(&wide);
    return narrow;
}

struct part {
    CUgraph graph;
    CUgraphExec exec;
};

/* A program as one graph or several, with what timed it. */
struct timed {
    uint32_t n, n_parts;
    struct part parts[MOST_PARTS];
    CUgraphNode *nodes;      /* what others come after */
    CUevent *begin, *end;    /* by node; NULL: not by events */
    CUdeviceptr stamps;      /* two for each node; 0: not by kernels */
    double add_us, instantiate_us, upload_us;
};

static CUgraphNode add_kernel(CUgraph graph, CUfunction f, CUgraphNode *after, size_t n_after, uint64_t arg)
{
    void *args[] = {&arg};
    CUDA_KERNEL_NODE_PARAMS params = {.func = f, .gridDimX = 1, .gridDimY = 1, .gridDimZ = 1, .blockDimX = 1, .blockDimY = 1,
                                      .blockDimZ = 1, .kernelParams = args};
    CUgraphNode node;
    if (f)
        DO(cuGraphAddKernelNode, (&node, graph, after, n_after, &params));
    else
        DO(cuGraphAddEmptyNode, (&node, graph, after, n_after));
    return node;
}

static void add_node(struct timed *t, const struct kernels *k, CUgraph graph, uint32_t i, CUgraphNode *after, size_t n_after)
{
    CUgraphNode node;
    if (t->begin) {
        DO(cuGraphAddEventRecordNode, (&node, graph, after, n_after, t->begin[i]));
        node = add_kernel(graph, k->burn, &node, 1, 0);
        DO(cuGraphAddEventRecordNode, (&t->nodes[i], graph, &node, 1, t->end[i]));
    } else if (t->stamps) {
        node = add_kernel(graph, k->stamp, after, n_after, t->stamps + 16 * (uint64_t)i);
        node = add_kernel(graph, k->burn, &node, 1, 0);
        t->nodes[i] = add_kernel(graph, k->stamp, &node, 1, t->stamps + 16 * (uint64_t)i + 8);
    } else {
        t->nodes[i] = add_kernel(graph, k->burn, after, n_after, 0);
    }
}

/* What comes before the part has been launched before it. */
static void add_part(struct timed *t, const struct kernels *k, const struct tgi_program *p, CUgraph graph, uint32_t from, uint32_t to)
{
    CUgraphNode *after = malloc(((size_t)p->n + 1) * sizeof *after);
    for (uint32_t i = from; i < to; i++) {
        const struct tgi_command *c = &p->commands[i];
        size_t n_after = 0;
        for (uint32_t d = c->first_dep; d < c->first_dep + c->n_deps; d++)
            if (p->deps[d] >= from)
                after[n_after++] = t->nodes[p->deps[d]];
        add_node(t, k, graph, i, after, n_after);
    }
    free(after);
}

static void prepare_stamps(struct timed *t, enum stamping stamping)
{
    if (stamping == BY_KERNELS)
        DO(cuMemAlloc, (&t->stamps, 16 * (size_t)t->n));
    if (stamping != BY_EVENTS)
        return;
    t->begin = malloc(t->n * sizeof *t->begin);
    t->end = malloc(t->n * sizeof *t->end);
    for (uint32_t i = 0; i < t->n; i++) {
        DO(cuEventCreate, (&t->begin[i], 0));
        DO(cuEventCreate, (&t->end[i], 0));
    }
}

static struct timed make(const struct kernels *k, const struct tgi_program *p, uint32_t n_parts, enum stamping stamping, CUstream stream)
{
    struct timed t = {.n = p->n, .n_parts = n_parts, .nodes = malloc(((size_t)p->n + 1) * sizeof *t.nodes)};
    uint64_t begin = bench_now_ns();
    prepare_stamps(&t, stamping);
    for (uint32_t i = 0; i < n_parts; i++) {
        DO(cuGraphCreate, (&t.parts[i].graph, 0));
        add_part(&t, k, p, t.parts[i].graph, (uint32_t)((uint64_t)p->n * i / n_parts), (uint32_t)((uint64_t)p->n * (i + 1) / n_parts));
    }
    uint64_t added = bench_now_ns();
    for (uint32_t i = 0; i < n_parts; i++)
        DO(cuGraphInstantiateWithFlags, (&t.parts[i].exec, t.parts[i].graph, 0));
    uint64_t instantiated = bench_now_ns();
    for (uint32_t i = 0; i < n_parts; i++)
        DO(cuGraphUpload, (t.parts[i].exec, stream));
    DO(cuStreamSynchronize, (stream));
    t.upload_us = (double)(bench_now_ns() - instantiated) / 1e3;
    t.instantiate_us = (double)(instantiated - added) / 1e3;
    t.add_us = (double)(added - begin) / 1e3;
    return t;
}

static void drop(struct timed *t)
{
    for (uint32_t i = 0; i < t->n_parts; i++) {
        api->cuGraphExecDestroy(t->parts[i].exec);
        api->cuGraphDestroy(t->parts[i].graph);
    }
    for (uint32_t i = 0; t->begin && i < t->n; i++) {
        api->cuEventDestroy(t->begin[i]);
        api->cuEventDestroy(t->end[i]);
    }
    if (t->stamps)
        api->cuMemFree(t->stamps);
    free(t->begin);
    free(t->end);
    free(t->nodes);
}

/* ---- Replays ------------------------------------------------------------------------------*/

struct figures {
    double device_us, host_us; /* medians */
};

static struct figures replay(const struct timed *t, CUstream stream, uint32_t n_runs)
{
    struct bench_sample device = {{0}, 0}, host = {{0}, 0};
    CUevent begin, end;
    float ms;
    DO(cuEventCreate, (&begin, 0));
    DO(cuEventCreate, (&end, 0));
    for (uint32_t i = 0; i < N_WARM + n_runs; i++) {
        DO(cuEventRecord, (begin, stream));
        uint64_t before = bench_now_ns();
        for (uint32_t part = 0; part < t->n_parts; part++)
            DO(cuGraphLaunch, (t->parts[part].exec, stream));
        uint64_t launched = bench_now_ns();
        DO(cuEventRecord, (end, stream));
        DO(cuStreamSynchronize, (stream));
        DO(cuEventElapsedTime, (&ms, begin, end));
        if (i < N_WARM)
            continue;
        bench_sample_add(&device, (uint64_t)(ms * 1e6f));
        bench_sample_add(&host, launched - before);
    }
    api->cuEventDestroy(begin);
    api->cuEventDestroy(end);
    return (struct figures){(double)bench_sample_median(&device) / 1e3, (double)bench_sample_median(&host) / 1e3};
}

static void report(const char *what, const char *system, const struct timed *t, const struct figures *f)
{
    bench_report(what, system, 1, "us/node to add", t->add_us / t->n);
    bench_report(what, system, 1, "us/node to instantiate", t->instantiate_us / t->n);
    bench_report(what, system, 1, "us/node to upload", t->upload_us / t->n);
    bench_report(what, system, 1, "us/replay on the device", f->device_us);
    bench_report(what, system, 1, "us to launch", f->host_us);
}

/* ---- What is measured ---------------------------------------------------------------------*/

static void measure_edges(const struct kernels *k, CUstream stream, uint32_t n, uint32_t n_runs)
{
    static const uint32_t n_before[] = {1, 2, 3, 4, 8};
    for (uint32_t i = 0; i < sizeof n_before / sizeof *n_before; i++)
        for (uint32_t width = 0; width <= WIDTH; width += WIDTH) {
            struct bench_shape s = make_random(n, n_before[i]);
            struct tgi_program p = program_of(&s, width);
            struct timed t = make(k, &p, 1, NO_STAMPS, stream);
            struct figures f = replay(&t, stream, n_runs);
            char what[64];
            uint32_t n_roots = 0;
            for (uint32_t c = 0; c < p.n; c++)
                n_roots += p.commands[c].n_deps == 0;
            snprintf(what, sizeof what, "random %u, %u before: %.2f edges a node, %u roots", n, n_before[i], (double)p.n_deps / p.n, n_roots);
            report(what, width ? "in 128 chains" : "as it is", &t, &f);
            drop(&t);
            tgi_program_fini(&p);
            bench_shape_free(&s);
        }
}

/* The first graph of a process takes longer than those after it. */
static void warm_up(const struct kernels *k, CUstream stream, uint32_t n)
{
    struct bench_shape s = make_random(n, 4);
    struct tgi_program p = program_of(&s, WIDTH);
    struct timed t = make(k, &p, 1, NO_STAMPS, stream);
    struct figures f = replay(&t, stream, 1);
    char what[64];
    snprintf(what, sizeof what, "random %u, the process's first", n);
    report(what, "in 128 chains", &t, &f);
    drop(&t);
    tgi_program_fini(&p);
    bench_shape_free(&s);
}

static void measure_widths(const struct kernels *k, CUstream stream, uint32_t n, uint32_t n_runs)
{
    struct bench_shape s = make_random(n, 4);
    for (uint32_t width = 8; width <= 2 * WIDTH; width *= 2) {
        struct tgi_program p = program_of(&s, width);
        struct timed t = make(k, &p, 1, NO_STAMPS, stream);
        struct figures f = replay(&t, stream, n_runs);
        char what[64], system[32];
        snprintf(what, sizeof what, "random %u, 4 before: %.2f edges a node", n, (double)p.n_deps / p.n);
        snprintf(system, sizeof system, "in %u chains", width);
        report(what, system, &t, &f);
        drop(&t);
        tgi_program_fini(&p);
    }
    bench_shape_free(&s);
}

static void measure_cuts(const struct kernels *k, CUstream stream, uint32_t n, uint32_t n_runs)
{
    struct bench_shape s = make_random(n, 4);
    struct tgi_program p = program_of(&s, WIDTH);
    for (uint32_t n_parts = 1; n_parts <= MOST_PARTS; n_parts *= 4) {
        struct timed t = make(k, &p, n_parts, NO_STAMPS, stream);
        struct figures f = replay(&t, stream, n_runs);
        char what[64];
        snprintf(what, sizeof what, "random %u, in %u graphs", n, n_parts);
        report(what, "in 128 chains", &t, &f);
        drop(&t);
    }
    tgi_program_fini(&p);
    bench_shape_free(&s);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* What a node seems to take, and the smallest step between two that differ. */
static void report_spans(const char *what, enum stamping stamping, const struct timed *t)
{
    double *ns = malloc(t->n * sizeof *ns), *at = malloc(t->n * sizeof *at), step = 1e12;
    uint64_t *stamps = malloc(16 * (size_t)t->n), begin = bench_now_ns();
    if (stamping == BY_KERNELS)
        DO(cuMemcpyDtoH, (stamps, t->stamps, 16 * (size_t)t->n));
    for (uint32_t i = 0; i < t->n; i++) {
        float ms, from_first;
        if (stamping == BY_EVENTS) {
            DO(cuEventElapsedTime, (&ms, t->begin[i], t->end[i]));
            DO(cuEventElapsedTime, (&from_first, t->begin[0], t->begin[i]));
        }
        ns[i] = stamping == BY_EVENTS ? 1e6 * ms : (double)(stamps[2 * i + 1] - stamps[2 * i]);
        at[i] = stamping == BY_EVENTS ? 1e6 * from_first : (double)(stamps[2 * i] - stamps[0]);
    }
    bench_report(what, stamping_names[stamping], 1, "us/node to read", (double)(bench_now_ns() - begin) / 1e3 / t->n);
    qsort(ns, t->n, sizeof *ns, compare);
    for (uint32_t i = 1; i < t->n; i++)
        step = ns[i] - ns[i - 1] > 1 && ns[i] - ns[i - 1] < step ? ns[i] - ns[i - 1] : step;
    bench_report(what, stamping_names[stamping], 1, "ns an empty kernel seems to take", ns[t->n / 2]);
    bench_report(what, stamping_names[stamping], 1, "ns, smallest difference of two", step);
    free(ns);
    free(at);
    free(stamps);
}

static void measure_stamps(const struct kernels *k, CUstream stream, uint32_t n, uint32_t n_runs)
{
    static const char *const shapes[] = {"chain", "wavefront", "random"};
    if (is_real()) {
        CUdeviceptr at;
        uint64_t step;
        void *args[] = {&at};
        DO(cuMemAlloc, (&at, sizeof step));
        DO(cuLaunchKernel, (k->ticks, 1, 1, 1, 1, 1, 1, 0, stream, args, NULL));
        DO(cuStreamSynchronize, (stream));
        DO(cuMemcpyDtoH, (&step, at, sizeof step));
        api->cuMemFree(at);
        bench_report("clock", "%globaltimer", 1, "ns, smallest step seen", (double)step);
    }
    for (uint32_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct bench_shape s = bench_shape_make(shapes[i], n);
        struct tgi_program p = program_of(&s, WIDTH);
        char what[64];
        snprintf(what, sizeof what, "%s %u", shapes[i], p.n);
        for (enum stamping stamping = 0; stamping < (is_real() ? N_STAMPINGS : BY_KERNELS); stamping++) {
            struct timed t = make(k, &p, 1, stamping, stream);
            struct figures f = replay(&t, stream, n_runs);
            report(what, stamping_names[stamping], &t, &f);
            if (stamping != NO_STAMPS)
                report_spans(what, stamping, &t);
            drop(&t);
        }
        tgi_program_fini(&p);
        bench_shape_free(&s);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*measure)(const struct kernels *k, CUstream stream, uint32_t n, uint32_t n_runs);
    } all[] = {{"edges", measure_edges}, {"widths", measure_widths}, {"cuts", measure_cuts}, {"stamps", measure_stamps}};
    struct bench_options o = bench_parse(argc, argv);
    CUstream stream;
    bare_open(0);
    struct kernels k = kernels_load();
    DO(cuStreamCreate, (&stream, CU_STREAM_NON_BLOCKING));
    warm_up(&k, stream, o.n_tasks ? o.n_tasks : 10000);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!o.what || strcmp(o.what, all[i].name) == 0)
            all[i].measure(&k, stream, o.n_tasks ? o.n_tasks : 10000, o.n_runs);
    api->cuStreamDestroy(stream);
    if (k.module)
        api->cuModuleUnload(k.module);
    bare_close(0);
    return 0;
}
