/* Tasks in an order in which predecessors come first, found by counting them down; then the longest way to
 * the end of each task, and backwards the latest it could end. */
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/recording.h"

struct walk {
    const struct tgi_recording *r;
    uint64_t *first_succ;
    uint32_t *succ, *order, *n_waiting;
    uint64_t *head_ns, *tail_ns; /* longest path up to the task's end, and after it */
};

static uint64_t weight(const struct tgi_recording *r, uint32_t task)
{
    return tgi_recording_has_work(r, task) ? tgi_recording_took_ns(r, task) : 0;
}

static bool allocate(struct walk *w)
{
    uint64_t n = w->r->n_tasks;
    w->first_succ = calloc(n + 2, sizeof(*w->first_succ));
    w->succ = malloc((w->r->n_preds + 1) * sizeof(*w->succ));
    w->order = malloc((n + 1) * sizeof(*w->order));
    w->n_waiting = malloc((n + 1) * sizeof(*w->n_waiting));
    w->head_ns = calloc(n + 1, sizeof(*w->head_ns));
    w->tail_ns = calloc(n + 1, sizeof(*w->tail_ns));
    return w->first_succ && w->succ && w->order && w->n_waiting && w->head_ns && w->tail_ns;
}

static void list_successors(struct walk *w)
{
    const struct tgi_recording *r = w->r;
    for (uint64_t t = 0; t < r->n_tasks; t++)
        for (uint32_t e = 0; e < r->tasks[t].n_preds; e++)
            w->first_succ[r->preds[r->tasks[t].first_pred + e] + 2]++;
    for (uint64_t t = 2; t < r->n_tasks + 2; t++)
        w->first_succ[t] += w->first_succ[t - 1];
    for (uint64_t t = 0; t < r->n_tasks; t++)
        for (uint32_t e = 0; e < r->tasks[t].n_preds; e++)
            w->succ[w->first_succ[r->preds[r->tasks[t].first_pred + e] + 1]++] = (uint32_t)t;
}

/* false: the tasks wait for each other in a circle. */
static bool sort(struct walk *w)
{
    uint64_t n = 0;
    for (uint64_t t = 0; t < w->r->n_tasks; t++) {
        w->n_waiting[t] = w->r->tasks[t].n_preds;
        if (w->n_waiting[t] == 0)
            w->order[n++] = (uint32_t)t;
    }
    for (uint64_t i = 0; i < n; i++) {
        uint32_t t = w->order[i];
        for (uint64_t e = w->first_succ[t]; e < w->first_succ[t + 1]; e++)
            if (--w->n_waiting[w->succ[e]] == 0)
                w->order[n++] = w->succ[e];
    }
    return n == w->r->n_tasks;
}

static void measure(struct walk *w, struct tgi_recording_paths *p)
{
    const struct tgi_recording *r = w->r;
    for (uint64_t i = 0; i < r->n_tasks; i++) {
        uint32_t t = w->order[i];
        const struct tgi_recording_task *task = &r->tasks[t];
        for (uint32_t e = 0; e < task->n_preds; e++) {
            uint64_t before = w->head_ns[r->preds[task->first_pred + e]];
            w->head_ns[t] = before > w->head_ns[t] ? before : w->head_ns[t];
        }
        w->head_ns[t] += weight(r, t);
        p->critical_ns = w->head_ns[t] > p->critical_ns ? w->head_ns[t] : p->critical_ns;
    }
    for (uint64_t i = r->n_tasks; i-- > 0;) {
        uint32_t t = w->order[i];
        uint64_t tail = w->tail_ns[t] + weight(r, t);
        for (uint32_t e = 0; e < r->tasks[t].n_preds; e++) {
            uint32_t before = r->preds[r->tasks[t].first_pred + e];
            w->tail_ns[before] = tail > w->tail_ns[before] ? tail : w->tail_ns[before];
        }
        p->slack_ns[t] = p->critical_ns - w->head_ns[t] - w->tail_ns[t];
    }
}

/* One of the longest paths: backwards from the first task that ends it, by the first predecessor on it. */
static void follow(struct walk *w, struct tgi_recording_paths *p)
{
    const struct tgi_recording *r = w->r;
    uint32_t t = TG_NONE, n = 0;
    for (uint64_t i = 0; i < r->n_tasks && t == TG_NONE && p->critical_ns; i++)
        if (w->head_ns[i] == p->critical_ns && weight(r, (uint32_t)i))
            t = (uint32_t)i;
    while (t != TG_NONE) {
        const struct tgi_recording_task *task = &r->tasks[t];
        uint64_t before = w->head_ns[t] - weight(r, t);
        uint32_t next = TG_NONE;
        if (weight(r, t)) {
            p->critical[n++] = t;
            p->is_critical[t] = 1;
        }
        for (uint32_t e = 0; e < task->n_preds && before && next == TG_NONE; e++)
            if (w->head_ns[r->preds[task->first_pred + e]] == before)
                next = r->preds[task->first_pred + e];
        t = next;
    }
    p->n_critical = n;
    for (uint32_t i = 0; i < n / 2; i++) {
        uint32_t other = p->critical[i];
        p->critical[i] = p->critical[n - 1 - i];
        p->critical[n - 1 - i] = other;
    }
}

/* On devices kernels of several streams overlap, so a device's busy time is not the sum; only CPUs alone have an area. */
static void measure_area(const struct tgi_recording *r, struct tgi_recording_paths *p)
{
    uint64_t busy_ns = 0;
    for (uint32_t t = 0; t < r->n_tasks; t++)
        busy_ns += weight(r, t);
    p->area_ns = r->n_devices == 0 && r->head.n_workers ? busy_ns / r->head.n_workers : 0;
    p->bound_ns = p->area_ns > p->critical_ns ? p->area_ns : p->critical_ns;
}

int tgi_recording_paths_create(const struct tgi_recording *r, struct tgi_recording_paths *paths_p, struct tg_error *err)
{
    struct walk w = {.r = r};
    struct tgi_recording_paths p = {.critical = malloc((r->n_tasks + 1) * sizeof(*p.critical)),
                                    .slack_ns = calloc(r->n_tasks + 1, sizeof(*p.slack_ns)),
                                    .is_critical = calloc(r->n_tasks + 1, 1)};
    int rc = 0;
    if (!allocate(&w) || !p.critical || !p.slack_ns || !p.is_critical) {
        rc = tgi_error_memory(err, "the critical path of a record");
        goto free_walk;
    }
    list_successors(&w);
    if (!sort(&w)) {
        rc = tgi_error(err, TG_E_RECORD, "the record is damaged: tasks wait for each other in a circle");
        goto free_walk;
    }
    measure(&w, &p);
    follow(&w, &p);
    measure_area(r, &p);
    *paths_p = p;

free_walk:
    free(w.first_succ);
    free(w.succ);
    free(w.order);
    free(w.n_waiting);
    free(w.head_ns);
    free(w.tail_ns);
    if (rc)
        tgi_recording_paths_fini(&p);
    return rc;
}

void tgi_recording_paths_fini(struct tgi_recording_paths *p)
{
    free(p->critical);
    free(p->slack_ns);
    free(p->is_critical);
    *p = (struct tgi_recording_paths){.critical = NULL};
}
