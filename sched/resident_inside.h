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

/* $TGRAPH_RESIDENT_WIDTH: which tasks whose bodies can be cut are a block wide.  Chosen: where that should be faster. */
enum tgi_width_wish { TGI_WIDTH_CHOSEN, TGI_WIDTH_WARP, TGI_WIDTH_BLOCK };

enum tgi_inside_width { TGI_INSIDE_WARP, TGI_INSIDE_MAY_BLOCK, TGI_INSIDE_BLOCK };

/* Its commands as they are, where some of them have become batches (resident_batch.h): a task for each. */
struct tgi_inside_apart {
    struct tgi_resident_dag dag;
    uint32_t *succ_at, *succ;
    uint8_t *op, *device_of;
};

struct tgi_inside {
    struct tgi_resident_dag dag; /* what is planned */
    struct tgi_inside_apart apart;
    uint32_t *succ_at, *succ;
    uint8_t *op;
    uint64_t *arg;
    struct tgi_post *post; /* what its tasks can be */
    uint32_t n_posts;      /* and have become */
    float *cost_ns;
    float *kernel_ns;           /* if times are known: by command */
    uint64_t n_timed;           /* tasks with bodies that have been timed */
    uint8_t *device_of;         /* number of its device among the cluster's */
    uint8_t *is_block;          /* once widened */
    uint8_t *width;             /* what its tasks may be, enum tgi_inside_width */
    uint32_t n_must_block;      /* tasks that can be nothing but a block wide */
    uint32_t *thread_body;      /* by command: 1 + the body of one a thread wide, else 0 */
    uint32_t n_threads;         /* commands that are */
    uint32_t *level, *n_at; /* n_at: tasks of each level */
    uint32_t n_widest;      /* of the widest level */
    uint32_t n_spawn_words; /* the most of a task of users', if some of them spawn; 0: none does */
};

/* All zero before; the cluster's devices, words and what it knows of tasks are filled in.  False: no memory; tgi_inside_fini() all the same. */
bool tgi_inside_init(struct tgi_inside *in, const struct tgi_members *m, struct tgi_cluster *cluster);
/* One task for each command, with edges between these, for what they would be as nodes; kernel_ns is of the same. */
const struct tgi_resident_dag *tgi_inside_apart(const struct tgi_inside *in);
/* Decides which tasks are a block wide, of a program of one device without POSTs; n_each: workers of a block.  What is returned is how many
 * blocks the widest level has use for, of at most n_blocks. */
uint32_t tgi_inside_widen(struct tgi_inside *in, enum tgi_width_wish wish, uint32_t n_blocks, uint32_t n_each);
/* Tasks that can be become POSTs.  False: no memory. */
bool tgi_inside_post(struct tgi_inside *in, const struct tgi_cluster *cluster);
void tgi_inside_fini(struct tgi_inside *in);

#endif
