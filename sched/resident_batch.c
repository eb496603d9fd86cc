/* See resident_batch.h. */
#include "sched/resident_batch.h"

#include <stdlib.h>

#include "graph/vec.h"
#include "mem/resident_program.h"

void tgi_batches_fini(struct tgi_batches *b)
{
    free(b->first);
    free(b->member);
    free(b->succ_at);
    free(b->succ);
}

/* A batch of a level that has room. */
struct open {
    uint32_t kind, task, n;
};

struct dividing {
    const struct tgi_batch_members *m;
    struct tgi_batches *b;
    uint32_t *task_of; /* by member */
    uint32_t *order;   /* members by level */
    struct open *open; /* of the level at hand, one for each kind */
    uint32_t n_open, cap_open;
};

static bool sort_by_level(struct dividing *d)
{
    uint32_t n = d->m->n, *at = calloc((size_t)n + 2, sizeof *at); /* there are no more levels than members */
    if (!at)
        return false;
    for (uint32_t i = 0; i < n; i++)
        at[d->m->level[i] + 1]++;
    for (uint32_t l = 0; l < n; l++)
        at[l + 1] += at[l];
    for (uint32_t i = 0; i < n; i++)
        d->order[at[d->m->level[i]]++] = i;
    free(at);
    return true;
}

/* The task for a member of this kind: a batch that has room, or a new one.  False: no memory. */
static bool find_batch(struct dividing *d, uint32_t kind, uint32_t *task_p)
{
    uint32_t k = 0;
    while (k < d->n_open && d->open[k].kind != kind)
        k++;
    if (k == d->n_open) {
        if (!tgi_vec_reserve(&d->open, &d->cap_open, (uint64_t)d->n_open + 1, sizeof *d->open))
            return false;
        d->open[d->n_open++] = (struct open){kind, 0, TGI_CALL_MOST_TASKS};
    }
    struct open *o = &d->open[k];
    if (o->n == TGI_CALL_MOST_TASKS) {
        *o = (struct open){kind, d->b->n++, 0};
        d->b->n_wide++;
    }
    o->n++;
    *task_p = o->task;
    return true;
}

static bool divide(struct dividing *d)
{
    const struct tgi_batch_members *m = d->m;
    for (uint32_t i = 0; i < m->n; i++) {
        uint32_t id = d->order[i];
        if (i == 0 || m->level[d->order[i - 1]] != m->level[id])
            d->n_open = 0;
        if (!m->kind[id])
            d->task_of[id] = d->b->n++;
        else if (!find_batch(d, m->kind[id], &d->task_of[id]))
            return false;
    }
    return true;
}

/* Members of each task, in the order that they have in their level. */
static bool list_members(struct dividing *d)
{
    struct tgi_batches *b = d->b;
    b->first = calloc((size_t)b->n + 2, sizeof *b->first);
    b->member = malloc(((size_t)d->m->n + 1) * sizeof *b->member);
    if (!b->first || !b->member)
        return false;
    for (uint32_t i = 0; i < d->m->n; i++)
        b->first[d->task_of[i] + 2]++;
    for (uint32_t t = 0; t < b->n; t++)
        b->first[t + 2] += b->first[t + 1];
    for (uint32_t i = 0; i < d->m->n; i++)
        b->member[b->first[d->task_of[d->order[i]] + 1]++] = d->order[i];
    return true;
}

static bool join_edges(struct dividing *d)
{
    struct tgi_batches *b = d->b;
    uint32_t n_edges = 0, *mark = calloc((size_t)b->n + 1, sizeof *mark); /* 1 + the task whose successor it is already */
    b->succ_at = calloc((size_t)b->n + 2, sizeof *b->succ_at);
    b->succ = malloc(((size_t)d->m->succ_at[d->m->n] + 1) * sizeof *b->succ);
    for (uint32_t t = 0; mark && b->succ_at && b->succ && t < b->n; t++) {
        for (uint32_t i = b->first[t]; i < b->first[t + 1]; i++)
            for (uint32_t e = d->m->succ_at[b->member[i]]; e < d->m->succ_at[b->member[i] + 1]; e++) {
                uint32_t to = d->task_of[d->m->succ[e]];
                if (mark[to] == t + 1)
                    continue;
                mark[to] = t + 1;
                b->succ[n_edges++] = to;
            }
        b->succ_at[t + 1] = n_edges;
    }
    bool is_good = mark && b->succ_at && b->succ;
    free(mark);
    return is_good;
}

bool tgi_batches_init(struct tgi_batches *b, const struct tgi_batch_members *m)
{
    struct dividing d = {.m = m, .b = b};
    *b = (struct tgi_batches){.n = 0};
    d.task_of = malloc(((size_t)m->n + 1) * sizeof *d.task_of);
    d.order = malloc(((size_t)m->n + 1) * sizeof *d.order);
    bool is_good = d.task_of && d.order && sort_by_level(&d) && divide(&d) && list_members(&d) && join_edges(&d);
    free(d.task_of);
    free(d.order);
    free(d.open);
    return is_good;
}
