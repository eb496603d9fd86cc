/* Tasks a thread wide become tasks a warp wide: batches, CALLs whose lanes execute a task each.
 *
 * A task's level is the length of the longest way to it, in tasks, so of two of one level neither comes after the other, and up to
 * TGI_CALL_MOST_TASKS of them can be one task of the plan if they call the same body on the same device.  It waits for all that any of them
 * waits for, and tells all that any of them tells; every edge leads to a higher level still, so there is no circle.  That is later than
 * each by itself would have to wait, and costs little where neighbours of a level wait for neighbours, as those with neighbouring numbers are together. */
#ifndef TGI_SCHED_RESIDENT_BATCH_H
#define TGI_SCHED_RESIDENT_BATCH_H

#include <stdbool.h>
#include <stdint.h>

/* What is to be divided: n members, in topological order, and the edges between them.  The arrays are the caller's. */
struct tgi_batch_members {
    uint32_t n;
    const uint32_t *succ_at, *succ; /* as in struct tgi_resident_dag */
    const uint32_t *level;
    const uint32_t *kind; /* 0: a task of its own; members of the same other kind can be in one batch */
};

/* Tasks in topological order, by levels. */
struct tgi_batches {
    uint32_t n;       /* tasks, */
    uint32_t n_wide;  /* and those of them that are batches; of one member, too */
    uint32_t *first;  /* by task, and one more: where its members are in */
    uint32_t *member; /* members in their order, of a batch lane by lane */
    uint32_t *succ_at, *succ; /* edges between tasks, each once */
};

/* False: no memory; tgi_batches_fini() all the same. */
bool tgi_batches_init(struct tgi_batches *b, const struct tgi_batch_members *m);
void tgi_batches_fini(struct tgi_batches *b);

#endif
