/* Execution on devices: the submitter.
 *
 * One thread enqueues everything on all devices: a task as soon as its predecessors on devices have been
 * enqueued themselves and those on CPUs are done.  Order on devices comes from streams and events (mem/order.h),
 * data from mem/replica.h; no edge between two tasks on devices returns to the host.
 *
 * Each task has a node: 0, the CPU workers, or a device (sched/placement.h).  A task is *host-only* if it runs on a
 * CPU, its predecessors do, and no device touches its tiles: workers execute it as if there were no devices.  Every
 * other task passes through the submitter when it becomes ready (`via`): a task for a device is enqueued and its successors
 * released at once, or when it is done if it has none and is part of a body; a task for a CPU gets its data copied to the host and goes to the
 * workers when that and its predecessors are done.
 *
 * Who wants something of the submitter puts a node into its inbox, a stack that it empties as a whole, and wakes it if it
 * sleeps.  A thread that waits for a run does the submitter's work meanwhile (offload_submitter.c). */
#ifndef TGI_SCHED_OFFLOAD_H
#define TGI_SCHED_OFFLOAD_H

#include "mem/replica.h"
#include "sched/ready.h"
#include "sched/record.h"
#include "sched/replay_choice.h"
#include "sched/runtime.h"
#include "sched/urgency.h"

enum tgi_mail_kind { TGI_MAIL_TASK, TGI_MAIL_LOCKED, TGI_MAIL_CONTINUE, TGI_MAIL_CALL };
struct tgi_mail {
    struct tgi_mail *next;
    uint8_t kind;
};

/* What the submitter knows about a task of an instance.  Written by it alone, but for mail. */
struct tgi_offload_task {
    struct tgi_mail mail; /* first; by whoever makes the task ready */
    uint8_t node;         /* where it runs; constant while the instance runs, but for stealing */
    bool has_shape;
    bool has_locks;
    bool is_on_host;     /* the policy has given it to the workers; by the submitter, then by the worker that has it */
    bool is_last_writer; /* of a tile, in program order; constant */
    bool is_enqueued;    /* since this start began; of tasks that offload_ahead.c asks about */
    bool has_data_ahead; /* some of what it reads was sent to its node before it was enqueued */
    struct tgi_instance *instance;
    struct tgi_stamp stamp; /* where it was enqueued; lane TG_NONE: on no device */
    uint32_t n_later;       /* successors that have not been submitted yet */
    uint32_t n_waiting;     /* of a task for a CPU: stamps that are not done */
    uint32_t shape;         /* index into the instance's shapes */
};

struct tgi_offload_instance {
    struct tgi_offload_task *tasks;
    uint32_t *first_pred, *pred; /* predecessors of task t: pred[first_pred[t] ..) */
    uint32_t *roots;             /* that pass through the submitter */
    uint32_t n_roots;
    struct tgi_shape *shapes;
    uint32_t n_shapes, cap_shapes;
    const uint32_t *classes;           /* by task: what it has in common with others (choice.h); the placement's */
    const struct tgi_urgency *urgency; /* the placement's; it changes between starts */
    struct tgi_mail continued;   /* of a body: its round is over */
    struct tgi_stamp gate;       /* of a body that is recorded: what the round comes after; else none */
};

/* Work to be done on the submitter's thread for somebody who waits. */
struct tgi_offload_call {
    struct tgi_mail mail; /* first */
    void (*fn)(void *arg);
    void *arg;
    _Atomic uint32_t is_done; /* by the submitter, release; a futex.  Unused if nobody waits */
    bool is_awaited;
};

struct tgi_choices;   /* choice.h */
struct tgi_offload_policy; /* offload_policy.h */
struct tgi_placement; /* placement.h */
struct tgi_offload_run {
    struct tgi_code **codes;   /* by op; NULL: nothing for devices */
    char **texts;              /* by op */
    struct tgi_placement *placement;
    struct tgi_replicas *replicas;
    struct tgi_choices *choices;
    struct tgi_offload_policy *policy; /* NULL: none was asked for */
    struct tgi_run_times times; /* when tasks were placed */
    uint8_t *is_registered;    /* by buffer: the program's memory is pinned, by us */
    uint8_t *is_pageable;      /* by buffer: it is not, by nobody; since the last start */
    struct tgi_replica_stats stats, stats_before; /* of the last run; when it began */
    struct tgi_offload_call begin, finish;
    uint32_t n_finishing;      /* lanes that have not come to the end */
    struct tgi_event *base[TGI_MAX_DEVICES]; /* of a recorded run: time zero of each device */
    int64_t base_ns[TGI_MAX_DEVICES]; /* the run's clock then */
    uint64_t n_device_tasks[TGI_MAX_DEVICES];
    bool fills;                /* devices fill in what begins with one value everywhere, as TGRAPH_INIT says */
    uint64_t timing_ns;        /* the submitter has spent on events for times */
    uint64_t marking_ns;       /* of that, in a recorded run: on events of tasks while they were enqueued */
    struct tgi_run_enqueuing *enqueuing; /* by op, of a recorded run: what the submitter has enqueued, and its time for that beside marking */
    struct tgi_run_submitting spent; /* the submitter's time while the last run, recorded, was under way; until its end: what it was before */
    struct tgi_replay_costs replay_costs; /* of the machine that guides the run; 0: none does */
    struct tgi_gain_costs gain_costs;     /* the same, or usual ones */
    uint32_t n_shown_lanes;    /* of each device, in spans of the last start, and of the first before it; */
    uint32_t n_node_lanes;     /* of these no workers of resident kernels, which come after them */
    uint64_t n_stolen;         /* of these: by another device than the one they were placed on */
    bool has_collected;        /* a library was given collectives of the last start */
    uint32_t n_copies;         /* between memories, of a recorded run that is over */
    uint32_t n_starts;         /* the first one finds nothing on devices */
    struct tg_run *run;
    struct tgi_offload_run *next; /* among those that are active */
    /* Streams of the program (offload_stream.c) */
    bool uses_host;            /* some task runs on a CPU */
    struct tgi_event *begins[TGI_MAX_DEVICES]; /* recorded in a stream of that device; NULL: not made yet */
    struct tgi_event *after;   /* of these: what the run comes after; NULL: nothing.  By start, then by the submitter */
    struct tgi_offload_run *next_held;
    struct tgi_event *ends[TGI_MAX_LANES]; /* by lane, for streams that come after the run; NULL: not made yet */
    struct tgi_waits last;     /* where lanes were when everything was submitted */
    bool has_last;
    struct tgi_waits lent;     /* copies for the program that may be under way */
    uint8_t *lent_tiles;       /* by tile: LENT_*, since the last start; NULL: none ever was */
    struct tgi_offload_graphs *graphs; /* NULL: none was asked for so far (offload_graph.h) */
    struct tgi_offload_ahead *ahead;   /* what may be sent ahead of its task (offload_ahead.c); NULL: nothing */
    struct tgi_insertion *insertion;   /* this start becomes a node of the program's graph (offload_insert.c); NULL: it is one */
    struct tgi_inserted *inserted;     /* nodes that the program may launch; NULL: none */
};

/* Whether tiles of a buffer are filled in by devices until somebody writes them, and not copied. */
static inline bool tgi_offload_is_filled(const struct tgi_offload_run *r, const struct tgi_buffer *buffer)
{
    return r->fills && tgi_replicas_begins_alike(buffer);
}
/* Tiles whose address the program has. */
enum { TGI_LENT_READ = 1, TGI_LENT_WRITTEN = 2 };

/* Something to do once a lane has come to a point. */
enum tgi_watch_kind { TGI_WATCH_TASK, TGI_WATCH_CPU, TGI_WATCH_FINISH, TGI_WATCH_SPAN, TGI_WATCH_TIME };
struct tgi_watch {
    struct tgi_watch *next;
    uint64_t seq;
    uint8_t kind;
    union {
        struct tgi_offload_task *task; /* TASK, CPU, SPAN, TIME */
        struct tg_run *run;            /* FINISH */
    };
    struct tgi_event *from, *to; /* SPAN, TIME: timed */
    uint32_t lane;               /* the same: of both */
    bool was_alone;              /* the same: nothing else was executed on the device */
};
struct tgi_offload_lane {
    struct tgi_watch *first, *last;  /* by seq */
    struct tgi_offload_task *tail;   /* the last task enqueued, if others may wait for it; NULL: not known */
    uint32_t n_unsealed;             /* commands since the last event */
};

struct tgi_events {
    struct tgi_event **list;
    uint32_t n, cap;
};

/* What a device's commands take, as seen from here. */
struct tgi_pace {
    double command_ns; /* smoothed; 0: nothing was measured yet */
    uint32_t limit;    /* commands that are good to have queued, by that; 0: not known */
    uint64_t n_done;   /* commands, at the last look */
    uint64_t seen_ns;  /* when that was; 0: the device was idle */
};

/* How long a device has been at recorded tasks, of which several may overlap; as they are seen to end. */
struct tgi_seen_busy {
    _Atomic uint64_t ns; /* by the submitter; for whoever shows progress */
    uint64_t until_ns;   /* the submitter's: when the last of them ended, of tgi_now_ns() */
};

struct tgi_history; /* history.h */
struct tgi_offload {
    struct tg_runtime *runtime;
    struct tgi_devices *devices;
    struct tgi_history *history;
    struct tgi_staging *staging; /* the submitter's */
    struct tgi_order *order;
    struct tgi_capture *recording; /* what tasks would enqueue is written down; NULL: it is enqueued (offload_graph.h) */
    struct tgi_pinned *pinned; /* of all runs */
    struct tgi_pool *pools[TGI_MAX_DEVICES];
    uint64_t limit_bytes[TGI_MAX_DEVICES]; /* of the pools */
    struct tgi_waits fences[TGI_MAX_DEVICES]; /* of the pools (mem/replica.h); the submitter's own */
    struct tgi_offload_source {
        struct tgi_offload *offload;
        uint32_t device;
    } sources[TGI_MAX_DEVICES]; /* of the pools */
    struct tgi_worker *worker;  /* the submitter's: not among the runtime's, never stolen by itself */
    pthread_t thread;
    bool has_thread;
    bool uses_cpus;             /* CPUs compete with devices for what both can execute */
    bool is_attached;           /* the submitter to the devices */
    _Atomic(struct tgi_mail *) inbox; /* by anybody, release; emptied by the submitter, acquire */
    _Atomic uint32_t seat;            /* whose the submitter's is (offload_submitter.c); a futex */
    _Atomic uint32_t is_ending;
    /* the submitter's own */
    struct tgi_offload_lane lanes[TGI_MAX_LANES];
    struct tgi_ready ready[TGI_MAX_NODES]; /* by node */
    uint32_t n_ready;
    uint32_t n_at_policies; /* of these: in the hands of runs' policies */
    uint32_t n_watches;
    uint32_t n_awaited;      /* of these: that are more than times to be read, so somebody waits for them */
    uint64_t look_ns;        /* when lanes are looked at next, if nobody waits and there is something to submit */
    struct tgi_watch *free_watches;
    struct tgi_watch *due, *last_due; /* times that have come and were not read yet, of tasks that last as long as their run */
    uint32_t n_due;
    struct tgi_events timed[TGI_MAX_DEVICES]; /* events with times that nobody uses now (offload_span.c) */
    uint32_t next_lane[TGI_MAX_DEVICES];
    struct tgi_pace pace[TGI_MAX_DEVICES];
    struct tgi_seen_busy seen_busy[TGI_MAX_DEVICES];
    struct tgi_offload_run *active; /* runs that have begun and not ended */
    struct tgi_collective *collectives; /* that are enqueued and not known to be done (offload_collective.c) */
    struct tgi_offload_run *held;   /* runs that begin once a stream of the program's has come to a point */
    struct tgi_stamp ahead[TGI_MAX_DEVICES]; /* the last copy that was sent ahead of its task */
    bool is_ahead_waiting;      /* for one of these, to send more */
    uint32_t n_recorded;        /* of `active`: by streams */
    struct tgi_run_submitting spent; /* while there was one */
    bool is_dead;               /* the devices are lost: nothing of theirs is waited for any more */
    struct tg_error lost;       /* then: what was seen first */
};

/* offload.c */
/* spec: "cuda", "cuda:0,2", in any mixture with "cpu".  memory_bytes: limit per device, 0: most of what is free.  Needs
 * nothing of the runtime but its memory: it may still be reading its topology. */
int tgi_offload_open(struct tg_runtime *rt, const char *spec, uint64_t memory_bytes, struct tg_error *err);
/* The submitter starts; nothing if no devices were opened. */
int tgi_offload_start(struct tg_runtime *rt, struct tg_error *err);
/* False: a run was given up because its time was over, a device is still at it, and all of this is left to it. */
bool tgi_offload_close(struct tg_runtime *rt);
/* The submitter. */
bool tgi_offload_watch(struct tgi_offload *o, struct tgi_stamp stamp, const struct tgi_watch *what);
void tgi_offload_seal_all(struct tgi_offload *o);
/* Looks at what is watched once; true if anything has been reached.  When a task of a recorded run began and ended is read later: by
 * tgi_offload_read_due(), when nothing else is to be done, and all of it before a run ends. */
bool tgi_offload_look(struct tgi_offload *o);
/* At most so many; true if there was one. */
bool tgi_offload_read_due(struct tgi_offload *o, uint32_t most);
/* After any error of a device's: takes note if the devices are lost. */
void tgi_offload_failed(struct tgi_offload *o, const struct tg_error *err);
/* The same for what a task asked for, which fails. */
void tgi_offload_fail_task(struct tgi_offload *o, struct tgi_offload_task *task, const struct tg_error *err);
/* What became of some commands is not known: waits for all that the devices have. */
void tgi_offload_drain(struct tgi_offload *o);

/* What is waited for may never come, or has come without its data, and only a library knows: runs that use it fail. */
void tgi_offload_look_at_libraries(struct tgi_offload *o);

/* offload_submitter.c */
/* Anybody. */
void tgi_offload_mail(struct tgi_offload *o, struct tgi_mail *mail);
/* There may be something to do. */
void tgi_offload_wake(struct tgi_offload *o);
/* A task has become ready.  w: the calling worker, or NULL. */
void tgi_offload_push(struct tgi_worker *w, struct tgi_instance *instance, uint32_t task, bool has_locks);
/* Executes fn in the submitter's place, by itself or by whoever is there, and waits for it. */
void tgi_offload_do(struct tgi_offload *o, void (*fn)(void *arg), void *arg);
/* The same by whoever is there, the submitter's thread if nobody is. */
void tgi_offload_ask(struct tgi_offload *o, void (*fn)(void *arg), void *arg);
/* The submitter's thread; arg: struct tgi_offload. */
void *tgi_offload_main(void *arg);
/* A thread that is going to wait for a run takes the submitter's place while its thread sleeps; false: it does not.  It
 * stays until the run is over or there is nothing to do for a while, and stands up. */
bool tgi_offload_sit_down(struct tgi_offload *o);
void tgi_offload_stay(struct tgi_offload *o, const struct tg_run *run);
void tgi_offload_stand_up(struct tgi_offload *o);

/* offload_span.c */
/* All events of `timed` go, before the devices close. */
void tgi_offload_forget_events(struct tgi_offload *o);
/* A device was at a recorded task, by tgi_now_ns(). */
void tgi_offload_note_busy(struct tgi_offload *o, uint32_t device, uint64_t start_ns, uint64_t end_ns);

/* offload_balance.c: the submitter */
/* After a look at the lanes. */
void tgi_offload_measure(struct tgi_offload *o);
/* How many commands more a node may be given now. */
uint32_t tgi_offload_room(const struct tgi_offload *o, uint32_t node);
/* Commands of a lane after which an event is due. */
uint32_t tgi_offload_seal_every(const struct tgi_offload *o, uint32_t device);
/* A task that is ready for another device and better off on this node, whose it is now; NULL: none. */
struct tgi_offload_task *tgi_offload_steal(struct tgi_offload *o, uint32_t node);

/* offload_submit.c: the submitter */
void tgi_offload_submit(struct tgi_offload *o, struct tgi_offload_task *task);
/* What a task's predecessors on devices have enqueued; each task asks once a round. */
void tgi_offload_wait_for_preds(struct tgi_offload *o, struct tgi_offload_task *task, struct tgi_waits *waits);
/* A lane has come to what was watched. */
void tgi_offload_reached(struct tgi_offload *o, struct tgi_watch *watch);
/* The tile that decides about the next round is to be valid on the host; then tgi_control_continue(). */
void tgi_offload_continue(struct tgi_offload *o, struct tgi_instance *body);
/* Of a run that executes one task at a time: the task's data is where it runs, and if that is a device it has been
 * executed and what it wrote is on the host as well.  False: the caller executes it.  Not the submitter. */
bool tgi_offload_step(struct tgi_instance *instance, uint32_t task);
static inline uint32_t tgi_offload_id(const struct tgi_offload_task *task)
{
    return (uint32_t)(task - task->instance->offload->tasks);
}
/* The graph's priorities first, then what is still to come after the task. */
static inline double tgi_offload_urgency(const struct tgi_instance *in, uint32_t task)
{
    return 1e18 * (in->class_of ? in->class_of[task] : 0) + (double)in->offload->urgency->level_ns[task];
}

/* offload_run.c */
/* In this order: code for devices, before kernels are resolved for CPUs; which task goes where, after that; replicas,
 * once the store is there.  run->offload stays NULL if the runtime has no devices, and becomes NULL if no
 * task is placed on one. */
int tgi_offload_run_resolve(struct tg_run *run, struct tg_error *err);
int tgi_offload_run_place(struct tg_run *run, struct tg_error *err);
int tgi_offload_run_prepare(struct tg_run *run, struct tg_error *err);
void tgi_offload_run_release(struct tg_run *run);
/* Data is initialised: starts the main instance, from the submitter. */
void tgi_offload_run_begin(struct tg_run *run);
/* The same for a run that executes one task at a time; its caller does that afterwards. */
void tgi_offload_run_begin_serial(struct tg_run *run);
/* The submitter: what a start finds, of data and times, is known; nothing is enqueued. */
void tgi_offload_run_set_out(struct tg_run *run);
/* The submitter: the run begins, whatever it was to wait for. */
void tgi_offload_run_begin_now(struct tg_run *run);
/* Makes a tile valid on the host and waits; an error: it cannot be had any more. */
int tgi_offload_fetch(struct tg_run *run, tg_buffer_id buffer, uint32_t tile, struct tg_error *err);

/* offload_instance.c */
/* Places the tasks of an instance; in->via says which pass through the submitter.  Any thread. */
int tgi_offload_instance_prepare(struct tgi_instance *instance, struct tg_error *err);
void tgi_offload_instance_release(struct tgi_instance *instance);

/* offload_finish.c */
/* Every task is done: waits for the devices without blocking anybody, then ends the run. */
void tgi_offload_run_finish(struct tg_run *run);
/* The submitter: one of the lanes that finish() waits for has come to its end. */
void tgi_offload_lane_finished(struct tgi_offload *o, struct tg_run *run);

/* offload_ahead.c: the submitter */
/* The main instance is going to start, in streams. */
void tgi_offload_ahead_begin(struct tg_run *run);
void tgi_offload_ahead_end(struct tg_run *run);
void tgi_offload_ahead_release(struct tgi_offload_run *run);
/* Something that a task will need, if there is nothing better to do; true if anything was sent. */
bool tgi_offload_send_ahead(struct tgi_offload *o);

/* offload_collective.c: the submitter */
/* A collective has been enqueued on these lanes, after `waits`: it is to end in time once it can begin. */
bool tgi_offload_expect(struct tgi_offload *o, struct tgi_offload_task *task, const struct tgi_waits *waits, uint32_t n_ranks,
                        const uint32_t *lanes, struct tgi_stamp stamp);
/* Gives up those whose time is over. */
void tgi_offload_look_at_collectives(struct tgi_offload *o);
void tgi_offload_forget_collectives(struct tgi_offload *o);
/* Adds the ends of those that are under way. */
void tgi_offload_wait_for_collectives(struct tgi_offload *o, struct tgi_waits *waits);

/* offload_stream.c: streams of the program */
/* Of a run that executes one task at a time: waits for the stream it comes after.  Its caller. */
void tgi_offload_stream_await(struct tg_run *run);
/* The submitter.  True: the run begins later, as it has tasks on CPUs; else its commands come after the stream. */
bool tgi_offload_stream_holds(struct tg_run *run);
/* Runs that can begin now; true if any has. */
bool tgi_offload_look_at_held(struct tgi_offload *o);
/* As the run begins: its tiles are its own again, those that the program has written are left as they are. */
void tgi_offload_stream_take_tiles(struct tg_run *run);
/* Whether the program has written the tile (its number in the space) since the last start. */
static inline bool tgi_offload_is_given(const struct tgi_offload_run *r, uint32_t tile)
{
    return r->lent_tiles && r->lent_tiles[tile] & TGI_LENT_WRITTEN;
}
/* Everything is submitted. */
void tgi_offload_stream_mark(struct tg_run *run);
void tgi_offload_stream_end(struct tg_run *run);
/* Anybody: no copy that the program asked for is under way any more, so a buffer's memory may go. */
void tgi_offload_stream_await_lent(struct tg_run *run);
/* The submitter, before replicas go. */
void tgi_offload_stream_release(struct tg_run *run);

#endif
