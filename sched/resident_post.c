/* See resident_post.h.
 *
 * Who makes the element that a task takes is the last before it, in the order of ids, that stores at its address: readers come after the
 * writer that they mean and before the next one, by edges or by what edges imply, or the graph would not be one.  Edges that
 * others imply are not there, so a task is compared with what it takes, not with its edges alone: an edge has to be from a task whose
 * element it takes, and what it takes need not have an edge. */
#include "sched/resident_post.h"

#include <stdlib.h>
#include <string.h>

#include "mem/resident_program.h"

enum { N_FROM = TGI_POST_N_WORDS - TGI_POST_FIRST_IN, SIDE = N_FROM - 1 };

struct post {
    struct tgi_posting *p;
    uint32_t *joined; /* by task: another of what it is joined with, or itself */
    uint8_t *is_bad;  /* by task that stands for what is joined */
    uint32_t *from;   /* N_FROM for each task: 1 + whose element; 0: of nobody */
    uint32_t *next;   /* by task: 1 + who stores there after it */
    uint64_t *outs;   /* addresses, ascending */
    uint32_t n_outs;
    uint32_t *table, n_table; /* 1 + the last task that stores at an address, by that */
};

static const uint64_t *words_of(const struct post *s, uint32_t t) { return s->p->words + (s->p->arg[t] >> 32); }
static bool can(const struct post *s, uint32_t t) { return s->p->can[t].body != 0; }

/* ---- What is joined -----------------------------------------------------------------------*/

static uint32_t head_of(struct post *s, uint32_t t)
{
    while (s->joined[t] != t)
        t = s->joined[t] = s->joined[s->joined[t]];
    return t;
}

static void join(struct post *s, uint32_t a, uint32_t b)
{
    a = head_of(s, a);
    b = head_of(s, b);
    s->joined[a] = b;
    s->is_bad[b] |= s->is_bad[a];
}

static void spoil(struct post *s, uint32_t t) { s->is_bad[head_of(s, t)] = 1; }
static bool is_post(struct post *s, uint32_t t) { return can(s, t) && !s->is_bad[head_of(s, t)]; }

/* ---- Addresses ----------------------------------------------------------------------------*/

/* The place of an address: whoever stored there, or nobody yet. */
static uint32_t *look_up(const struct post *s, uint64_t address)
{
    uint32_t i = (uint32_t)((address * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (s->n_table - 1);
    while (s->table[i] && words_of(s, s->table[i] - 1)[TGI_POST_OUT] != address)
        i = (i + 1) & (s->n_table - 1);
    return &s->table[i];
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Whether somebody stores among these bytes. */
static bool is_stored(const struct post *s, uint64_t begin, uint64_t bytes)
{
    uint32_t low = 0, high = s->n_outs;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (s->outs[middle] + 8 <= begin)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->n_outs && s->outs[low] < begin + bytes;
}

/* What it takes, then what it makes; its arrays have to be there before all. */
static void look_at(struct post *s, uint32_t t)
{
    const uint64_t *w = words_of(s, t);
    uint32_t *from = s->from + (size_t)t * N_FROM;
    for (uint32_t k = 0; k < TGI_POST_N_IN; k++) {
        uint64_t address = w[TGI_POST_FIRST_IN + k];
        from[k] = address ? *look_up(s, address) : 0;
        if (address && !from[k])
            spoil(s, t);
    }
    from[SIDE] = *look_up(s, s->p->can[t].side);
    for (uint32_t k = 0; k < N_FROM; k++)
        if (from[k])
            join(s, t, from[k] - 1);
    if (is_stored(s, w[4], (w[2] + w[3]) * s->p->can[t].bytes) || is_stored(s, w[5] + 16 * w[1], 24) ||
        is_stored(s, w[6] + 4 * w[2], 4 * w[3]))
        spoil(s, t);
    uint32_t *last = look_up(s, w[TGI_POST_OUT]);
    if (*last)
        s->next[*last - 1] = 1 + t;
    *last = 1 + t;
}

/* ---- Edges --------------------------------------------------------------------------------*/

static bool takes(const struct post *s, uint32_t t, uint32_t from)
{
    for (uint32_t k = 0; k < N_FROM; k++)
        if (s->from[(size_t)t * N_FROM + k] == 1 + from)
            return true;
    return false;
}

/* A point behind POSTs and before nothing, which is there when all is. */
static bool is_end(const struct post *s, uint32_t t)
{
    return s->p->op[t] == TGI_RESIDENT_EMPTY && s->p->succ_at[t] == s->p->succ_at[t + 1];
}

static void look_at_edge(struct post *s, uint32_t from, uint32_t to)
{
    if (can(s, from) && is_end(s, to))
        return;
    join(s, from, to);
    if (!can(s, from) || !can(s, to) || !takes(s, to, from))
        spoil(s, to);
}

/* Of `from` to each that takes its element, once; those of others as they were. */
static bool make_edges(struct post *s)
{
    struct tgi_posting *p = s->p;
    uint32_t n = p->n_tasks, *at = calloc((size_t)n + 3, sizeof *at), *succ = NULL;
    for (uint32_t pass = 0; at && pass < 2; pass++) {
        for (uint32_t u = 0; u < n; u++)
            for (uint32_t i = p->succ_at[u]; !is_post(s, u) && i < p->succ_at[u + 1]; i++)
                if (pass == 0)
                    at[u + 2]++;
                else
                    succ[at[u + 1]++] = p->succ[i];
        for (uint32_t t = 0; t < n; t++)
            for (uint32_t k = 0; is_post(s, t) && k < N_FROM; k++) {
                const uint32_t *from = s->from + (size_t)t * N_FROM;
                bool is_new = from[k] != 0;
                for (uint32_t j = 0; j < k && is_new; j++)
                    is_new = from[j] != from[k];
                if (is_new && pass == 0)
                    at[from[k] + 1]++;
                else if (is_new)
                    succ[at[from[k]]++] = t;
            }
        for (uint32_t t = 0; pass == 0 && t < n; t++)
            at[t + 2] += at[t + 1];
        if (pass == 0 && !(succ = malloc(((size_t)at[n + 1] + 1) * sizeof *succ)))
            break;
    }
    if (!succ) {
        free(at);
        return false;
    }
    free(p->succ_at);
    free(p->succ);
    p->succ_at = at;
    p->succ = succ;
    return true;
}

/* ---- All ----------------------------------------------------------------------------------*/

static bool make_posts(struct post *s, uint32_t *n_posts_p)
{
    struct tgi_posting *p = s->p;
    if (!make_edges(s))
        return false;
    for (uint32_t t = 0; t < p->n_tasks; t++) {
        uint64_t *w = p->words + (p->arg[t] >> 32);
        if (!is_post(s, t))
            continue;
        for (uint32_t k = 0; k < N_FROM; k++)
            w[TGI_POST_FIRST_IN + k] = s->from[(size_t)t * N_FROM + k];
        if (s->next[t])
            w[TGI_POST_OUT] = 0;
        p->op[t] = TGI_RESIDENT_POST;
        p->arg[t] = TGI_CALL(p->can[t].body, TGI_POST_N_WORDS, p->arg[t] >> 32);
        ++*n_posts_p;
    }
    return true;
}

static bool init(struct post *s)
{
    uint32_t n = s->p->n_tasks;
    size_t room = (size_t)n + 1;
    for (s->n_table = 16; s->n_table < 2 * room; s->n_table *= 2)
        ;
    s->joined = malloc(room * sizeof *s->joined);
    s->is_bad = calloc(room, 1);
    s->from = calloc(room * N_FROM, sizeof *s->from);
    s->next = calloc(room, sizeof *s->next);
    s->outs = malloc(room * sizeof *s->outs);
    s->table = calloc(s->n_table, sizeof *s->table);
    return s->joined && s->is_bad && s->from && s->next && s->outs && s->table;
}

bool tgi_resident_post(struct tgi_posting *p, uint32_t *n_posts_p)
{
    struct post s = {.p = p};
    uint32_t n = p->n_tasks, n_can = 0;
    *n_posts_p = 0;
    for (uint32_t t = 0; t < n; t++)
        n_can += can(&s, t);
    if (n_can == 0)
        return true;
    bool is_good = init(&s);
    for (uint32_t t = 0; is_good && t < n; t++) {
        s.joined[t] = t;
        if (can(&s, t))
            s.outs[s.n_outs++] = words_of(&s, t)[TGI_POST_OUT];
    }
    if (is_good)
        qsort(s.outs, s.n_outs, sizeof *s.outs, by_value);
    for (uint32_t t = 0; is_good && t < n; t++)
        if (can(&s, t))
            look_at(&s, t);
    for (uint32_t t = 0; is_good && t < n; t++)
        for (uint32_t i = p->succ_at[t]; i < p->succ_at[t + 1]; i++)
            look_at_edge(&s, t, p->succ[i]);
    is_good = is_good && make_posts(&s, n_posts_p);
    free(s.joined);
    free(s.is_bad);
    free(s.from);
    free(s.next);
    free(s.outs);
    free(s.table);
    return is_good;
}
