/* Links, memories and launches of devices, through the interface that runs use as well. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "graph/model.h"
#include "sched/backend.h"
#include "sched/calibrate.h"
#include "sched/runtime.h"
#include "sched/sample.h"

enum { MOST_REPEATS = 32, N_LAUNCHES = 200, ALLOC_BYTES = 1 << 20 };
#define FULL_BYTES ((uint64_t)64 << 20)
#define QUICK_BYTES ((uint64_t)16 << 20)

/* Everything that was got, so that it can be returned wherever measuring ends. */
struct bench {
    const struct tgi_calibration *c;
    struct tgi_devices *ds;
    uint64_t bytes;                    /* of each region */
    uint64_t memory[TGI_MAX_DEVICES];  /* two regions; 0: none */
    void *host[TGI_MAX_DEVICES];
    struct tgi_event *from[TGI_MAX_DEVICES], *to[TGI_MAX_DEVICES]; /* timed */
    struct tgi_machine *m;
    uint32_t first_memory;             /* that of device 0 in the machine */
    uint32_t n_repeats;
};

/* ---- Setting up ---------------------------------------------------------------------------*/

static int open_device(struct bench *b, uint32_t d, struct tg_error *err)
{
    const struct tgi_device_ops *ops = b->ds->ops;
    int rc = ops->reserve(b->ds, d, 2 * b->bytes, &b->memory[d], err);
    if (rc)
        b->memory[d] = 0;
    if (rc == 0)
        rc = ops->host_alloc(b->ds, b->bytes, &b->host[d], err);
    if (rc == 0)
        memset(b->host[d], 0, b->bytes);
    if (rc == 0)
        rc = ops->event_create(b->ds, d, true, &b->from[d], err);
    if (rc == 0)
        rc = ops->event_create(b->ds, d, true, &b->to[d], err);
    /* Both regions have contents before anything is copied out of them. */
    if (rc == 0)
        rc = ops->fill(b->ds, tgi_lane_of(d, TGI_LANE_IN), b->memory[d], 2 * b->bytes, TG_U8, 0, err);
    return rc ? rc : ops->drain(b->ds, d, err);
}

static int choose_bytes(struct bench *b, struct tg_error *err)
{
    b->bytes = b->c->is_quick ? QUICK_BYTES : FULL_BYTES;
    for (uint32_t d = 0; d < b->ds->n_devices; d++) {
        uint64_t available;
        int rc = b->ds->ops->available(b->ds, d, &available, err);
        if (rc)
            return rc;
        while (b->bytes > 4096 && b->bytes > available / 4)
            b->bytes /= 2;
    }
    return 0;
}

static int open_all(struct bench *b, struct tg_error *err)
{
    int rc = choose_bytes(b, err);
    for (uint32_t d = 0; rc == 0 && d < b->ds->n_devices; d++)
        rc = open_device(b, d, err);
    return rc;
}

static void close_all(struct bench *b)
{
    const struct tgi_device_ops *ops = b->ds->ops;
    for (uint32_t d = 0; d < b->ds->n_devices; d++) {
        if (b->memory[d])
            ops->drain(b->ds, d, NULL);
        if (b->from[d])
            ops->event_destroy(b->ds, b->from[d]);
        if (b->to[d])
            ops->event_destroy(b->ds, b->to[d]);
        if (b->host[d])
            ops->host_free(b->ds, b->host[d]);
        if (b->memory[d])
            ops->unreserve(b->ds, d, b->memory[d]);
    }
}

/* ---- Copies -------------------------------------------------------------------------------*/

/* A node is 0 for the host, 1 + device for others.  At least one end is a device; that of the lane is `lane_device`. */
struct copy {
    uint32_t from, to, lane, lane_device;
};

static struct copy copy_of(uint32_t from, uint32_t to)
{
    uint32_t device = to == TGI_HOST_NODE ? from - 1 : to - 1;
    uint32_t which = from == TGI_HOST_NODE ? TGI_LANE_IN : to == TGI_HOST_NODE ? TGI_LANE_OUT : TGI_LANE_PEER;
    return (struct copy){from, to, tgi_lane_of(device, which), device};
}

static uint64_t address(const struct bench *b, uint32_t node, uint32_t device, bool is_second)
{
    if (node == TGI_HOST_NODE)
        return (uint64_t)(uintptr_t)b->host[device];
    return b->memory[node - 1] + (is_second ? b->bytes : 0);
}

static int enqueue(struct bench *b, struct copy copy, uint64_t bytes, struct tg_error *err)
{
    struct tgi_transfer t = {copy.to, copy.from, address(b, copy.to, copy.lane_device, true),
                             address(b, copy.from, copy.lane_device, false), bytes};
    int rc = b->ds->ops->record(b->ds, copy.lane, b->from[copy.lane_device], err);
    if (rc == 0)
        rc = b->ds->ops->copy(b->ds, copy.lane, &t, err);
    return rc ? rc : b->ds->ops->record(b->ds, copy.lane, b->to[copy.lane_device], err);
}

static int await(struct bench *b, struct copy copy, double *ns_p, struct tg_error *err)
{
    int rc = b->ds->ops->synchronize(b->ds, b->to[copy.lane_device], err);
    return rc ? rc : b->ds->ops->elapsed(b->ds, b->from[copy.lane_device], b->to[copy.lane_device], ns_p, err);
}

/* All of the copies at once, each with a lane of another device; the time is that of the slowest. */
static int time_copies(struct bench *b, const struct copy *copies, uint32_t n, uint64_t bytes, struct tgi_sample *sample_p,
                       struct tg_error *err)
{
    double all[MOST_REPEATS];
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i <= b->n_repeats; i++) {
        double slowest = 0, ns = 0;
        for (uint32_t k = 0; rc == 0 && k < n; k++)
            rc = enqueue(b, copies[k], bytes, err);
        for (uint32_t k = 0; rc == 0 && k < n; k++) {
            rc = await(b, copies[k], &ns, err);
            slowest = ns > slowest ? ns : slowest;
        }
        if (i > 0)
            all[i - 1] = slowest;
    }
    if (rc == 0)
        tgi_sample_of(all, b->n_repeats, sample_p);
    return rc;
}

static const char *node_name(const struct bench *b, uint32_t node)
{
    return b->m->memories[node == TGI_HOST_NODE ? 0 : b->first_memory + node - 1].name;
}

static int note_copy(struct bench *b, struct copy copy, uint64_t bytes, uint32_t n_at_once, const struct tgi_sample *s,
                     struct tg_error *err)
{
    struct tgi_machine_copy note = {.bytes = bytes, .n_at_once = n_at_once, .median_ns = s->median,
                                    .spread_ns = tgi_sample_spread(s), .n_samples = s->n};
    snprintf(note.from, sizeof note.from, "%s", node_name(b, copy.from));
    snprintf(note.to, sizeof note.to, "%s", node_name(b, copy.to));
    return tgi_machine_add_copy(b->m, &note, err);
}

/* By size; the line through the two largest gives the bandwidth. */
static int measure_link(struct bench *b, uint32_t from, uint32_t to, struct tgi_machine_link *link, struct tg_error *err)
{
    struct copy copy = copy_of(from, to);
    double small = 0, before = 0, last = 0;
    uint64_t step = b->c->is_quick ? 16 : 4;
    int rc = 0;
    for (uint64_t bytes = b->bytes; bytes > 4096; bytes /= step)
        last = (double)bytes;
    for (uint64_t bytes = (uint64_t)last ? (uint64_t)last : b->bytes; rc == 0 && bytes <= b->bytes; bytes *= step) {
        struct tgi_sample s;
        rc = time_copies(b, &copy, 1, bytes, &s, err);
        if (rc == 0)
            rc = note_copy(b, copy, bytes, 1, &s, err);
        if (rc)
            return rc;
        small = small > 0 ? small : s.median;
        link->bytes_per_ns = s.median > before && before > 0 ? (double)(bytes - bytes / step) / (s.median - before)
                                                            : (double)bytes / (s.median > 0 ? s.median : 1);
        before = s.median;
    }
    link->latency_ns = small;
    snprintf(link->from, sizeof link->from, "%s", node_name(b, from));
    snprintf(link->to, sizeof link->to, "%s", node_name(b, to));
    return rc;
}

/* A rule for all pairs in front of those for each, so that a machine with other GPUs has links as well: no better than
 * the worst. */
static int add_general(struct bench *b, const char *from, const char *to, uint32_t first, struct tg_error *err)
{
    struct tgi_machine *m = b->m;
    uint32_t n = m->n_links;
    struct tgi_machine_link general = m->links[first];
    for (uint32_t i = first; i < n; i++) {
        const struct tgi_machine_link *link = &m->links[i];
        bool is_meant = (strcmp(from, "host") == 0) == (strcmp(link->from, "host") == 0) &&
                        (strcmp(to, "host") == 0) == (strcmp(link->to, "host") == 0);
        if (!is_meant)
            continue;
        bool is_first = strcmp(general.from, from) != 0;
        general.bytes_per_ns = is_first || link->bytes_per_ns < general.bytes_per_ns ? link->bytes_per_ns : general.bytes_per_ns;
        general.latency_ns = is_first || link->latency_ns > general.latency_ns ? link->latency_ns : general.latency_ns;
        snprintf(general.from, sizeof general.from, "%s", from);
        snprintf(general.to, sizeof general.to, "%s", to);
    }
    int rc = tgi_machine_add_link(m, &general, err);
    if (rc)
        return rc;
    memmove(&m->links[first + 1], &m->links[first], (n - first) * sizeof general);
    m->links[first] = general;
    return 0;
}

/* What all devices get together from or to the host; in *alone_p the sum of what each gets by itself. */
static int measure_together(struct bench *b, bool is_in, const double *alone, double *rate_p, double *alone_p, struct tg_error *err)
{
    struct copy copies[TGI_MAX_DEVICES];
    uint32_t n = b->ds->n_devices;
    struct tgi_sample s;
    *alone_p = 0;
    for (uint32_t d = 0; d < n; d++) {
        copies[d] = is_in ? copy_of(TGI_HOST_NODE, d + 1) : copy_of(d + 1, TGI_HOST_NODE);
        *alone_p += alone[d];
    }
    tgi_calibrate_step(b->c, "copies %s all devices at once", is_in ? "to" : "from");
    int rc = time_copies(b, copies, n, b->bytes, &s, err);
    for (uint32_t d = 0; rc == 0 && d < n; d++)
        rc = note_copy(b, copies[d], b->bytes, n, &s, err);
    if (rc == 0)
        *rate_p = (double)b->bytes * n / (s.median > 0 ? s.median : 1);
    return rc;
}

/* Links to and from the host; they share a root if all of them together get less than the sum of each. */
static int measure_host_links(struct bench *b, struct tg_error *err)
{
    uint32_t n = b->ds->n_devices;
    struct tgi_machine_link links[2 * TGI_MAX_DEVICES];
    double alone[2][TGI_MAX_DEVICES], together[2] = {0, 0}, sum[2];
    int rc = 0;
    memset(links, 0, sizeof links);
    for (uint32_t d = 0; rc == 0 && d < n; d++)
        for (uint32_t way = 0; rc == 0 && way < 2; way++) {
            tgi_calibrate_step(b->c, "copies %s %s", way ? "from" : "to", node_name(b, d + 1));
            rc = measure_link(b, way ? d + 1 : TGI_HOST_NODE, way ? TGI_HOST_NODE : d + 1, &links[2 * d + way], err);
            alone[way][d] = links[2 * d + way].bytes_per_ns;
        }
    for (uint32_t way = 0; rc == 0 && way < 2 && n > 1; way++)
        rc = measure_together(b, way == 0, alone[way], &together[way], &sum[way], err);
    if (rc)
        return rc;
    bool is_shared = n > 1 && (together[0] < 0.9 * sum[0] || together[1] < 0.9 * sum[1]);
    if (is_shared) {
        struct tgi_machine_root root = {"host", together[0] > together[1] ? together[0] : together[1]};
        rc = tgi_machine_add_root(b->m, &root, err);
        for (uint32_t d = 0; rc == 0 && d < n; d++)
            b->m->memories[b->first_memory + d].root = b->m->n_roots - 1;
    }
    uint32_t first = b->m->n_links;
    for (uint32_t i = 0; rc == 0 && i < 2 * n; i++) {
        links[i].share = is_shared ? TGI_SHARE_ROOTS : TGI_SHARE_LINK;
        rc = tgi_machine_add_link(b->m, &links[i], err);
    }
    if (rc == 0)
        rc = add_general(b, "host", b->ds->ops->kind, first, err);
    return rc ? rc : add_general(b, b->ds->ops->kind, "host", first + 1, err);
}

/* Every pair by itself, then each device to its neighbour, all at once: what a port gives. */
static int measure_peer_links(struct bench *b, struct tg_error *err)
{
    uint32_t n = b->ds->n_devices, n_ring = 0, first = b->m->n_links;
    struct copy ring[TGI_MAX_DEVICES];
    struct tgi_sample s;
    int rc = 0;
    for (uint32_t from = 0; rc == 0 && from < n; from++)
        for (uint32_t to = 0; rc == 0 && to < n; to++) {
            struct tgi_machine_link link = {.share = TGI_SHARE_PORTS};
            if (from == to || !b->ds->info[to].has_peer[from])
                continue;
            tgi_calibrate_step(b->c, "copies from %s to %s", node_name(b, from + 1), node_name(b, to + 1));
            rc = measure_link(b, from + 1, to + 1, &link, err);
            if (rc == 0)
                rc = tgi_machine_add_link(b->m, &link, err);
            if (to == (from + 1) % n)
                ring[n_ring++] = copy_of(from + 1, to + 1);
        }
    if (rc == 0 && n > 1 && b->m->n_links - first == n * (n - 1)) /* all reach each other */
        rc = add_general(b, b->ds->ops->kind, b->ds->ops->kind, first, err);
    if (rc || n_ring < 2)
        return rc;
    tgi_calibrate_step(b->c, "copies between all devices at once");
    rc = time_copies(b, ring, n_ring, b->bytes, &s, err);
    for (uint32_t i = 0; rc == 0 && i < n_ring; i++) {
        b->m->memories[b->first_memory + ring[i].to - 1].port_bytes_per_ns = (double)b->bytes / (s.median > 0 ? s.median : 1);
        rc = note_copy(b, ring[i], b->bytes, n_ring, &s, err);
    }
    return rc;
}

/* ---- A device by itself -------------------------------------------------------------------*/

static int measure_own_memory(struct bench *b, uint32_t d, struct tg_error *err)
{
    struct copy own = {d + 1, d + 1, tgi_lane_of(d, 0), d};
    struct tgi_sample s;
    tgi_calibrate_step(b->c, "memory of %s", node_name(b, d + 1));
    int rc = time_copies(b, &own, 1, b->bytes, &s, err);
    if (rc == 0)
        b->m->memories[b->first_memory + d].bytes_per_ns = 2 * (double)b->bytes / (s.median > 0 ? s.median : 1);
    return rc;
}

static int make_nothing(struct tg_graph **g_p, struct tg_error *err)
{
    struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
    struct tg_task_spec task = TG_TASK_SPEC_INIT;
    struct tg_arg no_time = tg_arg_float(0);
    struct tg_graph *g;
    int rc = tg_graph_create("nothing", &g, err);
    if (rc)
        return rc;
    kernel.name = kernel.builtin = "spin";
    task.n_args = 1;
    task.args = &no_time;
    rc = tg_graph_add_kernel(g, &kernel, &task.kernel, err);
    if (rc == 0)
        rc = tg_graph_add_task(g, &task, NULL, err);
    return tgi_calibrate_finish(g, rc, g_p, err);
}

struct launch {
    struct tgi_code *code;
    struct tgi_shape shape;
    void **args;
};

/* For one launch, the longer of the host's time and the device's. */
static int time_launches(struct bench *b, const struct launch *l, double *ns_p, struct tg_error *err)
{
    double ns = 0;
    int rc = b->ds->ops->record(b->ds, 0, b->from[0], err);
    uint64_t begin = tgi_now_ns();
    for (uint32_t i = 0; rc == 0 && i < N_LAUNCHES; i++)
        rc = b->ds->ops->launch(b->ds, 0, l->code, &l->shape, l->args, err);
    double host = (double)(tgi_now_ns() - begin);
    if (rc == 0)
        rc = b->ds->ops->record(b->ds, 0, b->to[0], err);
    if (rc == 0)
        rc = b->ds->ops->synchronize(b->ds, b->to[0], err);
    if (rc == 0)
        rc = b->ds->ops->elapsed(b->ds, b->from[0], b->to[0], &ns, err);
    *ns_p = (host > ns ? host : ns) / N_LAUNCHES;
    return rc;
}

static int measure_launches(struct bench *b, struct tgi_machine_class *class, struct tg_error *err)
{
    uint64_t words[TG_MAX_PARAMS] = {0};
    void *args[TG_MAX_PARAMS];
    struct launch l = {.args = args};
    struct tg_graph *g;
    double ns[MOST_REPEATS];
    char *text = NULL;
    struct tgi_sample s;
    tgi_calibrate_step(b->c, "launches");
    int rc = make_nothing(&g, err);
    if (rc)
        return rc;
    uint32_t op = g->nodes[0].op & TGI_NODE_OP, n_params = g->space->ops[op].n_params;
    for (uint32_t i = 0; i < n_params; i++) {
        words[i] = tgi_graph_word(g, 0, i);
        words[i] = words[i] == TGI_WORD_NULL ? 0 : words[i];
        args[i] = &words[i];
    }
    rc = b->ds->ops->resolve(b->ds, g, op, &l.code, &text, err);
    free(text);
    if (rc == 0) {
        rc = b->ds->ops->shape(b->ds, l.code, args, &l.shape, err);
        for (uint32_t i = 0; rc == 0 && i <= b->n_repeats; i++)
            rc = time_launches(b, &l, &ns[i > 0 ? i - 1 : 0], err);
        b->ds->ops->drain(b->ds, 0, NULL);
        b->ds->ops->unresolve(b->ds, l.code);
    }
    tg_graph_destroy(g);
    if (rc)
        return rc;
    tgi_sample_of(ns, b->n_repeats, &s);
    class->launch_ns = s.median;
    return 0;
}

/* The host's time to record an event in one lane and make another one wait for it. */
static int measure_events(struct bench *b, struct tgi_machine_class *class, struct tg_error *err)
{
    double ns[MOST_REPEATS];
    struct tgi_event *event;
    struct tgi_sample s;
    int rc = b->ds->ops->event_create(b->ds, 0, false, &event, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; rc == 0 && i <= b->n_repeats; i++) {
        uint64_t begin = tgi_now_ns();
        for (uint32_t k = 0; rc == 0 && k < N_LAUNCHES; k++) {
            rc = b->ds->ops->record(b->ds, 0, event, err);
            if (rc == 0)
                rc = b->ds->ops->wait(b->ds, 1, event, err);
        }
        ns[i > 0 ? i - 1 : 0] = (double)(tgi_now_ns() - begin) / N_LAUNCHES;
    }
    b->ds->ops->drain(b->ds, 0, NULL);
    b->ds->ops->event_destroy(b->ds, event);
    tgi_sample_of(ns, b->n_repeats, &s);
    class->event_ns = s.median;
    return rc;
}

static int measure_allocation(struct bench *b, struct tgi_machine_class *class, struct tg_error *err)
{
    double ns[MOST_REPEATS];
    struct tgi_sample s;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < b->n_repeats; i++) {
        uint64_t address, begin = tgi_now_ns();
        rc = b->ds->ops->reserve(b->ds, 0, b->bytes < ALLOC_BYTES ? b->bytes : ALLOC_BYTES, &address, err);
        if (rc == 0)
            b->ds->ops->unreserve(b->ds, 0, address);
        ns[i] = (double)(tgi_now_ns() - begin);
    }
    tgi_sample_of(ns, b->n_repeats, &s);
    class->alloc_ns = s.median;
    return rc;
}

/* ---- All of it ----------------------------------------------------------------------------*/

static int describe(struct bench *b, struct tg_error *err)
{
    struct tgi_machine *m = b->m;
    struct tgi_machine_class class = {.kind = TGI_DEVICE_CUDA};
    snprintf(class.name, sizeof class.name, "%s", b->ds->ops->kind);
    b->first_memory = m->n_memories;
    int rc = tgi_machine_add_class(m, &class, err);
    for (uint32_t d = 0; rc == 0 && d < b->ds->n_devices; d++) {
        struct tgi_machine_memory memory = {.bytes = b->ds->info[d].memory_bytes, .root = TG_NONE};
        struct tgi_machine_device device = {"", m->n_classes - 1, m->n_memories, TGI_COMPUTE_LANES};
        snprintf(memory.name, sizeof memory.name, "%s:%u", b->ds->ops->kind, b->ds->ordinal[d]);
        memcpy(device.name, memory.name, sizeof device.name);
        rc = tgi_machine_add_memory(m, &memory, err);
        if (rc == 0)
            rc = tgi_machine_add_device(m, &device, err);
    }
    return rc;
}

static int measure_all(struct bench *b, struct tg_error *err)
{
    int rc = open_all(b, err);
    for (uint32_t d = 0; rc == 0 && d < b->ds->n_devices; d++)
        rc = measure_own_memory(b, d, err);
    if (rc == 0)
        rc = measure_host_links(b, err);
    if (rc == 0)
        rc = measure_peer_links(b, err);
    if (rc == 0)
        rc = measure_launches(b, &b->m->classes[b->m->n_classes - 1], err);
    if (rc == 0)
        rc = measure_events(b, &b->m->classes[b->m->n_classes - 1], err);
    if (rc == 0)
        rc = measure_allocation(b, &b->m->classes[b->m->n_classes - 1], err);
    close_all(b);
    return rc;
}

int tgi_calibrate_devices(const struct tgi_calibration *c, struct tgi_machine *m, struct tg_error *err)
{
    struct bench b = {.c = c, .m = m, .n_repeats = c->is_quick ? 5 : 15};
    int rc = tgi_backends[0].open(c->device_set, &b.ds, err);
    if (rc)
        return rc;
    rc = describe(&b, err);
    if (rc == 0)
        rc = b.ds->ops->attach(b.ds, err);
    if (rc == 0) {
        rc = measure_all(&b, err);
        b.ds->ops->detach(b.ds);
    }
    b.ds->ops->close(b.ds);
    return rc;
}

int tgi_calibrate_name_devices(const struct tgi_calibration *c, struct tgi_machine_origin *o, struct tg_error *err)
{
    struct tgi_devices *ds;
    int rc = tgi_backends[0].open(c->device_set, &ds, err);
    if (rc)
        return rc;
    o->n_gpus = ds->n_devices;
    snprintf(o->gpu, sizeof o->gpu, "%.63s", ds->info[0].name);
    ds->ops->close(ds);
    return 0;
}
