/* The resident executor on a GPU: nanoseconds a task, beside what the hardware allows and what a CUDA graph of the same
 * shape costs, all measured in this run.
 *
 *     resident [--quick] [--runs N] [--what ROW]
 *     resident --what planning        what planning costs on the host, for 132 SMs; needs no GPU
 *     resident --what peers           programs on several GPUs, beside bare hops between two
 *
 * Every row's results are compared with the host's, after the timed epochs and again with every task a hash.  A wait that
 * lasts a second ends the program, and so do three minutes in all. */
#include "bench/resident_gpu.h"
#include "bench/resident_peers_rows.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

static struct resident_gpu gpu;
static struct bench_options options;
static bool is_quick;
static double hop_ns[TGI_PROBE_N_FORMS];
static struct tgi_resident_costs costs = TGI_RESIDENT_COSTS_INIT; /* until measure_costs() */

enum { LIMIT_S = 180, EPOCHS = 4 }; /* epochs in a row, timed as one */
static const uint64_t wait_limit_ns = 1000000000u;

struct row {
    const char *what;
    void (*make)(struct resident_dag *d, uint8_t op);
    uint8_t op;
    enum tgi_resident_width width;
    uint32_t each;     /* workers of a block */
    bool is_scattered; /* the k-th task on block k modulo their number, instead of where the planner puts it */
    double target_ns;
    enum tgi_probe_form limit; /* a hop of it; TGI_PROBE_N_FORMS: none */
};

static uint32_t scaled(uint32_t n) { return is_quick ? n / 10 : n; }
static void make_independent(struct resident_dag *d, uint8_t op) { resident_dag_independent(d, scaled(1000000), op); }
static void make_chain(struct resident_dag *d, uint8_t op) { resident_dag_chain(d, scaled(100000), op); }
static void make_short_chain(struct resident_dag *d, uint8_t op) { resident_dag_chain(d, scaled(20000), op); }
static void make_wavefront(struct resident_dag *d, uint8_t op) { resident_dag_wavefront(d, scaled(1000), 1000, op); }
static void make_random(struct resident_dag *d, uint8_t op) { resident_dag_random(d, scaled(200000), 4, 1, op); }
static void make_stencil(struct resident_dag *d, uint8_t op) { resident_dag_stencil(d, 1024, scaled(1000), op); }

#define ADD TGI_RESIDENT_ADD
static const struct row rows[] = {
    {"independent, a thread wide", make_independent, ADD, TGI_RESIDENT_THREAD, 32, false, 0.05, TGI_PROBE_N_FORMS},
    {"independent, a warp wide", make_independent, ADD, TGI_RESIDENT_WARP, 32, false, 0.05, TGI_PROBE_N_FORMS},
    {"chain on one worker", make_chain, ADD, TGI_RESIDENT_WARP, 1, false, 80, TGI_PROBE_N_FORMS},
    {"chain across SMs, data in memory", make_short_chain, TGI_RESIDENT_ADD_LINE, TGI_RESIDENT_WARP, 1, true, 720,
     TGI_PROBE_RELEASE},
    {"chain across SMs, data in the flag", make_short_chain, ADD, TGI_RESIDENT_WARP, 1, true, 300, TGI_PROBE_CELL},
    {"wavefront", make_wavefront, ADD, TGI_RESIDENT_WARP, 8, false, 1.9, TGI_PROBE_N_FORMS},
    {"random DAG, 8 workers an SM", make_random, ADD, TGI_RESIDENT_WARP, 8, false, 2.0, TGI_PROBE_N_FORMS},
    {"random DAG, 32 workers an SM", make_random, ADD, TGI_RESIDENT_WARP, 32, false, 2.0, TGI_PROBE_N_FORMS},
    {"stencil", make_stencil, ADD, TGI_RESIDENT_WARP, 8, false, 0.9, TGI_PROBE_N_FORMS},
};

static struct tgi_resident_shape shape_of(enum tgi_resident_width width, uint32_t each)
{
    return (struct tgi_resident_shape){(uint32_t)gpu.n_sms, each, (uint32_t)gpu.shared_bytes, width};
}

static struct tgi_resident_program *scatter(const struct resident_dag *d, uint32_t each)
{
    struct tgi_resident_program *p;
    struct tgi_resident_shape shape = shape_of(TGI_RESIDENT_WARP, each);
    uint32_t *worker_of = malloc((d->dag.n_tasks + 1ul) * sizeof *worker_of);
    for (uint32_t t = 0; t < d->dag.n_tasks; t++)
        worker_of[t] = t % (uint32_t)gpu.n_sms * each;
    must(tgi_resident_build(&d->dag, &shape, worker_of, &p, &err));
    free(worker_of);
    return p;
}

static double measure(const struct tgi_resident_program *p, const struct resident_dag *d, const char *what);

/* ns a task where n_in_turn workers, next_worker apart, take turns. */
static double placed_by(struct resident_dag *d, uint32_t each, uint32_t next_worker, uint32_t n_in_turn)
{
    struct tgi_resident_program *p;
    struct tgi_resident_shape shape = shape_of(TGI_RESIDENT_WARP, each);
    uint32_t *worker_of = malloc((d->dag.n_tasks + 1ul) * sizeof *worker_of);
    for (uint32_t t = 0; t < d->dag.n_tasks; t++)
        worker_of[t] = t % n_in_turn * next_worker;
    must(tgi_resident_build(&d->dag, &shape, worker_of, &p, &err));
    must(tgi_resident_check(&d->dag, p, &err));
    double ns = measure(p, d, "costs") / d->dag.n_tasks;
    free(worker_of);
    tgi_resident_program_destroy(p);
    resident_dag_fini(d);
    return ns;
}

/* Every second task is of a chain and has a predecessor besides, which is early: what a task costs its worker that has
 * something to wait for. */
static void make_early(struct resident_dag *d, uint32_t n)
{
    resident_dag_init(d, n, TGI_RESIDENT_ADD);
    for (uint32_t t = 1; t < n; t += 2) {
        if (t > 1)
            resident_dag_edge(d, t - 2, t);
        resident_dag_edge(d, t - 1, t);
    }
    resident_dag_close(d);
}

static float above(double ns, double task_ns) { return ns > task_ns ? (float)(ns - task_ns) : 0; }

/* What the planner works with, by the executor itself: chains within a block and across blocks.  A hop is what a task of them
 * takes beyond one whose predecessors are early. */
static void measure_costs(void)
{
    enum { N = 20000, EACH = 8 };
    struct resident_dag d;
    make_early(&d, N);
    double task_ns = 2 * placed_by(&d, EACH, EACH, 2);
    resident_dag_chain(&d, N, TGI_RESIDENT_ADD);
    double shared_ns = placed_by(&d, EACH, 1, 2);
    resident_dag_chain(&d, N, TGI_RESIDENT_ADD);
    double cell_ns = placed_by(&d, EACH, EACH, 2);
    resident_dag_chain(&d, N, TGI_RESIDENT_ADD_LINE);
    double counter_ns = placed_by(&d, EACH, EACH, 2);
    costs.task_ns = (float)task_ns;
    costs.shared_ns = above(shared_ns, task_ns);
    costs.cell_ns = above(cell_ns, task_ns);
    costs.counter_ns = above(counter_ns, task_ns);
    printf("# the planner's costs, ns: task %.4g, shared %.4g, cell %.4g, counter %.4g\n", costs.task_ns, costs.shared_ns,
           costs.cell_ns, costs.counter_ns);
}

/* A program that has passed the check; the time that planning took. */
static struct tgi_resident_program *plan(const struct row *row, const struct resident_dag *d, double *plan_ns_p)
{
    struct tgi_resident_program *p;
    struct tgi_resident_shape shape = shape_of(row->width, row->each);
    uint64_t begin = bench_now_ns();
    if (row->is_scattered)
        p = scatter(d, row->each);
    else
        must(tgi_resident_plan(&d->dag, &shape, &costs, &p, &err));
    *plan_ns_p = (double)(bench_now_ns() - begin);
    must(tgi_resident_check(&d->dag, p, &err));
    return p;
}

/* ns of one epoch: the median. */
static double measure(const struct tgi_resident_program *p, const struct resident_dag *d, const char *what)
{
    struct resident_program r;
    struct bench_sample sample = {{0}, 0};
    resident_program_init(&r, &gpu, p, TGI_RESIDENT_HAS_LINE(d->op[0]), wait_limit_ns);
    resident_program_time(&r, 1);
    resident_program_check(&r, &d->dag, what);
    for (uint32_t i = 0; i < options.n_runs; i++)
        bench_sample_add(&sample, (uint64_t)(resident_program_time(&r, EPOCHS) / EPOCHS * 1000));
    resident_program_check(&r, &d->dag, what);
    resident_program_fini(&r);
    return (double)bench_sample_median(&sample) / 1000;
}

static void report(const char *what, double ns, double target_ns, const char *beside, double beside_ns)
{
    printf("# %-36s %9.4g ns/task  target %6.4g (%.2f)", what, ns, target_ns, ns / target_ns);
    if (beside_ns > 0)
        printf("  %s %.4g (%.2f)", beside, beside_ns, ns / beside_ns);
    printf("\n");
    fflush(stdout);
}

static void run_row(const struct row *row)
{
    struct resident_dag d;
    double plan_ns, ns[2];
    struct tgi_resident_program *p = NULL;
    char what[96];
    for (int is_hash = 0; is_hash < 2; is_hash++) {
        uint8_t op = !is_hash ? row->op : row->op == ADD ? TGI_RESIDENT_HASH : TGI_RESIDENT_HASH_LINE;
        row->make(&d, op);
        p = plan(row, &d, &plan_ns);
        ns[is_hash] = measure(p, &d, row->what) / d.dag.n_tasks;
        if (!is_hash) {
            snprintf(what, sizeof what, "resident %s", row->what);
            bench_report(what, "tgraph", p->n_workers, "ns/task", ns[0]);
            report(row->what, ns[0], row->target_ns, "limit", row->limit < TGI_PROBE_N_FORMS ? hop_ns[row->limit] : 0);
            printf("#     edges: %u by order, %u shared, %u cells, %u counters; planned in %.0f ns a task, expected %.3g ns\n",
                   p->n_order_edges, p->n_shared_edges, p->n_cell_edges, p->n_counter_edges, plan_ns / d.dag.n_tasks,
                   p->makespan_ns / d.dag.n_tasks);
        } else
            bench_report(what, "tgraph", p->n_workers, "ns/task, hashes", ns[1]);
        tgi_resident_program_destroy(p);
        resident_dag_fini(&d);
    }
}

/* ---- Dynamic ------------------------------------------------------------------------------*/

static const struct row dynamic_rows[] = {
    {"independent, dynamic", make_independent, ADD, TGI_RESIDENT_WARP, 32, false, 1, TGI_PROBE_N_FORMS},
    {"wavefront, dynamic", make_wavefront, ADD, TGI_RESIDENT_WARP, 8, false, 8, TGI_PROBE_N_FORMS},
    {"random DAG, dynamic", make_random, ADD, TGI_RESIDENT_WARP, 8, false, 10, TGI_PROBE_N_FORMS},
    {"random DAG, dynamic, 32 workers an SM", make_random, ADD, TGI_RESIDENT_WARP, 32, false, 10, TGI_PROBE_N_FORMS},
};

static void run_dynamic(const struct row *row)
{
    for (int is_hash = 0; is_hash < 2; is_hash++) {
        struct resident_dag d;
        struct resident_dynamic r;
        struct tgi_resident_dynamic *p;
        struct bench_sample sample = {{0}, 0};
        char what[96];
        uint32_t made;
        row->make(&d, is_hash ? TGI_RESIDENT_HASH : row->op);
        must(tgi_resident_dynamic_create(&d.dag, NULL, &p, &err));
        resident_dynamic_init(&r, &gpu, p, row->each, 0, wait_limit_ns);
        for (uint32_t i = 0; i <= options.n_runs; i++) {
            double ns = resident_dynamic_time(&r, row->what, &made);
            if (i > 0)
                bench_sample_add(&sample, (uint64_t)(ns * 1000));
            if (i == 0 || i == options.n_runs)
                resident_dynamic_check(&r, &d.dag, row->what);
        }
        double ns = (double)bench_sample_median(&sample) / 1000 / d.dag.n_tasks;
        snprintf(what, sizeof what, "resident %s", row->what);
        bench_report(what, "tgraph", r.n_workers, is_hash ? "ns/task, hashes" : "ns/task", ns);
        if (!is_hash)
            report(row->what, ns, row->target_ns, "", 0);
        resident_dynamic_fini(&r);
        tgi_resident_dynamic_destroy(p);
        resident_dag_fini(&d);
    }
}

static uint64_t tree_sum(uint32_t key, uint32_t level)
{
    return tgi_mix(key) + (level ? tree_sum(2 * key, level - 1) + tree_sum(2 * key + 1, level - 1) : 0);
}

/* One root; every other task is made by a task. */
static void run_tree(void)
{
    const uint32_t level = is_quick ? 14 : 19, n_made = (2u << level) - 2;
    struct resident_dag d;
    struct resident_dynamic r;
    struct tgi_resident_dynamic *p;
    struct tgi_resident_counts counts;
    struct bench_sample sample = {{0}, 0};
    resident_dag_init(&d, 1, TGI_RESIDENT_TREE);
    d.arg = calloc(1, sizeof *d.arg);
    d.arg[0] = level;
    resident_dag_close(&d);
    must(tgi_resident_dynamic_create(&d.dag, NULL, &p, &err));
    resident_dynamic_init(&r, &gpu, p, 8, n_made, wait_limit_ns);
    for (uint32_t i = 0; i <= options.n_runs; i++) {
        uint32_t made;
        DO(cuMemsetD8Async, ((CUdeviceptr)&r.pool.counts->sum, 0, 8, gpu.stream));
        double ns = resident_dynamic_time(&r, "tree", &made);
        if (i > 0)
            bench_sample_add(&sample, (uint64_t)(ns * 1000));
        DO(cuMemcpyDtoH, (&counts, (CUdeviceptr)r.pool.counts, sizeof counts));
        if (made != n_made || counts.sum != tree_sum(1, level))
            bench_die("tree: %u tasks were made, or not the right ones", made);
    }
    bench_report("resident tree, tasks made by tasks", "tgraph", r.n_workers, "ns/task",
                 (double)bench_sample_median(&sample) / 1000 / (n_made + 1));
    resident_dynamic_fini(&r);
    tgi_resident_dynamic_destroy(p);
    resident_dag_fini(&d);
}

/* ---- Other rows ---------------------------------------------------------------------------*/

static void measure_hops(void)
{
    static const char *const names[] = {"flag", "data in the flag", "data, release, acquire", "data, red.release, acquire",
                                        "shared memory"};
    for (uint32_t form = 0; form < TGI_PROBE_N_FORMS; form++) {
        char what[64];
        hop_ns[form] = resident_gpu_hop(&gpu, form);
        snprintf(what, sizeof what, "hop, %s", names[form]);
        bench_report(what, "limit", 1, "ns", hop_ns[form]);
    }
}

static void measure_graphs(void)
{
    struct resident_dag d;
    resident_dag_chain(&d, 1000, TGI_RESIDENT_EMPTY);
    bench_report("resident chain on one worker", "CUDA graph", 1, "ns/task", resident_gpu_graph(&gpu, &d.dag, options.n_runs));
    resident_dag_fini(&d);
    resident_dag_wavefront(&d, 100, 100, TGI_RESIDENT_EMPTY);
    double graph_ns = resident_gpu_graph(&gpu, &d.dag, options.n_runs), plan_ns;
    bench_report("resident wavefront 100x100", "CUDA graph", 1, "ns/task", graph_ns);
    memset(d.op, ADD, d.dag.n_tasks);
    const struct row row = {.width = TGI_RESIDENT_WARP, .each = 8};
    struct tgi_resident_program *p = plan(&row, &d, &plan_ns);
    double ns = measure(p, &d, "wavefront 100x100") / d.dag.n_tasks;
    bench_report("resident wavefront 100x100", "tgraph", p->n_workers, "ns/task", ns);
    report("wavefront 100x100", ns, 172, "CUDA graph", graph_ns);
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

/* Tasks of 10 us that keep every worker busy: what is lost between them.  With a column for each worker nobody has anything to do
 * while a word is on its way; with two the other column's task is there. */
static void measure_overhead(uint32_t n_columns)
{
    enum { STEPS = 100, BODY_NS = 10000, EACH = 8 };
    struct resident_dag d;
    char what[96];
    double plan_ns;
    const struct row row = {.width = TGI_RESIDENT_WARP, .each = EACH};
    resident_dag_stencil(&d, (uint32_t)gpu.n_sms * EACH * n_columns, STEPS, TGI_RESIDENT_SPIN);
    d.arg = malloc(d.dag.n_tasks * sizeof *d.arg);
    for (uint32_t t = 0; t < d.dag.n_tasks; t++)
        d.arg[t] = BODY_NS;
    d.dag.arg = d.arg;
    struct tgi_resident_program *p = plan(&row, &d, &plan_ns);
    double ns = measure(p, &d, "tasks of 10 us"), least_ns = (double)STEPS * n_columns * BODY_NS;
    snprintf(what, sizeof what, "resident stencil, tasks of 10 us, %u a worker and step", n_columns);
    bench_report(what, "tgraph", p->n_workers, "% overhead", (ns / least_ns - 1) * 100);
    printf("#     a bare hop each step is %.2f %%; expected %.2f %%\n", hop_ns[TGI_PROBE_CELL] * STEPS / least_ns * 100,
           (p->makespan_ns / least_ns - 1) * 100);
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

/* Replays of small graphs of all ops and any shape, each one compared. */
static void prove(void)
{
    enum { N = 2000 };
    static const uint8_t ops[] = {TGI_RESIDENT_HASH, TGI_RESIDENT_HASH, TGI_RESIDENT_ADD, TGI_RESIDENT_EMPTY,
                                  TGI_RESIDENT_HASH_LINE, TGI_RESIDENT_ADD_LINE};
    uint64_t begin = bench_now_ns();
    uint32_t n_replays = 0;
    for (uint64_t seed = 1; seed <= (is_quick ? 4u : 40u); seed++) {
        struct resident_dag d;
        struct resident_program r;
        double plan_ns;
        const struct row row = {.width = TGI_RESIDENT_WARP, .each = 1u << seed % 5};
        uint32_t n_ops = seed % 4 ? 6 : 3, degree = 1 + seed % 7;
        resident_dag_init(&d, N, TGI_RESIDENT_HASH);
        for (uint32_t t = 1; t < N; t++) {
            d.op[t] = ops[tgi_mix(seed * N + t) % n_ops];
            for (uint32_t k = 0; k < (t % 97 ? degree : 60); k++) {
                uint64_t lot = tgi_mix(seed << 40 | (uint64_t)t << 8 | k);
                resident_dag_edge(&d, t - 1 - (uint32_t)(lot % (lot >> 63 || t < 50 ? t : 50)), t);
            }
        }
        resident_dag_close(&d);
        struct tgi_resident_program *p = seed % 3 ? plan(&row, &d, &plan_ns) : scatter(&d, row.each);
        must(tgi_resident_check(&d.dag, p, &err));
        resident_program_init(&r, &gpu, p, true, wait_limit_ns);
        for (uint32_t i = 0; i < 100; i++, n_replays++) {
            resident_program_time(&r, 1 + i % 3);
            resident_program_check(&r, &d.dag, "random graphs");
        }
        resident_program_fini(&r);
        tgi_resident_program_destroy(p);
        resident_dag_fini(&d);
    }
    bench_report("resident proof, random graphs of all ops", "tgraph", 1, "replays compared", n_replays);
    printf("#     in %.1f s\n", (double)(bench_now_ns() - begin) / 1e9);
}

static void measure_planning(void)
{
    gpu.n_sms = 132;
    gpu.shared_bytes = 232448;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        struct resident_dag d;
        struct bench_sample sample = {{0}, 0};
        char what[96];
        double plan_ns, expected_ns = 0;
        if (row->is_scattered)
            continue;
        row->make(&d, row->op);
        for (uint32_t k = 0; k < options.n_runs; k++) {
            struct tgi_resident_program *p = plan(row, &d, &plan_ns);
            bench_sample_add(&sample, (uint64_t)plan_ns);
            expected_ns = p->makespan_ns / d.dag.n_tasks;
            tgi_resident_program_destroy(p);
        }
        snprintf(what, sizeof what, "planning %s", row->what);
        bench_report(what, "tgraph", 1, "ns/task", (double)bench_sample_median(&sample) / d.dag.n_tasks);
        printf("#     expected %.3g ns a task\n", expected_ns);
        resident_dag_fini(&d);
    }
}

int main(int argc, char **argv)
{
    int n = 1;
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--quick"))
            is_quick = true;
        else
            argv[n++] = argv[i];
    options = bench_parse(n, argv);
    alarm(LIMIT_S);
    if (options.what && !strcmp(options.what, "planning")) {
        measure_planning();
        return 0;
    }
    if (options.what && !strcmp(options.what, "peers")) {
        run_peers(options.n_runs, is_quick);
        return 0;
    }
    resident_gpu_open(&gpu);
    printf("# resident: %d SMs, %d bytes of shared memory, medians of %u runs\n", gpu.n_sms, gpu.shared_bytes, options.n_runs);
    measure_hops();
    measure_costs();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!options.what || !strcmp(options.what, rows[i].what))
            run_row(&rows[i]);
    for (size_t i = 0; i < sizeof dynamic_rows / sizeof *dynamic_rows; i++)
        if (!options.what || !strcmp(options.what, dynamic_rows[i].what))
            run_dynamic(&dynamic_rows[i]);
    if (!options.what) {
        run_tree();
        measure_graphs();
        measure_overhead(1);
        measure_overhead(2);
        prove();
    }
    resident_gpu_close(&gpu);
    return 0;
}
