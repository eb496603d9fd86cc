/* Programs of fine tasks as resident programs: what can be a task of one is taken out of a program of commands and becomes one
 * command, which the devices execute as one kernel (mem/cluster.h).
 *
 * Commands that go together are convex: no way leads from one of them to another through a command that stays outside. */
#ifndef TGI_SCHED_RESIDENT_CLUSTER_H
#define TGI_SCHED_RESIDENT_CLUSTER_H

#include "mem/program.h"
#include "sched/resident_gain.h"

/* What is known of a command's times: 0 where it is not. */
struct tgi_command_times {
    float body_ns;   /* inside a resident kernel */
    float kernel_ns; /* as a node, beyond an empty kernel's time */
};
/* Which clusters there are to be, if not all that can be. */
struct tgi_cluster_wish {
    bool takes_hoped; /* those that may gain, else those that surely do (resident_gain.h) */
    bool may_spread;  /* they may be on several devices at once even if that was not asked for (resident_spread.h) */
    const struct tgi_gain_costs *costs;
    void (*times)(void *user, const struct tgi_command *command, struct tgi_command_times *times_p);
    void *user;
};

struct tgi_clustering {
    uint32_t n_clusters;
    uint64_t n_calls;  /* launches, fills and copies that are in one, */
    uint64_t n_left;   /* and commands that are in none, points aside */
    uint32_t left;     /* the first command that is in none although it executes code; TG_NONE: there is none */
    const char *why;   /* for people; a constant */
    uint32_t n_spread; /* of the clusters: on several devices at once (resident_spread.h) */
    const char *not_spread; /* why none is; a constant; NULL: some are, or nobody would expect it who has not asked for it */
    /* With a wish: of all that can be clusters, of those that surely gain, and of these with those that may */
    struct tgi_gain possible, sure, hoped;
    bool is_compiled; /* no kernel for one of the last would have to be compiled */
};

/* `to`, which is empty, becomes the same with clusters; it stays empty where nothing can be in one, and then `left` and
 * `why` say what stands against it.  wish: NULL: all that can be in clusters is; else nothing whose last bits might be others inside one, and
 * no launch that fills much of a device.  TG_E_NO_MEMORY; TG_E_UNSUPPORTED: no device can have a resident program, and why. */
int tgi_resident_cluster(struct tgi_devices *ds, const struct tgi_program *from, struct tgi_program *to,
                         const struct tgi_cluster_wish *wish, struct tgi_clustering *what_p, struct tg_error *err);

#endif
