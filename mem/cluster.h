/* A cluster: commands that have become the tasks of one resident program (resident_program.h), and one command of a program
 * (program.h).  Read-only once made, but for `kernel`; shared by all commands that are it, one thread at a time.
 *
 * Usually they are of one device.  Those of several are a program on these (resident_peers.h): one kernel on each, which begin together and
 * are one command, of the first one's lane.
 *   Data    is where the commands had it.  Each task runs on the device that its command was for, on that one's copies of tiles, and what
 *           one device needs of another's is copied by a task, a CALL on the device of the copy's lane that writes into the other's memory
 *           as the copy would have.  So there is no home of a tile to agree about.
 *   Edges   between devices are far counters: additions or stores with release at the scope of the system, in the reader's memory, that
 *           are acquired at that scope.  A release covers what the task has written, wherever that lies, and what it has acquired itself,
 *           so all that comes before it, on whatever device.  Cells carry nothing here, since every body leaves something in memory.
 *   Alone   Kernels that wait for each other must all get their place.  They do: each is a cooperative launch, all of whose blocks begin
 *           at once; all come after the same commands; and no other command of the program that executes code on one of their devices is
 *           without an order to them, so nobody takes their place and waits for them (sched/resident_spread.h).  What is executed
 *           there from elsewhere has to end by itself.  If it does not, a wait has a limit, and who has waited too long ends the kernels
 *           of all devices.
 *   Epochs  each device counts by itself; a graph is launched as one, so nobody begins one before all have ended the one before.
 * Where that cannot be, one cluster for each device and edges between these are what there is. */
#ifndef TGI_MEM_CLUSTER_H
#define TGI_MEM_CLUSTER_H

#include "graph/model.h"
#include "mem/resident_peers.h"

/* What a command is as a task of a resident program; the backend says (struct tgi_device_ops, resident_call). */
struct tgi_resident_call {
    uint32_t body, n_words;
    float cost_ns; /* roughly, by a warp */
    bool is_other; /* a library would be called for the command: the last bits of what it leaves may be others */
    bool spawns;   /* it may make tasks, and be called again */
    bool is_block;  /* it is a block wide: a function of users' that says so, */
    bool is_thread; /* or a thread wide */
    bool can_block; /* it may be: its body can be cut into parts */
    bool is_across; /* it copies to another device, for a cluster that is on both */
    uint32_t post; /* the body as a POST, which makes one element of single elements; 0: it cannot be one */
    uint32_t bytes; /* of that one's element */
    uint64_t side;  /* address of what its sums are subtracted from */
    uint64_t words[TGI_RESIDENT_MAX_WORDS];
};

/* What a device has for a resident program. */
struct tgi_resident_room {
    uint32_t n_blocks, n_workers_each; /* at most, all at once */
    uint32_t shared_bytes;             /* of a block, for what tgi_resident_shared_bytes() counts */
    bool has_blocks;                   /* there can be a kernel for programs with tasks a block wide */
};

struct tgi_cluster {
    uint32_t n_refs;
    struct tgi_resident_program *program; /* its tasks are CALLs, and EMPTY ones where several things are waited for */
    uint64_t *words;
    uint32_t n_words;
    uint32_t n_calls;
    uint32_t *first_of; /* by task, and one more: which commands it was, in the lists that follow, lane by lane; NULL: task i was number i */
    uint64_t *owner;    /* of each command */
    uint32_t *step;     /* the same; 0: its time is not wanted */
    uint32_t n_batches; /* tasks of the program whose lanes have a task each, a thread wide */
    uint32_t n_devices, device[TGI_RESIDENT_MAX_DEVICES]; /* that the program is on, in its order: ascending */
    uint64_t limit_ns; /* of one wait */
    bool is_timed;     /* some time is wanted: its workers note when each task began and ended */
    char kernel[256];  /* what executes it, for people: by the backend, when it is brought to a device */
};

/* Of nothing yet, with one reference; NULL: no memory. */
struct tgi_cluster *tgi_cluster_new(void);
void tgi_cluster_retain(struct tgi_cluster *cluster);
void tgi_cluster_release(struct tgi_cluster *cluster);
/* Of a task's commands the first in the cluster's lists; those of task + 1 begin behind its last. */
static inline uint32_t tgi_cluster_first(const struct tgi_cluster *c, uint32_t task) { return c->first_of ? c->first_of[task] : task; }
/* Whether two do the same, with the same data. */
bool tgi_cluster_is_same(const struct tgi_cluster *a, const struct tgi_cluster *b);

void tgi_resident_program_destroy(struct tgi_resident_program *program);

#endif
