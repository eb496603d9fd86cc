#include "graph/gate.h"

#include <stdlib.h>
#include <string.h>

enum { LEAST_PREDS = 4, LEAST_MEMBERS = 3 };

struct finder {
    const struct tg_graph *g;
    const uint32_t *preds, *first, *n_preds;
    uint32_t *slots;   /* open addressing: the first task of each set of predecessors */
    uint32_t n_slots;
    uint32_t *leader;  /* by task: the first task with the same set; itself if it is the first */
    uint32_t *members; /* by task: of a leader, tasks with the same set */
    uint32_t *gate;    /* by task: of a leader, its gate, TG_NONE: none */
    uint32_t *seen;    /* by task: stamp */
    uint32_t stamp;
};

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 31) * 0x7fb5d329728ea185u;
    x = (x ^ x >> 27) * 0x81dadef4bc2dd44du;
    return x ^ x >> 33;
}

/* The same for every order of the list. */
static uint64_t set_hash(const uint32_t *list, uint32_t n)
{
    uint64_t sum = n;
    for (uint32_t i = 0; i < n; i++)
        sum += mix(list[i] + 0x9e3779b97f4a7c15u);
    return mix(sum);
}

static bool is_same_set(struct finder *f, uint32_t a, uint32_t b)
{
    const uint32_t *x = f->preds + f->first[a], *y = f->preds + f->first[b];
    uint32_t n = f->n_preds[a];
    if (n != f->n_preds[b])
        return false;
    if (memcmp(x, y, n * sizeof *x) == 0)
        return true;
    f->stamp++;
    for (uint32_t i = 0; i < n; i++)
        f->seen[x[i]] = f->stamp;
    for (uint32_t i = 0; i < n; i++)
        if (f->seen[y[i]] != f->stamp)
            return false;
    return true;
}

static uint32_t find_leader(struct finder *f, uint32_t v)
{
    uint32_t mask = f->n_slots - 1;
    uint32_t i = (uint32_t)set_hash(f->preds + f->first[v], f->n_preds[v]) & mask;
    for (;; i = (i + 1) & mask) {
        if (f->slots[i] == TG_NONE)
            f->slots[i] = v;
        if (is_same_set(f, f->slots[i], v))
            return f->slots[i];
    }
}

/* Whether enough tasks have enough predecessors for sharing to be possible; then their number. */
static uint32_t count_candidates(const struct finder *f)
{
    uint32_t n = 0;
    for (uint32_t v = 0; v < f->g->n_tasks; v++)
        n += f->n_preds[v] >= LEAST_PREDS;
    return n;
}

static bool finder_init(struct finder *f, uint32_t n_candidates)
{
    size_t n = f->g->n_tasks;
    f->n_slots = 16;
    while (f->n_slots < 2 * (uint64_t)n_candidates && f->n_slots < 1u << 31)
        f->n_slots *= 2;
    f->slots = malloc(f->n_slots * sizeof *f->slots);
    f->leader = malloc(n * sizeof *f->leader);
    f->members = calloc(n, sizeof *f->members);
    f->gate = malloc(n * sizeof *f->gate);
    f->seen = calloc(n, sizeof *f->seen);
    if (!f->slots || !f->leader || !f->members || !f->gate || !f->seen)
        return false;
    memset(f->slots, 0xff, f->n_slots * sizeof *f->slots);
    memset(f->gate, 0xff, n * sizeof *f->gate);
    return true;
}

static void finder_fini(struct finder *f)
{
    free(f->slots);
    free(f->leader);
    free(f->members);
    free(f->gate);
    free(f->seen);
}

/* The gate a task stands behind, or TG_NONE. */
static uint32_t gate_of(const struct finder *f, uint32_t v)
{
    return f->n_preds[v] >= LEAST_PREDS ? f->gate[f->leader[v]] : TG_NONE;
}

static uint32_t number_gates(struct finder *f)
{
    uint32_t n_gates = 0, last = TG_NONE;
    for (uint32_t v = 0; v < f->g->n_tasks; v++) {
        if (f->n_preds[v] < LEAST_PREDS)
            continue;
        /* Most often the sharing tasks follow each other. */
        bool is_like_last = last != TG_NONE && f->n_preds[last] == f->n_preds[v] &&
                            memcmp(f->preds + f->first[last], f->preds + f->first[v], f->n_preds[v] * sizeof *f->preds) == 0;
        f->leader[v] = is_like_last ? f->leader[last] : find_leader(f, v);
        f->members[f->leader[v]]++;
        last = v;
    }
    for (uint32_t v = 0; v < f->g->n_tasks; v++)
        if (f->n_preds[v] >= LEAST_PREDS && f->leader[v] == v && f->members[v] >= LEAST_MEMBERS)
            f->gate[v] = f->g->n_tasks + n_gates++;
    return n_gates;
}

/* Successors of tasks, with a gate in the place of its members; then the gates' members. */
static struct tgi_gated *build(struct finder *f, uint32_t n_gates)
{
    const struct tg_graph *g = f->g;
    uint32_t n = g->n_tasks, at = 0;
    struct tgi_gated *gated = calloc(1, sizeof *gated);
    if (!gated)
        return NULL;
    gated->n_gates = n_gates;
    gated->bytes = ((size_t)n + n_gates + 1) * sizeof *gated->nodes + ((size_t)g->n_edges + n + 1) * sizeof *gated->succ;
    gated->nodes = malloc(((size_t)n + n_gates + 1) * sizeof *gated->nodes);
    gated->succ = malloc(((size_t)g->n_edges + n + 1) * sizeof *gated->succ);
    if (!gated->nodes || !gated->succ) {
        tgi_gated_destroy(gated);
        return NULL;
    }
    memset(f->seen, 0, (size_t)n * sizeof *f->seen);
    for (uint32_t u = 0; u < n; u++) {
        gated->nodes[u] = g->nodes[u];
        gated->nodes[u].succ = at;
        for (uint32_t i = g->nodes[u].succ; i < g->nodes[u + 1].succ; i++) {
            uint32_t v = g->succ[i], gate = gate_of(f, v);
            if (gate == TG_NONE) {
                gated->succ[at++] = v;
            } else if (f->seen[f->leader[v]] != u + 1) {
                f->seen[f->leader[v]] = u + 1; /* once for all members */
                gated->succ[at++] = gate;
            }
        }
    }
    for (uint32_t v = 0; v < n; v++)
        if (gate_of(f, v) != TG_NONE)
            gated->nodes[v].n_preds = 1;
    /* Members by gate: counts, starts, then the ids; f->members of a leader becomes its cursor. */
    for (uint32_t v = 0; v < n; v++)
        if (f->gate[v] != TG_NONE) {
            gated->nodes[f->gate[v]] = (struct tgi_node){.succ = at, .args = g->n_args, .n_preds = f->n_preds[v]};
            at += f->members[v];
            f->members[v] = gated->nodes[f->gate[v]].succ;
        }
    for (uint32_t v = 0; v < n; v++)
        if (gate_of(f, v) != TG_NONE)
            gated->succ[f->members[f->leader[v]]++] = v;
    gated->nodes[n + n_gates] = (struct tgi_node){.succ = at, .args = g->n_args};
    return gated;
}

bool tgi_gates_find(const struct tg_graph *g, const uint32_t *preds, const uint32_t *first, const uint32_t *n_preds,
                    struct tgi_gated **gated_p)
{
    struct finder f = {.g = g, .preds = preds, .first = first, .n_preds = n_preds};
    uint32_t n_candidates = count_candidates(&f);
    *gated_p = NULL;
    if (n_candidates < LEAST_MEMBERS)
        return true;
    bool ok = finder_init(&f, n_candidates);
    uint32_t n_gates = ok ? number_gates(&f) : 0;
    if (ok && n_gates) {
        *gated_p = build(&f, n_gates);
        ok = *gated_p != NULL;
    }
    finder_fini(&f);
    return ok;
}

void tgi_gated_destroy(struct tgi_gated *gated)
{
    if (!gated)
        return;
    free(gated->nodes);
    free(gated->succ);
    free(gated);
}
