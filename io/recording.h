/* The record of a run as a value of its own: everything that reports, explanations, comparisons and
 * pictures are made from, without the graph, the run or the machine it came from.  docs/RECORD.md describes
 * the file it is kept in.
 *
 * Tasks of bodies are there as often as they ran.  The record is one acyclic graph: each round of a control
 * task starts with a *gate* that waits for what the control task or the round before waited for, and the
 * control task waits for the last round.  Gates and control tasks are *frames*: they take no time of a lane. */
#ifndef TGI_IO_RECORDING_H
#define TGI_IO_RECORDING_H

#include <stdio.h>

#include "graph/model.h"
#include "io/run_bounds.h"
#include "sched/offer.h"
#include "sched/record.h"

enum tgi_recording_lane_kind { TGI_LANE_WORKER, TGI_LANE_STREAM, TGI_LANE_RESIDENT };
enum tgi_recording_flag { TGI_RECORDED_FRAME = 1, TGI_RECORDED_STOLEN = 2 };

/* These structs are the records of the file, so none has padding (asserted in recording_file.c).  Times are
 * nanoseconds since the start of the run, strings are offsets into `strings` (0: none), TG_NONE is "none". */
struct tgi_recording_head {
    uint64_t makespan_ns, data_bytes, began_s; /* began_s: of the clock on the wall, since 1970 */
    uint64_t to_device_bytes, to_host_bytes, peer_bytes, spilled_bytes, n_copies;
    uint64_t n_lost_rounds; /* of control tasks, for want of room */
    uint32_t name, file, policy, outcome, version, machine;
    uint32_t n_tasks; /* of the outermost graph: the first ones */
    uint32_t n_workers;
    double memory_ns, links_ns; /* bounds by the figures of a machine, with has_data_bounds */
    uint32_t has_data_bounds, reserved;
};
struct tgi_recording_kernel {
    uint32_t name, variant, device_variant;
    uint32_t is_kernel; /* 0: what the runtime does itself: copy, fill, .. */
};
struct tgi_recording_device {
    uint32_t kind, name, ordinal, reserved;
    uint64_t in_bytes, out_bytes, peak_bytes;
    double flop_per_s, byte_per_s; /* as placement has them; 0: unknown */
};
struct tgi_recording_lane {
    uint32_t kind;   /* enum tgi_recording_lane_kind */
    uint32_t device; /* TG_NONE: CPUs */
    uint32_t number; /* of the worker; of the stream on its device, or of the worker of resident kernels there */
    uint32_t reserved;
    uint64_t n_steals, n_parks;
};
/* An execution of a graph: part 0 the outermost, the others rounds. */
struct tgi_recording_part {
    uint32_t first, n_tasks; /* the gate, if there is one, is the task before `first` */
    uint32_t parent;         /* the control task; TG_NONE: part 0 */
    uint32_t reserved;
    uint64_t number;         /* of the round, from 0 */
};
struct tgi_recording_task {
    uint64_t ready_ns, start_ns, end_ns; /* start and end 0: it did not run */
    uint64_t first_pred;                 /* its predecessors: preds[first_pred ..], n_preds of them */
    double flops, bytes, us;             /* declared cost; NAN: not given */
    uint32_t n_preds;
    uint32_t waited_for; /* the predecessor that ended last; TG_NONE: there is none that ran */
    uint32_t name, kernel, lane, part;
    int32_t priority;
    uint16_t attempts;
    uint8_t state, flags; /* enum tg_task_state, enum tgi_recording_flag */
};
/* A node is 0 for the host, 1 + device for others. */
struct tgi_recording_transfer {
    uint64_t bytes, start_ns, end_ns; /* both 0: not known */
    uint32_t from, to, buffer, tile;  /* tile: in its buffer */
    uint32_t task, reserved;          /* that needed it, or whose result it takes home; TG_NONE: neither */
};
struct tgi_recording_buffer {
    uint64_t tile_bytes;
    uint32_t name, n_tiles;
};
/* A task that a worker took out of another's queue. */
struct tgi_recording_steal {
    uint32_t task, victim; /* a lane; TG_NONE: the queue of the thread that submits to devices */
};
/* Where a task could have been placed, before the run: the place it got first.  A node is as in transfers. */
struct tgi_recording_place {
    double busy_ns, move_ns; /* terms of the estimate; 0 where something else decided */
    uint32_t task, node, reason, reserved; /* reason: enum tgi_weighing (sched/record.h) */
};
/* What a task of a plan could choose from, as the plan had it (sched/offer.h): what it took first. */
struct tgi_recording_offer {
    double ready_ns, move_ns, wait_ns, work_ns, contention_ns, after_ns;
    uint32_t task, node; /* a node is as in transfers */
};
/* Memory of a node that tiles took: at most `bytes` from at_ns until the next; by node, then time.  On the host tiles count
 * from the first task of a worker's that touches them to the last. */
struct tgi_recording_memory {
    uint64_t at_ns, bytes;
    uint32_t node, reserved;
};

struct tgi_recording {
    struct tgi_recording_head head;
    char *strings; /* starts and ends with NUL */
    struct tgi_recording_kernel *kernels;
    struct tgi_recording_device *devices;
    struct tgi_recording_lane *lanes;
    struct tgi_recording_part *parts;
    struct tgi_recording_task *tasks;
    uint32_t *preds;
    struct tgi_recording_transfer *transfers;
    struct tgi_recording_buffer *buffers;
    struct tgi_recording_steal *steals;   /* by task, ascending */
    struct tgi_recording_place *places;   /* by task, ascending */
    struct tgi_recording_offer *offers;   /* by task, ascending */
    struct tgi_recording_memory *memory;
    uint64_t n_strings, n_kernels, n_devices, n_lanes, n_parts, n_tasks, n_preds, n_transfers, n_buffers, n_steals, n_places,
        n_offers, n_memory;
    /* Of a file that was cut: how many tasks it should have; else n_tasks. */
    uint64_t n_tasks_expected;
    bool is_cut;
    /* The file is that of a run that was killed, or is still under way (io/live_record.h): n_ended of its tasks have. */
    bool is_unfinished;
    uint64_t n_ended;
    uint64_t n_lost_live; /* rounds and copies that there was no room for */
    /* Of such a file; only while it is read. */
    struct tgi_span *spans;
    uint64_t *log;        /* live_log.h */
    uint64_t n_spans, n_log;
};

/* What a record is made of.  rounds NULL: no bodies; run NULL: no devices, no names of variants. */
struct tgi_recorded {
    const struct tg_graph *graph;
    const struct tgi_span *spans; /* by task */
    uint32_t n_workers;
    uint64_t makespan_ns;
    const struct tgi_rounds *rounds;
    const struct tg_run *run;
    const char *policy, *outcome; /* NULL: not known */
    bool is_ahead; /* before the run starts, all spans 0: of `run` only that is asked which is known by then */
};
int tgi_recording_create(const struct tgi_recorded *what, struct tgi_recording *recording_p, struct tg_error *err);
void tgi_recording_fini(struct tgi_recording *recording);
/* From starts and ends: when each task was ready, and what it waited for. */
void tgi_recording_find_ready(struct tgi_recording *recording);
/* What no schedule on the machine it ran on could beat. */
void tgi_recording_take_bounds(struct tgi_recording *recording, const struct tgi_machine_bounds *bounds);
/* Adds offers; node_of: by their device. */
int tgi_recording_take_offers(struct tgi_recording *recording, const struct tgi_offers *offers, const uint32_t *node_of,
                              struct tg_error *err);

/* ---- Files --------------------------------------------------------------------------------*/

int tgi_recording_write(const struct tgi_recording *recording, FILE *to, struct tg_error *err);
/* The same up to the spans of the outermost graph's tasks, for which the directory has a section of its own: where it is to begin, at a
 * multiple of 64 bytes.  Behind them is the log, of at most n_log words. */
int tgi_recording_write_ahead(const struct tgi_recording *recording, uint64_t n_log, FILE *to, uint64_t *spans_at_p, struct tg_error *err);
/* "-": standard input.  A file that was cut gives what is whole, with is_cut.  TG_E_OPEN, TG_E_READ;
 * TG_E_RECORD: no record, or a damaged one; TG_E_VERSION: of a later version; TG_E_LIMIT. */
int tgi_recording_read(const char *path, struct tgi_recording *recording_p, struct tg_error *err);
/* Whether the file starts as a record does; false for what cannot be read, and for standard input. */
bool tgi_recording_is_one(const char *path);

/* ---- Questions ----------------------------------------------------------------------------*/

static inline const char *tgi_recording_string(const struct tgi_recording *r, uint32_t offset)
{
    return r->strings + offset;
}
static inline bool tgi_recording_ran(const struct tgi_recording *r, uint64_t task)
{
    return r->tasks[task].end_ns > 0;
}
/* Whether a lane was busy with it. */
static inline bool tgi_recording_has_work(const struct tgi_recording *r, uint64_t task)
{
    return r->tasks[task].end_ns > 0 && !(r->tasks[task].flags & TGI_RECORDED_FRAME) && r->tasks[task].lane < r->n_lanes;
}
static inline uint64_t tgi_recording_took_ns(const struct tgi_recording *r, uint64_t task)
{
    return r->tasks[task].end_ns - r->tasks[task].start_ns;
}
#define TGI_RECORDING_NAME_SIZE 1024
/* "gemm[1,2]", "#17"; in the third round of a control task "loop:2/sweep".  Terminated, cut at size; returns text. */
const char *tgi_recording_task_name(const struct tgi_recording *r, uint32_t task, char *text, size_t size);
/* "cpu:3", "cuda:0 s1" */
const char *tgi_recording_lane_name(const struct tgi_recording *r, uint32_t lane, char *text, size_t size);
/* "host", "cuda:1" */
const char *tgi_recording_node_name(const struct tgi_recording *r, uint32_t node, char *text, size_t size);
const char *tgi_recording_kernel_name(const struct tgi_recording *r, uint32_t kernel);
/* The fill of a kernel in pictures, "#rrggbb". */
const char *tgi_recording_fill(const struct tgi_recording *r, uint32_t kernel);
/* TG_NONE with false: it was not stolen, or the record does not say from whom. */
bool tgi_recording_victim(const struct tgi_recording *r, uint32_t task, uint32_t *victim_p);
/* The places of a task, in the order of the record; *n_p 0: none are known. */
const struct tgi_recording_place *tgi_recording_places(const struct tgi_recording *r, uint32_t task, uint32_t *n_p);
/* The offers of a task; *n_p 0: none are known. */
const struct tgi_recording_offer *tgi_recording_offers(const struct tgi_recording *r, uint32_t task, uint32_t *n_p);
/* "where what it writes lives" */
const char *tgi_recording_reason(uint32_t reason);
/* The task of that name, or "#17" for task 17; TG_NONE, then close_p (if not NULL) gets the task whose name is
 * closest, or TG_NONE. */
uint32_t tgi_recording_find(const struct tgi_recording *r, const char *name, uint32_t *close_p);

/* ---- Paths --------------------------------------------------------------------------------*/

/* The longest path by measured durations, and how much later each task could end without making it longer. */
struct tgi_recording_paths {
    uint64_t critical_ns;
    uint32_t *critical; /* tasks on it that a lane was busy with, in order */
    uint32_t n_critical;
    uint64_t *slack_ns; /* by task */
    uint8_t *is_critical;
    uint64_t area_ns;   /* busy time by server: devices if there are any, else workers */
    uint64_t bound_ns;  /* no schedule of these durations on as many servers is shorter */
};
/* Whether bound_ns says anything about the run: not if tasks are missing, nor if it was ended before its last tasks returned. */
static inline bool tgi_recording_knows_bounds(const struct tgi_recording *r, const struct tgi_recording_paths *paths)
{
    return !r->is_cut && r->head.n_lost_rounds == 0 && paths->bound_ns > 0 && paths->bound_ns <= r->head.makespan_ns;
}
/* With those by a machine's figures, if the record has them. */
struct tgi_run_bounds tgi_recording_bounds(const struct tgi_recording *r, const struct tgi_recording_paths *paths);
int tgi_recording_paths_create(const struct tgi_recording *r, struct tgi_recording_paths *paths_p, struct tg_error *err);
void tgi_recording_paths_fini(struct tgi_recording_paths *paths);

#endif
