/* See alike.h.  Classes are found by a hash of operation and sizes; 64 bits of it stand for both. */
#include "sched/alike.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "graph/vec.h"

enum { MOST_SIZES = 64 }; /* classes of one operation, but for the rest */

struct slot {
    uint64_t hash;
    uint32_t class; /* + 1; 0: free */
};

struct search {
    struct tgi_alikes *a;
    const struct tgi_space *space;
    struct slot *slots;
    uint32_t n_slots;
    uint32_t *size_params; /* by op: bit i, parameter i is a size; 0: not looked at yet, as bit 31 is always set */
    uint16_t *n_of_op;
    uint32_t *rest_of_op; /* by op: the class of the rest + 1; 0: there is none */
};

/* ---- Sizes --------------------------------------------------------------------------------*/

#define LOOKED_AT ((uint32_t)1 << 31)
_Static_assert(TG_MAX_PARAMS <= 32, "a bit for each parameter");

struct dependence {
    uint32_t slot;
    bool has_any, is_found;
};

static void depend(struct dependence *d, const struct tgi_expr *expr)
{
    d->has_any |= expr != NULL;
    d->is_found |= expr && tgi_expr_uses(expr, d->slot);
}

static struct dependence depends_on(const struct tgi_op *op, uint32_t param)
{
    struct dependence d = {param, false, false};
    depend(&d, op->flops);
    depend(&d, op->bytes);
    depend(&d, op->us);
    for (uint32_t i = 0; op->needs && i < op->n_params; i++)
        depend(&d, op->needs[i]);
    for (uint32_t v = 0; v < op->n_variants; v++)
        for (int k = 0; k < 3; k++) {
            depend(&d, op->variants[v].grid[k]);
            depend(&d, op->variants[v].block[k]);
        }
    return d;
}

static bool is_float(const struct tgi_param *p)
{
    return p->dtype == TG_F16 || p->dtype == TG_BF16 || p->dtype == TG_F32 || p->dtype == TG_F64;
}

static uint32_t size_params(struct search *s, uint32_t id)
{
    const struct tgi_op *op = &s->space->ops[id];
    uint32_t *mask = &s->size_params[id];
    for (uint32_t i = 0; !*mask && i < op->n_params && i < 31; i++) {
        struct dependence d = depends_on(op, i);
        if (op->params[i].access == TG_SCALAR && (d.is_found || (!d.has_any && !is_float(&op->params[i]))))
            *mask |= (uint32_t)1 << i;
    }
    return (*mask |= LOOKED_AT);
}

static uint64_t bytes_of(const struct tgi_space *space, uint64_t word)
{
    const struct tgi_buffer *b = tgi_space_buffer_of(space, tgi_word_tile(word));
    uint32_t range = tgi_word_range(word);
    if (range == TGI_WORD_ALL)
        return b->tile_bytes * b->n_present;
    return range ? (space->ranges[range - 1].end - space->ranges[range - 1].begin) * b->row_bytes : b->tile_bytes;
}

/* ---- Classes ------------------------------------------------------------------------------*/

static inline uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

/* Costs of its own make a task unlike others. */
static uint64_t mix_costs(uint64_t hash, const struct tgi_attr *attr)
{
    double costs[3] = {attr->flops, attr->bytes, attr->us};
    for (int i = 0; i < 3; i++) {
        uint64_t bits = 0;
        if (!isnan(costs[i]))
            memcpy(&bits, &costs[i], sizeof bits);
        hash = mix(hash, bits);
    }
    return hash;
}

static uint64_t hash_of(struct search *s, const struct tg_graph *g, uint32_t task)
{
    uint32_t id = g->nodes[task].op & TGI_NODE_OP, sizes = size_params(s, id);
    const struct tgi_op *op = &s->space->ops[id];
    const struct tgi_attr *attr = tgi_graph_attr(g, task);
    uint64_t hash = mix(0, id + 1);
    for (uint32_t i = 0; i < op->n_params; i++) {
        uint64_t word = tgi_graph_word(g, task, i);
        if (op->params[i].access != TG_SCALAR)
            hash = mix(hash, word == TGI_WORD_NULL ? UINT64_MAX : bytes_of(s->space, word));
        else if (sizes >> i & 1)
            hash = mix(hash, word);
    }
    return attr ? mix_costs(hash, attr) : hash;
}

static void print_sizes(struct search *s, struct tgi_alike *c)
{
    const struct tgi_op *op = &s->space->ops[c->op];
    uint32_t sizes = size_params(s, c->op);
    size_t at = 0;
    for (uint32_t i = 0; i < op->n_params && at < sizeof c->sizes; i++) {
        uint64_t word = tgi_graph_word(c->graph, c->task, i);
        const char *comma = at ? "," : "";
        if (op->params[i].access != TG_SCALAR && word != TGI_WORD_NULL)
            at += (size_t)snprintf(c->sizes + at, sizeof c->sizes - at, "%s%" PRIu64 "B", comma, bytes_of(s->space, word));
        else if (op->params[i].access == TG_SCALAR && sizes >> i & 1)
            at += (size_t)snprintf(c->sizes + at, sizeof c->sizes - at, "%s%" PRId64, comma, (int64_t)word);
    }
}

/* TG_NONE: no memory. */
static uint32_t class_new(struct search *s, const struct tg_graph *g, uint32_t task, bool is_rest)
{
    struct tgi_alikes *a = s->a;
    if (!tgi_vec_reserve(&a->classes, &a->cap, (uint64_t)a->n + 1, sizeof *a->classes))
        return TG_NONE;
    struct tgi_alike *c = &a->classes[a->n];
    *c = (struct tgi_alike){.graph = g, .task = task, .op = g->nodes[task].op & TGI_NODE_OP, .sizes = "*"};
    if (!is_rest)
        print_sizes(s, c);
    return a->n++;
}

static bool slots_grow(struct search *s)
{
    uint32_t n = s->n_slots ? 2 * s->n_slots : 64;
    struct slot *old = s->slots, *slots = calloc(n, sizeof *slots);
    if (!slots)
        return false;
    for (uint32_t i = 0; i < s->n_slots; i++) {
        uint32_t at = (uint32_t)old[i].hash & (n - 1);
        while (old[i].class && slots[at].class)
            at = (at + 1) & (n - 1);
        if (old[i].class)
            slots[at] = old[i];
    }
    s->slots = slots;
    s->n_slots = n;
    free(old);
    return true;
}

static uint32_t find_rest(struct search *s, const struct tg_graph *g, uint32_t task)
{
    uint32_t *rest = &s->rest_of_op[g->nodes[task].op & TGI_NODE_OP];
    if (!*rest)
        *rest = class_new(s, g, task, true) + 1;
    return *rest - 1;
}

static uint32_t find(struct search *s, const struct tg_graph *g, uint32_t task)
{
    uint64_t hash = hash_of(s, g, task);
    if (2 * (s->a->n + 1) > s->n_slots && !slots_grow(s))
        return TG_NONE;
    uint32_t at = (uint32_t)hash & (s->n_slots - 1), id = g->nodes[task].op & TGI_NODE_OP;
    while (s->slots[at].class && s->slots[at].hash != hash)
        at = (at + 1) & (s->n_slots - 1);
    if (s->slots[at].class)
        return s->slots[at].class - 1;
    if (s->n_of_op[id] == MOST_SIZES)
        return find_rest(s, g, task);
    uint32_t class = class_new(s, g, task, false);
    if (class != TG_NONE) {
        s->slots[at] = (struct slot){hash, class + 1};
        s->n_of_op[id]++;
    }
    return class;
}

/* ---- Graphs -------------------------------------------------------------------------------*/

static bool add_graph(struct search *s, const struct tg_graph *g)
{
    struct tgi_alike_graph *at = &s->a->graphs[s->a->n_graphs++];
    *at = (struct tgi_alike_graph){g, malloc(((size_t)g->n_tasks + 1) * sizeof *at->of)};
    for (uint32_t t = 0; at->of && t < g->n_tasks; t++) {
        at->of[t] = TG_NONE;
        if (tgi_graph_op(g, t)->kind != TGI_OP_KERNEL)
            continue;
        at->of[t] = find(s, g, t);
        if (at->of[t] == TG_NONE)
            return false;
        s->a->classes[at->of[t]].n_tasks++;
    }
    return at->of != NULL;
}

static bool add_graphs(struct search *s, const struct tg_graph *graph)
{
    s->a->graphs = calloc(2 * (size_t)s->space->n_ops + 1, sizeof *s->a->graphs);
    bool ok = s->a->graphs && s->size_params && s->n_of_op && s->rest_of_op && add_graph(s, graph);
    for (uint32_t i = 0; ok && i < s->space->n_ops; i++) {
        const struct tgi_op *op = &s->space->ops[i];
        ok = (!op->body || add_graph(s, op->body)) && (!op->body_else || add_graph(s, op->body_else));
    }
    return ok;
}

int tgi_alikes_create(const struct tg_graph *graph, struct tgi_alikes **alikes_p, struct tg_error *err)
{
    size_t n = (size_t)graph->space->n_ops + 1;
    struct search s = {.a = calloc(1, sizeof *s.a),
                       .space = graph->space,
                       .size_params = calloc(n, sizeof *s.size_params),
                       .n_of_op = calloc(n, sizeof *s.n_of_op),
                       .rest_of_op = calloc(n, sizeof *s.rest_of_op)};
    bool ok = s.a && add_graphs(&s, graph);
    free(s.slots);
    free(s.size_params);
    free(s.n_of_op);
    free(s.rest_of_op);
    if (!ok) {
        tgi_alikes_destroy(s.a);
        return tgi_error_memory(err, "looking for tasks that are alike");
    }
    *alikes_p = s.a;
    return 0;
}

void tgi_alikes_destroy(struct tgi_alikes *a)
{
    if (!a)
        return;
    for (uint32_t i = 0; a->graphs && i < a->n_graphs; i++)
        free(a->graphs[i].of);
    free(a->graphs);
    free(a->classes);
    free(a);
}

const uint32_t *tgi_alikes_of(const struct tgi_alikes *a, const struct tg_graph *graph)
{
    for (uint32_t i = 0; i < a->n_graphs; i++)
        if (a->graphs[i].graph == graph)
            return a->graphs[i].of;
    return NULL;
}
