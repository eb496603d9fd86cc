/* See machine.h.  Rough figures are those of an ordinary server: they serve until the machine is measured, and
 * what is planned with them says so. */
#include "sched/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <math.h>
#include <string.h>

#include "graph/error.h"

/* Of one core, and of one NUMA node. */
#define CORE_FLOPS_PER_NS 32.0
#define NUMA_BYTES_PER_NS 100.0
#define NUMA_LINK_BYTES_PER_NS 50.0
/* A GPU of the data centre kind, 2024. */
#define GPU_FLOPS_PER_NS 60000.0
#define GPU_BYTES_PER_NS 4200.0
#define GPU_BYTES ((uint64_t)140 << 30)
#define GPU_PORT_BYTES_PER_NS 396.0
#define HOST_LINK_BYTES_PER_NS 55.0
enum { CPU_LAUNCH_NS = 300, GPU_LAUNCH_NS = 3000, NUMA_LATENCY_NS = 200, HOST_LATENCY_NS = 6000, PEER_LATENCY_NS = 3000 };

/* ---- Building -----------------------------------------------------------------------------*/

static void *append(void *items, uint32_t *n, size_t size, const void *item, struct tg_error *err)
{
    char *grown = realloc(items, (*n + 1) * size);
    if (!grown) {
        tgi_error_memory(err, "describing a machine");
        return NULL;
    }
    memcpy(grown + *n * size, item, size);
    ++*n;
    return grown;
}

#define ADD(what, items, n)                                                                       \
    int tgi_machine_add_##what(struct tgi_machine *m, const struct tgi_machine_##what *item, struct tg_error *err) \
    {                                                                                             \
        void *grown = append(m->items, &m->n, sizeof *item, item, err);                           \
        if (!grown)                                                                               \
            return TG_E_NO_MEMORY;                                                                \
        m->items = grown;                                                                         \
        return 0;                                                                                 \
    }
ADD(class, classes, n_classes)
ADD(memory, memories, n_memories)
ADD(device, devices, n_devices)
ADD(root, roots, n_roots)
ADD(link, links, n_links)
ADD(time, times, n_times)
ADD(copy, copies, n_copies)
ADD(replay, replays, n_replays)

void tgi_machine_replay_costs(const struct tgi_machine *m, uint64_t n_tasks, struct tgi_replay_costs *costs_p)
{
    double least = INFINITY;
    *costs_p = (struct tgi_replay_costs){{0}};
    for (uint32_t i = 0; i < m->n_replays; i++) {
        const struct tgi_machine_replay *r = &m->replays[i];
        double apart = fabs(log(((double)n_tasks + 1) / ((double)r->n_tasks + 1)));
        if (apart < least) {
            least = apart;
            memcpy(costs_p->ns, r->ns, sizeof costs_p->ns);
        }
    }
}

static float known(double ns, float usual_ns) { return ns > 0 ? (float)ns : usual_ns; }

void tgi_machine_gain_costs(const struct tgi_machine *m, struct tgi_gain_costs *costs_p)
{
    static const struct tgi_gain_costs usual = TGI_GAIN_COSTS_INIT;
    uint32_t i = 0;
    *costs_p = usual;
    while (i < m->n_classes && m->classes[i].node_ns <= 0 && m->classes[i].chain_ns <= 0)
        i++;
    if (i == m->n_classes)
        return;
    const struct tgi_machine_class *c = &m->classes[i];
    costs_p->node_ns = known(c->node_ns, usual.node_ns);
    costs_p->chain_ns = known(c->chain_ns, usual.chain_ns);
    costs_p->start_ns = known(c->resident_start_ns, usual.start_ns);
    costs_p->tasks.task_ns = known(c->resident_task_ns, usual.tasks.task_ns);
}

void tgi_machine_fini(struct tgi_machine *m)
{
    free(m->classes);
    free(m->memories);
    free(m->devices);
    free(m->roots);
    free(m->links);
    free(m->times);
    free(m->copies);
    free(m->replays);
    free(m->route);
    *m = (struct tgi_machine){0};
}

#define FIND(what, items, n)                                                                      \
    uint32_t tgi_machine_find_##what(const struct tgi_machine *m, const char *name)               \
    {                                                                                             \
        for (uint32_t i = 0; i < m->n; i++)                                                       \
            if (strcmp(m->items[i].name, name) == 0)                                              \
                return i;                                                                         \
        return TG_NONE;                                                                           \
    }
FIND(class, classes, n_classes)
FIND(memory, memories, n_memories)
FIND(root, roots, n_roots)

/* ---- Routes -------------------------------------------------------------------------------*/

/* Marks the memories that one end of a link names. */
static void mark_end(const struct tgi_machine *m, const char *name, uint8_t *is_end)
{
    uint32_t class = tgi_machine_find_class(m, name), memory = tgi_machine_find_memory(m, name);
    memset(is_end, strcmp(name, "*") == 0, m->n_memories);
    if (memory != TG_NONE)
        is_end[memory] = 1;
    for (uint32_t d = 0; d < m->n_devices; d++)
        if (m->devices[d].class == class)
            is_end[m->devices[d].memory] = 1;
}

static void lay_route(struct tgi_machine *m, uint32_t link, const uint8_t *is_from, const uint8_t *is_to)
{
    for (uint32_t from = 0; from < m->n_memories; from++)
        for (uint32_t to = 0; is_from[from] && to < m->n_memories; to++)
            if (is_to[to] && from != to)
                m->route[(size_t)from * m->n_memories + to] = (uint16_t)(link + 1);
}

int tgi_machine_finish(struct tgi_machine *m, struct tg_error *err)
{
    if (m->n_devices == 0 || m->n_devices > TGI_MACHINE_DEVICES || m->n_classes > TGI_MACHINE_CLASSES ||
        m->n_memories > TGI_MACHINE_DEVICES + 64 || m->n_links > 60000)
        return tgi_error(err, TG_E_BAD_VALUE,
                         "machine \"%s\" has %u devices of %u classes; there must be 1 to %d of at most %d", m->name, m->n_devices, m->n_classes, TGI_MACHINE_DEVICES, TGI_MACHINE_CLASSES);
    uint8_t *ends = malloc(2 * (size_t)m->n_memories);
    m->route = calloc((size_t)m->n_memories * m->n_memories, sizeof *m->route);
    for (uint32_t i = 0; ends && m->route && i < m->n_links; i++) {
        mark_end(m, m->links[i].from, ends);
        mark_end(m, m->links[i].to, ends + m->n_memories);
        lay_route(m, i, ends, ends + m->n_memories);
    }
    bool is_done = ends && m->route;
    free(ends);
    return is_done ? 0 : tgi_error_memory(err, "describing a machine");
}

static double link_ns(const struct tgi_machine_link *link, double bytes)
{
    return link ? link->latency_ns + bytes / link->bytes_per_ns : 0;
}

double tgi_machine_copy_ns(const struct tgi_machine *m, uint32_t from, uint32_t to, double bytes)
{
    if (from == to)
        return 0;
    const struct tgi_machine_link *direct = tgi_machine_route(m, from, to);
    if (direct)
        return link_ns(direct, bytes);
    return link_ns(from ? tgi_machine_route(m, from, 0) : NULL, bytes) +
           link_ns(to ? tgi_machine_route(m, 0, to) : NULL, bytes);
}

tgi_place tgi_machine_place(const struct tgi_machine *m, uint32_t device)
{
    const struct tgi_machine_device *d = &m->devices[device];
    const char *colon = strchr(d->name, ':');
    uint32_t ordinal = colon ? (uint32_t)strtoul(colon + 1, NULL, 10) : 0;
    if (m->classes[d->class].kind == TGI_DEVICE_CPU)
        return TGI_PLACE_CPU | (ordinal < 16 ? TGI_PLACE_NUMA_AT(ordinal) : 0);
    return TGI_PLACE_CUDA | (ordinal < 32 ? TGI_PLACE_CUDA_AT(ordinal) : 0);
}

/* ---- This machine, and others -------------------------------------------------------------*/

static int add_numa(struct tgi_machine *m, const struct tgi_topology *t, uint32_t numa, struct tg_error *err)
{
    struct tgi_machine_memory memory = {"", t->numa_bytes ? t->numa_bytes[numa] : 0, NUMA_BYTES_PER_NS, 0, TG_NONE};
    struct tgi_machine_device device = {"", 0, numa, 0};
    for (uint32_t i = 0; i < t->n_cpus; i++)
        device.n_lanes += t->cpus[i].numa == numa && t->cpus[i].smt == 0;
    if (device.n_lanes == 0)
        device.n_lanes = 1;
    snprintf(memory.name, sizeof memory.name, numa ? "numa:%u" : "host", numa);
    snprintf(device.name, sizeof device.name, "cpu:%u", numa);
    int rc = tgi_machine_add_memory(m, &memory, err);
    return rc ? rc : tgi_machine_add_device(m, &device, err);
}

int tgi_machine_init_cpus(struct tgi_machine *m, const struct tgi_topology *t, struct tg_error *err)
{
    struct tgi_machine_class cpu = {.name = "cpu", .kind = TGI_DEVICE_CPU, .flops_per_ns = CORE_FLOPS_PER_NS,
                                    .launch_ns = CPU_LAUNCH_NS};
    struct tgi_machine_link between = {"cpu", "cpu", NUMA_LATENCY_NS, NUMA_LINK_BYTES_PER_NS, TGI_SHARE_LINK};
    *m = (struct tgi_machine){.is_rough = true};
    snprintf(m->name, sizeof m->name, "this machine");
    int rc = tgi_machine_add_class(m, &cpu, err);
    for (uint32_t n = 0; rc == 0 && n < (t->n_numa ? t->n_numa : 1); n++)
        rc = add_numa(m, t, n, err);
    if (rc == 0)
        rc = tgi_machine_add_link(m, &between, err);
    if (rc)
        tgi_machine_fini(m);
    return rc;
}

static bool is_gpu(const struct tgi_machine *m, uint32_t device)
{
    return m->classes[m->devices[device].class].kind == TGI_DEVICE_CUDA;
}

bool tgi_machine_is_of(const struct tgi_machine_origin *o, const struct tgi_machine_origin *here, char *why, size_t size)
{
    if (o->cpu[0] == '\0')
        snprintf(why, size, "it describes a machine and was measured on none");
    else if (strcmp(o->cpu, here->cpu) != 0)
        snprintf(why, size, "it was measured on \"%s\", and this is \"%s\"", o->cpu, here->cpu);
    else if (o->n_cores != here->n_cores || o->n_numa != here->n_numa)
        snprintf(why, size, "it was measured on %u cores with %u NUMA nodes, and there are %u with %u here", o->n_cores,
                 o->n_numa, here->n_cores, here->n_numa);
    else if (o->n_gpus > here->n_gpus || (o->n_gpus && strcmp(o->gpu, here->gpu) != 0))
        snprintf(why, size, "it was measured with %u x \"%s\", and there are %u x \"%s\" here", o->n_gpus, o->gpu,
                 here->n_gpus, here->gpu);
    else
        return true;
    return false;
}

/* What a GPU of the changed machine looks like. */
struct gpu {
    struct tgi_machine_memory memory;
    struct tgi_machine_device device;
};

static int typical_gpu(struct tgi_machine *to, struct gpu *gpu, struct tg_error *err)
{
    struct tgi_machine_class class = {.name = "cuda", .kind = TGI_DEVICE_CUDA, .flops_per_ns = GPU_FLOPS_PER_NS,
                                      .launch_ns = GPU_LAUNCH_NS};
    struct tgi_machine_link links[] = {
        {"cpu", "cuda", HOST_LATENCY_NS, HOST_LINK_BYTES_PER_NS, TGI_SHARE_LINK},
        {"cuda", "cpu", HOST_LATENCY_NS, HOST_LINK_BYTES_PER_NS, TGI_SHARE_LINK},
        {"cuda", "cuda", PEER_LATENCY_NS, GPU_PORT_BYTES_PER_NS, TGI_SHARE_PORTS}};
    uint32_t known = tgi_machine_find_class(to, "cuda");
    gpu->memory = (struct tgi_machine_memory){"", GPU_BYTES, GPU_BYTES_PER_NS, GPU_PORT_BYTES_PER_NS, TG_NONE};
    gpu->device = (struct tgi_machine_device){"", known == TG_NONE ? to->n_classes : known, 0, 1};
    to->is_rough = true;
    int rc = known == TG_NONE ? tgi_machine_add_class(to, &class, err) : 0;
    for (uint32_t i = 0; rc == 0 && known == TG_NONE && i < 3; i++)
        rc = tgi_machine_add_link(to, &links[i], err);
    return rc;
}

static int add_gpus(struct tgi_machine *to, const struct gpu *like, uint32_t n, struct tg_error *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        struct gpu gpu = *like;
        gpu.device.memory = to->n_memories;
        snprintf(gpu.memory.name, sizeof gpu.memory.name, "cuda:%u", i);
        snprintf(gpu.device.name, sizeof gpu.device.name, "cuda:%u", i);
        rc = tgi_machine_add_memory(to, &gpu.memory, err);
        if (rc == 0)
            rc = tgi_machine_add_device(to, &gpu.device, err);
    }
    return rc;
}

/* All but the devices that go, and their memories: those that nothing else works from. */
static int copy_rest(const struct tgi_machine *m, bool keeps_gpus, struct tgi_machine *to, struct tg_error *err)
{
    uint32_t *number = malloc((m->n_memories + 1) * sizeof *number);
    int rc = number ? 0 : tgi_error_memory(err, "describing a machine");
    for (uint32_t i = 0; rc == 0 && i < m->n_classes; i++)
        rc = tgi_machine_add_class(to, &m->classes[i], err);
    for (uint32_t i = 0; rc == 0 && i < m->n_memories; i++) {
        bool goes = false, stays = i == 0 || keeps_gpus;
        for (uint32_t d = 0; d < m->n_devices; d++)
            if (m->devices[d].memory == i)
                *(is_gpu(m, d) ? &goes : &stays) = true;
        number[i] = to->n_memories;
        if (stays || !goes)
            rc = tgi_machine_add_memory(to, &m->memories[i], err);
    }
    for (uint32_t d = 0; rc == 0 && d < m->n_devices; d++) {
        struct tgi_machine_device device = m->devices[d];
        device.memory = number[device.memory];
        if (keeps_gpus || !is_gpu(m, d))
            rc = tgi_machine_add_device(to, &device, err);
    }
    for (uint32_t i = 0; rc == 0 && i < m->n_roots; i++)
        rc = tgi_machine_add_root(to, &m->roots[i], err);
    for (uint32_t i = 0; rc == 0 && i < m->n_links; i++)
        rc = tgi_machine_add_link(to, &m->links[i], err);
    for (uint32_t i = 0; rc == 0 && i < m->n_times; i++)
        rc = tgi_machine_add_time(to, &m->times[i], err);
    for (uint32_t i = 0; rc == 0 && i < m->n_copies; i++)
        rc = tgi_machine_add_copy(to, &m->copies[i], err);
    for (uint32_t i = 0; rc == 0 && i < m->n_replays; i++)
        rc = tgi_machine_add_replay(to, &m->replays[i], err);
    free(number);
    return rc;
}

/* As evenly as it goes; every device keeps a lane. */
static void set_workers(struct tgi_machine *m, uint32_t n_workers)
{
    uint32_t n = 0, left = n_workers;
    for (uint32_t d = 0; d < m->n_devices; d++)
        n += !is_gpu(m, d);
    for (uint32_t d = 0; n_workers && d < m->n_devices; d++) {
        if (is_gpu(m, d))
            continue;
        uint32_t share = left / n--;
        m->devices[d].n_lanes = share ? share : 1;
        left -= share;
    }
}

static void scale(struct tgi_machine *m, double links, double memories)
{
    for (uint32_t i = 0; i < m->n_links; i++)
        m->links[i].bytes_per_ns *= links;
    for (uint32_t i = 0; i < m->n_roots; i++)
        m->roots[i].bytes_per_ns *= links;
    for (uint32_t i = 0; i < m->n_memories; i++) {
        m->memories[i].port_bytes_per_ns *= links;
        m->memories[i].bytes_per_ns *= memories;
    }
}

int tgi_machine_change(const struct tgi_machine *m, const struct tgi_machine_change *change, struct tgi_machine *to,
                       struct tg_error *err)
{
    struct gpu like = {0};
    bool has_like = false;
    *to = (struct tgi_machine){.is_rough = m->is_rough, .origin = m->origin};
    memcpy(to->name, m->name, sizeof to->name);
    int rc = copy_rest(m, change->n_gpus == TG_NONE, to, err);
    for (uint32_t d = 0; d < m->n_devices && !has_like; d++)
        if (is_gpu(m, d)) {
            like = (struct gpu){m->memories[m->devices[d].memory], m->devices[d]};
            has_like = true;
        }
    if (rc == 0 && change->n_gpus != TG_NONE && change->n_gpus > 0 && !has_like)
        rc = typical_gpu(to, &like, err);
    if (rc == 0 && change->n_gpus != TG_NONE)
        rc = add_gpus(to, &like, change->n_gpus, err);
    set_workers(to, change->n_workers);
    scale(to, change->link_scale, change->memory_scale);
    if (rc == 0)
        rc = tgi_machine_finish(to, err);
    if (rc)
        tgi_machine_fini(to);
    return rc;
}
