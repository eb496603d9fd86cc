/* The inside of a cluster: the graph of its tasks, for the planner (resident_plan.h), from the commands that they were. */
#ifndef TGI_SCHED_RESIDENT_INSIDE_H
#define TGI_SCHED_RESIDENT_INSIDE_H

#include "sched/resident_cluster.h"
#include "sched/resident_plan.h"
#include "sched/resident_post.h"

/* Whose inside it is; all of it the caller's. */
struct tgi_members {
    struct tgi_devices *ds;
    const struct tgi_program *from;
    const uint32_t *id; /* of its commands, ascending */
    uint32_t n;
    const float *cost_ns;                  /* by command */
    const struct tgi_command_times *times; /* by command; NULL: they are not known */
    uint32_t *local;                       /* by command, written; whatever is in it */
};

struct tgi_inside {
    struct tgi_resident_dag dag;
    uint32_t *succ_at, *succ;
    uint8_t *op;
    uint64_t *arg;
    struct tgi_post *post; /* what its tasks can be */
    uint32_t n_posts;      /* and have become */
    float *cost_ns, *kernel_ns; /* the latter if times are known */
    uint64_t n_timed;           /* tasks with bodies that have been timed */
    uint8_t *device_of;         /* number of its device among the cluster's */
    uint32_t *level, *n_at; /* n_at: tasks of each level */
    uint32_t width;         /* of the widest level */
    uint32_t n_spawn_words; /* the most of a task of users', if some of them spawn; 0: none does */
};

/* All zero before; the cluster's devices, words and what it knows of tasks are filled in.  False: no memory; tgi_inside_fini() all the same. */
bool tgi_inside_init(struct tgi_inside *in, const struct tgi_members *m, struct tgi_cluster *cluster);
/* Tasks that can be become POSTs.  False: no memory. */
bool tgi_inside_post(struct tgi_inside *in, const struct tgi_cluster *cluster);
void tgi_inside_fini(struct tgi_inside *in);

#endif
