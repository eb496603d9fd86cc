/* Reads the machine through hwloc and flattens it into an array of allowed processing units.
 *
 * hwloc reports what the cgroup allows; what taskset and its like allow is the binding of the
 * process, to which the topology is restricted here.  hwloc keeps memory nodes that lost all their
 * processors, so its logical numbers can have gaps: the numbers in struct tgi_cpu are given out
 * anew, in the order in which the units of the tree are met. */
#include "sched/topology.h"

#include <errno.h>
#include <hwloc.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "graph/error.h"

/* ---- Loading ------------------------------------------------------------------------------*/

static int check(int result, const char *what, const char *description, struct tg_error *err)
{
    if (result >= 0)
        return 0;
    return tgi_error_errno(err, TG_E_TOPOLOGY, errno, "%s failed for %s", what,
                           description ? description : "this machine");
}

static bool is_file(const char *description)
{
    size_t length = strlen(description);
    return strchr(description, '/') || (length > 4 && strcmp(description + length - 4, ".xml") == 0) ||
           access(description, F_OK) == 0;
}

/* Drops what the process is not bound to. */
static int restrict_to_binding(hwloc_topology_t hw, struct tg_error *err)
{
    if (!hwloc_topology_is_thissystem(hw))
        return 0;
    hwloc_bitmap_t allowed = hwloc_bitmap_alloc();
    if (!allowed)
        return tgi_error_memory(err, "reading the topology");
    int rc = 0;
    /* A system that cannot tell leaves all of the cgroup's processors. */
    if (hwloc_get_cpubind(hw, allowed, HWLOC_CPUBIND_PROCESS) == 0 && !hwloc_bitmap_iszero(allowed))
        rc = check(hwloc_topology_restrict(hw, allowed, 0), "hwloc_topology_restrict", NULL, err);
    hwloc_bitmap_free(allowed);
    return rc;
}

static int load(hwloc_topology_t hw, const char *description, struct tg_error *err)
{
    int rc = 0;
    errno = 0;
    if (description && is_file(description))
        rc = check(hwloc_topology_set_xml(hw, description), "reading the XML topology", description, err);
    else if (description)
        rc = check(hwloc_topology_set_synthetic(hw, description), "reading the synthetic topology",
                   description, err);
    if (rc)
        return rc;
    rc = check(hwloc_topology_load(hw), "hwloc_topology_load", description, err);
    return rc ? rc : restrict_to_binding(hw, err);
}

/* ---- Flattening ---------------------------------------------------------------------------*/

static hwloc_obj_t outermost_cache(hwloc_obj_t pu)
{
    hwloc_obj_t found = NULL;
    for (hwloc_obj_t o = pu->parent; o; o = o->parent)
        if (hwloc_obj_type_is_dcache(o->type))
            found = o;
    return found;
}

static hwloc_obj_t ancestor(hwloc_topology_t hw, hwloc_obj_t pu, hwloc_obj_type_t type)
{
    return hwloc_get_ancestor_obj_by_type(hw, type, pu);
}

static hwloc_obj_t local_numa(hwloc_obj_t pu)
{
    for (hwloc_obj_t o = pu; o; o = o->parent) {
        hwloc_obj_t m = o->memory_first_child;
        while (m && m->type != HWLOC_OBJ_NUMANODE)
            m = m->memory_first_child; /* behind a memory-side cache */
        if (m)
            return m;
    }
    return NULL;
}

/* Of two objects that contain the same processor; either may be NULL. */
static hwloc_obj_t smaller(hwloc_obj_t a, hwloc_obj_t b)
{
    if (!a || !b)
        return a ? a : b;
    return hwloc_bitmap_isincluded(a->cpuset, b->cpuset) ? a : b;
}

/* Gives out numbers.  Units come in tree order, so those of one object are neighbours. */
struct counter {
    hwloc_obj_t last;
    uint32_t n;
};

/* object NULL: everything belongs together, as one object. */
static uint32_t number(struct counter *counter, hwloc_obj_t object)
{
    if (counter->n == 0 || object != counter->last) {
        counter->last = object;
        counter->n++;
    }
    return counter->n - 1;
}

static int flatten(struct tgi_topology *t, struct tgi_cpu *in_order, struct tg_error *err)
{
    struct counter core = {0}, l3 = {0}, numa = {0}, package = {0};
    uint32_t smt = 0, max_smt = 0;
    hwloc_topology_t hw = t->hwloc;
    for (uint32_t i = 0; i < t->n_cpus; i++) {
        hwloc_obj_t pu = hwloc_get_obj_by_type(hw, HWLOC_OBJ_PU, i);
        hwloc_obj_t cache = outermost_cache(pu), node = local_numa(pu),
                    own = ancestor(hw, pu, HWLOC_OBJ_CORE);
        hwloc_obj_t pack = ancestor(hw, pu, HWLOC_OBJ_PACKAGE);
        struct tgi_cpu *c = &in_order[i];
        uint32_t n_before = core.n;
        c->os_index = pu->os_index;
        c->core = number(&core, own ? own : pu);
        c->l3 = number(&l3, cache ? cache : smaller(node, pack));
        c->numa = number(&numa, node);
        c->package = number(&package, pack);
        c->smt = smt = core.n > n_before ? 0 : smt + 1;
        if (smt > max_smt)
            max_smt = smt;
        if (node)
            t->numa_bytes[c->numa] = node->attr->numanode.local_memory;
    }
    t->n_cores = core.n;
    t->n_l3 = l3.n;
    t->n_numa = numa.n;
    t->n_packages = package.n;
    uint32_t n = 0;
    for (uint32_t level = 0; level <= max_smt; level++)
        for (uint32_t i = 0; i < t->n_cpus; i++)
            if (in_order[i].smt == level)
                t->cpus[n++] = in_order[i];
    return n == t->n_cpus ? 0 : tgi_error(err, TG_E_INTERNAL, "topology lost processing units");
}

static int read_cpus(struct tgi_topology *t, const char *description, struct tg_error *err)
{
    int n = hwloc_get_nbobjs_by_type(t->hwloc, HWLOC_OBJ_PU);
    if (n <= 0)
        return tgi_error(err, TG_E_TOPOLOGY, "%s has no processing unit that may be used",
                         description ? description : "this machine");
    t->n_cpus = (uint32_t)n;
    t->cpus = calloc(t->n_cpus, sizeof *t->cpus);
    t->numa_bytes = calloc(t->n_cpus, sizeof *t->numa_bytes);
    struct tgi_cpu *in_order = calloc(t->n_cpus, sizeof *in_order);
    int rc;
    if (t->cpus && t->numa_bytes && in_order)
        rc = flatten(t, in_order, err);
    else
        rc = tgi_error_memory(err, "reading the topology");
    free(in_order);
    return rc;
}

int tgi_topology_open(const char *description, struct tgi_topology **topology_p, struct tg_error *err)
{
    struct tgi_topology *t = calloc(1, sizeof *t);
    hwloc_topology_t hw = NULL;
    if (!t)
        return tgi_error_memory(err, "reading the topology");
    int rc = check(hwloc_topology_init(&hw), "hwloc_topology_init", description, err);
    if (rc) {
        free(t);
        return rc;
    }
    t->hwloc = hw;
    rc = load(hw, description, err);
    if (rc == 0) {
        t->is_this_machine = hwloc_topology_is_thissystem(hw) != 0;
        rc = read_cpus(t, description, err);
    }
    if (rc) {
        tgi_topology_close(t);
        return rc;
    }
    *topology_p = t;
    return 0;
}

void tgi_topology_close(struct tgi_topology *topology)
{
    if (!topology)
        return;
    hwloc_topology_destroy(topology->hwloc);
    free(topology->cpus);
    free(topology->numa_bytes);
    free(topology);
}

/* ---- Use ----------------------------------------------------------------------------------*/

int tgi_topology_bind(const struct tgi_topology *topology, uint32_t i, struct tg_error *err)
{
    if (i >= topology->n_cpus)
        return tgi_error(err, TG_E_INVALID, "there is no processing unit %u, the topology has %u", i,
                         topology->n_cpus);
    if (!topology->is_this_machine) /* hwloc would report success and do nothing */
        return tgi_error(err, TG_E_TOPOLOGY,
                         "cannot bind a thread: the topology is not that of this machine");
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    if (!set || hwloc_bitmap_only(set, topology->cpus[i].os_index) != 0) {
        hwloc_bitmap_free(set);
        return tgi_error_memory(err, "binding a thread");
    }
    int rc = 0;
    if (hwloc_set_cpubind(topology->hwloc, set, HWLOC_CPUBIND_THREAD) != 0)
        rc = tgi_error_errno(err, TG_E_TOPOLOGY, errno, "cannot bind a thread to cpu %u",
                             topology->cpus[i].os_index);
    hwloc_bitmap_free(set);
    return rc;
}

enum { N_CLASSES = 5 };

static uint8_t distance(const struct tgi_cpu *a, const struct tgi_cpu *b)
{
    if (a->core == b->core)
        return 0;
    if (a->l3 == b->l3)
        return 1;
    if (a->numa == b->numa)
        return 2;
    return a->package == b->package ? 3 : 4;
}

void tgi_topology_victims(const struct tgi_topology *topology, uint32_t self, uint32_t n_workers,
                          uint32_t *order_p, uint8_t *class_p)
{
    const struct tgi_cpu *own = &topology->cpus[self % topology->n_cpus];
    uint32_t n = 0;
    for (uint8_t class = 0; class < N_CLASSES; class ++)
        for (uint32_t k = 1; k < n_workers; k++) {
            uint32_t w = (uint32_t)(((uint64_t)self + k) % n_workers);
            if (distance(own, &topology->cpus[w % topology->n_cpus]) != class)
                continue;
            order_p[n] = w;
            if (class_p)
                class_p[n] = class;
            n++;
        }
}

/* ---- Drawing ------------------------------------------------------------------------------*/

static void print_bytes(FILE *to, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1024;
        unit++;
    }
    fprintf(to, "%.*f %s", value < 100 && value != (double)(uint64_t)value ? 1 : 0, value, units[unit]);
}

static void print_pus(FILE *to, hwloc_topology_t hw, hwloc_obj_t object)
{
    hwloc_obj_t pu = NULL;
    bool is_first = true;
    while ((pu = hwloc_get_next_obj_inside_cpuset_by_type(hw, object->cpuset, HWLOC_OBJ_PU, pu))) {
        fprintf(to, "%s%u", is_first ? ": cpu " : " ", pu->os_index);
        is_first = false;
    }
}

static bool is_shown(hwloc_topology_t hw, hwloc_obj_t o)
{
    switch (o->type) {
    case HWLOC_OBJ_MACHINE:
    case HWLOC_OBJ_PACKAGE:
    case HWLOC_OBJ_NUMANODE:
    case HWLOC_OBJ_L2CACHE:
    case HWLOC_OBJ_L3CACHE:
    case HWLOC_OBJ_L4CACHE:
    case HWLOC_OBJ_CORE:
        return true;
    case HWLOC_OBJ_PU: /* otherwise on the line of its core */
        return !ancestor(hw, o, HWLOC_OBJ_CORE);
    default:
        return false;
    }
}

/* Processors are drawn under the memory that is local to them. */
static int indentation(hwloc_topology_t hw, hwloc_obj_t o)
{
    int depth = 0;
    for (; o->parent; o = o->parent)
        depth += is_shown(hw, o->parent) + (o->type != HWLOC_OBJ_NUMANODE && o->parent->memory_first_child);
    return depth;
}

static void print_object(FILE *to, hwloc_topology_t hw, hwloc_obj_t o)
{
    fprintf(to, "%*s", 2 * indentation(hw, o), "");
    switch (o->type) {
    case HWLOC_OBJ_MACHINE:
        fprintf(to, "machine, ");
        print_bytes(to, o->total_memory);
        break;
    case HWLOC_OBJ_PACKAGE:
        fprintf(to, "package %u", o->logical_index);
        break;
    case HWLOC_OBJ_NUMANODE:
        fprintf(to, "numa %u, ", o->logical_index);
        print_bytes(to, o->attr->numanode.local_memory);
        break;
    case HWLOC_OBJ_CORE:
        fprintf(to, "core %u", o->logical_index);
        print_pus(to, hw, o);
        break;
    case HWLOC_OBJ_PU:
        fprintf(to, "cpu %u", o->os_index);
        break;
    default:
        fprintf(to, "L%u cache, ", o->attr->cache.depth);
        print_bytes(to, o->attr->cache.size);
    }
    fputc('\n', to);
}

/* The next object of a walk that visits parents first, and memory before processors. */
static hwloc_obj_t next_object(hwloc_obj_t o)
{
    if (o->memory_first_child || o->first_child)
        return o->memory_first_child ? o->memory_first_child : o->first_child;
    for (; o; o = o->parent) {
        if (o->next_sibling)
            return o->next_sibling;
        /* Memory children have a list of their own, the processors follow it. */
        if (o->parent && hwloc_obj_type_is_memory(o->type) && o->parent->first_child)
            return o->parent->first_child;
    }
    return NULL;
}

char *tgi_topology_text(const struct tgi_topology *topology)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    if (!to)
        return NULL;
    for (hwloc_obj_t o = hwloc_get_root_obj(topology->hwloc); o; o = next_object(o))
        if (is_shown(topology->hwloc, o))
            print_object(to, topology->hwloc, o);
    bool is_complete = !ferror(to);
    if (fclose(to) != 0 || !is_complete) {
        free(text);
        return NULL;
    }
    return text;
}
