/* A plan says on which device a task runs, not on which of its lanes.  Tasks are given to lanes by start, each to the one
 * that has been free longest; as no device ever has more tasks at work than lanes, there is always one. */
#include "io/recording_plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"

struct taking {
    const struct tgi_workload *w;
    const struct tgi_plan *plan;
    uint32_t n_lanes, n_workers, n_others; /* n_others: devices that are not CPUs */
    uint32_t *first_lane;                  /* by device; workers come first */
    uint32_t *number;                      /* by device: among those that are not CPUs; TG_NONE: a CPU */
    double *free_at;                       /* by lane */
    struct tgi_span *spans;
    uint32_t *order;
};

static int compare_starts(const void *left, const void *right, void *user)
{
    const struct tgi_plan *plan = user;
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    if (plan->start[a] != plan->start[b])
        return plan->start[a] < plan->start[b] ? -1 : 1;
    /* What takes no time comes before what begins as it ends. */
    if (plan->end[a] != plan->end[b])
        return plan->end[a] < plan->end[b] ? -1 : 1;
    return a < b ? -1 : a > b;
}

static bool is_cpu(const struct tgi_machine *m, uint32_t device)
{
    return m->classes[m->devices[device].class].kind == TGI_DEVICE_CPU;
}

static bool begin(struct taking *k)
{
    const struct tgi_machine *m = k->w->machine;
    k->first_lane = malloc(m->n_devices * sizeof(*k->first_lane));
    k->number = malloc(m->n_devices * sizeof(*k->number));
    for (int pass = 0; k->first_lane && k->number && pass < 2; pass++)
        for (uint32_t d = 0; d < m->n_devices; d++) {
            if (is_cpu(m, d) != (pass == 0))
                continue;
            k->first_lane[d] = k->n_lanes;
            k->number[d] = pass == 0 ? TG_NONE : k->n_others++;
            k->n_lanes += m->devices[d].n_lanes;
            k->n_workers += pass == 0 ? m->devices[d].n_lanes : 0;
        }
    k->free_at = calloc((size_t)k->n_lanes + 1, sizeof(*k->free_at));
    k->spans = calloc((size_t)k->plan->n_tasks + 1, sizeof(*k->spans));
    k->order = malloc(((size_t)k->plan->n_tasks + 1) * sizeof(*k->order));
    return k->first_lane && k->number && k->free_at && k->spans && k->order;
}

static void fini(struct taking *k)
{
    free(k->first_lane);
    free(k->number);
    free(k->free_at);
    free(k->spans);
    free(k->order);
}

static void take_spans(struct taking *k)
{
    const struct tgi_plan *p = k->plan;
    for (uint32_t t = 0; t < p->n_tasks; t++)
        k->order[t] = t;
    qsort_r(k->order, p->n_tasks, sizeof(*k->order), compare_starts, (void *)p);
    for (uint32_t i = 0; i < p->n_tasks; i++) {
        uint32_t t = k->order[i], first = k->first_lane[p->device[t]], lane = first;
        for (uint32_t l = first; l < first + k->w->machine->devices[p->device[t]].n_lanes; l++)
            if (k->free_at[l] < k->free_at[lane])
                lane = l;
        k->free_at[lane] = p->end[t];
        uint64_t start_ns = (uint64_t)llround(p->start[t]), end_ns = (uint64_t)llround(p->end[t]);
        k->spans[t] = (struct tgi_span){.start_ns = start_ns, .end_ns = end_ns ? end_ns : 1, /* zero: it never ran */
                                        .worker = lane, .attempts = 1, .state = TG_TASK_DONE};
    }
}

static bool put_string(struct tgi_recording *r, const char *text, uint32_t *offset_p)
{
    size_t size = strlen(text) + 1;
    char *grown = realloc(r->strings, r->n_strings + size);
    if (!grown)
        return false;
    memcpy(grown + r->n_strings, text, size);
    r->strings = grown;
    *offset_p = (uint32_t)r->n_strings;
    r->n_strings += size;
    return true;
}

static bool take_devices(const struct taking *k, struct tgi_recording *r)
{
    const struct tgi_machine *m = k->w->machine;
    struct tgi_recording_device *devices = calloc((size_t)k->n_others + 1, sizeof(*devices));
    if (!devices)
        return false;
    free(r->devices);
    r->devices = devices;
    r->n_devices = k->n_others;
    for (uint32_t d = 0; d < m->n_devices; d++) {
        uint32_t n = k->number[d], memory = m->devices[d].memory;
        if (n == TG_NONE)
            continue;
        const char *colon = strchr(m->devices[d].name, ':');
        devices[n] = (struct tgi_recording_device){.ordinal = colon ? (uint32_t)strtoul(colon + 1, NULL, 10) : n,
                                                   .in_bytes = k->plan->moved_in[memory], .out_bytes = k->plan->moved_out[memory],
                                                   .peak_bytes = k->plan->peak_bytes[memory]};
        if (!put_string(r, m->classes[m->devices[d].class].name, &devices[n].kind) ||
            !put_string(r, m->name[0] ? m->name : m->devices[d].name, &devices[n].name))
            return false;
        r->head.to_device_bytes += k->plan->moved_in[memory];
        for (uint32_t l = 0; l < m->devices[d].n_lanes; l++)
            r->lanes[k->first_lane[d] + l] = (struct tgi_recording_lane){.kind = TGI_LANE_STREAM, .device = n, .number = l};
    }
    return true;
}

static bool take_head(const struct taking *k, struct tgi_recording *r)
{
    struct tgi_recording_head *h = &r->head;
    h->n_workers = k->n_workers;
    if (!take_devices(k, r) || !put_string(r, k->w->machine->name, &h->machine))
        return false;
    h->to_host_bytes = k->plan->moved_in[0];
    /* What went into devices and did not come from memory 0 came from another device. */
    h->peer_bytes = h->to_device_bytes > k->plan->moved_out[0] ? h->to_device_bytes - k->plan->moved_out[0] : 0;
    h->to_device_bytes -= h->peer_bytes;
    h->spilled_bytes = k->plan->spilled_bytes;
    h->n_copies = k->plan->n_copies;
    return true;
}

/* Nodes of a record: the host for CPUs, then the devices. */
static int explain(const struct taking *k, struct tgi_recording *r, struct tg_error *err)
{
    uint32_t n = k->w->machine->n_devices, *node_of = malloc(n * sizeof(*node_of));
    struct tgi_offers offers = {0};
    int rc = node_of ? tgi_plan_explain(k->w, k->plan->chosen, k->plan->variant, &offers, err)
                     : tgi_error_memory(err, "the record of a simulated run");
    for (uint32_t d = 0; rc == 0 && d < n; d++)
        node_of[d] = k->number[d] == TG_NONE ? 0 : k->number[d] + 1;
    if (rc == 0 && offers.n)
        rc = tgi_recording_take_offers(r, &offers, node_of, err);
    tgi_offers_fini(&offers);
    free(node_of);
    return rc;
}

int tgi_recording_of_plan(const struct tgi_workload *w, const struct tgi_plan *plan, struct tgi_recording *recording_p,
                          struct tg_error *err)
{
    struct taking k = {.w = w, .plan = plan};
    struct tgi_recording r;
    int rc = begin(&k) ? 0 : tgi_error_memory(err, "the record of a simulated run");
    if (rc == 0) {
        take_spans(&k);
        struct tgi_recorded what = {.graph = w->graph, .spans = k.spans, .n_workers = k.n_lanes, .policy = plan->policy,
                                    .makespan_ns = (uint64_t)llround(plan->makespan_ns), .outcome = TGI_RECORDING_SIMULATED};
        rc = tgi_recording_create(&what, &r, err);
    }
    if (rc == 0 && (rc = explain(&k, &r, err)))
        tgi_recording_fini(&r);
    if (rc == 0 && !take_head(&k, &r)) {
        tgi_recording_fini(&r);
        rc = tgi_error_memory(err, "the record of a simulated run");
    }
    struct tgi_bounds bounds;
    if (rc == 0 && (rc = tgi_bounds_find(w, &bounds, err)))
        tgi_recording_fini(&r);
    fini(&k);
    if (rc)
        return rc;
    struct tgi_machine_bounds machine = {bounds.ns[TGI_BOUND_MEMORY], bounds.ns[TGI_BOUND_LINKS]};
    tgi_recording_take_bounds(&r, &machine);
    *recording_p = r;
    return rc;
}
