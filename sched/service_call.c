/* What the tasks of a graph are inside a service (service_graph.h): bodies, the words that they are given, and a plan. */
#include "sched/service_graph.h"

#include <string.h>

#include "graph/error.h"
#include "graph/space.h"
#include "graph/vec.h"
#include "mem/program.h"

/* Addresses that are made up: twice, the second time so much further. */
static const uint64_t seat_at = UINT64_C(1) << 40, shared_at = UINT64_C(1) << 44;
static const uint64_t seat_step = UINT64_C(1) << 20, shared_step = UINT64_C(1) << 21;

struct planning {
    const struct tgi_service_graph *g;
    struct tgi_devices *devices;
    struct tgi_code **codes; /* by op; NULL: not needed yet */
    struct tgi_program scratch;
    struct tgi_service_words *words;
    uint32_t cap_words, cap_homes;
    uint32_t n_tasks, n_edges, cap_succ; /* those that bring first contents come after the graph's */
    uint32_t *succ_at, *succ, *topo;
    uint8_t *op;
    uint64_t *arg;
    float *cost_ns;
    struct tg_error *err;
};

static int no_memory(struct planning *p) { return tgi_error_memory(p->err, "planning a service's program"); }

/* ---- Calls --------------------------------------------------------------------------------*/

static uint64_t address_of(const struct planning *p, uint64_t word, bool is_second)
{
    const struct tgi_service_graph *g = p->g;
    uint32_t tile = tgi_word_tile(word), range = tgi_word_range(word);
    if (word == TGI_WORD_NULL)
        return 0;
    const struct tgi_buffer *b = tgi_space_buffer_of(g->graph->space, tile);
    uint64_t base = g->home[tile] == TGI_HOME_SEAT ? seat_at + is_second * seat_step : shared_at + is_second * shared_step;
    return base + g->at[tile] + (range ? g->graph->space->ranges[range - 1].begin * b->row_bytes : 0);
}

static int resolve(struct planning *p, uint32_t op, struct tgi_code **code_p)
{
    char *text = NULL;
    int rc = p->codes[op] ? 0 : p->devices->ops->resolve(p->devices, p->g->graph, op, &p->codes[op], &text, p->err);
    free(text);
    *code_p = p->codes[op];
    return rc;
}

/* The command that a run would enqueue for a task. */
static int command_of_kernel(struct planning *p, uint32_t task, bool is_second, struct tgi_command *c)
{
    const struct tg_graph *g = p->g->graph;
    const struct tgi_op *op = tgi_graph_op(g, task);
    uint64_t values[TG_MAX_PARAMS];
    void *args[TG_MAX_PARAMS];
    for (uint32_t i = 0; i < op->n_params; i++) {
        uint64_t word = tgi_graph_word(g, task, i);
        values[i] = op->params[i].access == TG_SCALAR ? word : address_of(p, word, is_second);
        args[i] = &values[i];
    }
    c->kind = TGI_COMMAND_LAUNCH;
    c->launch.n_args = op->n_params;
    p->scratch.n_words = 0;
    int rc = resolve(p, g->nodes[task].op & TGI_NODE_OP, &c->launch.code);
    if (rc == 0)
        rc = p->devices->ops->shape(p->devices, c->launch.code, args, &c->launch.shape, p->err);
    return rc ? rc : tgi_program_add_words(&p->scratch, values, op->n_params, &c->launch.first_arg, p->err);
}

static int command_of(struct planning *p, uint32_t task, bool is_second, struct tgi_command *c)
{
    const struct tg_graph *g = p->g->graph;
    const struct tgi_op *op = tgi_graph_op(g, task);
    memset(c, 0, sizeof *c);
    c->lane = tgi_lane_of(0, 0);
    if (op->kind == TGI_OP_KERNEL)
        return command_of_kernel(p, task, is_second, c);
    uint64_t to = tgi_graph_word(g, task, 0), other = tgi_graph_word(g, task, 1);
    const struct tgi_buffer *b = tgi_space_buffer_of(g->space, tgi_word_tile(to));
    uint64_t n = tgi_space_word_elems(g->space, b, to);
    if (op->kind == TGI_OP_FILL) {
        c->kind = TGI_COMMAND_FILL;
        c->fill.address = address_of(p, to, is_second);
        c->fill.n_elems = n;
        c->fill.word = other;
        c->fill.dtype = b->dtype;
    } else {
        c->kind = TGI_COMMAND_COPY;
        c->copy = (struct tgi_transfer){1, 1, address_of(p, to, is_second), address_of(p, other, is_second), n * tg_dtype_size(b->dtype)};
    }
    return 0;
}

/* The task that gives a tile its first contents. */
static void command_of_first(const struct planning *p, uint32_t tile, bool is_second, struct tgi_command *c)
{
    memset(c, 0, sizeof *c);
    c->lane = tgi_lane_of(0, 0);
    c->kind = TGI_COMMAND_COPY;
    c->copy = (struct tgi_transfer){1, 1, address_of(p, tile, is_second), shared_at + is_second * shared_step + p->g->first_at[tile],
                                    tgi_space_buffer_of(p->g->graph->space, tile)->tile_bytes};
}

/* ---- Words --------------------------------------------------------------------------------*/

static int add_word(struct planning *p, uint64_t one, uint64_t two)
{
    struct tgi_service_words *w = p->words;
    bool is_seat = two - one == seat_step, is_shared = two - one == shared_step;
    if (one != two && !is_seat && !is_shared)
        return tgi_error(p->err, TG_E_INTERNAL, "planning a service's program: a word of a task depends on its addresses and is none");
    if (!tgi_vec_reserve(&w->words, &p->cap_words, w->n + 1ull, sizeof *w->words) ||
        !tgi_vec_reserve(&w->home, &p->cap_homes, w->n + 1ull, sizeof *w->home))
        return no_memory(p);
    w->home[w->n] = is_seat ? TGI_HOME_SEAT : is_shared ? TGI_HOME_SHARED : TGI_HOME_NOWHERE;
    w->words[w->n++] = is_seat ? one - seat_at : is_shared ? one - shared_at : one;
    return 0;
}

void tgi_service_words_locate(const struct tgi_service_words *w, uint64_t seat, uint64_t shared, uint64_t *to)
{
    const uint64_t base[] = {[TGI_HOME_NOWHERE] = 0, [TGI_HOME_SEAT] = seat, [TGI_HOME_SHARED] = shared};
    for (uint32_t i = 0; i < w->n; i++)
        to[i] = base[w->home[i]] + w->words[i];
}

void tgi_service_words_fini(struct tgi_service_words *w)
{
    free(w->words);
    free(w->home);
    memset(w, 0, sizeof *w);
}

static int add_call(struct planning *p, uint32_t at, const struct tgi_resident_call *one, const struct tgi_resident_call *two)
{
    uint32_t first = p->words->n;
    int rc = one->body == two->body && one->n_words == two->n_words
                 ? 0
                 : tgi_error(p->err, TG_E_INTERNAL, "planning a service's program: what a task calls depends on its addresses");
    for (uint32_t i = 0; rc == 0 && i < one->n_words; i++)
        rc = add_word(p, one->words[i], two->words[i]);
    p->op[at] = TGI_RESIDENT_CALL;
    p->arg[at] = TGI_CALL(one->body, one->n_words, first);
    p->cost_ns[at] = one->cost_ns;
    return rc;
}

/* ---- Tasks --------------------------------------------------------------------------------*/

static int refuse(struct planning *p, uint32_t task, const char *why)
{
    char scratch[16];
    return tgi_error(p->err, TG_E_UNSUPPORTED, "task \"%s\" cannot be one of a service: %s", tgi_graph_task_name(p->g->graph, task, scratch), why);
}

static int plan_task(struct planning *p, uint32_t task)
{
    struct tgi_resident_call call[2] = {{.n_words = 0}, {.n_words = 0}};
    struct tgi_command c;
    const char *why = "";
    int rc = 0;
    if (tgi_graph_op(p->g->graph, task)->kind == TGI_OP_BARRIER) {
        p->op[task] = TGI_RESIDENT_EMPTY;
        return 0;
    }
    for (int k = 0; rc == 0 && k < 2; k++) {
        rc = command_of(p, task, k == 1, &c);
        if (rc == 0 && !p->devices->ops->resident_call(p->devices, &p->scratch, &c, &call[k], &why))
            rc = refuse(p, task, why);
        else if (rc == 0 && call[k].is_block)
            rc = refuse(p, task, "its resident function is a block wide");
        else if (rc == 0 && call[k].is_thread)
            rc = refuse(p, task, "its resident function is a thread wide");
    }
    return rc ? rc : add_call(p, task, &call[0], &call[1]);
}

static int plan_first(struct planning *p, uint32_t at, uint32_t tile)
{
    struct tgi_resident_call call[2] = {{.n_words = 0}, {.n_words = 0}};
    struct tgi_command c;
    const char *why = "";
    for (int k = 0; k < 2; k++) {
        command_of_first(p, tile, k == 1, &c);
        if (!p->devices->ops->resident_call(p->devices, &p->scratch, &c, &call[k], &why))
            return tgi_error(p->err, TG_E_UNSUPPORTED, "bringing the first contents of buffer \"%s\" cannot be a task of a service: %s",
                             tgi_space_buffer_of(p->g->graph->space, tile)->name, why);
    }
    return add_call(p, at, &call[0], &call[1]);
}

/* ---- Edges --------------------------------------------------------------------------------*/

static int add_edge(struct planning *p, uint32_t to)
{
    if (!tgi_vec_reserve(&p->succ, &p->cap_succ, p->n_edges + 1ull, sizeof *p->succ))
        return no_memory(p);
    p->succ[p->n_edges++] = to;
    return 0;
}

/* Tasks that touch tiles with first contents: counted by tile, or with `succ` listed from at[tile] on, which becomes the end. */
static void list_users(const struct planning *p, uint32_t *last, uint32_t *at, uint32_t *succ)
{
    const struct tg_graph *g = p->g->graph;
    memset(last, 0, g->space->n_tiles * sizeof *last);
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        const struct tgi_op *op = tgi_graph_op(g, t);
        for (uint32_t i = 0; op->kind != TGI_OP_BARRIER && i < op->n_params; i++) {
            uint64_t word = op->params[i].access == TG_SCALAR ? TGI_WORD_NULL : tgi_graph_word(g, t, i);
            uint32_t tile = tgi_word_tile(word);
            if (word == TGI_WORD_NULL || p->g->first_at[tile] == UINT64_MAX || last[tile] == t + 1)
                continue;
            last[tile] = t + 1;
            if (succ)
                succ[at[tile]] = t;
            at[tile]++;
        }
    }
}

/* First contents come before everything that touches the tile. */
static int plan_firsts(struct planning *p)
{
    uint32_t n_tiles = p->g->graph->space->n_tiles, task = p->g->graph->n_tasks;
    uint32_t *last = calloc(n_tiles + 1ul, sizeof *last), *at = calloc(n_tiles + 1ul, sizeof *at);
    int rc = last && at ? 0 : no_memory(p);
    if (rc == 0)
        list_users(p, last, at, NULL);
    for (uint32_t tile = 0; rc == 0 && tile < n_tiles; tile++) {
        if (p->g->first_at[tile] == UINT64_MAX)
            continue;
        uint32_t n = at[tile];
        at[tile] = p->n_edges;
        for (uint32_t k = 0; rc == 0 && k < n; k++)
            rc = add_edge(p, 0); /* whom is filled in below */
        if (rc == 0)
            rc = plan_first(p, task, tile);
        p->topo[task - p->g->graph->n_tasks] = task;
        p->succ_at[++task] = p->n_edges;
    }
    if (rc == 0)
        list_users(p, last, at, p->succ);
    free(last);
    free(at);
    return rc;
}

static int plan_all(struct planning *p)
{
    const struct tg_graph *g = p->g->graph;
    int rc = 0;
    for (uint32_t t = 0; rc == 0 && t < g->n_tasks; t++) {
        rc = plan_task(p, t);
        for (uint32_t e = g->nodes[t].succ; rc == 0 && e < g->nodes[t + 1].succ; e++)
            rc = add_edge(p, g->succ[e]);
        p->succ_at[t + 1] = p->n_edges;
        p->topo[p->g->n_firsts + t] = g->topo ? g->topo[t] : t;
    }
    return rc || !p->g->n_firsts ? rc : plan_firsts(p);
}

static bool planning_init(struct planning *p)
{
    size_t n = p->n_tasks + 2ul;
    p->codes = calloc(p->g->graph->space->n_ops + 1ul, sizeof *p->codes);
    p->succ_at = calloc(n, sizeof *p->succ_at);
    p->succ = calloc(p->cap_succ = 1, sizeof *p->succ);
    p->topo = calloc(n, sizeof *p->topo);
    p->op = calloc(n, sizeof *p->op);
    p->arg = calloc(n, sizeof *p->arg);
    p->cost_ns = calloc(n, sizeof *p->cost_ns);
    return p->codes && p->succ_at && p->succ && p->topo && p->op && p->arg && p->cost_ns;
}

static void planning_fini(struct planning *p)
{
    for (uint32_t i = 0; p->codes && i < p->g->graph->space->n_ops; i++)
        p->devices->ops->unresolve(p->devices, p->codes[i]);
    free(p->codes);
    tgi_program_fini(&p->scratch);
    free(p->succ_at);
    free(p->succ);
    free(p->topo);
    free(p->op);
    free(p->arg);
    free(p->cost_ns);
}

int tgi_service_graph_plan(const struct tgi_service_graph *g, struct tgi_devices *devices, const struct tgi_resident_shape *shape,
                           struct tgi_resident_program **program_p, struct tgi_service_words *words_p, struct tg_error *err)
{
    static const struct tgi_resident_costs costs = TGI_RESIDENT_COSTS_INIT;
    struct planning p = {.g = g, .devices = devices, .words = words_p, .n_tasks = g->graph->n_tasks + g->n_firsts, .err = err};
    struct tgi_resident_program *program = NULL;
    memset(words_p, 0, sizeof *words_p);
    if (!devices->ops->resident_call)
        return tgi_error(err, TG_E_UNSUPPORTED, "%s devices have no resident tasks", devices->ops->kind);
    int rc = planning_init(&p) ? plan_all(&p) : no_memory(&p);
    if (rc == 0) {
        const struct tgi_resident_dag dag = {.n_tasks = p.n_tasks, .succ_at = p.succ_at, .succ = p.succ, .topo = p.topo,
                                             .op = p.op, .arg = p.arg, .cost_ns = p.cost_ns};
        rc = tgi_resident_plan(&dag, shape, &costs, &program, err);
        if (rc == 0)
            rc = tgi_resident_check(&dag, program, err);
    }
    planning_fini(&p);
    if (rc) {
        tgi_resident_program_destroy(program);
        tgi_service_words_fini(words_p);
    } else
        *program_p = program;
    return rc;
}
