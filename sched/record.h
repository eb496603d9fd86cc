/* What a run remembers about itself: a span per execution of a task (on request) and counters per
 * worker. */
#ifndef TGI_SCHED_RECORD_H
#define TGI_SCHED_RECORD_H

#include <stdatomic.h>

#include "graph/tgraph.h"
#include "mem/pool.h"

/* Times are nanoseconds since the start of the run.  Zero start and end: the body never ran. */
struct tgi_span {
    uint64_t ready_ns; /* last predecessor finished */
    uint64_t start_ns, end_ns;
    uint16_t worker;
    uint16_t victim; /* 1 + the worker out of whose deque it was stolen, n_workers being the submitter; 0: it was not */
    uint16_t attempts;
    uint8_t state; /* enum tg_task_state */
    uint8_t reserved;
};

/* The last that is written of a span, so that one whose process is killed meanwhile has an end only if all of it is there: a thread's
 * own stores reach memory as it made them, whenever it ends, so it is the compiler alone that must not change their order. */
static inline void tgi_span_end(struct tgi_span *span, uint64_t end_ns)
{
    atomic_signal_fence(memory_order_release);
    span->end_ns = end_ns;
}

/* One execution of a body of a control task. */
struct tgi_round {
    const struct tg_graph *graph;        /* the body */
    const struct tgi_round *parent;      /* the round in which the control task is; NULL: the outermost graph */
    uint32_t parent_task;
    uint32_t index;                      /* in the list, from 0 */
    uint64_t number;                     /* of the control task's rounds, from 0 */
    uint64_t begin_ns;
    const struct tgi_round *previous;    /* of the same control task; NULL: number is 0 */
    struct tgi_round *next;              /* in the order they began, so after parent and previous */
    struct tgi_span *spans;              /* by task of the body: `own`, or a log's */
    struct tgi_span own[];
};
/* Tasks of rounds that are recorded in one run, a round counting as a few tasks; rounds beyond that are
 * counted only. */
#define TGI_MOST_IN_ROUNDS 4000000u
struct tgi_rounds {
    struct tgi_round *first, *last;
    uint64_t n, n_tasks;
    uint64_t n_lost; /* not recorded, for want of room */
};

/* Each written by its worker alone; read after the run is over. */
struct tgi_worker_stats {
    uint64_t busy_ns;   /* in task bodies; only with is_recorded */
    uint64_t n_tasks, n_steals, n_failed_steals, n_parks;
};

/* Waits until no worker is at the run any more, which after a time limit may be later than
 * tg_run_wait() returns; at most limit_ms longer.  false: a task still has not returned, and what
 * follows here is incomplete. */
bool tgi_run_settle(struct tg_run *run, uint32_t limit_ms);
/* Whether it would return true at once, of a run that has ended. */
bool tgi_run_is_settled(const struct tg_run *run);
/* Of a runtime whose workers have ended: runs that were destroyed before their tasks had returned go now, unless a device is
 * still at them. */
void tgi_run_destroy_abandoned(struct tg_runtime *rt);
/* Told what a recorded run does beside the tasks of its outermost graph, as it does it.  By the thread that does, one at a time for each
 * function. */
struct tgi_copy;
struct tgi_run_log {
    void (*clear)(void *user); /* the run starts: nothing of an earlier start counts any more */
    /* Where the spans of a round go, by task, all 0, which must outlive the run; NULL: the run keeps them itself. */
    struct tgi_span *(*round)(void *user, const struct tgi_round *round);
    void (*copy)(void *user, const struct tgi_copy *copy);
    void *user;
};
/* Before the first start of a recorded run: its spans, by task of the outermost graph, are kept there instead, all 0 for now.  Who writes
 * one writes end_ns last.  They must outlive the run, and so must the log, which is copied and may be NULL. */
void tgi_run_record_into(struct tg_run *run, struct tgi_span *spans, const struct tgi_run_log *log);
/* By task id of the outermost graph; NULL unless the run was recorded and is over. */
const struct tgi_span *tgi_run_spans(const struct tg_run *run);
/* The executions of bodies; complete after tgi_run_spans(), empty unless the run was recorded. */
const struct tgi_rounds *tgi_run_rounds(const struct tg_run *run);
/* n_workers entries. */
const struct tgi_worker_stats *tgi_run_worker_stats(const struct tg_run *run, uint32_t *n_workers_p);
/* What a run did on one device beside CPUs. */
struct tgi_run_device {
    const char *kind, *name; /* "cuda", "NVIDIA H200"; they belong to the runtime */
    uint32_t ordinal;        /* on this machine, as in "cuda:1" */
    uint64_t n_tasks;
    uint64_t in_bytes, out_bytes; /* moved to and from it, other devices included */
    uint64_t peak_bytes;     /* the most of its memory that tiles took at once */
    double flop_per_s, byte_per_s; /* as placement has them: f64 operations, memory; 0: unknown */
    struct tgi_pool_stats pool;    /* its memory now, of all runs of the runtime; all 0: not known, as of a run in a file */
};
/* The devices that a run can use, whether or not it did; 0 if it executes on CPUs alone. */
uint32_t tgi_run_n_devices(const struct tg_run *run);
void tgi_run_device(const struct tg_run *run, uint32_t i, struct tgi_run_device *device_p);
/* The pinned host memory of all runs of the runtime, now; all 0 without devices. */
void tgi_run_pinned(const struct tg_run *run, struct tgi_pool_stats *stats_p);
/* What a run moved between memories. */
struct tgi_run_moved {
    uint64_t to_device_bytes, to_host_bytes, peer_bytes;
    uint64_t spilled_bytes; /* of these: for want of memory on a device */
    uint64_t n_copies, n_evictions;
    uint64_t n_ahead, ahead_bytes; /* of the copies: made while their task waited for CPUs */
    /* What any way of moving data would have moved, with each task where it ran: a copy of what it reads for each
     * memory that is not where it was written.  Known if every task ran and was recorded. */
    bool has_least;
    uint64_t least_bytes;
};
/* What recording when tasks ran on devices has cost the thread that submits to them. */
uint64_t tgi_run_recording_ns(const struct tg_run *run);
/* Where that thread's time went while a recorded run was under way, other runs' work included; all 0 of others. */
struct tgi_run_submitting {
    uint64_t submitting_ns; /* giving tasks to devices, recording included */
    uint64_t looking_ns;    /* seeing that some had ended, and what came of that */
    uint64_t waiting_ns;    /* for something to happen */
    uint64_t giving_ns;     /* of the first two: in rounds that gave any, all of each */
};
void tgi_run_submitting(const struct tg_run *run, struct tgi_run_submitting *s_p);
/* What the tasks of a recorded run took that thread as long as there were some to be given to devices: nothing goes faster than that.  For a
 * task it is what enqueuing those of its operation took, marking and seeing, each divided by the number of tasks. */
struct tgi_run_handling {
    uint64_t n_tasks;
    uint64_t marking_ns; /* events that tell when they ran; reading those is put off and not in it */
    uint64_t seeing_ns;  /* what is neither that nor enqueuing: seeing that some had ended, choosing others */
};
void tgi_run_handling(const struct tg_run *run, struct tgi_run_handling *h_p);
/* Tasks of an operation, and what enqueuing them took without marking. */
struct tgi_run_enqueuing {
    uint64_t n_tasks, ns;
    uint64_t n_moving, moving_ns, n_copies; /* of these, tasks for which something was copied between memories */
};
void tgi_run_enqueuing(const struct tg_run *run, uint32_t op, struct tgi_run_enqueuing *e_p);
void tgi_run_moved(const struct tg_run *run, struct tgi_run_moved *moved_p);
/* A copy between memories, of a recorded run that is over. */
struct tgi_run_copy {
    uint64_t bytes;
    uint32_t from, to;   /* 0: the host; 1 + device */
    uint32_t tile;       /* number in the space */
    uint32_t round, task; /* for which it was made: its round's index + 1, 0: the outermost graph; task TG_NONE: none */
};
uint32_t tgi_run_n_copies(const struct tg_run *run);
void tgi_run_copy(const struct tg_run *run, uint32_t i, struct tgi_run_copy *copy_p);
/* Memory of a device that tiles of a recorded run took: `bytes` in all from at_ns on. */
struct tgi_run_usage {
    uint64_t at_ns, bytes;
    uint32_t device;
};
uint32_t tgi_run_n_usages(const struct tg_run *run);
void tgi_run_usage(const struct tg_run *run, uint32_t i, struct tgi_run_usage *usage_p);
/* By task of the outermost graph: where it was placed, 0: with the CPU workers, else 1 + device.  Tasks that were taken over are where they were
 * taken from.  It lasts as long as the run; NULL: there are no devices. */
const uint8_t *tgi_run_nodes(const struct tg_run *run);
/* Why a task on a device was placed there, of a recorded run. */
enum tgi_weighing {
    TGI_WEIGHED_ONLY = 1,  /* no other could execute it */
    TGI_WEIGHED_WISH,      /* the task asks for it */
    TGI_WEIGHED_OWNER,     /* what it writes lives there */
    TGI_WEIGHED_ESTIMATE,  /* of several, where it was to be done first */
    TGI_WEIGHED_PART       /* the graph was cut into parts (partition.h), and it is in this device's */
};
struct tgi_weighed {
    uint32_t task;
    uint16_t device;
    uint16_t reason;         /* enum tgi_weighing; of those that lost always the estimate */
    double busy_ns, move_ns; /* the terms of an estimate: work placed there before, copies of what it reads; else 0 */
};
/* By task in the order of placement, of each the device that won first.  graph: the run's or a body.  NULL: there are none, or a policy
 * decided instead. */
const struct tgi_weighed *tgi_run_weighed(const struct tg_run *run, const struct tg_graph *graph, uint32_t *n_p);
/* What the tasks of a plan that the run made had to choose from, `device` being 0 for the host, 1 + device; none for other runs.  It
 * takes as long as planning did.  offers_p is initialised on 0 only. */
struct tgi_offers;
int tgi_run_offers(const struct tg_run *run, struct tgi_offers *offers_p, struct tg_error *err);
/* The device on which a span's worker is, with its lane there; TG_NONE: it is a CPU worker.  Of a run whose tasks were inside resident
 * kernels, lanes from TGI_COMPUTE_LANES on are the workers of these. */
uint32_t tgi_run_device_of(const struct tg_run *run, uint32_t worker, uint32_t *lane_p);
/* Lanes that each device has in spans: its streams; or as many tasks of a graph as were executed at a time; or its streams and the
 * workers of resident kernels. */
uint32_t tgi_run_n_lanes(const struct tg_run *run);
/* Of these, the first that are no workers of resident kernels. */
uint32_t tgi_run_n_node_lanes(const struct tg_run *run);
/* Tasks that the runtime's workers have finished or skipped, or submitted to devices, so far, and the time they spent in those of
 * recorded runs.  Any thread may ask at any time. */
void tgi_runtime_progress(const struct tg_runtime *runtime, uint64_t *n_tasks_p, uint64_t *busy_ns_p);
/* The devices of a runtime beside CPUs, and how long one has been at tasks of recorded runs so far, those that overlap counted once.
 * Any thread may ask at any time. */
uint32_t tgi_runtime_n_devices(const struct tg_runtime *runtime);
uint64_t tgi_runtime_device_busy_ns(const struct tg_runtime *runtime, uint32_t device);
/* "cuda:1"; returns text. */
char *tgi_runtime_device_name(const struct tg_runtime *runtime, uint32_t device, char *text, size_t size);
/* What was known of tasks' times when they were placed on devices: how many had measured ones, declared ones, times from
 * declared operations and bytes, and from the sizes of their arguments alone.  All 0 without devices. */
struct tgi_run_times {
    uint64_t n_measured, n_declared, n_roofline, n_sized;
};
void tgi_run_times(const struct tg_run *run, struct tgi_run_times *times_p);
/* Something people should know about measured times, once: a drift, a file of them that was not read. */
bool tgi_run_take_notice(struct tg_run *run, char *text, size_t size);
/* What opening a runtime took, in text: "topology 3.1 ms; devices 20.4 ms beside it (driver 0.2, streams 8.1, ..); threads 0.9 ms". */
void tgi_runtime_opening(const struct tg_runtime *runtime, char *text, size_t size);
/* The names of the variants a kernel was resolved to: "builtin gemm_nt f64", "c source", "function"; on devices
 * "cublas dgemm", "cuda source".  Empty: none.  For reports. */
const char *tgi_run_variant_text(const struct tg_run *run, uint32_t op);
const char *tgi_run_device_text(const struct tg_run *run, uint32_t op);

#endif
