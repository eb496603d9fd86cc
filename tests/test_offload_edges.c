/* No command that is issued is one too many: each wait for an event and each copy is left out once, and is missed.
 *
 * The driver executes nothing until all is submitted, so every order between lanes has to be made by an event.  Then the same
 * run is made again with the nth wait, or the nth copy, doing nothing: the results must differ, or the driver must
 * have seen something that was not written yet, for one of some seeds.  A wait that is never missed is implied by
 * others, and mem/order.h promises to leave those out.  Of the same runs as CUDA graphs each edge and each copy is left out.  TGRAPH_TEST_ALL=1 tries more random graphs. */
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include "graph/error.h"
#include "sched/offload_graph.h"
#include "tests/device_graph.h"
#include "tests/random_graph.h"

enum { N_SEEDS = 40, N_GRAPH_SEEDS = 400, LIMIT_S = 60, MAX_IDS = 64, MAX_EDGES = 1024 };

#define U64(name, n_tiles, more) "'" name "': {'dtype': 'u64', 'shape': [32], 'tiles': [" #n_tiles "], 'init': {'iota': true}" more "}"

struct scenario {
    const char *name, *buffers, *tasks;
    int n_devices;
    bool has_no_peers, has_nccl, has_cpu_tasks;
    uint64_t device_bytes;
    unsigned n_spared; /* waits that nobody misses */
};

static const struct scenario scenarios[] = {
    {.name = "from lane to lane",
     .buffers = U64("A", 6, ""),
     .tasks = "{'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'A[0]'}}, "
              "{'for': ['i in 1:5'], 'kernel': 'mix', 'args': {'id': 'i+1', 'n': 32, 'out': 'A[i]', 'in0': 'A[0]'}}, "
              "{'kernel': 'mix', 'args': {'id': 9, 'n': 32, 'out': 'A[5]', 'in0': 'A[1]', 'in1': 'A[2]', 'in2': 'A[3]', 'in3': 'A[4]'}}",
     .n_devices = 1},
    {.name = "overwriting what others read",
     .buffers = U64("A", 5, ""),
     .tasks = "{'for': ['r in 0:3'], 'do': [{'kernel': 'mix', 'args': {'id': 'r*8', 'n': 32, 'out': 'A[0]'}}, "
              "{'for': ['i in 1:5'], 'kernel': 'mix', 'args': {'id': 'r*8+i', 'n': 32, 'out': 'A[i]', 'in0': 'A[0]'}}]}",
     .n_devices = 1},
    {.name = "from device to device",
     .buffers = U64("A", 4, ", 'home': 'cyclic:{i}'"),
     .tasks = "{'for': ['r in 0:3', 'i in 0:4'], 'kernel': 'mix', "
              "'args': {'id': 'r*4+i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+1)%4]'}}",
     .n_devices = 2},
    {.name = "from device to device through the host",
     .buffers = U64("A", 3, ", 'home': 'cyclic:{i}'"),
     .tasks = "{'for': ['r in 0:3', 'i in 0:3'], 'kernel': 'mix', "
              "'args': {'id': 'r*3+i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+1)%3]'}}",
     .n_devices = 3,
     .has_no_peers = true},
    {.name = "little memory",
     .buffers = U64("A", 6, ""),
     .tasks = "{'for': ['r in 0:2', 'i in 0:6'], 'kernel': 'mix', "
              "'args': {'id': 'r*6+i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+2)%6]'}}",
     .n_devices = 1,
     .device_bytes = 3 * 256},
    {.name = "copies and rows",
     .buffers = U64("A", 4, "") ", 'B': {'dtype': 'u64', 'shape': [4, 8], 'tiles': [2], 'init': {'iota': true}}",
     .tasks = "{'kernel': 'mix', 'args': {'id': 1, 'n': 16, 'out': 'B[0]@rows(0:2)'}}, "
              "{'kernel': 'mix', 'args': {'id': 2, 'n': 16, 'out': 'B[0]@rows(2:4)'}}, "
              "{'kernel': 'mix', 'args': {'id': 3, 'n': 32, 'out': 'A[0]', 'in0': 'B[0]'}}, "
              "{'copy': {'from': 'A[0]', 'to': 'A[1]'}}, {'kernel': 'mix', 'args': {'id': 4, 'n': 32, 'out': 'A[0]'}}, "
              "{'kernel': 'mix', 'args': {'id': 5, 'n': 8, 'out': 'B[0]@rows(1:2)', 'in0': 'A[1]'}}, "
              "{'kernel': 'mix', 'args': {'id': 6, 'n': 32, 'out': 'A[2]', 'in0': 'B[0]', 'in1': 'A[0]'}}",
     .n_devices = 1},
    {.name = "collectives",
     .buffers = U64("A", 3, ", 'home': 'cyclic:{i}'"),
     .tasks = "{'for': ['i in 0:3'], 'kernel': 'mix', 'args': {'id': 'i', 'n': 32, 'out': 'A[i]'}}, "
              "{'collective': 'allreduce', 'op': 'sum', 'buffers': 'A[*]'}, "
              "{'for': ['i in 0:3'], 'kernel': 'mix', 'args': {'id': 'i+4', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+1)%3]'}}",
     .n_devices = 3,
     .has_nccl = true,
     /* Each rank waits for the predecessors of the whole, as those of its own tile may be implied by others': here they
      * are not. */
     .n_spared = 3 * 2},
    {.name = "exchanges",
     .buffers = U64("A", 2, ", 'home': 'cyclic:{i}'") ", " U64("B", 2, ", 'home': 'cyclic:{i}'"),
     .tasks = "{'for': ['i in 0:2'], 'kernel': 'mix', 'args': {'id': 'i', 'n': 32, 'out': 'A[i]'}}, "
              "{'collective': 'alltoall', 'buffers': 'A[*]'}, "
              "{'for': ['i in 0:2'], 'kernel': 'mix', 'args': {'id': 'i+2', 'n': 32, 'out': 'B[i]', 'in0': 'A[(i+1)%2]'}}, "
              "{'collective': 'alltoall', 'buffers': 'B[*]'}",
     .n_devices = 2,
     .has_nccl = true,
     .n_spared = 2 * 2 /* each rank for the other's predecessor, as above */},
    {.name = "devices and CPUs",
     .buffers = U64("A", 4, ""),
     .tasks = "{'on': 'cuda', 'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'A[0]'}}, "
              "{'on': 'cpu', 'kernel': 'mix', 'args': {'id': 2, 'n': 32, 'out': 'A[1]', 'in0': 'A[0]'}}, "
              "{'on': 'cuda', 'kernel': 'mix', 'args': {'id': 3, 'n': 32, 'out': 'A[2]', 'in0': 'A[1]', 'in1': 'A[0]'}}, "
              "{'on': 'cpu', 'kernel': 'mix', 'args': {'id': 4, 'n': 32, 'out': 'A[0]', 'in0': 'A[2]'}}, "
              "{'on': 'cuda', 'kernel': 'mix', 'args': {'id': 5, 'n': 32, 'out': 'A[3]', 'in0': 'A[0]', 'in1': 'A[2]'}}",
     .n_devices = 1,
     .has_cpu_tasks = true},
};
enum { N_SCENARIOS = sizeof scenarios / sizeof *scenarios };

static struct {
    const struct scenario *scenario;
    struct tg_graph *graph;
    uint64_t *expected, *have;
    uint64_t n_commands; /* that a run issues for its tasks, known after the first one */
    const char *call;
    uint64_t nth, seed;
    bool is_order[MAX_EDGES]; /* by edge of a graph: nobody need miss it, */
    uint32_t n_order;         /* nor so many of the others */
} at;

static void too_long(int signal)
{
    (void)signal;
    fprintf(stderr, "\"%s\" without call %llu of %s: not over after %d seconds\n", at.scenario->name,
            (unsigned long long)at.nth, at.call ? at.call : "none", LIMIT_S);
    abort();
}

/* ---- Order --------------------------------------------------------------------------------*/

/* Not every edge shows in the results: a task may overwrite, on another device, what its predecessor reads.  So kernels also
 * say who they are when they begin, by the number that is their first argument. */
static struct {
    uint64_t before[MAX_IDS]; /* by number: bits of those that must have begun */
    uint64_t begun;
    _Atomic uint32_t n_wrong;
} order;

static bool number_of(const struct tg_graph *g, uint32_t task, uint64_t *id_p)
{
    const struct tgi_op *op = tgi_graph_op(g, task);
    const struct tgi_attr *attr = tgi_graph_attr(g, task);
    *id_p = op->kind == TGI_OP_KERNEL ? g->args[g->nodes[task].args] : 0;
    return op->kind == TGI_OP_KERNEL && *id_p < MAX_IDS && !(attr && attr->on == TGI_PLACE_CPU);
}

static void learn_order(const struct tg_graph *g)
{
    uint64_t from, to;
    memset(&order, 0, sizeof order);
    for (uint32_t t = 0; t < g->n_tasks; t++)
        for (uint32_t i = g->nodes[t].succ; i < g->nodes[t + 1].succ; i++)
            if (number_of(g, t, &from) && number_of(g, g->succ[i], &to))
                order.before[to] |= (uint64_t)1 << from;
}

static void kernel_begins(void *user, const char *kernel, void **args)
{
    uint64_t id = *(uint64_t *)args[0];
    (void)user;
    if (!strstr(kernel, "hash") || id >= MAX_IDS)
        return;
    if (order.before[id] & ~order.begun)
        atomic_fetch_add_explicit(&order.n_wrong, 1, memory_order_relaxed);
    order.begun |= (uint64_t)1 << id;
}

/* ---- One run ------------------------------------------------------------------------------*/

static uint64_t n_commands(void)
{
    return standin.standin_calls("cuLaunchKernel") + standin.standin_calls("cuMemsetD32Async");
}

/* What it came to: whether anything is wrong. */
static bool run_once(const char *call, uint64_t nth, uint64_t seed, uint64_t *n_calls_p, bool *is_hit_p)
{
    const struct scenario *s = at.scenario;
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_runtime *rt;
    struct tg_run *run;
    struct tg_error err;
    at.call = call;
    at.nth = nth;
    at.seed = seed;
    alarm(LIMIT_S);
    device_reset(s->n_devices, seed, !s->has_no_peers);
    standin.standin_fail_libraries(false);
    order.begun = 0;
    atomic_store_explicit(&order.n_wrong, 0, memory_order_relaxed);
    standin.standin_watch_kernels(kernel_begins, NULL);
    ro.n_workers = 1;
    ro.is_unbound = true;
    ro.devices = "cuda";
    ro.device_bytes = s->device_bytes;
    if (tg_runtime_create(&ro, &rt, &err) || tg_run_create(rt, at.graph, NULL, &run, &err))
        fail_msg("%s", err.text);
    uint64_t before = standin.standin_calls(call), commands = n_commands();
    standin.standin_lazy(at.n_commands && !s->has_cpu_tasks);
    if (nth)
        standin.standin_fail(call, nth, 0, STANDIN_SKIP);
    int rc = tg_run_start(run, &err);
    while (rc == 0 && at.n_commands && !tg_run_poll(run) && n_commands() - commands < at.n_commands)
        sched_yield();
    if (at.n_commands)
        usleep(100); /* the last command's events are recorded as well */
    standin.standin_lazy(false);
    rc = rc ? rc : tg_run_wait(run, &err);
    at.n_commands = at.n_commands ? at.n_commands : n_commands() - commands;
    bool is_wrong = !device_read(run, at.graph, at.have) || rc || atomic_load_explicit(&order.n_wrong, memory_order_relaxed) || standin.standin_violations(NULL, 0) ||
                    memcmp(at.have, at.expected, device_words(at.graph) * sizeof *at.have);
    *n_calls_p = standin.standin_calls(call) - before;
    *is_hit_p = standin.standin_fail_hits() > 0;
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    alarm(0);
    return is_wrong;
}

/* ---- Leaving out --------------------------------------------------------------------------*/

static void open_graph(const struct scenario *s)
{
    memset(&at, 0, sizeof at);
    at.scenario = s;
    at.graph = device_graph(s->buffers, "", s->tasks);
    at.expected = device_expected(at.graph, false, 1);
    at.have = calloc(device_words(at.graph) + 1, sizeof *at.have);
    assert_non_null(at.have);
    learn_order(at.graph);
    setenv("TGRAPH_NCCL", s->has_nccl ? device_nccl_path : "off", 1);
}

static void close_graph(void)
{
    tg_graph_destroy(at.graph);
    free(at.expected);
    free(at.have);
}

/* Calls that nobody missed. */
static unsigned leave_out(const char *call, uint64_t *n_p)
{
    uint64_t n, ignored;
    unsigned n_unnoticed = 0;
    bool is_hit;
    for (int i = 0; i < 2; i++) /* the first one is not lazy, and counts */
        if (run_once(call, 0, 1, &n, &is_hit))
            fail_msg("\"%s\" is wrong with all of its commands", at.scenario->name);
    for (uint64_t nth = 1; nth <= n; nth++) {
        bool is_noticed = false, was_there = false;
        for (uint64_t seed = 1; seed <= N_SEEDS && !is_noticed; seed++) {
            is_noticed = run_once(call, nth, seed, &ignored, &is_hit);
            was_there |= is_hit;
        }
        if (was_there && !is_noticed) {
            if (++n_unnoticed > at.scenario->n_spared)
                fprintf(stderr, "\"%s\": nobody misses call %llu of %llu of %s\n", at.scenario->name,
                        (unsigned long long)nth, (unsigned long long)n, call);
        }
    }
    *n_p += n;
    return n_unnoticed > at.scenario->n_spared ? n_unnoticed - at.scenario->n_spared : 0;
}

static const char *const copies[] = {"cuMemcpyHtoDAsync", "cuMemcpyDtoHAsync", "cuMemcpyDtoDAsync", "cuMemcpyPeerAsync"};

static void every_wait_is_missed(void **state)
{
    unsigned n_unnoticed = 0;
    uint64_t n = 0;
    (void)state;
    for (int i = 0; i < N_SCENARIOS; i++) {
        open_graph(&scenarios[i]);
        n_unnoticed += leave_out("cuStreamWaitEvent", &n);
        close_graph();
    }
    printf("%llu waits\n", (unsigned long long)n);
    assert_int_equal(n_unnoticed, 0);
}

static void every_copy_is_missed(void **state)
{
    unsigned n_unnoticed = 0;
    uint64_t n = 0;
    (void)state;
    for (int i = 0; i < N_SCENARIOS; i++) {
        open_graph(&scenarios[i]);
        for (size_t k = 0; k < sizeof copies / sizeof *copies; k++)
            n_unnoticed += leave_out(copies[k], &n);
        close_graph();
    }
    printf("%llu copies\n", (unsigned long long)n);
    assert_int_equal(n_unnoticed, 0);
}

/* ---- Graphs -------------------------------------------------------------------------------*/

static bool is_from_host(const struct tgi_command *c) { return c->kind == TGI_COMMAND_COPY && c->copy.from_node == TGI_HOST_NODE; }

/* Whether it comes after nothing but copies from the host, which are a graph's first nodes. */
static bool is_sent(const struct tgi_program *p, uint32_t id)
{
    bool is_so = is_from_host(&p->commands[id]);
    for (uint32_t k = 0; is_so && k < p->commands[id].n_deps; k++)
        is_so = is_sent(p, p->deps[p->commands[id].first_dep + k]);
    return is_so;
}

/* Of edges in the order in which a graph gets them: those that only keep the order of copies from the host.  What is read comes in time
 * without them, unless somebody relies on the order, as who waits for the last of several copies of a lane does.  Where a node stands for
 * several with edges between them it is not known which they are, only how many. */
static void find_order(const struct tgi_program *p, uint64_t n_edges)
{
    uint32_t n = 0, n_order = 0;
    bool is_known = p->n_deps == n_edges && n_edges <= MAX_EDGES;
    memset(at.is_order, 0, sizeof at.is_order);
    for (uint32_t i = 0; i < 2 * p->n; i++) {
        uint32_t id = i % p->n;
        if (is_sent(p, id) != (i < p->n))
            continue;
        for (uint32_t k = 0; k < p->commands[id].n_deps; k++, n++) {
            const struct tgi_command *c = &p->commands[id];
            bool is_order = is_from_host(c) && is_from_host(&p->commands[p->deps[c->first_dep + k]]);
            n_order += is_order;
            if (is_known)
                at.is_order[n] = is_order;
        }
    }
    at.n_order = is_known ? 0 : n_order;
}

/* One start as a CUDA graph, whose nodes are executed in an order that the seed chooses among those that its edges allow. */
static bool run_graph(enum standin_part what, uint64_t nth, uint64_t seed, uint64_t *n_p)
{
    const struct scenario *s = at.scenario;
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    struct tg_error err;
    const char *why;
    at.call = what == STANDIN_EDGE ? "an edge of a graph" : "a copy of a graph";
    at.nth = nth;
    alarm(LIMIT_S);
    device_reset(s->n_devices, seed, !s->has_no_peers);
    order.begun = 0;
    atomic_store_explicit(&order.n_wrong, 0, memory_order_relaxed);
    standin.standin_watch_kernels(kernel_begins, NULL);
    standin.standin_leave_out(what, nth);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    options.executor = TG_EXECUTOR_GRAPH;
    if (tg_run_create(rt, at.graph, &options, &run, &err))
        fail_msg("%s", err.text);
    int rc = tg_run_execute(run, &err);
    if (tg_run_executor(run, &why) != TG_EXECUTOR_GRAPH)
        fail_msg("\"%s\" is no graph: %s", s->name, why ? why : "");
    bool is_wrong = !device_read(run, at.graph, at.have) || rc || atomic_load_explicit(&order.n_wrong, memory_order_relaxed) ||
                    standin.standin_violations(NULL, 0) || memcmp(at.have, at.expected, device_words(at.graph) * sizeof *at.have);
    *n_p = standin.standin_parts(what);
    if (what == STANDIN_EDGE && nth == 0)
        find_order(tgi_offload_graph_program(run), *n_p);
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    alarm(0);
    return is_wrong;
}

static void every_edge_and_copy_of_graphs_is_missed(void **state)
{
    unsigned n_unnoticed = 0;
    uint64_t n_parts = 0, n, ignored;
    (void)state;
    for (int i = 0; i < N_SCENARIOS; i++) {
        const struct scenario *s = &scenarios[i];
        if (s->has_cpu_tasks || s->device_bytes || strcmp(s->name, "exchanges") == 0) /* these are no graphs */
            continue;
        open_graph(s);
        for (enum standin_part what = STANDIN_EDGE; what < STANDIN_N_PARTS; what++) {
            if (run_graph(what, 0, 1, &n))
                fail_msg("\"%s\" is wrong as a whole graph", s->name);
            n_parts += n;
            uint32_t n_spared = what == STANDIN_EDGE ? at.n_order : 0;
            for (uint64_t nth = 1; nth <= n; nth++) {
                bool is_noticed = what == STANDIN_EDGE && nth <= MAX_EDGES && at.is_order[nth - 1];
                for (uint64_t seed = 1; seed <= N_GRAPH_SEEDS && !is_noticed; seed++)
                    is_noticed = run_graph(what, nth, seed, &ignored);
                if (!is_noticed && n_spared) {
                    n_spared--;
                } else if (!is_noticed) {
                    n_unnoticed++;
                    fprintf(stderr, "\"%s\": nobody misses %s, %llu of %llu\n", s->name, at.call, (unsigned long long)nth, (unsigned long long)n);
                }
            }
        }
        close_graph();
    }
    printf("%llu edges and copies\n", (unsigned long long)n_parts);
    assert_int_equal(n_unnoticed, 0);
}

/* ---- Random graphs ------------------------------------------------------------------------*/

/* With memory for all tiles: where it is short, a tile may be written back that is overwritten before anybody reads it,
 * and memory waits for all that was given back before, not only for who used these bytes. */
enum { MAX_TASKS = 16 };

static void draw_tasks(struct dice *d, uint32_t n_tiles, char *text, size_t size)
{
    uint32_t n = 4 + roll(d, MAX_TASKS - 4);
    size_t used = 0;
    bool may_be_overwritten[8]; /* somebody has read it: what nobody reads, nobody misses */
    memset(may_be_overwritten, 1, sizeof may_be_overwritten);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t out = roll(d, n_tiles), n_inputs = roll(d, 3);
        bool is_out = may_be_overwritten[out] && roll(d, 3) == 0;
        used += (size_t)snprintf(text + used, size - used, "%s{'kernel': '%s', 'args': {'id': %u, 'n': 32, 'out': 'A[%u]'",
                                 i ? ", " : "", is_out ? "hash" : "mix", i, out);
        may_be_overwritten[out] = false;
        for (uint32_t k = 0; k < n_inputs; k++) /* another tile each */
            may_be_overwritten[(out + 1 + k) % n_tiles] = true;
        for (uint32_t k = 0; k < n_inputs; k++)
            used += (size_t)snprintf(text + used, size - used, ", 'in%u': 'A[%u]'", k, (out + 1 + k) % n_tiles);
        used += (size_t)snprintf(text + used, size - used, "}}");
    }
}

static void every_command_of_random_graphs_is_missed(void **state)
{
    unsigned n_unnoticed = 0;
    uint64_t n = 0, seed = test_seed(1), n_graphs = getenv("TGRAPH_TEST_ALL") ? 300 : IS_SLOW ? 2 : 10;
    (void)state;
    for (uint64_t i = 0; i < n_graphs; i++) {
        struct dice d = {mix64(seed + i)};
        char buffers[256], tasks[MAX_TASKS * 160], name[48];
        uint32_t n_tiles = 3 + roll(&d, 4);
        struct scenario s = {.name = name, .buffers = buffers, .tasks = tasks, .n_devices = 1 + (int)roll(&d, 3)};
        s.has_no_peers = roll(&d, 4) == 0;
        snprintf(name, sizeof name, "TGRAPH_TEST_SEED=%" PRIu64, seed + i);
        snprintf(buffers, sizeof buffers,
                 "'A': {'dtype': 'u64', 'shape': [32], 'tiles': [%u], 'init': {'iota': true}, 'home': 'cyclic:{i}'}", n_tiles);
        draw_tasks(&d, n_tiles, tasks, sizeof tasks);
        open_graph(&s);
        n_unnoticed += leave_out("cuStreamWaitEvent", &n);
        for (size_t k = 0; k < sizeof copies / sizeof *copies; k++)
            n_unnoticed += leave_out(copies[k], &n);
        close_graph();
    }
    printf("%llu waits and copies\n", (unsigned long long)n);
    assert_int_equal(n_unnoticed, 0);
}

static int load(void **state)
{
    signal(SIGALRM, too_long);
    return device_group_load(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_wait_is_missed),
        cmocka_unit_test(every_copy_is_missed),
        cmocka_unit_test(every_edge_and_copy_of_graphs_is_missed),
        cmocka_unit_test(every_command_of_random_graphs_is_missed),
    };
    return cmocka_run_group_tests(tests, load, device_group_unload);
}
