/* The rows of bench/resident --what peers.  What they need of the program is handed to them. */
#ifndef BENCH_RESIDENT_PEERS_ROWS_H
#define BENCH_RESIDENT_PEERS_ROWS_H

#include "bench/resident_peers.h"

#include <stdio.h>

struct peers_rows {
    struct resident_peers g;
    struct tgi_resident_costs costs; /* far ones as measured */
    double hop_ns[TGI_PEERS_N_FORMS];
    uint32_t n_runs;
    bool is_quick;
};

static const uint64_t peers_limit_ns = 1000000000u;

static struct tgi_resident_shape peers_shape(const struct peers_rows *b, uint32_t each)
{
    return (struct tgi_resident_shape){(uint32_t)b->g.n_sms, each, (uint32_t)b->g.shared_bytes, TGI_RESIDENT_WARP};
}

/* The k-th task on device k modulo their number, always the same worker there. */
static struct tgi_resident_program *peers_in_turn(const struct peers_rows *b, const struct resident_dag *d, uint32_t n_devices)
{
    struct tgi_resident_program *p;
    struct tgi_resident_shape shape = peers_shape(b, 1);
    uint32_t *worker_of = malloc((d->dag.n_tasks + 1ul) * sizeof *worker_of);
    for (uint32_t t = 0; t < d->dag.n_tasks; t++)
        worker_of[t] = t % n_devices * (uint32_t)b->g.n_sms;
    must(tgi_resident_build_peers(&d->dag, &shape, n_devices, worker_of, &p, &err));
    must(tgi_resident_check(&d->dag, p, &err));
    free(worker_of);
    return p;
}

static struct tgi_resident_program *peers_plan(const struct peers_rows *b, const struct resident_dag *d, uint32_t n_devices, uint32_t each)
{
    struct tgi_resident_program *p;
    struct tgi_resident_shape shape = peers_shape(b, each);
    must(tgi_resident_plan_peers(&d->dag, &shape, n_devices, &b->costs, &p, &err));
    must(tgi_resident_check(&d->dag, p, &err));
    return p;
}

/* ns of one epoch: the median of runs of a few in a row.  Results are compared where bodies leave any. */
static double peers_measure(const struct peers_rows *b, const struct tgi_resident_program *p, const struct resident_dag *d, const char *what)
{
    enum { EPOCHS_IN_A_ROW = 4 };
    struct resident_spread r;
    struct bench_sample sample = {{0}, 0};
    resident_spread_init(&r, &b->g, p, TGI_RESIDENT_HAS_LINE(d->op[0]), peers_limit_ns);
    resident_spread_time(&r, 1);
    resident_spread_check(&r, &d->dag, what);
    for (uint32_t i = 0; i < b->n_runs; i++)
        bench_sample_add(&sample, (uint64_t)(resident_spread_time(&r, EPOCHS_IN_A_ROW) / EPOCHS_IN_A_ROW * 1000));
    resident_spread_check(&r, &d->dag, what);
    resident_spread_fini(&r);
    return (double)bench_sample_median(&sample) / 1000;
}

/* A chain; with a task besides that copies nothing, so that what lies in memory has to go by counters. */
static void peers_make_chain(struct resident_dag *d, uint32_t n, uint8_t op, bool has_copy)
{
    resident_dag_init(d, n + has_copy, op);
    for (uint32_t t = 1; t < n; t++)
        resident_dag_edge(d, t - 1, t);
    if (has_copy) {
        d->op[n] = TGI_RESIDENT_COPY;
        d->arg = calloc(n + 1ul, sizeof *d->arg);
    }
    resident_dag_close(d);
}

/* Every hop of a chain goes to the other GPU. */
static double peers_chain(struct peers_rows *b, uint8_t op, uint8_t hash, bool has_copy, const char *what, enum tgi_peers_probe_form limit)
{
    uint32_t n = b->is_quick ? 2000 : 20000;
    double ns[2];
    for (int is_hash = 0; is_hash < 2; is_hash++) {
        struct resident_dag d;
        peers_make_chain(&d, n, is_hash ? hash : op, has_copy);
        struct tgi_resident_program *p = peers_in_turn(b, &d, 2);
        ns[is_hash] = peers_measure(b, p, &d, what) / n;
        bench_report(what, "tgraph", 2, is_hash ? "ns/task, hashes" : "ns/task", ns[is_hash]);
        tgi_resident_program_destroy(p);
        resident_dag_fini(&d);
    }
    printf("# %-44s %9.4g ns/hop  target 1500 (%.2f)  bare %.4g (%.2f)\n", what, ns[0], ns[0] / 1500, b->hop_ns[limit],
           ns[0] / b->hop_ns[limit]);
    fflush(stdout);
    return ns[0];
}

/* The same where the kernels of both GPUs are nodes of one CUDA graph. */
static void peers_graph(const struct peers_rows *b)
{
    uint32_t n = b->is_quick ? 2000 : 20000;
    const char *what = "chain across GPUs, data in the flag, in a CUDA graph";
    struct resident_dag d;
    struct resident_spread r;
    struct bench_sample sample = {{0}, 0};
    resident_dag_chain(&d, n, TGI_RESIDENT_HASH);
    struct tgi_resident_program *p = peers_in_turn(b, &d, 2);
    resident_spread_init(&r, &b->g, p, false, peers_limit_ns);
    CUgraphExec exec = resident_spread_graph(&r);
    for (uint32_t i = 0; i <= b->n_runs; i++) {
        double ns = resident_spread_replay(&r, exec, 1 + i % 3) / (1 + i % 3);
        resident_spread_check(&r, &d.dag, what);
        if (i > 0)
            bench_sample_add(&sample, (uint64_t)(ns * 1000));
    }
    bench_report(what, "tgraph", 2, "ns/task, hashes", (double)bench_sample_median(&sample) / 1000 / n);
    api->cuGraphExecDestroy(exec);
    resident_spread_fini(&r);
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

/* A wavefront on 1, 2, 4 and so many GPUs; body_ns: 0: sums. */
static void peers_wavefront(const struct peers_rows *b, uint32_t side, uint32_t each, uint32_t body_ns)
{
    double one_ns = 0;
    for (uint32_t n_devices = 1; n_devices <= b->g.n_devices; n_devices *= 2) {
        struct resident_dag d;
        char what[96];
        resident_dag_wavefront(&d, side, side, body_ns ? TGI_RESIDENT_SPIN : TGI_RESIDENT_ADD);
        if (body_ns) {
            d.arg = malloc(d.dag.n_tasks * sizeof *d.arg);
            for (uint32_t t = 0; t < d.dag.n_tasks; t++)
                d.arg[t] = body_ns;
            d.dag.arg = d.arg;
        }
        struct tgi_resident_program *p = peers_plan(b, &d, n_devices, each);
        snprintf(what, sizeof what, "wavefront %ux%u, tasks of %u ns, %u a block", side, side, body_ns, each);
        double ns = peers_measure(b, p, &d, what);
        one_ns = n_devices == 1 ? ns : one_ns;
        bench_report(what, "tgraph", n_devices, "us", ns / 1000);
        printf("# %s, %u GPUs: %.4g ms, %.2f of one's speed; expected %.4g ms; edges: %u by order, %u shared, %u cells, %u far\n", what,
               n_devices, ns / 1e6, one_ns / ns, p->makespan_ns / 1e6, p->n_order_edges, p->n_shared_edges, p->n_cell_edges,
               p->n_far_cell_edges);
        fflush(stdout);
        tgi_resident_program_destroy(p);
        resident_dag_fini(&d);
    }
}

/* A word that nobody writes: how long until the kernels of all GPUs have ended, beyond the limit of the wait. */
static void peers_abort(const struct peers_rows *b)
{
    enum { N = 400, CUT = 201, LIMIT_NS = 50000000 };
    struct resident_dag d;
    struct resident_spread r;
    uint32_t n_panics = 0;
    resident_dag_chain(&d, N, TGI_RESIDENT_HASH);
    struct tgi_resident_program *p = peers_in_turn(b, &d, b->g.n_devices);
    p->tasks[p->slot_of[CUT]].head &= ~(TGI_HEAD_LIST << 12);
    resident_spread_init(&r, &b->g, p, false, LIMIT_NS);
    for (uint32_t i = 0; i < p->n_devices; i++) /* who waits for that word is the one to lose patience */
        r.v[i].limit_ns = i == (CUT + 1) % p->n_devices ? LIMIT_NS : 100u * LIMIT_NS;
    double ns = resident_spread_time(&r, 1);
    for (uint32_t i = 0; i < p->n_devices; i++) {
        struct tgi_resident_control control;
        resident_peers_enter(&b->g, i);
        DO(cuMemcpyDtoH, (&control, (CUdeviceptr)r.v[i].control, sizeof control));
        if (!control.abort)
            bench_die("peers: GPU %u was not told to leave", i);
        if (control.panic.code && (control.panic.code != TGI_PANIC_STUCK || control.panic.task != CUT + 1))
            bench_die("peers: GPU %u names task %u, which is not the one that waits", i, control.panic.task);
        n_panics += control.panic.code != 0;
    }
    if (n_panics != 1 || resident_spread_n_done(&r) >= N)
        bench_die("peers: %u GPUs say who is stuck", n_panics);
    bench_report("a wait without end on one GPU ends all", "tgraph", p->n_devices, "us beyond its limit", (ns - LIMIT_NS) / 1000);
    resident_spread_fini(&r);
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

/* Replays of random graphs of all ops, workers by lot, each one compared; every third as a CUDA graph. */
static void peers_prove(const struct peers_rows *b)
{
    enum { N = 1500 };
    static const uint8_t ops[] = {TGI_RESIDENT_HASH, TGI_RESIDENT_HASH, TGI_RESIDENT_ADD, TGI_RESIDENT_EMPTY,
                                  TGI_RESIDENT_HASH_LINE, TGI_RESIDENT_ADD_LINE};
    uint64_t begin = bench_now_ns();
    uint32_t n_replays = 0, n_far_cells = 0, n_far_counters = 0;
    for (uint64_t seed = 1; seed <= (b->is_quick ? 6u : 24u); seed++) {
        struct resident_dag d;
        struct resident_spread r;
        struct tgi_resident_program *p;
        uint32_t n_ops = seed % 4 ? 6 : 3, degree = 1 + seed % 7, n_devices = seed % 4 < 2 ? b->g.n_devices : 2;
        struct tgi_resident_shape shape = peers_shape(b, 1u << seed % 4);
        uint32_t *worker_of = malloc((N + 1ul) * sizeof *worker_of);
        resident_dag_init(&d, N, TGI_RESIDENT_HASH);
        for (uint32_t t = 0; t < N; t++) {
            worker_of[t] = (uint32_t)(tgi_mix(seed << 32 | t) % (n_devices * shape.n_blocks * shape.n_workers_each));
            if (t == 0)
                continue;
            d.op[t] = ops[tgi_mix(seed * N + t) % n_ops];
            for (uint32_t k = 0; k < (t % 97 ? degree : 60); k++) {
                uint64_t lot = tgi_mix(seed << 40 | (uint64_t)t << 8 | k);
                resident_dag_edge(&d, t - 1 - (uint32_t)(lot % (lot >> 63 || t < 50 ? t : 50)), t);
            }
        }
        if (seed % 2) {
            d.op[0] = TGI_RESIDENT_COPY; /* of nothing: counters for what lies in memory */
            d.arg = calloc(N, sizeof *d.arg);
        }
        resident_dag_close(&d);
        must(tgi_resident_build_peers(&d.dag, &shape, n_devices, worker_of, &p, &err));
        must(tgi_resident_check(&d.dag, p, &err));
        n_far_cells += p->n_far_cell_edges;
        n_far_counters += p->n_far_counter_edges;
        resident_spread_init(&r, &b->g, p, true, peers_limit_ns);
        CUgraphExec exec = seed % 3 ? NULL : resident_spread_graph(&r);
        for (uint32_t i = 0; i < 50; i++) {
            if (exec)
                resident_spread_replay(&r, exec, 1 + i % 3);
            else
                resident_spread_time(&r, 1 + i % 3);
            resident_spread_check(&r, &d.dag, "peers, random graphs");
            n_replays++;
        }
        if (exec)
            api->cuGraphExecDestroy(exec);
        resident_spread_fini(&r);
        tgi_resident_program_destroy(p);
        resident_dag_fini(&d);
        free(worker_of);
    }
    bench_report("peers proof, random graphs of all ops", "tgraph", b->g.n_devices, "replays compared", n_replays);
    printf("#     %u far cells, %u far counters; in %.1f s\n", n_far_cells, n_far_counters, (double)(bench_now_ns() - begin) / 1e9);
    fflush(stdout);
}

static void run_peers(uint32_t n_runs, bool is_quick)
{
    static const char *const names[] = {"flag", "data in the flag", "a line in sixteen flags", "a line pushed, release, acquire", "release, acquire, a line pulled"};
    struct peers_rows b = {.costs = TGI_RESIDENT_COSTS_INIT, .n_runs = n_runs, .is_quick = is_quick};
    resident_peers_open(&b.g);
    printf("# peers: %u GPUs of %d SMs, medians of %u runs\n", b.g.n_devices, b.g.n_sms, n_runs);
    for (uint32_t form = 0; form < TGI_PEERS_N_FORMS; form++) {
        char what[64];
        b.hop_ns[form] = resident_peers_hop(&b.g, form);
        snprintf(what, sizeof what, "hop between GPUs, %s", names[form]);
        bench_report(what, "limit", 2, "ns", b.hop_ns[form]);
    }
    double cell_ns = peers_chain(&b, TGI_RESIDENT_ADD, TGI_RESIDENT_HASH, false, "chain across GPUs, data in the flag", TGI_PEERS_CELL);
    peers_chain(&b, TGI_RESIDENT_ADD_LINE, TGI_RESIDENT_HASH_LINE, false, "chain across GPUs, lines in flags", TGI_PEERS_LINE);
    double counter_ns = peers_chain(&b, TGI_RESIDENT_ADD_LINE, TGI_RESIDENT_HASH_LINE, true, "chain across GPUs, lines behind a counter",
                                    TGI_PEERS_PUSH);
    b.costs.far_cell_ns = cell_ns > b.costs.task_ns ? (float)cell_ns - b.costs.task_ns : 0;
    b.costs.far_counter_ns = counter_ns > b.costs.task_ns ? (float)counter_ns - b.costs.task_ns : 0;
    peers_graph(&b);
    peers_abort(&b);
    peers_prove(&b);
    peers_wavefront(&b, is_quick ? 300 : 1000, 1, 2000);
    peers_wavefront(&b, is_quick ? 300 : 1000, 1, 10000);
    peers_wavefront(&b, is_quick ? 300 : 1000, 8, 0);
    resident_peers_close(&b.g);
}

#endif
