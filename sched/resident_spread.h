/* Clusters on several devices at once (mem/cluster.h): whether a program's can be, what one has to come after, and its plan.
 *
 * $TGRAPH_RESIDENT_SPREAD is "on" or "off": they are wherever they can be, or there are none.  If it is neither, they are wherever they can be
 * in runs that are resident because that was asked for, and where they gain in runs that may choose, if their devices are known to do nothing else that waits for another
 * device (tg_runtime_options.has_devices_alone).  For resident_cluster.c, whose thread calls. */
#ifndef TGI_SCHED_RESIDENT_SPREAD_H
#define TGI_SCHED_RESIDENT_SPREAD_H

#include "mem/program.h"
#include "sched/resident_plan.h"

enum tgi_spread {
    TGI_SPREAD_ON,
    TGI_SPREAD_OFF,
    TGI_SPREAD_USUAL /* nothing was said */
};

/* TG_E_INVALID: the variable is set to something else. */
int tgi_spread_find_asked(enum tgi_spread *asked_p, struct tg_error *err);

/* Why there are none where nobody would expect any. */
extern const char tgi_spread_one_device[], tgi_spread_nothing_across[];

/* *why_p: why no cluster of the program can be on several devices, a constant; NULL: nothing that can be seen from outside of them.
 * Fails where a device cannot be asked. */
int tgi_spread_against(struct tgi_devices *ds, const struct tgi_program *program, const char **why_p, struct tg_error *err);

/* Kernels that wait for each other need their places on all devices at once, so whatever else executes code there is to be over before they
 * begin, or to begin after them.  What is to begin after them comes after them anyway; this appends to `deps`, what a command that is
 * about to be added comes after, what there is in `to` on one of its devices, a bit each, and not before it yet.  Collectives are
 * on all devices.  False: no memory. */
bool tgi_spread_come_alone(const struct tgi_program *to, uint32_t devices, uint32_t **deps, uint32_t *n_deps, uint32_t *cap_deps);

/* The program of a cluster whose devices are known, proved.  dag->device_of counts these; level: by task, 0 first, each greater than its
 * predecessors'.  Each device has as many blocks as the one that needs most, or has room for least.  As tgi_resident_plan_peers(). */
int tgi_spread_plan(struct tgi_devices *ds, const struct tgi_resident_dag *dag, const uint32_t *level, const struct tgi_resident_costs *costs,
                    struct tgi_cluster *cluster, struct tg_error *err);

#endif
