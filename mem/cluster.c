/* See cluster.h. */
#include "mem/cluster.h"

#include <stdlib.h>
#include <string.h>

void tgi_resident_program_destroy(struct tgi_resident_program *p)
{
    if (!p)
        return;
    free(p->tasks);
    free(p->first);
    free(p->outs);
    free(p->ins);
    free(p->args);
    free(p->slot_of);
    free(p->roots);
    free(p);
}

struct tgi_cluster *tgi_cluster_new(void)
{
    struct tgi_cluster *c = calloc(1, sizeof *c);
    if (c)
        c->n_refs = 1;
    return c;
}

void tgi_cluster_retain(struct tgi_cluster *c) { c->n_refs++; }

void tgi_cluster_release(struct tgi_cluster *c)
{
    if (--c->n_refs)
        return;
    tgi_resident_program_destroy(c->program);
    free(c->words);
    free(c->first_of);
    free(c->owner);
    free(c->step);
    free(c);
}

static bool are_same(const void *a, const void *b, size_t n, size_t size) { return n == 0 || memcmp(a, b, n * size) == 0; }

static bool have_same_commands(const struct tgi_cluster *a, const struct tgi_cluster *b)
{
    uint32_t n = a->program->n_tasks, n_commands = tgi_cluster_first(a, n);
    return !a->first_of == !b->first_of && (!a->first_of || are_same(a->first_of, b->first_of, n + 1u, sizeof *a->first_of)) &&
           are_same(a->owner, b->owner, n_commands, sizeof *a->owner);
}

bool tgi_cluster_is_same(const struct tgi_cluster *a, const struct tgi_cluster *b)
{
    const struct tgi_resident_program *p = a->program, *q = b->program;
    return p->n_tasks == q->n_tasks && p->n_slots == q->n_slots && p->n_workers == q->n_workers && p->n_workers_each == q->n_workers_each &&
           p->n_outs == q->n_outs && p->n_ins == q->n_ins && p->n_counters == q->n_counters && p->n_cells == q->n_cells &&
           a->n_devices == b->n_devices && are_same(a->device, b->device, a->n_devices, sizeof *a->device) &&
           p->n_far_cells == q->n_far_cells && p->n_far_counters == q->n_far_counters && !p->roots == !q->roots && p->n_roots == q->n_roots && p->n_made_each == q->n_made_each && p->n_made_words == q->n_made_words &&
           a->n_words == b->n_words && a->is_timed == b->is_timed && are_same(p->tasks, q->tasks, p->n_slots, sizeof *p->tasks) &&
           are_same(p->first, q->first, p->n_workers + 1u, sizeof *p->first) &&
           are_same(p->outs, q->outs, p->n_outs, sizeof *p->outs) && are_same(p->ins, q->ins, p->n_ins, sizeof *p->ins) &&
           are_same(a->words, b->words, a->n_words, sizeof *a->words) &&
           have_same_commands(a, b);
}
