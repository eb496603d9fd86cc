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

struct stretch {
    uint64_t start_ns, end_ns;
    uint32_t device;
};

static int compare_stretches(const void *a, const void *b)
{
    const struct stretch *x = a, *y = b;
    return x->start_ns < y->start_ns ? -1 : x->start_ns > y->start_ns;
}

/* How long devices had at least one busy lane, in all: kernels of several streams overlap. */
static bool sum_devices(const struct tgi_recording *r, uint64_t *busy_p)
{
    struct stretch *stretches = malloc((r->n_tasks + 1) * sizeof(*stretches));
    uint64_t n = 0, *end_ns = calloc(r->n_devices, sizeof(*end_ns));
    bool has_memory = stretches && end_ns;
    for (uint32_t t = 0; has_memory && t < r->n_tasks; t++)
        if (tgi_recording_has_work(r, t) && r->lanes[r->tasks[t].lane].device != TG_NONE)
            stretches[n++] = (struct stretch){r->tasks[t].start_ns, r->tasks[t].end_ns, r->lanes[r->tasks[t].lane].device};
    if (has_memory)
        qsort(stretches, n, sizeof(*stretches), compare_stretches);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t *end = &end_ns[stretches[i].device], from_ns = stretches[i].start_ns > *end ? stretches[i].start_ns : *end;
        *busy_p += stretches[i].end_ns > from_ns ? stretches[i].end_ns - from_ns : 0;
        *end = stretches[i].end_ns > *end ? stretches[i].end_ns : *end;
    }
    free(stretches);
    free(end_ns);
    return has_memory;
}

static bool measure_area(const struct tgi_recording *r, struct tgi_recording_paths *p)
{
    uint64_t busy_ns = 0, n_servers = r->n_devices ? r->n_devices : r->head.n_workers;
    if (r->n_devices && !sum_devices(r, &busy_ns))
        return false;
    for (uint32_t t = 0; t < r->n_tasks && r->n_devices == 0; t++)
        busy_ns += weight(r, t);
    p->area_ns = n_servers ? busy_ns / n_servers : 0;
    p->bound_ns = p->area_ns > p->critical_ns ? p->area_ns : p->critical_ns;
    return true;
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
    if (!measure_area(r, &p)) {
        rc = tgi_error_memory(err, "the area of a record");
        goto free_walk;
    }
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

struct tgi_run_bounds tgi_recording_bounds(const struct tgi_recording *r, const struct tgi_recording_paths *paths)
{
    struct tgi_machine_bounds machine = TGI_MACHINE_BOUNDS_NONE;
    if (r->head.has_data_bounds)
        machine = (struct tgi_machine_bounds){r->head.memory_ns, r->head.links_ns};
    return tgi_run_bounds((double)paths->critical_ns, (double)paths->area_ns, &machine, (double)r->head.makespan_ns);
}

void tgi_recording_paths_fini(struct tgi_recording_paths *p)
{
    free(p->critical);
    free(p->slack_ns);
    free(p->is_critical);
    *p = (struct tgi_recording_paths){.critical = NULL};
}
