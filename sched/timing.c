/* Times are sorted by class, kernel and size once, so that each operation has a range of them for each class; a range is
 * short, and looking through it is all there is to do for a task. */
#include "sched/timing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct range {
    uint32_t first, n;
};

struct tgi_timing {
    const struct tgi_machine *m;
    uint32_t n_ops;
    uint32_t *order;       /* of the machine's times */
    struct range *ranges;  /* by (op * n_classes + class) * 2: what it is called as a built-in, its own name */
};

static const char *own_name(const struct tg_graph *g, const struct tgi_op *op)
{
    return op->generic == TG_NONE ? op->name : g->space->ops[op->generic].name;
}

/* The first variant for the kind counts, as it does when a run resolves kernels. */
static const struct tgi_builtin *builtin_of(const struct tg_graph *g, const struct tgi_op *op, enum tgi_device_kind kind)
{
    const struct tgi_op *owner = op->generic == TG_NONE ? op : &g->space->ops[op->generic];
    const struct tgi_builtin *fallback = NULL;
    for (uint32_t i = 0; i < owner->n_variants; i++) {
        const struct tgi_variant *v = &owner->variants[i];
        if (v->on == kind)
            return v->form == TGI_VARIANT_BUILTIN ? v->builtin : NULL;
        if (kind == TGI_DEVICE_CUDA && v->form == TGI_VARIANT_BUILTIN && v->builtin->cuda)
            fallback = v->builtin;
    }
    return fallback;
}

void tgi_timing_kernel(const struct tg_graph *g, uint32_t op_id, enum tgi_device_kind kind, char *text, size_t size)
{
    const struct tgi_op *op = &g->space->ops[op_id];
    const struct tgi_builtin *builtin = op->kind == TGI_OP_KERNEL ? builtin_of(g, op, kind) : NULL;
    if (!builtin)
        snprintf(text, size, "%s", own_name(g, op));
    else if (op->type_t >= 0)
        snprintf(text, size, "builtin %s %s", builtin->name, tg_dtype_name((enum tg_dtype)op->type_t));
    else
        snprintf(text, size, "builtin %s", builtin->name);
}

static double work_of(double flops, double bytes) { return flops > 0 ? flops : bytes > 0 ? bytes : 0; }

static int compare(const void *left, const void *right, void *user)
{
    const struct tgi_machine *m = user;
    const struct tgi_machine_time *a = &m->times[*(const uint32_t *)left], *b = &m->times[*(const uint32_t *)right];
    if (a->class != b->class)
        return a->class < b->class ? -1 : 1;
    int order = strcmp(a->kernel, b->kernel);
    if (order)
        return order;
    double x = work_of(a->flops, a->bytes), y = work_of(b->flops, b->bytes);
    if (x != y)
        return x < y ? -1 : 1;
    return a < b ? -1 : a > b;
}

static struct range find_range(const struct tgi_timing *t, uint32_t class, const char *kernel)
{
    uint32_t low = 0, high = t->m->n_times;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        const struct tgi_machine_time *time = &t->m->times[t->order[middle]];
        bool is_before = time->class != class ? time->class < class : strcmp(time->kernel, kernel) < 0;
        *(is_before ? &low : &high) = is_before ? middle + 1 : middle;
    }
    struct range r = {low, 0};
    while (low + r.n < t->m->n_times && t->m->times[t->order[low + r.n]].class == class &&
           strcmp(t->m->times[t->order[low + r.n]].kernel, kernel) == 0)
        r.n++;
    return r;
}

static void find_ranges(struct tgi_timing *t, const struct tg_graph *g)
{
    char kernel[sizeof t->m->times->kernel];
    for (uint32_t op = 0; op < t->n_ops; op++)
        for (uint32_t c = 0; c < t->m->n_classes; c++) {
            struct range *r = &t->ranges[2 * ((size_t)op * t->m->n_classes + c)];
            const char *own = own_name(g, &g->space->ops[op]);
            tgi_timing_kernel(g, op, t->m->classes[c].kind, kernel, sizeof kernel);
            r[1] = find_range(t, c, own);
            if (strcmp(kernel, own) != 0)
                r[0] = find_range(t, c, kernel);
        }
}

struct tgi_timing *tgi_timing_create(const struct tgi_machine *m, const struct tg_graph *g)
{
    struct tgi_timing *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    *t = (struct tgi_timing){m, g->space->n_ops, malloc(((size_t)m->n_times + 1) * sizeof *t->order),
                             calloc(2 * (size_t)g->space->n_ops * m->n_classes + 1, sizeof *t->ranges)};
    if (!t->order || !t->ranges) {
        tgi_timing_destroy(t);
        return NULL;
    }
    for (uint32_t i = 0; i < m->n_times; i++)
        t->order[i] = i;
    qsort_r(t->order, m->n_times, sizeof *t->order, compare, (void *)m);
    find_ranges(t, g);
    return t;
}

void tgi_timing_destroy(struct tgi_timing *t)
{
    if (!t)
        return;
    free(t->order);
    free(t->ranges);
    free(t);
}

bool tgi_timing_knows(const struct tgi_timing *t, uint32_t op)
{
    for (uint32_t i = 0; i < 2 * t->m->n_classes; i++)
        if (t->ranges[2 * (size_t)op * t->m->n_classes + i].n)
            return true;
    return false;
}

static struct tgi_timed timed_by(const struct tgi_machine_time *time)
{
    double slower = time->median_ns > 0 ? time->together_ns / time->median_ns : 0;
    return (struct tgi_timed){time->median_ns, slower < time->n_together ? slower : time->n_together, time->n_together,
                              time->beside_ns, time->enqueue_ns, time->move_ns, time->mark_ns, time->see_ns, time->graph_ns, time->graph_part, time->copy_launch_ns,
                              time->shares_lane};
}

static bool find_exact(const struct tgi_timing *t, struct range r, const char *arguments, struct tgi_timed *timed_p)
{
    for (uint32_t i = 0; i < r.n; i++) {
        const struct tgi_machine_time *time = &t->m->times[t->order[r.first + i]];
        if (strcmp(time->arguments, "*") == 0 || strcmp(time->arguments, arguments) == 0) {
            *timed_p = timed_by(time);
            return true;
        }
    }
    return false;
}

/* Whether the time says how much work it was, in the unit that is asked for. */
static bool has_work(const struct tgi_machine_time *time, bool is_flops)
{
    return is_flops ? time->flops > 0 : !(time->flops > 0) && time->bytes > 0;
}

static bool fit(const struct tgi_timing *t, struct range r, double flops, double bytes, struct tgi_timed *timed_p)
{
    const struct tgi_machine_time *below = NULL, *above = NULL;
    double work = work_of(flops, bytes);
    for (uint32_t i = 0; work > 0 && i < r.n && !above; i++) {
        const struct tgi_machine_time *time = &t->m->times[t->order[r.first + i]];
        if (!has_work(time, flops > 0) || time->median_ns <= 0)
            continue;
        *(work_of(time->flops, time->bytes) <= work ? &below : &above) = time;
    }
    if (!below && !above)
        return false;
    const struct tgi_machine_time *near = below ? below : above;
    double from = work_of(near->flops, near->bytes), part = 0;
    *timed_p = timed_by(near);
    timed_p->ns *= work / from;
    timed_p->graph_ns *= work / from;
    timed_p->beside_ns *= work / from;
    if (below && above) {
        part = log(work / from) / log(work_of(above->flops, above->bytes) / from);
        timed_p->ns = near->median_ns * pow(above->median_ns / near->median_ns, part);
        timed_p->graph_ns = near->graph_ns > 0 && above->graph_ns > 0 ? near->graph_ns * pow(above->graph_ns / near->graph_ns, part) : 0;
        timed_p->beside_ns = near->beside_ns > 0 && above->beside_ns > 0 ? near->beside_ns * pow(above->beside_ns / near->beside_ns, part) : 0;
        timed_p->graph_part += near->graph_ns > 0 ? part * (above->graph_part - near->graph_part) : 0;
        if (timed_p->slower > 0 && above->n_together == near->n_together)
            timed_p->slower += part * (timed_by(above).slower - timed_p->slower);
    }
    return true;
}

enum tgi_timing_found tgi_timing_find(const struct tgi_timing *t, uint32_t op, uint32_t class, const char *arguments,
                                      double flops, double bytes, struct tgi_timed *timed_p)
{
    const struct range *r = &t->ranges[2 * ((size_t)op * t->m->n_classes + class)];
    if (find_exact(t, r[1], arguments, timed_p) || find_exact(t, r[0], arguments, timed_p))
        return TGI_TIMING_EXACT;
    return fit(t, r[0], flops, bytes, timed_p) ? TGI_TIMING_FITTED : TGI_TIMING_NONE;
}
