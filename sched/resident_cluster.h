/* Programs of fine tasks as resident programs: what can be a task of one is taken out of a program of commands and becomes one
 * command, which the devices execute as one kernel (mem/cluster.h).
 *
 * Commands that go together are convex: no way leads from one of them to another through a command that stays outside. */
#ifndef TGI_SCHED_RESIDENT_CLUSTER_H
#define TGI_SCHED_RESIDENT_CLUSTER_H

#include "mem/program.h"

struct tgi_clustering {
    uint32_t n_clusters;
    uint64_t n_calls;  /* launches, fills and copies that are in one, */
    uint64_t n_left;   /* and commands that are in none, points aside */
    uint32_t left;     /* the first command that is in none although it executes code; TG_NONE: there is none */
    const char *why;   /* for people; a constant */
};

/* `to`, which is empty, becomes the same with clusters; it stays empty where nothing can be in one, and then `left` and
 * `why` say what stands against it.  TG_E_NO_MEMORY; TG_E_UNSUPPORTED: no device can have a resident program, and why. */
int tgi_resident_cluster(struct tgi_devices *ds, const struct tgi_program *from, struct tgi_program *to,
                         struct tgi_clustering *what_p, struct tg_error *err);

#endif
