/* What runs inside one persistent kernel when nobody knows beforehand who will be idle when: tables of a dynamic program,
 * executed by gpu/resident/scheduler.h.
 *
 * Descriptors are those of resident_program.h, by task instead of by slot.  The wait is always a counter, the task's own:
 * who adds the last predecessor has made the task ready, and it is that worker's to run or to give away.  A task is at any time in
 * one place: a ring, a mailbox, a worker's private list, the roots that nobody has claimed, or in execution.
 *
 * Counts only grow: a replay resets nothing. */
#ifndef TGI_MEM_RESIDENT_DYNAMIC_H
#define TGI_MEM_RESIDENT_DYNAMIC_H

#include "mem/resident_program.h"

/* A successor: its number, whether it is urgent, and whether it has no other predecessor. */
#define TGI_NEXT_URGENT   0x40000000u
#define TGI_NEXT_LONE     0x80000000u
#define TGI_NEXT_ID(word) ((word) & 0x3fffffffu)

#define TGI_RESIDENT_CLASSES 2u /* rings of a worker: plain, urgent */
#define TGI_RESIDENT_STEAL   16u /* most tasks that are taken at once */

/* Bounded, one producer, any number of takers; slots lie elsewhere. */
struct tgi_ring {
    uint64_t ends; /* head in the low half, tail in the high one; both only grow */
};

/* A line to each word that different workers write. */
struct tgi_resident_counts {
    /* Roots that have been claimed, and more than that, in odd and in even epochs; worker 0 clears the other one, which
     * nobody uses. */
    struct {
        uint32_t n;
        uint32_t pad[31];
    } claimed[2];
    uint32_t finished; /* tasks, over all epochs: added by workers that run dry, released */
    uint32_t pad1[31];
    uint32_t made; /* tasks made by tasks, over all epochs: raised before the task can be found */
    uint32_t pad2[31];
    uint64_t sum; /* what TREE leaves: a word for each node, added */
    uint32_t pad3[30];
};

/* A task that a task has made. */
struct tgi_resident_made {
    uint32_t key, level;
};

struct tgi_resident_mailbox {
    uint32_t task; /* 1 + task; 0: empty.  By the worker that has claimed the owner's idle bit, then by the owner */
    uint32_t pad[7];
};

struct tgi_resident_idle {
    uint32_t mask; /* of a block's workers: set by the worker, cleared by whoever wants it back or claims it */
    uint32_t pad[7];
};

/* Beside a struct tgi_resident_view, whose tasks, outs, ins, args, counters, results, lines, progress and control count here as
 * well, all by task. */
struct tgi_resident_pool {
    const uint32_t *roots; /* NULL: task i is the i-th root */
    struct tgi_ring *rings;   /* by worker and class, in global memory */
    uint32_t *slots;          /* of rings, ring_capacity each */
    uint32_t *next;           /* by task: private lists */
    struct tgi_resident_idle *idle; /* by block */
    struct tgi_resident_mailbox *mail; /* by worker */
    struct tgi_resident_made *made;    /* by number */
    struct tgi_resident_counts *counts;
    uint32_t n_tasks, n_roots, n_blocks;
    uint32_t ring_capacity, local_capacity; /* powers of two */
    uint32_t made_capacity;
    uint32_t chunk; /* roots claimed at once */
    uint32_t made_before; /* counts->made when this epoch began */
    uint32_t finished_before;
};

/* Where tasks are that bodies make, gpu/library/spawn.h: blocks, one for each such task until it is over.  Every worker has a share of them, so
 * that taking one is its own affair; who ends a task of another's share says so in that one's home. */
#define TGI_SPAWN_MAX_EACH   256u
#define TGI_SPAWN_BIT_WORDS  (TGI_SPAWN_MAX_EACH / 32)
#define TGI_SPAWN_HEAD_WORDS 1u /* of a block: the task of the graph that it belongs to above its body and number of words, as in TGI_CALL() */

struct tgi_resident_home {
    uint32_t bits[TGI_SPAWN_BIT_WORDS]; /* of blocks that others give back: set by them, cleared by the owner */
    uint32_t pad[32 - TGI_SPAWN_BIT_WORDS];
};

struct tgi_resident_nursery {
    uint64_t *blocks; /* by number, (TGI_SPAWN_HEAD_WORDS + n_words) words each; number / n_each is whose share it is of */
    uint32_t *live;   /* by task of the graph: what it has made, directly or not, and is not over; 0 between epochs.  Added to by whoever makes,
                         subtracted from by whoever ends tasks, and who comes to 0 tells its successors */
    struct tgi_resident_home *homes; /* by worker */
    uint32_t n_each;  /* blocks of a worker, at most TGI_SPAWN_MAX_EACH; 0: no body makes tasks */
    uint32_t n_words; /* of a task, at most */
};

/* Shared memory of a block. */
static inline uint32_t tgi_resident_local_bytes(uint32_t n_workers_each, uint32_t local_capacity)
{
    return n_workers_each * TGI_RESIDENT_CLASSES * ((uint32_t)sizeof(struct tgi_ring) + local_capacity * 4);
}

/* A dynamic program on the host. */
struct tgi_resident_dynamic {
    uint32_t n_tasks, n_outs, n_ins, n_roots;
    struct tgi_resident_task *tasks;
    uint32_t *outs, *ins, *roots;
    uint64_t *args; /* NULL: no task has one */
};

#endif
