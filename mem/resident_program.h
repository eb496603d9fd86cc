/* What runs inside one persistent kernel: the tables of a static program, made by sched/resident_plan.h on the host and
 * executed by gpu/resident/worker.h, on a GPU by warps and in tests by threads.
 *
 * Blocks, workers, slots.  A worker is a warp, named by block index and warp, never by the multiprocessor.  Worker w
 * executes the slots first[w] .. first[w + 1), in that order; a slot holds one task.  Slots of a worker lie side by
 * side, so that 32 descriptors are fetched at a time.
 *
 * Tasks a block wide have a slot in each worker of their block, and all of its workers execute them together: the first one leads, waits and
 * tells; the others' slots only say that they take part (gpu/resident/block.h).  The tasks of a block that are so wide have the same order in
 * all of its workers.
 *
 * Edges.  Each is of the cheapest kind that carries it:
 *   program order   both tasks belong to one worker, or to one block and one of them is a block wide: nothing is stored, nothing is
 *                   waited for
 *   cell            the result travels in the flag: 12 bytes and the epoch in one 16-byte word, one writer, one reader.
 *                   No fence.  In shared memory if both workers belong to one block.
 *   counter         every producer adds one with release, the consumer acquires.  For results that lie in memory, and
 *                   for tasks with many predecessors.  With one producer a store takes the place of the addition.
 *   posted cell     a cell for each task that posts its result, one writer, any number of readers: whoever needs the result
 *                   has the task's number among its words and looks at that cell itself, for each result when it needs it.
 *                   No list of successors and no fence.  Between POSTs, which have no other edges.
 * Where the blocks are of several devices, an edge between two of them is a far cell or a far counter (mem/resident_peers.h).
 *
 * Epochs.  A program can be replayed and nothing is reset in between: counters only grow and are compared with
 * n_wait * epoch, modulo 2^32, and a cell holds the epoch it was written in.  Epochs start at 1 and grow by one, modulo 2^32:
 * every cell is written in each, so what it holds is of the one before.  A launch is given its epoch, or finds it in the
 * control block, where its last block to leave counts it, so that a node of a CUDA graph is the same each time.
 * Shared memory does not outlast a launch and starts at zero each time.  Tables are zeroed once, and when epochs
 * start again, after an instance that was aborted.
 *
 * Data behind cells.  A cell orders nothing but itself, so an edge may be one only if no ancestor of its
 * producer, the producer included, leaves anything in memory that a descendant may read: the planner sees to that and the
 * check in sched/resident_plan.h proves it. */
#ifndef TGI_MEM_RESIDENT_PROGRAM_H
#define TGI_MEM_RESIDENT_PROGRAM_H

#include <stdint.h>

/* name, whether its result is at most 12 bytes and all it leaves */
#define TGI_RESIDENT_OP_MAP(X)                                                                \
    X(EMPTY, 1)     /* nothing */                                                             \
    X(ADD, 1)       /* the sum of its predecessors' results, its id and the epoch */          \
    X(HASH, 1)      /* a 64-bit mix of the same */                                            \
    X(SPIN, 1)      /* burns `arg` nanoseconds */                                             \
    X(FAIL, 1)      /* fails with the code `arg` */                                           \
    X(ADD_LINE, 0)  /* sixteen sums, each of the same word of its predecessors, in memory */  \
    X(HASH_LINE, 0) /* sixteen mixes of the same */                                           \
    X(COPY, 0)      /* the transfer number `arg` */                                           \
    X(CALL, 0)      /* what `arg` says, TGI_CALL: a body on words of `words` */               \
    X(TREE, 0)      /* dynamic: a node `arg` levels above the leaves, makes two tasks below */ \
    X(INPUT, 1)     /* the word `arg` of what the instance was submitted with */              \
    X(SUM, 1)       /* the sum of its predecessors' results and `arg`, modulo 2^64 */         \
    X(SCALE, 1)     /* the sum of its predecessors' results, times `arg` */                   \
    X(RAMP, 1)      /* as SUM, and 0 where that is negative */                                \
    X(POST, 0)      /* as CALL: makes one element of single elements, by posted cells */

enum tgi_resident_op {
#define TGI_RESIDENT_OP_X(name, is_small) TGI_RESIDENT_##name,
    TGI_RESIDENT_OP_MAP(TGI_RESIDENT_OP_X)
#undef TGI_RESIDENT_OP_X
    TGI_RESIDENT_N_OPS
};

#define TGI_RESIDENT_LINE_WORDS 16u

/* How many tasks of a worker are fetched at once; and where tasks are a thread wide, executed at once. */
#define TGI_RESIDENT_BATCH 32u

enum tgi_resident_width {
    TGI_RESIDENT_WARP,  /* a worker takes one task after the other, with all its lanes; some with all workers of its block */
    TGI_RESIDENT_THREAD /* a lane takes a task of the batch; the batch ends when all have ended, in whatever order */
};

/* What a task waits for. */
enum tgi_resident_wait {
    TGI_WAIT_NONE,
    TGI_WAIT_COUNTER,
    TGI_WAIT_SHARED_COUNTER,
    TGI_WAIT_CELLS, /* n_wait neighbouring ones */
    TGI_WAIT_SHARED_CELLS
};
#define TGI_RESIDENT_MAX_CELLS 32u /* of one task: a lane looks at each */

/* A descriptor.  Lists of up to two words are inside; a longer one has its place in `outs` or `ins` in the first word and
 * its length in the second.  Aligned, so that it is loaded in two accesses. */
#ifdef __cplusplus
struct alignas(16) tgi_resident_task {
    uint32_t head; /* TGI_HEAD_* */
#else
struct tgi_resident_task {
    _Alignas(16) uint32_t head; /* TGI_HEAD_* */
#endif
    uint32_t id;     /* the graph's number of it */
    uint32_t wait;   /* index of the counter or of the first cell */
    uint32_t n_wait; /* cells, or triggers of the counter in each epoch */
    uint32_t out[2]; /* TGI_OUT_*: what to set when it is done */
    uint32_t in[2];  /* TGI_IN_*: results that are read from memory; of a CALL the two halves of its `arg` */
};

#define TGI_HEAD_OP(head)    ((head) & 0xffu)
#define TGI_HEAD_WAIT(head)  ((head) >> 8 & 7u)
#define TGI_HEAD_WAITS_FAR   (1u << 11) /* a predecessor is on another device: the counter or the cells are far ones */
#define TGI_HEAD_N_OUT(head) ((head) >> 12 & 3u) /* 3: a list */
#define TGI_HEAD_N_IN(head)  ((head) >> 14 & 3u) /* 3: a list */
#define TGI_HEAD_LIST        3u
#define TGI_HEAD_PREVIOUS    (1u << 16) /* the task before it in its worker is a predecessor; its result is at hand */
#define TGI_HEAD_WAY(head)   ((head) >> 17 & 15u) /* enum tgi_resident_way */
#define TGI_HEAD_WAY_AT      17
#define TGI_HEAD_TELLS_FAR   (1u << 21) /* a word of its successors is a far one */
#define TGI_HEAD_BLOCK       (1u << 22) /* a block wide */
#define TGI_HEAD_MEMBER      (1u << 23) /* the same, in a worker that does not lead: neither waits nor tells */

/* Ways through the worker, of tasks a warp wide; mem/resident_way.h says which. */
enum tgi_resident_way {
    TGI_WAY_LONG,   /* any task */
    TGI_WAY_PLAIN,  /* waits for nobody, tells nobody */
    TGI_WAY_SHORT,  /* a word from two cells at most, to two successors at most */
    TGI_WAY_RELAY,  /* the same from one cell or two, to cells */
    TGI_WAY_GATHER, /* a word, or a spin, from up to as many cells as there are lanes, to cells */
    TGI_WAY_LINE,   /* a line, from two lines at most, to two successors at most */
    TGI_WAY_CALL,   /* a body on words */
    TGI_WAY_FAR,    /* waits for or tells another device; kernels for one device do not have it */
    TGI_WAY_POST,   /* several at once, each waiting for elements */
    TGI_WAY_ARITHMETIC, /* as RELAY, of an op with an argument; from none, one or two cells */
    TGI_WAY_BLOCK /* a body on words, by all workers of the block; kernels for programs without such tasks do not have it */
};

enum tgi_resident_out {
    TGI_OUT_COUNTER,        /* add one */
    TGI_OUT_LONE_COUNTER,   /* store the epoch: there is no other producer */
    TGI_OUT_SHARED_COUNTER, /* add one */
    TGI_OUT_CELL,
    TGI_OUT_SHARED_CELL,
    TGI_OUT_NOBODY, /* in no table: a lane that tells nobody */
    TGI_OUT_FAR_CELL,   /* TGI_FAR_*, mem/resident_peers.h */
    TGI_OUT_FAR_COUNTER
};
#define TGI_OUT(kind, index) ((uint32_t)(kind) << 29 | (index))
#define TGI_OUT_KIND(word)   ((word) >> 29)
#define TGI_OUT_INDEX(word)  ((word) & 0x1fffffffu)
#define TGI_RESIDENT_MAX_INDEX 0x1fffffffu

/* A CALL's argument: which body (kernels/resident.h), and where its words are; a lane fetches each.  Of a batch, of tasks a thread wide (sched/resident_batch.h):
 * n_words of one of them, one at least, and at `first` how many there are, then the first word of each, the second of each, and so on. */
#define TGI_CALL(body, n_words, first) ((uint64_t)(first) << 32 | (uint32_t)(n_words) << 16 | (uint32_t)(body))
#define TGI_CALL_BODY(low)             ((low) & 0xffffu)
#define TGI_CALL_N_WORDS(low)          ((low) >> 16 & 0x7fffu)
#define TGI_CALL_BATCH                 0x80000000u
#define TGI_CALL_IS_BATCH(low)         (((low) & TGI_CALL_BATCH) != 0)
#define TGI_CALL_MOST_TASKS            32u /* of a batch: a lane has one */
#define TGI_RESIDENT_MAX_WORDS         32u
#define TGI_CALL_NO_BODY               UINT32_MAX /* what a CALL fails with whose body is not in the kernel */
#define TGI_CALL_AGAIN                 (UINT32_MAX - 1) /* what a body returns that is to be called once more, TG_AGAIN; in dynamic programs */
#define TGI_RESIDENT_RUN_WARPS         8u /* of a block of the kernel that has bodies */

/* A POST's words are those of trsv_rows (kernels/trsv.c) for a single row, but that the elements of others which it takes are named
 * by 1 + the id of the task that makes them; 0: there is none.  `side` is what sums are subtracted from; 0: it is in memory, where
 * the words of trsv_rows say.  `out`: where the result goes beside its cell; 0: nowhere, as a later task stores there. */
#define TGI_POST_OUT      8u
#define TGI_POST_FIRST_IN 12u
#define TGI_POST_N_IN     16u
#define TGI_POST_SIDE     28u
#define TGI_POST_N_WORDS  29u
#define TGI_RESIDENT_POSTS_AT_ONCE 4u /* of a warp */

#define TGI_IN_LINE        0x80000000u /* the predecessor leaves a line */
#define TGI_IN_SLOT(word)  ((word) & 0x7fffffffu)

/* 16 bytes, aligned, stored and loaded as a whole where the hardware can. */
#ifdef __cplusplus
struct alignas(16) tgi_cell {
#else
struct tgi_cell {
    _Alignas(16)
#endif
    uint64_t data; /* with the low half of `tail`, the 12 bytes */
    uint64_t tail; /* epoch in the high half, which says that the rest is there */
};

struct tgi_resident_copy {
    uint64_t to, from; /* addresses */
    uint64_t bytes;    /* a multiple of 8, like both addresses */
};

enum tgi_resident_panic_code {
    TGI_PANIC_NONE,
    TGI_PANIC_STUCK, /* a wait lasted longer than the limit */
    TGI_PANIC_TASK,  /* a body said so; `detail` is its code */
    TGI_PANIC_ROOM   /* no room for a task that a task makes */
};

/* Of the first that went wrong; the others only leave. */
#define TGI_WAIT_BLOCK UINT32_MAX
struct tgi_resident_panic {
    uint32_t code; /* written last */
    uint32_t task, worker, slot;
    uint32_t wait, seen, wanted; /* STUCK: the index, its value, and what it waited for; TGI_WAIT_BLOCK: for the other workers of its block.
                                    Of a task that failed: `seen` is which of the batch, else 0 */
    uint32_t detail;
};

/* Shared by the workers and whoever watches them.  A line to each word that is written at different times. */
struct tgi_resident_control {
    uint32_t abort; /* by the watcher, or by a worker that is stuck: everybody leaves.  Relaxed: it publishes nothing */
    uint32_t pad0[31];
    uint32_t is_failed; /* by a task that failed: bodies are left out from where a worker sees it, edges still run down */
    uint32_t pad1[31];
    uint32_t is_claimed; /* who changes it from 0 writes the panic record */
    uint32_t pad2[31];
    struct tgi_resident_panic panic;
    uint32_t pad3[24];
    uint32_t epoch;    /* of launches that count by themselves: how many have ended.  By the last block to leave */
    uint32_t n_left;   /* its blocks that have left; 0 between launches */
    uint32_t cut;      /* 1 + the id of a task whose body left because of `abort`; 0: none.  Relaxed, for people */
    uint32_t pad4[29];
};

/* What a launch is given: the tables at addresses of where it runs. */
struct tgi_resident_view {
    const struct tgi_resident_task *tasks; /* by slot */
    const uint32_t *first;                 /* by worker, and one more */
    const uint32_t *outs, *ins;
    const uint64_t *args;                   /* by slot; NULL: no task has one */
    const struct tgi_resident_copy *copies; /* what COPY's args count */
    const uint64_t *inputs;                 /* what INPUT's args count; written before the epoch begins */
    const uint64_t *words;                  /* what CALLs are given; NULL: there are none */
    uint32_t *counters;
    struct tgi_cell *cells;
    struct tgi_cell *posted; /* by task, of POSTs */
    uint64_t *results; /* by slot */
    uint64_t *lines;   /* TGI_RESIDENT_LINE_WORDS for each slot; NULL: no task leaves one */
    uint64_t *times;    /* by slot, when a CALL's body began and when it ended, on the device's clock in nanoseconds; NULL: not noted */
    uint32_t *progress; /* by worker, slots done in this epoch: by that worker, relaxed, for whoever watches */
    struct tgi_resident_control *control;
    uint64_t limit_ns; /* of one wait */
    uint32_t epoch; /* 0: as the control block counts */
    uint32_t n_workers_each; /* of a block */
    uint32_t n_shared_cells, n_shared_counters; /* of a block */
};

/* A program on the host.  One owner; read-only once made. */
struct tgi_resident_program {
    enum tgi_resident_width width;
    uint32_t n_tasks, n_blocks, n_workers_each, n_workers;
    uint32_t n_slots; /* as n_tasks, and one for each worker of a block that takes part in a task without leading it */
    uint32_t n_outs, n_ins, n_counters, n_cells;
    uint32_t n_shared_cells, n_shared_counters; /* of the block that has most */
    uint32_t n_devices; /* that the blocks are of, each as many, one after the other */
    uint32_t n_far_cells, n_far_counters;
    struct tgi_resident_task *tasks;
    uint32_t *first, *outs, *ins;
    uint64_t *args;    /* NULL: no task has one */
    uint32_t *slot_of; /* by task; of one a block wide the one that leads */
    /* How many edges are of which kind. */
    uint32_t n_order_edges, n_shared_edges, n_cell_edges, n_counter_edges, n_far_cell_edges, n_far_counter_edges, n_posted_edges;
    uint32_t n_posts; /* tasks that are POSTs */
    uint32_t n_block_tasks; /* tasks a block wide */
    /* A dynamic program of bodies (resident_dynamic.h): slots are tasks, and workers have none of their own.  NULL: a static one. */
    uint32_t *roots, n_roots;
    uint32_t n_made_each, n_made_words; /* tasks that a worker's bodies may have made at once; words of each */
    double makespan_ns; /* as the planner expects it */
};

/* Shared memory of a block: two batches of descriptors for each worker, cells, counters. */
static inline uint32_t tgi_resident_shared_bytes(uint32_t n_workers_each, uint32_t n_cells, uint32_t n_counters)
{
    return n_workers_each * 2 * TGI_RESIDENT_BATCH * (uint32_t)sizeof(struct tgi_resident_task) +
           n_cells * (uint32_t)sizeof(struct tgi_cell) + n_counters * 4;
}

/* Leaves TGI_RESIDENT_LINE_WORDS words in memory, made from those of its predecessors. */
#define TGI_RESIDENT_HAS_LINE(op) ((op) == TGI_RESIDENT_ADD_LINE || (op) == TGI_RESIDENT_HASH_LINE)
/* Leaves something that others than its successors may read. */
#define TGI_RESIDENT_LEAVES_MEMORY(op) \
    ((op) == TGI_RESIDENT_COPY || TGI_RESIDENT_HAS_WORDS(op) || (op) == TGI_RESIDENT_TREE)
/* It is given words. */
#define TGI_RESIDENT_HAS_WORDS(op) ((op) == TGI_RESIDENT_CALL || (op) == TGI_RESIDENT_POST)
/* Its result depends on its id and on the epoch. */
#define TGI_RESIDENT_HAS_SEED(op) ((op) == TGI_RESIDENT_ADD || (op) == TGI_RESIDENT_HASH || TGI_RESIDENT_HAS_LINE(op))
/* It depends on nothing but `arg` and those of its predecessors: the same in every instance with the same inputs. */
#define TGI_RESIDENT_IS_ARITHMETIC(op) ((op) >= TGI_RESIDENT_SUM && (op) <= TGI_RESIDENT_RAMP)
/* Its result depends on those of its predecessors. */
#define TGI_RESIDENT_HAS_INPUTS(op) (TGI_RESIDENT_HAS_SEED(op) || TGI_RESIDENT_IS_ARITHMETIC(op))

static inline uint32_t tgi_resident_is_small(uint32_t op)
{
    switch (op) {
#define TGI_RESIDENT_OP_X(name, is_small) \
    case TGI_RESIDENT_##name:             \
        return is_small;
        TGI_RESIDENT_OP_MAP(TGI_RESIDENT_OP_X)
#undef TGI_RESIDENT_OP_X
    }
    return 0;
}

#endif
