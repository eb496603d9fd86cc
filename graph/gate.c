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
    uint8_t *n_with_sum; /* by sum: tasks, LEAST_MEMBERS at most */
    uint32_t n_sums;
    struct slot *slots;
    uint32_t n_slots;
    uint32_t *members; /* by slot: tasks with the set; later where the next one goes */
    uint32_t *gate;    /* by slot: id, TG_NONE: none */
    uint32_t *slot_of; /* by task: TG_NONE: it stands behind no gate */
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

/* ---- Candidates ---------------------------------------------------------------------------*/

/* Tasks with the same set have the same sum of predecessors.  A task whose sum few others have needs no
 * hashing; tasks that stand together have sums that do, so this goes through memory in order. */
static inline uint32_t sum_of(const struct finder *f, uint32_t v)
{
    const uint32_t *list = list_of(f, v);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < f->preds->count[v]; i++)
        sum += list[i];
    return sum & (f->n_sums - 1);
}

static uint32_t table_size(uint64_t least)
{
    uint32_t n = 16;
    while (n < least && n < 1u << 31)
        n *= 2;
    return n;
}

/* Counts tasks by sums; true: some sum is common enough. */
static bool count_sums(struct finder *f)
{
    bool is_common = false;
    uint32_t sum = 0;
    for (uint32_t v = 0; v < f->g->n_tasks; v++) {
        if (f->preds->count[v] < LEAST_PREDS)
            continue;
        if (!tgi_preds_is_shared(f->preds, v))
            sum = sum_of(f, v);
        uint8_t *n = &f->n_with_sum[sum];
        *n += *n < LEAST_MEMBERS;
        is_common |= *n == LEAST_MEMBERS;
    }
    return is_common;
}

/* Sets slot_of to TG_NONE for tasks that are out.  Returns how many lists of the others there are. */
static uint32_t mark_candidates(struct finder *f)
{
    uint32_t n = 0;
    for (uint32_t v = 0; v < f->g->n_tasks; v++) {
        bool is_shared = tgi_preds_is_shared(f->preds, v);
        if (is_shared)
            f->slot_of[v] = f->slot_of[v - 1];
        else
            f->slot_of[v] = f->preds->count[v] >= LEAST_PREDS && f->n_with_sum[sum_of(f, v)] == LEAST_MEMBERS
                                ? 0 : TG_NONE;
        n += !is_shared && f->slot_of[v] != TG_NONE;
    }
    return n;
}

/* False without memory; *has_candidates_p: go on. */
static bool finder_init(struct finder *f, bool *has_candidates_p)
{
    size_t n = f->g->n_tasks;
    uint32_t n_wide = 0;
    *has_candidates_p = false;
    for (uint32_t v = 0; v < n; v++)
        n_wide += f->preds->count[v] >= LEAST_PREDS;
    if (n_wide < LEAST_MEMBERS)
        return true;
    f->n_sums = table_size(8 * (uint64_t)n_wide);
    f->n_with_sum = tgi_block_alloc_zeroed(f->n_sums, sizeof *f->n_with_sum);
    if (!f->n_with_sum || !count_sums(f))
        return f->n_with_sum != NULL;
    f->slot_of = tgi_block_alloc(n * sizeof *f->slot_of);
    f->seen = tgi_block_alloc_zeroed(n, sizeof *f->seen);
    if (!f->slot_of || !f->seen)
        return false;
    f->n_slots = table_size(2 * (uint64_t)mark_candidates(f));
    f->slots = tgi_block_alloc(f->n_slots * sizeof *f->slots);
    f->members = tgi_block_alloc_zeroed(f->n_slots, sizeof *f->members);
    f->gate = tgi_block_alloc(f->n_slots * sizeof *f->gate);
    if (!f->slots || !f->members || !f->gate)
        return false;
    memset(f->slots, 0xff, f->n_slots * sizeof *f->slots);
    *has_candidates_p = true;
    return true;
}

static void finder_fini(struct finder *f)
{
    tgi_block_free(f->n_with_sum);
    tgi_block_free(f->slots);
    tgi_block_free(f->members);
    tgi_block_free(f->gate);
    tgi_block_free(f->slot_of);
    tgi_block_free(f->seen);
}

/* ---- Sets and gates -----------------------------------------------------------------------*/

/* Groups tasks by their sets; true: some set has enough members for a gate. */
static bool find_sets(struct finder *f)
{
    uint32_t last = TG_NONE;
    bool is_found = false;
    for (uint32_t v = 0; v < f->g->n_tasks; v++) {
        if (f->slot_of[v] == TG_NONE)
            continue;
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

/* Ids that the chunks of a gate take. */
static uint32_t chunk_ids(uint32_t n_members)
{
    uint32_t n = (n_members + TGI_CHUNK_MEMBERS - 1) / TGI_CHUNK_MEMBERS;
    return n < TGI_LEAST_CHUNKS ? 0 : n + 1;
}

static uint32_t number_gates(struct finder *f, uint32_t *n_chunk_ids_p)
{
    uint32_t n_gates = 0;
    *n_chunk_ids_p = 0;
    memset(f->gate, 0xff, f->n_slots * sizeof *f->gate);
    for (uint32_t v = 0; v < f->g->n_tasks; v++)
        if (is_leader(f, v) && f->members[f->slot_of[v]] >= LEAST_MEMBERS) {
            f->gate[f->slot_of[v]] = f->g->n_tasks + n_gates++;
            *n_chunk_ids_p += chunk_ids(f->members[f->slot_of[v]]);
        }
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

static uint32_t make_chunks(struct tgi_gated *gated, uint32_t gate, uint32_t n_members, uint32_t id)
{
    uint32_t n = chunk_ids(n_members), begin = gated->nodes[gate].succ;
    gated->nodes[gate].op = n ? id : 0;
    for (uint32_t i = 0; i < n; i++)
        gated->nodes[id + i] = (struct tgi_node){
            .succ = begin + (i + 1 < n ? i * TGI_CHUNK_MEMBERS : n_members), .args = gated->nodes[gate].args, .n_preds = 1};
    return n;
}

/* The gates' members, behind the successors of tasks; f->members become cursors. */
static uint32_t fill_members(struct finder *f, struct tgi_gated *gated, uint32_t at)
{
    const struct tg_graph *g = f->g;
    uint32_t chunk = g->n_tasks + gated->n_gates + 1;
    for (uint32_t v = 0; v < g->n_tasks; v++) {
        uint32_t gate = gate_of(f, v), slot = f->slot_of[v];
        if (gate == TG_NONE)
            continue;
        if (is_leader(f, v)) {
            gated->nodes[gate] = (struct tgi_node){.succ = at, .args = g->n_args, .n_preds = f->preds->count[v]};
            at += f->members[slot];
            chunk += make_chunks(gated, gate, f->members[slot], chunk);
            f->members[slot] = gated->nodes[gate].succ;
        }
        gated->succ[f->members[slot]++] = v;
    }
    return at;
}

static struct tgi_gated *build(struct finder *f)
{
    uint32_t n = f->g->n_tasks, n_chunk_ids, n_gates = number_gates(f, &n_chunk_ids);
    size_t n_nodes = (size_t)n + n_gates + 1 + n_chunk_ids;
    struct tgi_gated *gated = calloc(1, sizeof *gated);
    if (!gated)
        return NULL;
    gated->n_gates = n_gates;
    gated->nodes = tgi_block_alloc(n_nodes * sizeof *gated->nodes);
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
    gated->bytes = n_nodes * sizeof *gated->nodes + n_succ * sizeof *gated->succ;
    fill_successors(f, gated);
    at = fill_members(f, gated, at);
    gated->nodes[n + n_gates] = (struct tgi_node){.succ = at, .args = f->g->n_args};
    return gated;
}

bool tgi_gates_find(const struct tg_graph *g, const struct tgi_preds *preds, struct tgi_gated **gated_p)
{
    struct finder f = {.g = g, .preds = preds};
    bool has_candidates, ok = finder_init(&f, &has_candidates);
    *gated_p = NULL;
    if (ok && has_candidates && find_sets(&f)) {
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
