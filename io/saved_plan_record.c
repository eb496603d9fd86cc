/* A saved plan as a record.  The file names devices, not lanes: a task gets the lane of its device that has been free longest, and
 * if none is free a new one, so that there are as many as had tasks at once. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/saved_plan.h"

struct lane {
    uint32_t device; /* of the plan */
    uint32_t next;   /* of the same device; TG_NONE: the last */
    double free_at;
};

struct taking {
    const struct tgi_saved_plan *p;
    struct tgi_recording r;
    struct lane *lanes;
    uint32_t n_lanes;
    uint32_t *first; /* by device: its first lane; TG_NONE: none */
    uint32_t *lane;  /* by task */
    uint32_t *order; /* tasks by start */
    uint32_t *number; /* by lane: in the record */
    bool is_out_of_memory;
};

static uint32_t put_string(struct taking *k, const char *text)
{
    size_t size = strlen(text) + 1;
    if (size == 1)
        return 0;
    char *grown = k->r.n_strings + size < UINT32_MAX ? realloc(k->r.strings, k->r.n_strings + size) : NULL;
    if (!grown) {
        k->is_out_of_memory = true;
        return 0;
    }
    memcpy(grown + k->r.n_strings, text, size);
    k->r.strings = grown;
    k->r.n_strings += size;
    return (uint32_t)(k->r.n_strings - size);
}

/* ---- Lanes --------------------------------------------------------------------------------*/

static int compare_starts(const void *left, const void *right, void *user)
{
    const struct tgi_saved_plan *p = user;
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    if (p->start[a] != p->start[b])
        return p->start[a] < p->start[b] ? -1 : 1;
    /* What takes no time comes before what begins as it ends. */
    if (p->end[a] != p->end[b])
        return p->end[a] < p->end[b] ? -1 : 1;
    return a < b ? -1 : a > b;
}

static uint32_t add_lane(struct taking *k, uint32_t device)
{
    struct lane *grown = realloc(k->lanes, ((size_t)k->n_lanes + 1) * sizeof(*grown));
    if (!grown) {
        k->is_out_of_memory = true;
        return 0;
    }
    k->lanes = grown;
    k->lanes[k->n_lanes] = (struct lane){device, k->first[device], 0};
    k->first[device] = k->n_lanes;
    return k->n_lanes++;
}

static void choose_lane(struct taking *k, uint32_t t)
{
    uint32_t best = TG_NONE;
    for (uint32_t l = k->first[k->p->device[t]]; l != TG_NONE; l = k->lanes[l].next)
        if (k->lanes[l].free_at <= k->p->start[t] && (best == TG_NONE || k->lanes[l].free_at < k->lanes[best].free_at))
            best = l;
    if (best == TG_NONE)
        best = add_lane(k, k->p->device[t]);
    if (k->is_out_of_memory)
        return;
    k->lane[t] = best;
    k->lanes[best].free_at = k->p->end[t];
}

static bool is_cpu(const char *device) { return strncmp(device, "cpu", 3) == 0; }

/* Workers come first, then the lanes of each device. */
static void take_lanes(struct taking *k)
{
    const struct tgi_saved_plan *p = k->p;
    struct tgi_recording *r = &k->r;
    for (uint32_t d = 0; d < p->n_devices; d++)
        for (uint32_t l = is_cpu(p->devices[d]) ? k->first[d] : TG_NONE; l != TG_NONE; l = k->lanes[l].next) {
            k->number[l] = (uint32_t)r->n_lanes;
            r->lanes[r->n_lanes++] = (struct tgi_recording_lane){.kind = TGI_LANE_WORKER, .device = TG_NONE, .number = r->head.n_workers++};
        }
    for (uint32_t d = 0; d < p->n_devices; d++) {
        if (is_cpu(p->devices[d]))
            continue;
        const char *colon = strchr(p->devices[d], ':');
        char kind[48];
        snprintf(kind, sizeof(kind), "%.*s", (int)strcspn(p->devices[d], ":"), p->devices[d]);
        uint32_t n = 0;
        for (uint32_t l = k->first[d]; l != TG_NONE; l = k->lanes[l].next) {
            k->number[l] = (uint32_t)r->n_lanes;
            r->lanes[r->n_lanes++] = (struct tgi_recording_lane){.kind = TGI_LANE_STREAM, .device = (uint32_t)r->n_devices, .number = n++};
        }
        r->devices[r->n_devices++] = (struct tgi_recording_device){
            .kind = put_string(k, kind), .name = put_string(k, p->devices[d]), .ordinal = colon ? (uint32_t)strtoul(colon + 1, NULL, 10) : d};
    }
}

/* ---- Tasks --------------------------------------------------------------------------------*/

static uint32_t kernel_of(struct taking *k, const char *name)
{
    struct tgi_recording *r = &k->r;
    for (uint32_t i = 0; i < r->n_kernels; i++)
        if (strcmp(tgi_recording_string(r, r->kernels[i].name), name) == 0)
            return i;
    void *grown = realloc(r->kernels, (r->n_kernels + 1) * sizeof(*r->kernels));
    if (!grown) {
        k->is_out_of_memory = true;
        return 0;
    }
    r->kernels = grown;
    r->kernels[r->n_kernels] = (struct tgi_recording_kernel){put_string(k, name), 0, 0, 1};
    return (uint32_t)r->n_kernels++;
}

static void take_task(struct taking *k, uint32_t t)
{
    const struct tgi_saved_plan *p = k->p;
    uint64_t start_ns = (uint64_t)llround(p->start[t]), end_ns = (uint64_t)llround(p->end[t]);
    struct tgi_recording_task *task = &k->r.tasks[t];
    *task = (struct tgi_recording_task){
        .start_ns = start_ns, .end_ns = end_ns ? end_ns : 1, /* zero: it never ran */
        .first_pred = p->pred_at[t], .n_preds = (uint32_t)(p->pred_at[t + 1] - p->pred_at[t]),
        .flops = NAN, .bytes = NAN, .us = NAN, .waited_for = TG_NONE, .name = p->task[t][0] == '#' ? 0 : put_string(k, p->task[t]),
        .kernel = kernel_of(k, p->kernel[t][0] ? p->kernel[t] : "task"), .lane = k->number[k->lane[t]], .attempts = 1,
        .state = TG_TASK_DONE};
    for (uint32_t e = 0; e < task->n_preds; e++) {
        uint32_t pred = p->pred[task->first_pred + e];
        uint64_t pred_ns = (uint64_t)llround(p->end[pred]);
        if (task->waited_for == TG_NONE || pred_ns > task->ready_ns) {
            task->ready_ns = pred_ns;
            task->waited_for = pred;
        }
    }
}

static void take_head(struct taking *k)
{
    const struct tgi_saved_plan *p = k->p;
    struct tgi_recording_head *h = &k->r.head;
    h->n_tasks = p->n_tasks;
    h->makespan_ns = (uint64_t)llround(p->makespan_ns);
    h->name = put_string(k, p->name);
    h->file = put_string(k, p->file);
    h->policy = put_string(k, p->policy);
    h->outcome = put_string(k, "planned");
    h->version = put_string(k, TG_VERSION_STRING);
    h->machine = put_string(k, p->machine);
    k->r.parts[0] = (struct tgi_recording_part){0, p->n_tasks, TG_NONE, 0, 0};
    k->r.n_parts = 1;
    k->r.n_tasks = k->r.n_tasks_expected = p->n_tasks;
    memcpy(k->r.preds, p->pred, p->n_preds * sizeof(*p->pred));
    k->r.n_preds = p->n_preds;
}

static bool allocate(struct taking *k)
{
    const struct tgi_saved_plan *p = k->p;
    struct tgi_recording *r = &k->r;
    r->strings = calloc(1, 1);
    r->n_strings = 1;
    r->devices = calloc((size_t)p->n_devices + 1, sizeof(*r->devices));
    r->lanes = calloc((size_t)k->n_lanes + 1, sizeof(*r->lanes));
    r->parts = calloc(2, sizeof(*r->parts));
    r->tasks = calloc((size_t)p->n_tasks + 1, sizeof(*r->tasks));
    r->preds = malloc((p->n_preds + 1) * sizeof(*r->preds));
    r->kernels = calloc(1, sizeof(*r->kernels));
    r->transfers = calloc(1, sizeof(*r->transfers));
    r->buffers = calloc(1, sizeof(*r->buffers));
    r->steals = calloc(1, sizeof(*r->steals));
    r->places = calloc(1, sizeof(*r->places));
    r->offers = calloc(1, sizeof(*r->offers));
    r->memory = calloc(1, sizeof(*r->memory));
    k->number = calloc((size_t)k->n_lanes + 1, sizeof(*k->number));
    return r->strings && r->devices && r->lanes && r->parts && r->tasks && r->preds && r->kernels && r->transfers && r->buffers &&
           r->steals && r->places && r->offers && r->memory && k->number;
}

static bool take(struct taking *k)
{
    const struct tgi_saved_plan *p = k->p;
    k->first = malloc(((size_t)p->n_devices + 1) * sizeof(*k->first));
    k->lane = calloc((size_t)p->n_tasks + 1, sizeof(*k->lane));
    k->order = malloc(((size_t)p->n_tasks + 1) * sizeof(*k->order));
    if (!k->first || !k->lane || !k->order)
        return false;
    memset(k->first, 0xff, ((size_t)p->n_devices + 1) * sizeof(*k->first));
    for (uint32_t t = 0; t < p->n_tasks; t++)
        k->order[t] = t;
    qsort_r(k->order, p->n_tasks, sizeof(*k->order), compare_starts, (void *)p);
    for (uint32_t i = 0; i < p->n_tasks && !k->is_out_of_memory; i++)
        choose_lane(k, k->order[i]);
    if (k->is_out_of_memory || !allocate(k))
        return false;
    take_head(k);
    take_lanes(k);
    for (uint32_t t = 0; t < p->n_tasks; t++)
        take_task(k, t);
    return !k->is_out_of_memory;
}

int tgi_saved_plan_record(const struct tgi_saved_plan *p, struct tgi_recording *recording_p, struct tg_error *err)
{
    struct taking k = {.p = p};
    bool is_good = take(&k);
    free(k.lanes);
    free(k.first);
    free(k.lane);
    free(k.order);
    free(k.number);
    if (is_good) {
        tgi_recording_take_bounds(&k.r, &p->bounds);
        *recording_p = k.r;
        return 0;
    }
    tgi_recording_fini(&k.r);
    return tgi_error_memory(err, "a plan as a record");
}
