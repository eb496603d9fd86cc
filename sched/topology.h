/* The processors this process may use, through hwloc.  hwloc types stay inside topology.c. */
#ifndef TGI_SCHED_TOPOLOGY_H
#define TGI_SCHED_TOPOLOGY_H

#include "graph/tgraph.h"

struct tgi_cpu {
    uint32_t os_index; /* what the system calls the processing unit */
    uint32_t core, l3, numa, package; /* numbers from 0, dense over the allowed ones.  l3 is the
                                         outermost cache, of whatever level; without one, the package */
    uint32_t smt;      /* 0: the core's first thread that we may use, 1: its second, .. */
};

struct tgi_topology {
    struct tgi_cpu *cpus; /* allowed ones: first threads of all cores, then second threads, ..; within
                             these in logical order */
    uint32_t n_cpus, n_cores, n_numa, n_packages, n_l3;
    uint64_t *numa_bytes; /* local memory by NUMA node (n_numa); 0: unknown */
    bool is_this_machine; /* binding makes sense */
    void *hwloc;
};

/* description: NULL for this machine (within the cpuset and cgroup of the process), or a hwloc
 * synthetic description ("pack:2 numa:1 core:4 pu:1"), or the path of a hwloc XML file.
 * TG_E_TOPOLOGY if it cannot be read or allows no processor. */
int tgi_topology_open(const char *description, struct tgi_topology **topology_p, struct tg_error *err);
void tgi_topology_close(struct tgi_topology *topology);
/* Binds the calling thread to cpus[i].  Returns 0, or TG_E_TOPOLOGY with the system's answer; never
 * claims success on a topology that is not this machine's. */
int tgi_topology_bind(const struct tgi_topology *topology, uint32_t i, struct tg_error *err);
/* The n_workers - 1 other workers in the order in which worker `self` should try to steal from
 * them: same core, same L3, same NUMA node, same package, the rest; neighbours within a class
 * start after self, so that not everyone tries the same victim first.  Worker w runs on
 * cpus[w % n_cpus].  class_p (may be NULL) receives 0 (nearest) .. 4 for each. */
void tgi_topology_victims(const struct tgi_topology *topology, uint32_t self, uint32_t n_workers,
                          uint32_t *order_p, uint8_t *class_p);
/* A drawing of packages, NUMA nodes, caches and cores as text, one object a line, indented.  The
 * caller frees it; NULL without memory. */
char *tgi_topology_text(const struct tgi_topology *topology);

#endif
