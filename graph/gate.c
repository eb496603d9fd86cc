#include "graph/gate.h"

#include <stdlib.h>
#include <string.h>

#include "graph/block.h"

enum { LEAST_PREDS = 4, LEAST_MEMBERS = 3 };

/* A set of predecessors: open addressing by its hash. */
struct slot {
    uint32_t leader; /* the first task with the set, TG_NONE: the slot is free */
    uint32_t tag;    /* of the hash, so that most other sets are told apart without a look at them */
};

struct finder {
    const struct tg_graph *g;
    const struct tgi_preds *preds;
    struct slot *slots;
    uint32_t n_slots;
    uint32_t *members; /* by slot: tasks with the set; later where the next one goes */
    uint32_t *gate;    /* by slot: id, TG_NONE: none */
    uint32_t *slot_of; /* by task: TG_NONE: too few predecessors */
    uint32_t *seen;    /* by task: stamp */
    uint32_t stamp;
};

static inline const uint32_t *list_of(const struct finder *f, uint32_t v)
{
    return f->preds->preds + f->preds->first[v];
}

/* The same for every order of the list. */
static uint64_t set_hash(const uint32_t *list, uint32_t n)
{
    uint64_t sum = n;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t x = (list[i] + 1) * 0x9e3779b97f4a7c15u;
        sum += (x ^ x >> 32) * 0x7fb5d329728ea185u;
    }
    return sum ^ sum >> 32;
}

/* Most often in the same order, and different from the start if they differ. */
static inline bool is_same_list(const struct finder *f, uint32_t a, uint32_t b)
{
    const uint32_t *x = list_of(f, a), *y = list_of(f, b);
    uint32_t n = f->preds->count[a];
    return n == f->preds->count[b] && *x == *y && memcmp(x, y, n * sizeof *x) == 0;
}

static bool is_same_set(struct finder *f, uint32_t a, uint32_t b)
{
    const uint32_t *x = list_of(f, a), *y = list_of(f, b);
    uint32_t n = f->preds->count[a];
    if (n != f->preds->count[b])
        return false;
    if (is_same_list(f, a, b))
        return true;
    f->stamp++;
    for (uint32_t i = 0; i < n; i++)
        f->seen[x[i]] = f->stamp;
    for (uint32_t i = 0; i < n; i++)
        if (f->seen[y[i]] != f->stamp)
            return false;
    return true;
}

static uint32_t find_slot(struct finder *f, uint32_t v)
{
    uint64_t hash = set_hash(list_of(f, v), f->preds->count[v]);
    uint32_t mask = f->n_slots - 1, tag = (uint32_t)(hash >> 32);
    for (uint32_t i = (uint32_t)hash & mask;; i = (i + 1) & mask) {
        struct slot *slot = &f->slots[i];
        if (slot->leader == TG_NONE)
            *slot = (struct slot){v, tag};
        if (slot->leader == v || (slot->tag == tag && is_same_set(f, slot->leader, v)))
            return i;
    }
}

/* Tasks with enough predecessors; those that share a list count once. */
static uint32_t count_candidates(const struct finder *f)
{
    uint32_t n = 0;
    for (uint32_t v = 0; v < f->g->n_tasks; v++)
        n += f->preds->count[v] >= LEAST_PREDS && !tgi_preds_is_shared(f->preds, v);
    return n;
}

static bool finder_init(struct finder *f, uint32_t n_candidates)
{
    size_t n = f->g->n_tasks;
    f->n_slots = 16;
    while (f->n_slots < 2 * (uint64_t)n_candidates && f->n_slots < 1u << 31)
        f->n_slots *= 2;
    f->slots = tgi_block_alloc(f->n_slots * sizeof *f->slots);
    f->members = tgi_block_alloc_zeroed(f->n_slots, sizeof *f->members);
    f->gate = tgi_block_alloc(f->n_slots * sizeof *f->gate);
    f->slot_of = tgi_block_alloc(n * sizeof *f->slot_of);
    f->seen = tgi_block_alloc_zeroed(n, sizeof *f->seen);
    if (!f->slots || !f->members || !f->gate || !f->slot_of || !f->seen)
        return false;
    memset(f->slots, 0xff, f->n_slots * sizeof *f->slots);
    return true;
}

static void finder_fini(struct finder *f)
{
    tgi_block_free(f->slots);
    tgi_block_free(f->members);
    tgi_block_free(f->gate);
    tgi_block_free(f->slot_of);
    tgi_block_free(f->seen);
}

/* Groups tasks by their sets; true: some set has enough members for a gate. */
static bool find_sets(struct finder *f)
{
    uint32_t last = TG_NONE;
    bool is_found = false;
    for (uint32_t v = 0; v < f->g->n_tasks; v++) {
        if (f->preds->count[v] < LEAST_PREDS) {
            f->slot_of[v] = TG_NONE;
            continue;
        }
        /* Most often the sharing tasks follow each other. */
        bool is_like_last = tgi_preds_is_shared(f->preds, v) || (last != TG_NONE && is_same_list(f, last, v));
        f->slot_of[v] = is_like_last ? f->slot_of[last] : find_slot(f, v);
        is_found |= ++f->members[f->slot_of[v]] >= LEAST_MEMBERS;
        last = v;
    }
    return is_found;
}

static inline bool is_leader(const struct finder *f, uint32_t v)
{
    return f->slot_of[v] != TG_NONE && f->slots[f->slot_of[v]].leader == v;
}

static uint32_t number_gates(struct finder *f)
{
    uint32_t n_gates = 0;
    memset(f->gate, 0xff, f->n_slots * sizeof *f->gate);
    for (uint32_t v = 0; v < f->g->n_tasks; v++)
        if (is_leader(f, v) && f->members[f->slot_of[v]] >= LEAST_MEMBERS)
            f->gate[f->slot_of[v]] = f->g->n_tasks + n_gates++;
    return n_gates;
}

/* The gate a task stands behind, or TG_NONE. */
static inline uint32_t gate_of(const struct finder *f, uint32_t v)
{
    return f->slot_of[v] != TG_NONE ? f->gate[f->slot_of[v]] : TG_NONE;
}

/* What v's predecessors count down: v, or for the first task behind a gate the gate, or nothing. */
static inline uint32_t stand_in(const struct finder *f, uint32_t v)
{
    uint32_t gate = gate_of(f, v);
    return gate == TG_NONE ? v : is_leader(f, v) ? gate : TG_NONE;
}

/* Successors of tasks, with a gate in the place of its members.  Returns their number. */
static uint32_t count_successors(const struct finder *f, struct tgi_node *nodes)
{
    uint32_t n = f->g->n_tasks, at = 0;
    for (uint32_t v = 0; v < n; v++) {
        nodes[v] = f->g->nodes[v];
        nodes[v].succ = 0;
    }
    for (uint32_t v = 0; v < n; v++)
        for (uint32_t i = 0; stand_in(f, v) != TG_NONE && i < f->preds->count[v]; i++)
            nodes[list_of(f, v)[i]].succ++;
    /* Ends, which filling from behind turns into starts. */
    for (uint32_t v = 0; v < n; v++) {
        nodes[v].succ = at += nodes[v].succ;
        if (gate_of(f, v) != TG_NONE)
            nodes[v].n_preds = 1;
    }
    return at;
}

static void fill_successors(const struct finder *f, struct tgi_gated *gated)
{
    for (uint32_t v = f->g->n_tasks; v-- > 0;) {
        uint32_t id = stand_in(f, v);
        for (uint32_t i = 0; id != TG_NONE && i < f->preds->count[v]; i++)
            gated->succ[--gated->nodes[list_of(f, v)[i]].succ] = id;
    }
}

/* The gates' members, behind the successors of tasks; f->members become cursors. */
static uint32_t fill_members(struct finder *f, struct tgi_gated *gated, uint32_t at)
{
    const struct tg_graph *g = f->g;
    for (uint32_t v = 0; v < g->n_tasks; v++) {
        uint32_t gate = gate_of(f, v), slot = f->slot_of[v];
        if (gate == TG_NONE)
            continue;
        if (is_leader(f, v)) {
            gated->nodes[gate] = (struct tgi_node){.succ = at, .args = g->n_args, .n_preds = f->preds->count[v]};
            at += f->members[slot];
            f->members[slot] = gated->nodes[gate].succ;
        }
        gated->succ[f->members[slot]++] = v;
    }
    return at;
}

static struct tgi_gated *build(struct finder *f)
{
    uint32_t n = f->g->n_tasks, n_gates = number_gates(f);
    struct tgi_gated *gated = calloc(1, sizeof *gated);
    if (!gated)
        return NULL;
    gated->n_gates = n_gates;
    gated->nodes = tgi_block_alloc(((size_t)n + n_gates + 1) * sizeof *gated->nodes);
    if (!gated->nodes) {
        tgi_gated_destroy(gated);
        return NULL;
    }
    uint32_t at = count_successors(f, gated->nodes);
    size_t n_succ = (size_t)at + n; /* every task has at most one gate */
    gated->succ = tgi_block_alloc(n_succ * sizeof *gated->succ);
    if (!gated->succ) {
        tgi_gated_destroy(gated);
        return NULL;
    }
    gated->bytes = ((size_t)n + n_gates + 1) * sizeof *gated->nodes + n_succ * sizeof *gated->succ;
    fill_successors(f, gated);
    at = fill_members(f, gated, at);
    gated->nodes[n + n_gates] = (struct tgi_node){.succ = at, .args = f->g->n_args};
    return gated;
}

bool tgi_gates_find(const struct tg_graph *g, const struct tgi_preds *preds, struct tgi_gated **gated_p)
{
    struct finder f = {.g = g, .preds = preds};
    uint32_t n_candidates = count_candidates(&f);
    *gated_p = NULL;
    if (n_candidates == 0)
        return true;
    bool ok = finder_init(&f, n_candidates);
    if (ok && find_sets(&f)) {
        *gated_p = build(&f);
        ok = *gated_p != NULL;
    }
    finder_fini(&f);
    return ok;
}

void tgi_gated_destroy(struct tgi_gated *gated)
{
    if (!gated)
        return;
    tgi_block_free(gated->nodes);
    tgi_block_free(gated->succ);
    free(gated);
}
