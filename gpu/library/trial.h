/* Trials of the device library on a GPU, by bench/library: what each part costs beside the bare instruction, and whether its results
 * are right.  One launch is one trial; who is first of a block stops the clock.
 *
 * The module, embedded with CUDA=1:
 *   tgk_trial_messages(struct tgd_trial)    messages between workers; or an atomic addition for each
 *   tgk_trial_slab(struct tgd_trial)        cycles of an allocation from the magazine; allocations by all warps
 *   tgk_trial_gang(struct tgd_trial)        barriers and reductions; or an addition and a look by one thread each
 *   tgk_trial_log(struct tgd_trial)         tasks of some nanoseconds, with a log entry now and then */
#ifndef TGD_TRIAL_H
#define TGD_TRIAL_H

#include <stddef.h>
#include <stdint.h>

/* What a trial is. */
enum tgd_trial_form {
    TGD_TRIAL_PAIRS,       /* messages: warp w of each block sends to warp w of the block n_blocks / 2 on, by a channel of their own */
    TGD_TRIAL_ONE,         /* messages: half of the blocks send, half receive, all by one channel */
    TGD_TRIAL_ADDITIONS,   /* messages: an atomic addition with a result for each, the words each lane's own */
    TGD_TRIAL_MAGAZINE,    /* slab: one warp, one object; cycles */
    TGD_TRIAL_LANES,       /* slab: every lane of every warp allocates, writes and frees */
    TGD_TRIAL_SHARED_ATOMIC, /* slab: one warp, an atomic AND in shared memory for each; cycles */
    TGD_TRIAL_BARRIER,     /* gang: rounds of tgd_gang_sync() */
    TGD_TRIAL_BARRIER_BARE, /* gang: rounds of an addition with release and a loop of acquires, by one thread each */
    TGD_TRIAL_REDUCE,      /* gang: rounds of tgd_gang_reduce_u64() */
    TGD_TRIAL_QUIET,       /* log: tasks alone */
    TGD_TRIAL_LOGGED       /* log: every `every`-th task of a warp leaves an entry */
};

struct tgd_trial {
    uint32_t form;
    uint32_t n_rounds;      /* of a warp */
    uint32_t batch;         /* messages at once, at most 32 */
    uint32_t message_bytes; /* at most 64 */
    uint32_t every, task_ns;
    uint64_t object_stride; /* bytes from one channel to the next */
    uint64_t limit_ns;      /* of all loops that wait: the trial then counts as failed */
    void *object;           /* channels, slab heap, gang or logbook */
    uint64_t *result;       /* by warp: what it has done, see the kernel; zeroed */
    uint64_t *sum;          /* by warp: a checksum; zeroed */
    uint32_t *n_failed;     /* zeroed; 0 at the end if all is right */
};

/* NULL: built with CUDA=0. */
const void *tgi_library_fatbin(size_t *length_p);

#endif
